"""The benchmarks of channels run and say what they promise; how fast anything is, is not tested."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.channels import goals
from benchmarks.channels.idle import Idle
from benchmarks.channels.measure import Measurement
from benchmarks.channels.readers import Seen
from benchmarks.channels.rows import ROWS, SCENARIOS
from tests.benchmarks.test_smoke import load_generator, run
from tests.channels.redis_server import require_redis

__all__ = ["load_generator"]

TINY = ("--rounds", "1", "--seconds", "0.2", "--readers", "20")


def check_result(result: dict[str, Any], publications: int) -> None:
    (seen,) = result["rounds"]
    assert seen["published"] == publications
    assert result["delivered"] == result["expected"] == 20 * publications
    assert (result["doubled"], result["misordered"], result["closed"]) == (0, 0, 0)
    assert seen["deliveries"] >= result["delivered"]
    assert result["cost"] == pytest.approx(seen["servers_cpu_us"] / seen["deliveries"])
    assert 0 < result["p50_us"] <= result["p99_us"] <= seen["max_us"]


def test_deliveries_in_memory_and_idle_channels_are_measured(
    load_generator: None, tmp_path: Path
) -> None:
    """One command gives CPU per delivery, latencies, and what was lost; and bytes per channel."""
    path = tmp_path / "out.json"
    scenarios = ("growth-100", "idle-channels")

    options = ("--scenarios", *scenarios, "--channels", "2000", "--json", str(path))
    printed = run("benchmarks.channels", *TINY, "--rows", "ours", *options)

    report = json.loads(path.read_text())
    (result,) = report["results"]
    check_result(result, publications=40)
    assert result["broker_cost"] == 0
    (found,) = report["idles"]
    assert found["channels"] == 2000
    assert 100 < found["bytes_per_channel"] < 10_000
    assert "| row | CPU µs/delivery | lowest–highest | p50 ms | p99 ms | delivered |" in printed
    assert "| ours: bocadillo | " in printed
    assert "bytes of resident memory per channel" in printed


def test_deliveries_over_redis_are_measured_on_two_processes(
    load_generator: None, tmp_path: Path
) -> None:
    """What Redis costs has a number of its own, and both processes' readers get everything."""
    require_redis()
    path = tmp_path / "out.json"

    options = ("--rows", "ours", "--scenarios", "redis-2x500", "--json", str(path))
    printed = run("benchmarks.channels", *TINY, *options)

    (result,) = json.loads(path.read_text())["results"]
    check_result(result, publications=4)
    assert result["broker_cost"] > 0
    assert "| Redis CPU µs/delivery |" in printed


def measurement(
    row: str, scenario: str, cpu_us: float, p99_us: float, lost: int = 0
) -> Measurement:
    """One delivery that cost so much, and others that did not come."""
    seen = Seen(
        readers=1,
        seconds=1,
        behind_s=0,
        published=1,
        deliveries=1,
        expected=1 + lost,
        delivered=1,
        doubled=0,
        misordered=0,
        closed=0,
        p50_us=1,
        p99_us=p99_us,
        max_us=p99_us,
        servers_cpu_us=cpu_us,
        broker_cpu_us=0,
        load_cpu_us=0,
        resting_share=0,
    )
    return Measurement(ROWS[row], SCENARIOS[scenario], seen)


def test_goals_compare_with_the_best_peer() -> None:
    """The least of all is the least of all; and who loses what is late, is not fast."""
    measured = [
        measurement("ours", "memory-1000", 10, p99_us=4000),
        measurement("bocadillo", "memory-1000", 5, p99_us=1000),
        measurement("litestar", "memory-1000", 20, p99_us=5000),
        measurement("socketio", "memory-1000", 40, p99_us=2000, lost=1),
        measurement("ours", "growth-100", 10, p99_us=1000),
        measurement("ours", "growth-10000", 15, p99_us=1000),
    ]

    outcomes = goals.outcomes(measured, [Idle(1000, 1500, 1)])

    assert [(one.goal, one.beside, one.ratio, one.is_met) for one in outcomes] == [
        ("least CPU of all", "Litestar: 20.00 µs", 0.5, True),
        ("lowest p99 of all", "Litestar: 5.00 ms", 0.8, True),
        ("above rest, ≤ 1.2 × that with 100 readers", "10.00 µs", 1.5, False),
        ("≤ 3 KB/channel", "3 KB", 0.5, True),
    ]
