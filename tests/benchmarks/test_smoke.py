"""The benchmarks run and say what they promise; how fast anything is, is not tested."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks import goals, tls
from benchmarks.load import Load
from benchmarks.measure import Measurement
from benchmarks.rows import ROWS, SCENARIOS
from benchmarks.turns import Turns

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
    assert {*report} == {"date", "goals", "machine", "options", "results", "skipped", "versions"}
    assert report["skipped"] == {}
    assert [(one["scenario"], one["row"]) for one in report["results"]] == [
        ("64x16", row) for row in rows
    ]
    for result in report["results"]:
        check_result(result)
    raw, typed = report["results"]
    assert raw["over_baseline"] == 0
    assert typed["over_baseline"] == pytest.approx(typed["cost"] - raw["cost"])
    assert "| row | CPU µs/message | over raw ASGI | lowest–highest | messages/s |" in printed
    assert "| bocadillo, typed | " in printed


def check_result(result: dict[str, Any]) -> None:
    (seen,) = result["rounds"]
    assert seen["errors"] == 0
    assert seen["messages"] > 0
    assert seen["seconds"] >= 0.2
    assert result["cost"] == pytest.approx(seen["server_cpu_us"] / seen["messages"])
    assert result["messages_per_s"] == pytest.approx(seen["messages"] / seen["seconds"])
    assert 0 < result["cost_lowest"] <= result["cost"] <= result["cost_highest"]
    assert 0 < result["p50_us"] <= result["p99_us"] <= seen["max_us"]
    assert result["server_share"] > 0


def test_broadcasts_memory_churn_and_compression_are_measured(
    load_generator: None, tmp_path: Path
) -> None:
    """Each kind of load has a number of its own, beside the cost of an echo."""
    path = tmp_path / "out.json"
    rows = ("ours-raw", "ours-deflate", "ours-fan")
    scenarios = ("deflate", "fan-100", "idle-1000", "churn")

    options = ("--rounds", "1", "--seconds", "0.2", "--json", str(path))
    printed = run("benchmarks", *options, "--rows", *rows, "--scenarios", *scenarios)

    results = {one["scenario"]: one for one in json.loads(path.read_text())["results"]}
    assert {name: one["row"] for name, one in results.items()} == {
        "deflate": "ours-deflate",
        "fan-100": "ours-fan",
        "idle-1000": "ours-raw",
        "churn": "ours-raw",
    }
    for scenario in ("deflate", "fan-100", "churn"):
        check_result(results[scenario])
    assert 1 < results["idle-1000"]["cost"] < 100
    assert "| row | KB/connection | " in printed
    assert "| row | CPU µs/connection | " in printed


def test_tls_is_measured(load_generator: None, tmp_path: Path) -> None:
    """What is in front of most deployments has a cost of its own."""
    lacking = tls.lack()
    if lacking:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lacking)
    path = tmp_path / "out.json"
    rows = ("tls-raw", "tls-ours-raw")

    options = ("--rounds", "1", "--seconds", "0.2", "--json", str(path))
    run("benchmarks", *options, "--rows", *rows, "--scenarios", "tls-64x16")

    results = json.loads(path.read_text())["results"]
    assert [one["row"] for one in results] == [*rows]
    for result in results:
        check_result(result)


def test_without_openssl_tls_is_skipped_aloud(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest is measured on machines that have no headers."""
    monkeypatch.setattr(tls, "HEADERS", "#include <no/such/header.h>\n")
    turns = Turns()

    turns.take([ROWS["tls-raw"]], [SCENARIOS["tls-64x1"]], rounds=1, seconds=0.1)

    assert "row tls-raw is skipped: no headers of OpenSSL" in capsys.readouterr().err
    assert [*turns.skipped] == ["tls-raw"]
    assert turns.measurements == []


def test_what_is_not_installed_is_skipped_aloud(load_generator: None, tmp_path: Path) -> None:
    """A report without a peer or a plot says why; nobody has to notice by himself."""
    hidden = "import sys; sys.modules.update(dict.fromkeys(['picows', 'matplotlib']))"
    program = f"{hidden}; import runpy; runpy.run_module('benchmarks', run_name='__main__')"
    options = ("--rows", "picows", "--plot", str(tmp_path / "plot"))

    command = [sys.executable, "-c", program, *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)

    assert ended.returncode == 0, ended.stderr
    assert "benchmarks: row picows is skipped: picows not installed" in ended.stderr
    assert "benchmarks: there will be no plot: matplotlib is not installed" in ended.stderr
    assert "\nNot measured: picows: picows not installed" in ended.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="plots need matplotlib")
def test_results_are_drawn(load_generator: None, tmp_path: Path) -> None:
    """The same results are there to look at, for a page and for print."""
    options = ("--rounds", "1", "--seconds", "0.1", "--plot", str(tmp_path / "plot"))

    run("benchmarks", *options, "--rows", "raw", "ours-raw", "--scenarios", "64x16")

    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    drawn = (tmp_path / "plot.svg").read_text()
    assert "<svg" in drawn


def measurement(row: str, scenario: str, cpu_us: float, memory: float = 0) -> Measurement:
    """One message that cost so much, on a server that grew by so many bytes a connection."""
    latencies = (None, None, None, None)
    seen = Load("echo", 1, 1, 64, 1.0, 1, 0, *latencies, cpu_us, 0.0, memory)
    return Measurement(ROWS[row], SCENARIOS[scenario], seen)


def test_goals_are_met_or_not() -> None:
    """Ratios and differences are taken within each round, so that a slow one changes little."""
    costs = {"raw": (20, 20, 40), "ours-raw": (10, 12, 20), "ours-text": (11, 14.1, 21)}
    measured = [measurement(row, "64x1", cost) for row, rounds in costs.items() for cost in rounds]
    measured += [measurement("ours-raw", "idle", 0, memory=6500)]

    outcomes = goals.outcomes(measured)

    assert [(one.row, one.at_most, one.now, one.is_met) for one in outcomes] == [
        ("ours-raw", 0.55, 0.5, True),
        ("ours-text", 1.5, 1, True),
        ("ours-raw", 6, 6.5, False),
    ]
    assert [one.times_u for one in outcomes] == [0.5, 0.55, None]
    assert all(one.times_p is None for one in outcomes)
    assert "1.5 µs" in outcomes[1].goal
    assert outcomes[2].goal == "≤ 6 KB"


def test_tables_fit_each_other() -> None:
    """What a row or a goal names is there, and no two bars of a plot have the same name."""
    for row in ROWS.values():
        assert {*row.scenarios} <= {*SCENARIOS}
        assert row.baseline in ROWS
    for goal in goals.GOALS:
        assert goal.scenario in ROWS[goal.row].scenarios
        assert goal.beside is None or goal.scenario in ROWS[goal.beside].scenarios
    for name in SCENARIOS:
        titles = [row.title for row in ROWS.values() if name in row.scenarios]
        assert len({*titles}) == len(titles) > 0


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
