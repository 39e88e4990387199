"""The driver: measures the rows in turn, round after round, and prints the report."""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import load, machine
from benchmarks.load import LoadError
from benchmarks.measure import Measurement, measure
from benchmarks.options import at_least
from benchmarks.report import Report, summarise
from benchmarks.rows import ROWS, SCENARIOS

MAX_WARMUP_S = 0.5


def main() -> None:
    options = _options()
    if sys.platform != "linux":
        sys.exit("benchmarks need Linux: they use epoll, /proc and pinned processes")
    date = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    facts = machine.machine()
    try:
        load.build()
        measurements = _measure_all(options)
    except LoadError as exc:
        sys.exit(f"benchmarks: {exc}")
    report = Report(
        date=date,
        options={"rounds": options.rounds, "seconds": options.seconds},
        machine=facts,
        versions=machine.versions(),
        results=summarise(measurements),
    )
    print(report.as_markdown(), end="")
    if options.json is not None:
        options.json.write_text(report.as_json())


def _measure_all(options: argparse.Namespace) -> list[Measurement]:
    server_core, load_core = machine.cores()
    if server_core == load_core:
        print("only one core: the load generator slows the servers down", file=sys.stderr)
    # The load generator inherits it, and this process must not be in the servers' way.
    os.sched_setaffinity(0, {load_core})
    scenarios = [one for one in SCENARIOS.values() if one.name in options.scenarios]
    rows = [row for row in ROWS.values() if row.name in options.rows]
    measurements = []
    for turn in range(1, options.rounds + 1):
        for scenario in scenarios:
            for row in (row for row in rows if scenario.mode in row.modes):
                one = measure(
                    row,
                    scenario,
                    core=server_core,
                    seconds=options.seconds,
                    warmup_s=min(MAX_WARMUP_S, options.seconds / 2),
                )
                measurements.append(one)
                _tell(turn, options.rounds, one)
    return measurements


def _tell(turn: int, turns: int, one: Measurement) -> None:
    where = f"round {turn} of {turns}, {one.scenario.name}, {one.row.name}"
    print(f"{where}: {one.cpu_us:.2f} µs/message", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what a message costs a server, row by row; see benchmarks/README.md.",
    )
    add = parser.add_argument
    add("--rounds", type=at_least(1, int), default=5, help="default: 5")
    add("--seconds", type=at_least(0.1, float), default=2.0, help="measured; default: 2")
    for option, table in (("--rows", ROWS), ("--scenarios", SCENARIOS)):
        names = ", ".join(table)
        add(option, nargs="+", choices=table, default=[*table], metavar="NAME", help=names)
    add("--json", type=Path, metavar="FILE", help="write everything there, too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
