"""Readers that note what they get, and a broker whose answers a test holds back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from bocadillo import PositionLost
from bocadillo.channels import (
    Broker,
    HistoryLimits,
    Listener,
    MemoryBroker,
    Past,
    Position,
    Publication,
)


class Noting:
    """Notes payloads, and losses."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.payloads: list[Any] = []
        self.losses: list[PositionLost] = []

    def __repr__(self) -> str:
        return f"reader {self.id}"

    def deliver(self, payload: Any) -> None:
        self.payloads.append(payload)

    def lose(self, loss: PositionLost) -> None:
        self.losses.append(loss)
        self.payloads.append(loss.why)


class GatedBroker(MemoryBroker):
    """A broker in memory; each of its calls waits while the test has closed its gate.

    Attributes:
        calls: Names of the calls that were made, with their channels.
        failure: What the calls raise, if anything.
    """

    needs_close = True

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Any]] = []
        self.failure: Exception | None = None
        self._gates: dict[str, asyncio.Event] = {}
        self.listener: Any = None

    def shut(self, call: str) -> Callable[[], None]:
        """Have a call wait; return what lets it go on."""
        gate = self._gates[call] = asyncio.Event()

        def open_gate() -> None:
            gate.set()
            self._gates.pop(call, None)

        return open_gate

    async def start(self, listener: Listener) -> None:
        await self._pass("start", None)
        self.listener = listener
        await super().start(listener)

    async def publish(self, channel: str, *args: Any, **options: Any) -> Position:
        await self._pass("publish", channel)
        return await super().publish(channel, *args, **options)

    async def subscribe(self, channel: str) -> Position:
        await self._pass("subscribe", channel)
        return await super().subscribe(channel)

    async def unsubscribe(self, channel: str) -> None:
        await self._pass("unsubscribe", channel)
        await super().unsubscribe(channel)

    async def history(
        self, channel: str, *, limit: int | None = None, since: Position | None = None
    ) -> Past:
        past = await super().history(channel, limit=limit, since=since)
        await self._pass("history", channel)
        return past

    async def newest(self, channels: Sequence[str]) -> list[Position]:
        await self._pass("newest", [*channels])
        return await super().newest(channels)

    async def _pass(self, call: str, channel: Any) -> None:
        self.calls.append((call, channel))
        if call in self._gates:
            await self._gates[call].wait()
        if self.failure is not None:
            raise self.failure

    # As if the connection were lost

    def lose(self) -> None:
        """Bring nothing any more."""
        self._listener = None
        self.listener.lost("cut")

    def restore(self) -> None:
        """Bring what is published from now on."""
        self._listener = self.listener
        self.listener.restored()

    async def miss(self, channel: str, payload: str, limits: HistoryLimits) -> None:
        """Publish without the listener's knowing, as if a message were lost."""
        listener, self._listener = self._listener, None
        try:
            await MemoryBroker.publish(self, channel, payload, limits=limits)
        finally:
            self._listener = listener

    def forget(self) -> None:
        """Forget all that was published, as a server that was emptied."""
        self._logs.clear()


@contextlib.asynccontextmanager
async def started(broker: Broker, listener: Listener) -> AsyncIterator[Broker]:
    """Start a broker and close it."""
    await broker.start(listener)
    try:
        yield broker
    finally:
        await broker.close()


def payloads(publications: Sequence[Publication]) -> list[Any]:
    """Return their payloads."""
    return [known.payload for known in publications]


async def delivered(readers: Sequence[Noting], count: int) -> None:
    """Return when each of some readers has got so many payloads."""
    while any(len(reader.payloads) < count for reader in readers):
        await asyncio.sleep(0.001)
