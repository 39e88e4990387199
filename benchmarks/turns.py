"""Turns: the rows measured one after the other, and all of that again, round after round."""

from collections.abc import Sequence
from functools import partial

from benchmarks import tls
from benchmarks.measure import Measurement, measure
from benchmarks.rows import Row, Scenario
from benchmarks.runs import Run, take_cores, tell

MAX_WARMUP_S = 0.5


class Turns(Run[Measurement]):
    """A run over rows and scenarios."""

    def take(
        self, rows: Sequence[Row], scenarios: Sequence[Scenario], rounds: int, seconds: float
    ) -> None:
        """Measure the *rows* under the *scenarios* that they run, *rounds* times."""
        rows = [row for row in rows if self.is_installed(row) and self._has_tls(row)]
        if not rows:
            return
        server_core, _ = take_cores()
        for turn in range(1, rounds + 1):
            for scenario in scenarios:
                for row in (row for row in rows if scenario.name in row.scenarios):
                    self._measure(f"round {turn} of {rounds}", row, scenario, server_core, seconds)

    def _has_tls(self, row: Row) -> bool:
        lack = tls.lack() if row.is_tls else None
        if lack is not None:
            self.skip("row", row.name, lack)
        return lack is None

    def _measure(self, turn: str, row: Row, scenario: Scenario, core: int, seconds: float) -> None:
        where = f"{scenario.name}, {row.name}"
        warmup_s = min(MAX_WARMUP_S, seconds / 2)
        one = self.attempt(
            where,
            partial(measure, row, scenario, core=core, seconds=seconds, warmup_s=warmup_s),
            lambda known: known.is_of(row, scenario),
        )
        if one is not None:
            tell(f"{turn}, {where}: {one.cost:.2f} {scenario.cost}")
