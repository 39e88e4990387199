"""Turns: the rows measured one after the other, and all of that again, round after round."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks import machine, tls
from benchmarks.load import LoadError
from benchmarks.measure import Measurement, measure
from benchmarks.rows import Row, Scenario

MAX_WARMUP_S = 0.5
INSTALL = "pip install -r benchmarks/requirements.txt"


@dataclass
class Turns:
    """A run: what was measured, and of what was not, why.

    `skipped` has the rows whose packages are not installed, and `failed` those that failed in
    a scenario; their other rounds there do not count, and there are no more.
    """

    measurements: list[Measurement] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def take(
        self, rows: Sequence[Row], scenarios: Sequence[Scenario], rounds: int, seconds: float
    ) -> None:
        """Measure the *rows* under the *scenarios* that they run, *rounds* times."""
        rows = [row for row in rows if self._is_installed(row)]
        if not rows:
            return
        server_core, load_core = machine.cores()
        if server_core == load_core:
            warn("only one core: the load generator slows the servers down")
        # The load generator inherits it, and this process must not be in the servers' way.
        os.sched_setaffinity(0, {load_core})
        for turn in range(1, rounds + 1):
            for scenario in scenarios:
                for row in (row for row in rows if scenario.name in row.scenarios):
                    self._measure(f"round {turn} of {rounds}", row, scenario, server_core, seconds)

    def _is_installed(self, row: Row) -> bool:
        missing = row.missing()
        why = f"{' and '.join(missing)} not installed ({INSTALL})" if missing else None
        if why is None and row.is_tls:
            why = tls.lack()
        if why is not None:
            self.skipped[row.name] = why
            warn(f"row {row.name} is skipped: {why}")
        return why is None

    def _measure(self, turn: str, row: Row, scenario: Scenario, core: int, seconds: float) -> None:
        where = f"{scenario.name}, {row.name}"
        if where in self.failed:
            return
        warmup_s = min(MAX_WARMUP_S, seconds / 2)
        try:
            one = measure(row, scenario, core=core, seconds=seconds, warmup_s=warmup_s)
        except LoadError as exc:
            self.failed[where] = str(exc)
            warn(str(exc))
            self.measurements = [one for one in self.measurements if not one.is_of(row, scenario)]
            return
        self.measurements.append(one)
        print(f"{turn}, {where}: {one.cost:.2f} {scenario.cost}", file=sys.stderr, flush=True)


def warn(what: str) -> None:
    """Say on stderr what will not be as it was asked for."""
    print(f"benchmarks: {what}", file=sys.stderr, flush=True)
