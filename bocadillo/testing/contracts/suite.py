"""`BrokerSuite`: how to make a broker for a suite, and what to do to the world it is of."""

import uuid
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar
from unittest import SkipTest

from bocadillo.channels.broker import Broker
from bocadillo.channels.publications import HistoryLimits, Position
from bocadillo.errors import PositionLost
from bocadillo.testing.contracts.listening import Heard, run

KEPT = HistoryLimits(max_count=5, max_age_s=60)
UNKEPT = HistoryLimits(max_count=0)

# Names that a broker may be tempted to take for one another.
NAMES = [
    "room",
    "ROOM",
    "rööm",
    "ro om",
    "ro*m",
    "room:",
    ":room",
    "",
    "\0",
    "\n",
    "\ud800",
    "r" * 999,
]


def new_name() -> str:
    """Return a channel that nobody else knows."""
    return f"contract-{uuid.uuid4().hex}"


class BrokerSuite:
    """What all of `BrokerContract` is built on; see there."""

    is_shared: ClassVar[bool] = False

    @abstractmethod
    def make(self) -> Broker:
        """Return a broker that is not started."""
        raise NotImplementedError

    async def break_connection(self) -> None:
        """Break the connections of all brokers; the world lives on, and keeps what it has."""
        raise _not_there("break_connection")

    def silenced(self) -> AbstractAsyncContextManager[None]:
        """Have the world answer nothing while in the block, though it is still there.

        Tests wait for a broker's `timeout_s` then, which is better short.
        """
        raise _not_there("silenced")

    async def forget_everything(self) -> None:
        """Have the world forget all publications, as if emptied; connections stay."""
        raise _not_there("forget_everything")

    async def names_kept(self) -> set[str]:
        """Return a name for each thing that the world keeps: keys, rows, entries."""
        raise _not_there("names_kept")

    @asynccontextmanager
    async def started(self, heard: Heard | None = None) -> AsyncIterator[tuple[Broker, Heard]]:
        """Start a broker, and close it in the end."""
        broker, heard = self.make(), heard or Heard()
        await broker.start(heard)
        try:
            yield broker, heard
        finally:
            await broker.close()

    def run_with(self, scenario: Callable[[Broker, Heard], Coroutine[Any, Any, None]]) -> None:
        """Run a scenario with a started broker."""

        async def started() -> None:
            async with self.started() as (broker, heard):
                await scenario(broker, heard)

        run(started)


async def why_lost(broker: Broker, channel: str, since: Position) -> str:
    """Return why a position is lost, which it has to be."""
    try:
        past = await broker.history(channel, since=since)
    except PositionLost as lost:
        return lost.why if (lost.channel, lost.since) == (channel, since) else repr(lost)
    raise AssertionError(f"{since} is not lost: {past}")


def skip_unless_shared(is_shared: bool) -> None:
    """Skip a test of several processes where there is only one."""
    if not is_shared:
        raise SkipTest("not tested: is_shared is False, so that there is one process only")


def _not_there(name: str) -> SkipTest:
    return SkipTest(f"not tested: override {name}() to have it tested")
