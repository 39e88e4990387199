"""Turns: the rows measured one after the other, and all of that again, round after round."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks import machine
from benchmarks.channels import idle, redis
from benchmarks.channels.idle import Idle
from benchmarks.channels.measure import Measurement, measure
from benchmarks.channels.rows import Row, Scenario
from benchmarks.load import LoadError
from benchmarks.turns import INSTALL, warn

WARMUP_S = 0.5


@dataclass
class Turns:
    """A run: what was measured, and of what was not, why; as `benchmarks.turns.Turns`."""

    measurements: list[Measurement] = field(default_factory=list)
    idles: list[Idle] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def take(
        self,
        rows: Sequence[Row],
        scenarios: Sequence[Scenario],
        idle_channels: int,
        rounds: int,
        seconds: float,
    ) -> None:
        """Measure the *rows* under the *scenarios*, and so many idle channels, *rounds* times."""
        rows = [row for row in rows if self._is_installed(row)]
        scenarios = [scenario for scenario in scenarios if self._is_possible(scenario)]
        server_core, load_core = machine.cores()
        if server_core == load_core:
            warn("only one core: the load generator slows the servers down")
        # The load generator inherits it, and this process must not be in the servers' way.
        os.sched_setaffinity(0, {load_core})
        for turn in range(1, rounds + 1):
            where = f"round {turn} of {rounds}"
            for scenario in scenarios:
                for row in (row for row in rows if row.runs(scenario)):
                    self._measure(where, row, scenario, (server_core, load_core), seconds)
            if idle_channels:
                self._measure_idle(where, idle_channels)

    def _is_installed(self, row: Row) -> bool:
        missing = row.missing()
        if missing:
            self._skip(row.name, f"{' and '.join(missing)} not installed ({INSTALL})")
        return not missing

    def _is_possible(self, scenario: Scenario) -> bool:
        is_possible = scenario.broker != "redis" or redis.is_installed()
        if not is_possible:
            self._skip(scenario.name, f"{redis.PROGRAM} is not installed")
        return is_possible

    def _skip(self, what: str, why: str) -> None:
        self.skipped[what] = why
        warn(f"{what} is skipped: {why}")

    def _measure(
        self, turn: str, row: Row, scenario: Scenario, cores: tuple[int, int], seconds: float
    ) -> None:
        where = f"{scenario.name}, {row.name}"
        if where in self.failed:
            return
        server_core, load_core = cores
        try:
            one = measure(
                row,
                scenario,
                server_core=server_core,
                load_core=load_core,
                seconds=seconds,
                warmup_s=WARMUP_S,
            )
        except LoadError as exc:
            self._fail(where, exc)
            self.measurements = [one for one in self.measurements if not one.is_of(row, scenario)]
            return
        self.measurements.append(one)
        p99_ms = (one.seen.p99_us or 0) / 1000
        _tell(f"{turn}, {where}: {one.cost:.2f} µs/delivery, p99 {p99_ms:.2f} ms")

    def _measure_idle(self, turn: str, channels: int) -> None:
        try:
            one = idle.measure(channels)
        except LoadError as exc:
            self._fail(idle.NAME, exc)
            return
        self.idles.append(one)
        _tell(f"{turn}, {idle.NAME}: {one.bytes_per_channel:,.0f} bytes/channel")

    def _fail(self, where: str, exc: LoadError) -> None:
        self.failed[where] = str(exc)
        warn(str(exc))


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
