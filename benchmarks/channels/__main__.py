"""The driver: measures what the command line says and writes the report."""

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.channels import goals, idle, readers
from benchmarks.channels.report import PACKAGES, Report, summarise
from benchmarks.channels.rows import ROWS, SCENARIOS
from benchmarks.channels.turns import Turns
from benchmarks.load import LoadError
from benchmarks.options import at_least


def main() -> None:
    options = _options()
    if sys.platform != "linux":
        sys.exit("benchmarks need Linux: they use epoll, /proc and pinned processes")
    date = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    facts = machine.machine()
    try:
        readers.build()
    except LoadError as exc:
        sys.exit(f"benchmarks: {exc}")
    turns = Turns()
    try:
        report = _measure(options, turns, date, facts)
    except KeyboardInterrupt:  # what was started has been ended on the way here
        sys.exit("benchmarks: interrupted")
    print(report.as_markdown(), end="", flush=True)
    if options.json is not None:
        options.json.write_text(report.as_json())
    if turns.failed:
        sys.exit(f"benchmarks: failed: {'; '.join(turns.failed)}")


def _measure(
    options: argparse.Namespace, turns: Turns, date: str, facts: dict[str, str | int | float]
) -> Report:
    rows = [row for row in ROWS.values() if row.name in options.rows]
    scenarios = [one for one in SCENARIOS.values() if one.name in options.scenarios]
    if options.readers is not None:
        scenarios = [replace(one, readers=options.readers) for one in scenarios]
    channels = options.channels if idle.NAME in options.scenarios else 0
    turns.take(rows, scenarios, channels, options.rounds, options.seconds)
    return Report(
        date=date,
        options={"rounds": options.rounds, "seconds": options.seconds},
        machine=facts,
        versions=machine.versions(PACKAGES),
        scenarios=scenarios,
        results=summarise(turns.measurements),
        idles=turns.idles,
        goals=goals.outcomes(turns.measurements, turns.idles),
        skipped={**turns.skipped, **turns.failed},
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.channels",
        description="Measure what a publication costs per reader; see benchmarks/README.md.",
    )
    add = parser.add_argument
    add("--rounds", type=at_least(1, int), default=3, help="default: 3")
    add("--seconds", type=at_least(0.1, float), default=5.0, help="published; default: 5")
    for option, names in (("--rows", [*ROWS]), ("--scenarios", [*SCENARIOS, idle.NAME])):
        add(option, nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    add("--readers", type=at_least(1, int), help="instead of those of the scenarios")
    add("--channels", type=at_least(1, int), default=idle.DEFAULT_CHANNELS, help="idle ones")
    add("--json", type=Path, metavar="FILE", help="write everything there, too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
