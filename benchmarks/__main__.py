"""The driver: measures what the command line says and writes the report."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import goals, load, machine, plot
from benchmarks.load import LoadError
from benchmarks.options import at_least
from benchmarks.report import Report, summarise
from benchmarks.rows import ROWS, SCENARIOS
from benchmarks.runs import INSTALL, warn
from benchmarks.turns import Turns


def main() -> None:
    options = _options()
    if sys.platform != "linux":
        sys.exit("benchmarks need Linux: they use epoll, /proc and pinned processes")
    if options.plot is not None and not plot.is_possible():
        warn(f"there will be no plot: matplotlib is not installed ({INSTALL})")
        options.plot = None
    date = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    facts = machine.machine()
    try:
        load.build()
    except LoadError as exc:
        sys.exit(f"benchmarks: {exc}")
    turns = Turns()
    rows = [row for row in ROWS.values() if row.name in options.rows]
    scenarios = [one for one in SCENARIOS.values() if one.name in options.scenarios]
    turns.take(rows, scenarios, options.rounds, options.seconds)
    _write(options, _report(options, turns, date, facts))
    if turns.failed:
        sys.exit(f"benchmarks: failed: {'; '.join(turns.failed)}")


def _report(
    options: argparse.Namespace, turns: Turns, date: str, facts: dict[str, str | int | float]
) -> Report:
    return Report(
        date=date,
        options={"rounds": options.rounds, "seconds": options.seconds},
        machine=facts,
        versions=machine.versions(),
        results=summarise(turns.measurements),
        goals=goals.outcomes(turns.measurements),
        skipped={**turns.skipped, **turns.failed},
    )


def _write(options: argparse.Namespace, report: Report) -> None:
    print(report.as_markdown(), end="", flush=True)
    if options.json is not None:
        options.json.write_text(report.as_json())
    if options.plot is not None and report.results:
        plot.write(options.plot, report.results, report.caption())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what a message costs a server, row by row; see benchmarks/README.md.",
    )
    add = parser.add_argument
    add("--rounds", type=at_least(1, int), default=5, help="default: 5")
    add("--seconds", type=at_least(0.1, float), default=2.0, help="measured; default: 2")
    for option, table in (("--rows", ROWS), ("--scenarios", SCENARIOS)):
        add(option, nargs="+", choices=table, metavar="NAME", help=", ".join(table))
    add("--goals", action="store_true", help="only the rows and scenarios of the goals")
    add("--json", type=Path, metavar="FILE", help="write everything there, too")
    add("--plot", type=Path, metavar="FILE", help="draw it: FILE.png and FILE.svg")
    options = parser.parse_args()
    every_row, every_scenario = [*ROWS], [*SCENARIOS]
    if options.goals:
        every_row, every_scenario = goals.rows_of_goals(), goals.scenarios_of_goals()
    options.rows = options.rows or every_row
    options.scenarios = options.scenarios or every_scenario
    return options


if __name__ == "__main__":
    main()
