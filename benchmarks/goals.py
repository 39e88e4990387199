"""Goals: what a row may cost at most, beside another row, or at all."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.measure import Measurement
from benchmarks.rows import ROWS, SCENARIOS


@dataclass(frozen=True, slots=True)
class Goal:
    """At most *times* what the row *beside* costs, *plus* so much; without it, *plus* alone."""

    scenario: str
    row: str
    beside: str | None = None
    times: float = 1
    plus: float = 0

    @property
    def title(self) -> str:
        """The goal in words."""
        unit = SCENARIOS[self.scenario].cost.partition("/")[0].removeprefix("CPU ")
        if self.beside is None:
            return f"≤ {self.plus:g} {unit}"
        other = ROWS[self.beside].title
        return f"≤ {other} + {self.plus:g} {unit}" if self.plus else f"≤ {self.times:g} × {other}"


# U, uvicorn's default protocol, is the row "raw", and P is picows.
GOALS = (
    Goal("64x1", "ours-raw", "raw", times=0.55),
    Goal("64x1", "ours-raw", "picows", times=1.25),
    Goal("64x1", "ours-text", "ours-raw", plus=1.5),
    Goal("64x16", "ours-raw", "raw", times=0.12),
    Goal("64x16", "ours-text", "ours-raw", plus=0.7),
    Goal("16x4-64k", "ours-raw", "picows", times=1.2),
    Goal("16x4-64k", "ours-text", "ours-raw", plus=2),
    Goal("fan-1", "ours-fan", "picows-fan", times=1.0),
    Goal("fan-16", "ours-fan", "picows-fan", times=0.12),
    Goal("fan-1", "ours-fan-publish", "picows-fan", times=1.0),
    Goal("fan-16", "ours-fan-publish", "picows-fan", times=0.12),
    Goal("fan-1", "ours-fan-view", "picows-fan", times=1.0),
    Goal("fan-16", "ours-fan-view", "picows-fan", times=0.12),
    Goal("idle", "ours-raw", plus=6),
    Goal("idle", "ours-text", plus=10),
)

# What no goal is about, but is shown beside them.
EXTRA_ROWS = ("starlette", "litestar", "fan")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a goal.

    `now` is a ratio, a difference or a cost, like `at_most`. `times_u` and `times_p` are the
    ratios to uvicorn's default and to picows; None where those were not measured.
    """

    scenario: str
    row: str
    goal: str
    cost: float
    times_u: float | None
    times_p: float | None
    at_most: float
    now: float
    is_met: bool


Costs = Mapping[tuple[str, str], Sequence[float]]


def rows_of_goals() -> list[str]:
    """Return the names of the rows that are compared, in the order of the table."""
    names = {name for goal in GOALS for name in (goal.row, goal.beside)} | {*EXTRA_ROWS, "picows"}
    return [name for name in ROWS if name in names]


def scenarios_of_goals() -> list[str]:
    """Return the names of the scenarios that have goals."""
    return list(dict.fromkeys(goal.scenario for goal in GOALS))


def outcomes(measurements: Sequence[Measurement]) -> list[Outcome]:
    """Return what became of the goals.

    What counts is the median of the rounds' ratios or differences: the machine was in much
    the same mood within a round. Goals whose rows were not measured are left out.
    """
    costs: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in measurements:
        costs[one.scenario.name, one.row.name].append(one.cost)
    measured = (_outcome(goal, costs) for goal in GOALS if (goal.scenario, goal.row) in costs)
    return [outcome for outcome in measured if outcome is not None]


def _outcome(goal: Goal, costs: Costs) -> Outcome | None:
    is_fan = SCENARIOS[goal.scenario].mode == "fan"
    cost = median(costs[goal.scenario, goal.row])
    at_most = goal.plus or goal.times
    now = _now(goal, costs, cost)
    if now is None:
        return None
    return Outcome(
        scenario=goal.scenario,
        row=goal.row,
        goal=goal.title,
        cost=cost,
        times_u=_ratio(goal, "fan" if is_fan else "raw", costs),
        times_p=_ratio(goal, "picows-fan" if is_fan else "picows", costs),
        at_most=at_most,
        now=now,
        is_met=now <= at_most,
    )


def _now(goal: Goal, costs: Costs, cost: float) -> float | None:
    if goal.beside is None:
        return cost
    if not goal.plus:
        return _ratio(goal, goal.beside, costs)
    pairs = _pairs(goal, goal.beside, costs)
    return median(mine - other for mine, other in pairs) if pairs else None


def _ratio(goal: Goal, beside: str, costs: Costs) -> float | None:
    ratios = [mine / other for mine, other in _pairs(goal, beside, costs) if other > 0]
    return median(ratios) if ratios else None


def _pairs(goal: Goal, beside: str, costs: Costs) -> list[tuple[float, float]]:
    mine, others = costs[goal.scenario, goal.row], costs.get((goal.scenario, beside), ())
    return list(zip(mine, others, strict=False))
