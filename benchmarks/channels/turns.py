"""Turns: the rows measured one after the other, and all of that again, round after round."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from benchmarks.channels import idle, redis
from benchmarks.channels.idle import Idle
from benchmarks.channels.measure import Measurement, measure
from benchmarks.channels.rows import Row, Scenario
from benchmarks.load import LoadError
from benchmarks.runs import Run, take_cores, tell

WARMUP_S = 0.5


@dataclass
class Turns(Run[Measurement]):
    """A run over rows and scenarios, and channels without connections."""

    idles: list[Idle] = field(default_factory=list)

    def take(
        self,
        rows: Sequence[Row],
        scenarios: Sequence[Scenario],
        idle_channels: int,
        rounds: int,
        seconds: float,
    ) -> None:
        """Measure the *rows* under the *scenarios*, and so many idle channels, *rounds* times."""
        rows = [row for row in rows if self.is_installed(row)]
        scenarios = [scenario for scenario in scenarios if self._is_possible(scenario)]
        cores = take_cores()
        for turn in range(1, rounds + 1):
            where = f"round {turn} of {rounds}"
            for scenario in scenarios:
                for row in (row for row in rows if row.runs(scenario)):
                    self._measure(where, row, scenario, cores, seconds)
            if idle_channels:
                self._measure_idle(where, idle_channels)

    def _is_possible(self, scenario: Scenario) -> bool:
        is_possible = scenario.broker != "redis" or redis.is_installed()
        if not is_possible:
            self.skip("scenario", scenario.name, f"{redis.PROGRAM} is not installed")
        return is_possible

    def _measure(
        self, turn: str, row: Row, scenario: Scenario, cores: tuple[int, int], seconds: float
    ) -> None:
        where = f"{scenario.name}, {row.name}"
        server_core, load_core = cores
        one = self.attempt(
            where,
            partial(
                measure,
                row,
                scenario,
                server_core=server_core,
                load_core=load_core,
                seconds=seconds,
                warmup_s=WARMUP_S,
            ),
            lambda known: known.is_of(row, scenario),
        )
        if one is not None:
            p99_ms = (one.seen.p99_us or 0) / 1000
            tell(f"{turn}, {where}: {one.cost:.2f} µs/delivery, p99 {p99_ms:.2f} ms")

    def _measure_idle(self, turn: str, channels: int) -> None:
        try:
            one = idle.measure(channels)
        except LoadError as exc:
            self.fail(idle.NAME, exc)
            return
        self.idles.append(one)
        tell(f"{turn}, {idle.NAME}: {one.bytes_per_channel:,.0f} bytes/channel")
