"""The report: measurements → medians per row, as Markdown and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks import machine
from benchmarks.measure import Measurement
from benchmarks.rows import ROWS, SCENARIOS, Row, Scenario

# Below this, the report warns: something else ran on the server's core.
QUIET_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Result:
    """One row under one scenario: medians over the rounds.

    `over_baseline_us` is the median of the differences within each round, in which the
    machine was in much the same mood for both; None if the baseline was not measured.
    """

    scenario: str
    row: str
    baseline: str
    cpu_us: float
    cpu_us_lowest: float
    cpu_us_highest: float
    over_baseline_us: float | None
    messages_per_s: float
    p50_us: float | None
    p99_us: float | None
    server_share: float
    rounds: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything there is to say about one run of the benchmarks."""

    date: str
    options: dict[str, Any]
    machine: dict[str, str | int | float]
    versions: dict[str, str | None]
    results: list[Result]

    def as_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def as_markdown(self) -> str:
        """Return the report as Markdown: a heading, where it was measured, a table each."""
        names = dict.fromkeys(result.scenario for result in self.results)
        tables = [_table(self._of(name), SCENARIOS[name]) for name in names]
        return "\n\n".join([*self._head(), *tables]) + "\n"

    def _of(self, scenario: str) -> list[Result]:
        return [result for result in self.results if result.scenario == scenario]

    def _head(self) -> list[str]:
        head = [
            f"# Benchmarks of {self.date}",
            machine.in_words(self.machine, self.versions),
            f"Medians of {self.options['rounds']} rounds of {self.options['seconds']:g} s.",
        ]
        if any(result.server_share < QUIET_SHARE for result in self.results):
            head.append(
                f"**Noisy**: some servers had less than {QUIET_SHARE:.0%} of their core; see "
                "`core`. Trust CPU per message more than rates and latencies."
            )
        return head


def summarise(measurements: Sequence[Measurement]) -> list[Result]:
    """Return one result per scenario and row, in the order of the tables in `rows`."""
    return [
        _result(row, scenario, measurements)
        for scenario in SCENARIOS.values()
        for row in ROWS.values()
        if _of(row.name, scenario, measurements)
    ]


def _result(row: Row, scenario: Scenario, measurements: Sequence[Measurement]) -> Result:
    rounds = _of(row.name, scenario, measurements)
    base = _of(row.baseline, scenario, measurements)
    costs = [one.cpu_us for one in rounds]
    over = [one.cpu_us - other.cpu_us for one, other in zip(rounds, base, strict=False)]
    return Result(
        scenario=scenario.name,
        row=row.name,
        baseline=row.baseline,
        cpu_us=median(costs),
        cpu_us_lowest=min(costs),
        cpu_us_highest=max(costs),
        over_baseline_us=median(over) if over else None,
        messages_per_s=median(one.messages_per_s for one in rounds),
        p50_us=_median([one.load.p50_us for one in rounds]),
        p99_us=_median([one.load.p99_us for one in rounds]),
        server_share=median(one.server_share for one in rounds),
        rounds=[asdict(one.load) for one in rounds],
    )


def _of(row: str, scenario: Scenario, measurements: Sequence[Measurement]) -> list[Measurement]:
    return [one for one in measurements if one.row.name == row and one.scenario is scenario]


def _median(latencies: Sequence[float | None]) -> float | None:
    known = [latency for latency in latencies if latency is not None]
    return median(known) if known else None


COLUMNS = (
    "row",
    "CPU µs/message",
    "over baseline",
    "lowest–highest",
    "messages/s",
    "p50 ms",
    "p99 ms",
    "core",
)


def _table(results: Sequence[Result], scenario: Scenario) -> str:
    baselines = dict.fromkeys(ROWS[result.baseline].title for result in results)
    lines = [
        f"## {scenario.title[0].upper()}{scenario.title[1:]}",
        "",
        "| " + " | ".join(COLUMNS).replace("baseline", " or ".join(baselines)) + " |",
        "|---|" + "---:|" * (len(COLUMNS) - 1),
        *("| " + " | ".join(_cells(result)) + " |" for result in results),
    ]
    return "\n".join(lines)


def _cells(result: Result) -> list[str]:
    over = result.over_baseline_us
    is_base = result.row == result.baseline
    return [
        ROWS[result.row].title,
        f"{result.cpu_us:.2f}",
        "–" if over is None or is_base else f"{over:+.2f} ({_percent(over, result.cpu_us)})",
        f"{result.cpu_us_lowest:.2f}–{result.cpu_us_highest:.2f}",
        f"{result.messages_per_s:,.0f}",
        _ms(result.p50_us),
        _ms(result.p99_us),
        f"{result.server_share:.0%}",
    ]


def _percent(over: float, cost: float) -> str:
    return f"{over / (cost - over):+.0%}" if cost > over else "–"


def _ms(latency_us: float | None) -> str:
    return "–" if latency_us is None else f"{latency_us / 1000:.2f}"
