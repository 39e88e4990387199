"""The report: measurements → medians per row, and goals, as Markdown and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks import machine
from benchmarks.channels import idle
from benchmarks.channels.goals import Outcome
from benchmarks.channels.idle import Idle
from benchmarks.channels.measure import Measurement
from benchmarks.channels.rows import ROWS, Scenario

# What has a say in the results, where it is installed.
PACKAGES = (
    "bocadillo",
    "starlette",
    "uvicorn",
    "uvloop",
    "redis",
    "hiredis",
    "litestar",
    "python-socketio",
    "broadcaster",
    "channels",
    "channels_redis",
    "django",
    "chanx",
    "fast-channels",
)

# Who still gets something so long after the last publication did not keep up.
BEHIND_S = 1.0


@dataclass(frozen=True, slots=True)
class Result:
    """One row under one scenario: medians over the rounds; what went wrong is summed up.

    The costs are CPU in microseconds per delivery; the shares are of a core, while publications
    come and before any do; `behind_s` says how long some still came when no more were
    published.
    """

    scenario: str
    row: str
    cost: float
    cost_lowest: float
    cost_highest: float
    broker_cost: float
    share: float
    resting_share: float
    p50_us: float | None
    p99_us: float | None
    behind_s: float
    expected: int
    delivered: int
    doubled: int
    misordered: int
    closed: int
    rounds: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything there is to say about one run; `skipped` says why something is not there."""

    date: str
    options: dict[str, Any]
    machine: dict[str, str | int | float]
    versions: dict[str, str | None]
    scenarios: list[Scenario]
    results: list[Result]
    idles: list[Idle]
    goals: list[Outcome]
    skipped: dict[str, str]

    def as_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def as_markdown(self) -> str:
        """Return the report as Markdown: where it was measured, the goals, a table each."""
        tables = [
            _table(scenario, found)
            for scenario in self.scenarios
            if (found := [one for one in self.results if one.scenario == scenario.name])
        ]
        goals = [_goals_table(self.goals)] if self.goals else []
        idles = [_idle_words(self.idles)] if self.idles else []
        return "\n\n".join([*self._head(), *goals, *tables, *idles]) + "\n"

    def _head(self) -> list[str]:
        return [
            f"# Benchmarks of channels of {self.date}",
            machine.in_words(self.machine, self.versions),
            f"Medians of {self.options['rounds']} rounds of {self.options['seconds']:g} s; "
            "publications of 64 B. Rows named “ours” run on bocadillo's protocol, all others on "
            "uvicorn's default. The servers share one core; Redis has the load generator's.",
            *(f"Not measured: {what}: {why}" for what, why in self.skipped.items()),
        ]


def summarise(measurements: Sequence[Measurement]) -> list[Result]:
    """Return a result for each row under each scenario, in the order of the measurements."""
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for one in measurements:
        groups.setdefault((one.scenario.name, one.row.name), []).append(one)
    return [_result(group) for group in groups.values()]


def _result(group: Sequence[Measurement]) -> Result:
    costs = [one.cost for one in group]
    seen = [one.seen for one in group]
    return Result(
        scenario=group[0].scenario.name,
        row=group[0].row.name,
        cost=median(costs),
        cost_lowest=min(costs),
        cost_highest=max(costs),
        broker_cost=median(one.broker_cost for one in group),
        share=median(one.share for one in group),
        resting_share=median(one.resting_share for one in seen),
        p50_us=_median([one.p50_us for one in seen]),
        p99_us=_median([one.p99_us for one in seen]),
        behind_s=median(one.behind_s for one in seen),
        expected=sum(one.expected for one in seen),
        delivered=sum(one.delivered for one in seen),
        doubled=sum(one.doubled for one in seen),
        misordered=sum(one.misordered for one in seen),
        closed=sum(one.closed for one in seen),
        rounds=[asdict(one) for one in seen],
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _table(scenario: Scenario, results: Sequence[Result]) -> str:
    broker = ["Redis CPU µs/delivery"] if scenario.broker == "redis" else []
    columns = ["row", "CPU µs/delivery", "lowest–highest", *broker]
    columns += ["p50 ms", "p99 ms", "delivered", "core", "at rest", "what went wrong"]
    lines = [_line(columns), _line(["---", *["---:"] * (len(columns) - 2), "---"])]
    for one in results:
        cells = [ROWS[one.row].title, f"{one.cost:.2f}"]
        cells.append(f"{one.cost_lowest:.2f}–{one.cost_highest:.2f}")
        cells += [f"{one.broker_cost:.2f}"] if broker else []
        cells += [_ms(one.p50_us), _ms(one.p99_us)]
        cells += [f"{one.delivered:,} of {one.expected:,}", f"{one.share:.0%}"]
        cells += [f"{one.resting_share:.1%}", _wrongs(one)]
        lines.append(_line(cells))
    return f"## {scenario.name}: {scenario.title}\n\n" + "\n".join(lines)


def _wrongs(one: Result) -> str:
    """Return what went wrong in words, all rounds together; "" for nothing."""
    lost = one.expected - one.delivered
    counts = {
        "lost": lost,
        "doubled": one.doubled,
        "misordered": one.misordered,
        "connections closed": one.closed,
    }
    said = [f"{count:,} {what}" for what, count in counts.items() if count]
    if one.behind_s > BEHIND_S:
        said.append(f"did not keep up: {one.behind_s:.1f} s behind")
    return ", ".join(said)


def _goals_table(goals: Sequence[Outcome]) -> str:
    columns = ["scenario", "row", "goal", "now", "beside", "ratio", ""]
    lines = [_line(columns), _line(["---", "---", "---", "---:", "---", "---:", "---"])]
    for one in goals:
        met = "met" if one.is_met else "**not met**"
        cells = [one.scenario, one.row, one.goal, one.now, one.beside, f"{one.ratio:.2f}", met]
        lines.append(_line(cells))
    return "## Goals\n\n" + "\n".join(lines)


def _idle_words(idles: Sequence[Idle]) -> str:
    size = median(one.bytes_per_channel for one in idles)
    join_us = median(one.join_us for one in idles)
    return (
        f"## {idle.NAME}: {idles[0].channels:,} channels with one reader each\n\n"
        f"{size:,.0f} bytes of resident memory per channel, and {join_us:.2f} µs to join one. "
        "Counted is all that `Channels` has for a channel and its reader, the name, and the "
        "reader, an object with nothing but `deliver`; there are no connections."
    )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ms(latency_us: float | None) -> str:
    return "–" if latency_us is None else f"{latency_us / 1000:.2f}"
