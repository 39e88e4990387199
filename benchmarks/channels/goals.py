"""Goals: the least CPU and the lowest p99 of all, flat growth, and small idle channels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.channels import idle
from benchmarks.channels.idle import Idle
from benchmarks.channels.measure import Measurement
from benchmarks.channels.rows import SCENARIOS

# From 100 readers to 10,000 a delivery may cost so much more and still be called flat.
FLAT = 1.2
FEW, MANY = "growth-100", "growth-10000"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a goal: `now` and `beside`, what it is compared with, both in words.

    `ratio` is that of the two: the median of those of the rounds, where there are rounds.
    """

    scenario: str
    row: str
    goal: str
    now: str
    beside: str
    ratio: float
    is_met: bool


Cost = Callable[[Measurement], float]


def outcomes(measurements: Sequence[Measurement], idles: Sequence[Idle]) -> list[Outcome]:
    """Return what became of the goals; those whose rows were not measured are left out.

    A peer that has lost something has no p99 to compare with: what is lost is not late.
    """
    found = []
    for scenario in dict.fromkeys(one.scenario.name for one in measurements):
        there = [one for one in measurements if one.scenario.name == scenario]
        if SCENARIOS[scenario].is_ours_alone:
            continue
        peers = [one for one in there if one.row.is_peer]
        whole = [one for one in peers if not _has_lost(one, peers)]
        for row in dict.fromkeys(one.row.name for one in there if one.row.has_goals):
            mine = [one for one in there if one.row.name == row]
            found += _least("least CPU of all", "µs", _cost, mine, peers)
            found += _least("lowest p99 of all", "ms", _p99_ms, mine, whole)
    return [*found, *_flat(measurements), *_small(idles)]


def _least(
    goal: str, unit: str, cost: Cost, mine: Sequence[Measurement], peers: Sequence[Measurement]
) -> list[Outcome]:
    if not peers:
        return []
    best, beside = min((median(map(cost, of)), name) for name, of in _by_row(peers).items())
    others = [one for one in peers if one.row.name == beside]
    ratio = _ratio(mine, others, cost)
    title = f"{others[0].row.title}: {best:.2f} {unit}"
    now = f"{median(map(cost, mine)):.2f} {unit}"
    scenario, row = mine[0].scenario.name, mine[0].row.title
    return [Outcome(scenario, row, goal, now, title, ratio, ratio <= 1)]


def _flat(measurements: Sequence[Measurement]) -> list[Outcome]:
    """Return whether many readers cost as much each as few.

    Many connections are also looked after when nothing is published; that is not counted.
    """
    found = []
    few = _by_row([one for one in measurements if one.scenario.name == FEW])
    many = _by_row([one for one in measurements if one.scenario.name == MANY])
    for row in (row for row in many if row in few and many[row][0].row.has_goals):
        ratio = _ratio(many[row], few[row], _cost_above_rest)
        goal = f"above rest, ≤ {FLAT:g} × that with {few[row][0].scenario.readers:,} readers"
        now, beside = (
            f"{median(map(_cost_above_rest, of)):.2f} µs" for of in (many[row], few[row])
        )
        found.append(Outcome(MANY, many[row][0].row.title, goal, now, beside, ratio, ratio <= FLAT))
    return found


def _small(idles: Sequence[Idle]) -> list[Outcome]:
    if not idles:
        return []
    now = median(one.bytes_per_channel for one in idles)
    ratio = now / idle.AT_MOST_BYTES
    limit = f"{idle.AT_MOST_BYTES / 1000:g} KB"
    said = f"{now / 1000:.2f} KB"
    return [Outcome(idle.NAME, "Channels", f"≤ {limit}/channel", said, limit, ratio, ratio <= 1)]


def _by_row(measurements: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    rows: dict[str, list[Measurement]] = {}
    for one in measurements:
        rows.setdefault(one.row.name, []).append(one)
    return rows


def _ratio(mine: Sequence[Measurement], others: Sequence[Measurement], cost: Cost) -> float:
    pairs = zip(mine, others, strict=False)
    return median(cost(one) / max(cost(other), 1e-9) for one, other in pairs)


def _has_lost(one: Measurement, peers: Sequence[Measurement]) -> bool:
    return any(other.lost for other in peers if other.row is one.row)


def _cost(one: Measurement) -> float:
    return one.cost


def _cost_above_rest(one: Measurement) -> float:
    return one.cost_above_rest


def _p99_ms(one: Measurement) -> float:
    return (one.seen.p99_us or 0) / 1000
