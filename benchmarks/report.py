"""The report: measurements → medians per row and goals, as Markdown and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks import machine
from benchmarks.goals import Outcome
from benchmarks.measure import Measurement
from benchmarks.rows import ROWS, SCENARIOS, Row, Scenario

# Below this, the report warns: something else ran on the server's core.
QUIET_SHARE = 0.9

# From this size on, messages are counted in MB/s, too.
LARGE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    """One row under one scenario: medians over the rounds.

    `cost` is in the unit of the scenario: CPU in microseconds per message or connection, or
    memory in KB (1,000 bytes) per connection. `over_baseline` is the median of the differences
    within each round, in which the machine was in much the same mood for both; None if the
    baseline was not measured. Messages are connections in mode "churn".
    """

    scenario: str
    row: str
    baseline: str
    cost: float
    cost_lowest: float
    cost_highest: float
    over_baseline: float | None
    messages_per_s: float
    p50_us: float | None
    p99_us: float | None
    server_share: float
    rounds: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything there is to say about one run of the benchmarks.

    `skipped` says of rows why they were not measured.
    """

    date: str
    options: dict[str, Any]
    machine: dict[str, str | int | float]
    versions: dict[str, str | None]
    results: list[Result]
    goals: list[Outcome]
    skipped: dict[str, str]

    def as_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def as_markdown(self) -> str:
        """Return the report as Markdown: where it was measured, the goals, a table each."""
        names = dict.fromkeys(result.scenario for result in self.results)
        tables = [_table(self._of(name), SCENARIOS[name]) for name in names]
        goals = [_goals_table(self.goals)] if self.goals else []
        return "\n\n".join([*self._head(), *goals, *tables]) + "\n"

    def caption(self) -> str:
        """Return one line for a plot."""
        rounds = f"{self.options['rounds']} rounds of {self.options['seconds']:g} s"
        return f"{self.date}, {self.machine['cpu']}, {self.machine['python']}, medians of {rounds}"

    def _of(self, scenario: str) -> list[Result]:
        return [result for result in self.results if result.scenario == scenario]

    def _head(self) -> list[str]:
        head = [
            f"# Benchmarks of {self.date}",
            machine.in_words(self.machine, self.versions),
            f"Medians of {self.options['rounds']} rounds of {self.options['seconds']:g} s. Rows "
            "named “ours” run on bocadillo's protocol, others on uvicorn's default if they name "
            "no server. Compression is off, but where it is measured.",
        ]
        if any(one.server_share < QUIET_SHARE for one in self.results if _is_busy(one)):
            head.append(
                f"**Noisy**: some servers had less than {QUIET_SHARE:.0%} of their core; see "
                "`core`. Trust CPU per message more than rates and latencies."
            )
        head.extend(f"Not measured: {row}: {why}" for row, why in self.skipped.items())
        return head


def _is_busy(result: Result) -> bool:
    return SCENARIOS[result.scenario].mode != "idle"


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
    costs = [one.cost for one in rounds]
    over = [one.cost - other.cost for one, other in zip(rounds, base, strict=False)]
    return Result(
        scenario=scenario.name,
        row=row.name,
        baseline=row.baseline,
        cost=median(costs),
        cost_lowest=min(costs),
        cost_highest=max(costs),
        over_baseline=median(over) if over else None,
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


GOAL_COLUMNS = ("scenario", "row", "cost", "× U", "× P", "goal", "now", "")


def _goals_table(goals: Sequence[Outcome]) -> str:
    return "\n".join(
        [
            "## Goals",
            "",
            "U is uvicorn's default protocol with raw ASGI, and P is picows.",
            "",
            "| " + " | ".join(GOAL_COLUMNS) + " |",
            "|---|---|---:|---:|---:|---|---:|---|",
            *("| " + " | ".join(_goal_cells(goal)) + " |" for goal in goals),
        ]
    )


def _goal_cells(goal: Outcome) -> list[str]:
    return [
        goal.scenario,
        ROWS[goal.row].title,
        f"{goal.cost:.2f}",
        *("–" if times is None else f"{times:.2f}" for times in (goal.times_u, goal.times_p)),
        goal.goal,
        f"{goal.now:.2f}",
        "met" if goal.is_met else "**not met**",
    ]


def _table(results: Sequence[Result], scenario: Scenario) -> str:
    baselines = dict.fromkeys(
        ROWS[result.baseline].title for result in results if result.row != result.baseline
    )
    columns = [
        "row",
        scenario.cost,
        f"over {' or '.join(baselines) or 'baseline'}",
        "lowest–highest",
        *_load_columns(scenario),
    ]
    lines = [
        f"## {scenario.title[0].upper()}{scenario.title[1:]}",
        "",
        "| " + " | ".join(columns) + " |",
        "|---|" + "---:|" * (len(columns) - 1),
        *("| " + " | ".join(_cells(result, scenario)) + " |" for result in results),
    ]
    return "\n".join(lines)


def _load_columns(scenario: Scenario) -> tuple[str, ...]:
    if scenario.mode == "idle":
        return ()
    rate = "connections/s" if scenario.mode == "churn" else "messages/s"
    size = ("MB/s",) if scenario.payload_bytes >= LARGE_BYTES else ()
    return (rate, *size, "p50 ms", "p99 ms", "core")


def _cells(result: Result, scenario: Scenario) -> list[str]:
    over = result.over_baseline
    is_base = result.row == result.baseline
    return [
        ROWS[result.row].title,
        f"{result.cost:.2f}",
        "–" if over is None or is_base else f"{over:+.2f} ({_percent(over, result.cost)})",
        f"{result.cost_lowest:.2f}–{result.cost_highest:.2f}",
        *_load_cells(result, scenario),
    ]


def _load_cells(result: Result, scenario: Scenario) -> list[str]:
    mb_per_s = result.messages_per_s * scenario.payload_bytes / 1e6
    cells = {
        "connections/s": f"{result.messages_per_s:,.0f}",
        "messages/s": f"{result.messages_per_s:,.0f}",
        "MB/s": f"{mb_per_s:,.0f}",
        "p50 ms": _ms(result.p50_us),
        "p99 ms": _ms(result.p99_us),
        "core": f"{result.server_share:.0%}",
    }
    return [cells[column] for column in _load_columns(scenario)]


def _percent(over: float, cost: float) -> str:
    return f"{over / (cost - over):+.0%}" if cost > over else "–"


def _ms(latency_us: float | None) -> str:
    return "–" if latency_us is None else f"{latency_us / 1000:.2f}"
