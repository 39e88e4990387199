"""The benchmarks run and say what they promise; how fast anything is, is not tested."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def run(module: str, *arguments: str) -> str:
    """Run a module of the benchmarks as its users do, and return what it prints."""
    command = [sys.executable, "-m", module, *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def load_generator() -> None:
    """Refuse to go on without what the load generator needs: in CI it must be there."""
    missing = [] if sys.platform == "linux" else ["Linux"]
    missing += [] if shutil.which("gcc") else ["gcc"]
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI must have {' and '.join(missing)} to run the benchmarks")
    if missing:
        pytest.skip(f"the benchmarks need {' and '.join(missing)}")


@pytest.fixture
def server() -> Iterator["subprocess.Popen[str]"]:
    """A server as the driver starts it."""
    command = [sys.executable, "-m", "benchmarks.server", "raw"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_servers_are_measured_side_by_side(load_generator: None, tmp_path: Path) -> None:
    """One command gives CPU per message, rate and latencies, and the cost over raw ASGI."""
    path = tmp_path / "out.json"
    rows = ("raw", "bocadillo-typed")

    options = ("--rounds", "1", "--seconds", "0.2", "--scenarios", "64x16", "--json", str(path))
    printed = run("benchmarks", *options, "--rows", *rows)

    report = json.loads(path.read_text())
    assert report["options"] == {"rounds": 1, "seconds": 0.2}
    assert {*report} == {"date", "options", "machine", "versions", "results"}
    assert [(one["scenario"], one["row"]) for one in report["results"]] == [
        ("64x16", row) for row in rows
    ]
    for result in report["results"]:
        check_result(result)
    raw, typed = report["results"]
    assert raw["over_baseline_us"] == 0
    assert typed["over_baseline_us"] == pytest.approx(typed["cpu_us"] - raw["cpu_us"])
    assert "| row | CPU µs/message | over raw ASGI | lowest–highest | messages/s |" in printed
    assert "| bocadillo, typed | " in printed


def check_result(result: dict[str, Any]) -> None:
    (seen,) = result["rounds"]
    assert seen["errors"] == 0
    assert seen["messages"] > 0
    assert seen["seconds"] >= 0.2
    assert result["cpu_us"] == pytest.approx(seen["server_cpu_us"] / seen["messages"])
    assert result["messages_per_s"] == pytest.approx(seen["messages"] / seen["seconds"])
    assert 0 < result["cpu_us_lowest"] <= result["cpu_us"] <= result["cpu_us_highest"]
    assert 0 < result["p50_us"] <= result["p99_us"] <= seen["max_us"]
    assert result["server_share"] > 0


def test_server_ends_with_its_driver(server: "subprocess.Popen[str]") -> None:
    """A benchmark that is killed leaves no servers behind."""
    assert server.stdout is not None
    assert int(server.stdout.readline()) > 0

    server.communicate(timeout=30)

    assert server.returncode is not None


def test_programs_are_measured_without_a_server(tmp_path: Path) -> None:
    """The cost per message has a number where nothing else makes noise, and goals."""
    path = tmp_path / "out.json"

    printed = run("benchmarks.inprocess", "--rounds", "2", "--messages", "100", "--json", str(path))

    report = json.loads(path.read_text())
    assert report["options"] == {"rounds": 2, "messages": 100}
    assert {*report} == {"date", "options", "machine", "versions", "results", "goals"}
    raw, *others = report["results"]
    assert raw["program"] == "raw ASGI"
    assert raw["over_raw_us"] == 0
    assert all(one["us"] > 0 for one in others)
    assert all(one["over_raw_us"] == pytest.approx(one["us"] - raw["us"]) for one in others)
    names = {one["program"] for one in report["results"]}
    assert {goal[end] for goal in report["goals"] for end in ("program", "over")} <= names
    assert [goal["at_most_us"] for goal in report["goals"]] == [0.6, 1.8, 0.8]
    assert "- bocadillo: async for, send: at most 0.6 µs over raw ASGI. Now " in printed
    assert all(f"| {one['program']} | " in printed for one in report["results"])


def test_a_broadcast_is_timed_with_and_without_deaf_readers(tmp_path: Path) -> None:
    """How long the sender is held up has a number, percentiles and all."""
    path = tmp_path / "out.json"

    numbers = ("--connections", "20", "--deaf", "2", "--messages", "5", "--json", str(path))
    printed = run("benchmarks.broadcast", *numbers)

    report = json.loads(path.read_text())
    assert [one["deaf"] for one in report["results"]] == [0, 2]
    for one in report["results"]:
        assert one["calls"] == 5
        assert 0 < one["p50_us"] <= one["p99_us"] <= one["max_us"]
    assert "| connections | of them deaf | calls |" in printed
