"""What every run of measurements has: cores of its own, and a word for all that is missing."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from benchmarks import machine
from benchmarks.load import LoadError

INSTALL = "pip install -r benchmarks/requirements.txt"

MeasurementT = TypeVar("MeasurementT")


class Installable(Protocol):
    """A row, which may need packages that are not there."""

    @property
    def name(self) -> str:
        """What `--rows` calls it."""

    def missing(self) -> list[str]:
        """Return the modules that it needs and that are not installed."""


@dataclass
class Run(Generic[MeasurementT]):
    """What was measured, and of what was not, why.

    `skipped` has what cannot be measured here, and `failed` the rows that failed in a
    scenario; their other rounds there do not count, and there are no more.
    """

    measurements: list[MeasurementT] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def is_installed(self, row: Installable) -> bool:
        """Say whether a row has what it needs; if not, it is skipped."""
        missing = row.missing()
        if missing:
            self.skip("row", row.name, f"{' and '.join(missing)} not installed ({INSTALL})")
        return not missing

    def skip(self, kind: str, name: str, why: str) -> None:
        """Note that a row or a scenario, as *kind* says, cannot be measured."""
        self.skipped[name] = why
        warn(f"{kind} {name} is skipped: {why}")

    def fail(self, where: str, exc: LoadError) -> None:
        """Note that something could not be measured where it should have been."""
        self.failed[where] = str(exc)
        warn(str(exc))

    def attempt(
        self,
        where: str,
        measure: Callable[[], MeasurementT],
        is_of_it: Callable[[MeasurementT], bool],
    ) -> MeasurementT | None:
        """Measure once; None where it fails, or has failed in an earlier round."""
        if where in self.failed:
            return None
        try:
            one = measure()
        except LoadError as exc:
            self.fail(where, exc)
            self.measurements = [known for known in self.measurements if not is_of_it(known)]
            return None
        self.measurements.append(one)
        return one


def take_cores() -> tuple[int, int]:
    """Return the servers' core and the load generator's, which is this process's from now on."""
    server_core, load_core = machine.cores()
    if server_core == load_core:
        warn("only one core: the load generator slows the servers down")
    # The load generator inherits it, and this process must not be in the servers' way.
    os.sched_setaffinity(0, {load_core})
    return server_core, load_core


def tell(what: str) -> None:
    """Say on stderr how far it is."""
    print(what, file=sys.stderr, flush=True)


def warn(what: str) -> None:
    """Say on stderr what will not be as it was asked for."""
    tell(f"benchmarks: {what}")
