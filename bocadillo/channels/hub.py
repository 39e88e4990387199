"""`Channels`: publish to channels, and join them; the one of a process and event loop."""

import asyncio
import contextlib
import logging
import warnings
from collections.abc import AsyncIterator
from typing import Any, Literal, Self

from bocadillo.channels.attendance import Attendance
from bocadillo.channels.broker import Broker
from bocadillo.channels.brokers import broker_for
from bocadillo.channels.catching_up import CatchUp
from bocadillo.channels.counters import Counters, Losses
from bocadillo.channels.encoding import encode
from bocadillo.channels.members import MakeRoom, Member, OnGap, Reader, key_of
from bocadillo.channels.membership import Rooms
from bocadillo.channels.presence import EVENTS_PREFIX, Present
from bocadillo.channels.publications import (
    HistoryLimits,
    Position,
    Publication,
    Published,
)
from bocadillo.channels.subscriptions import DEFAULT_LIMIT, Publications
from bocadillo.errors import BrokerError, ConfigurationError, ConnectionStateError

LOGGER = logging.getLogger("bocadillo.channels")

# Publications in a row before others have a turn, though no reader waits for one.
MAX_IN_A_ROW = 16


class Channels:
    """Publications to all readers of a channel, in this process and others.

    Args:
        broker: "memory://", which is this process only, "redis://…", "rediss://…",
            "unix://…", or a `Broker`.
        history: How much of each channel is kept.
        timeout_s: Seconds after which a call of the broker gives up; a `Broker` that is
            given has its own.

    Attributes:
        losses: Counts what readers were too slow for; see `counters`.

    It starts with its first use, or as `async with Channels(…) as channels`, and belongs
    to one event loop. It has no readers of its own: `join` takes anything with
    `deliver(payload)`; see `bocadillo.channels.members` for what else a reader may have.

    All methods that reach the broker raise `BrokerError` when it does not do what they
    ask within `timeout_s`.

    Raises:
        ConfigurationError: the URL cannot be used, or an extra is not installed.
    """

    def __init__(
        self,
        broker: "str | Broker" = "memory://",
        *,
        history: HistoryLimits | None = None,
        timeout_s: float = 5,
    ) -> None:
        self._state: Literal["new", "started", "closed"] = "new"
        self._broker = broker_for(broker, timeout_s) if isinstance(broker, str) else broker
        self._limits = HistoryLimits() if history is None else history
        self._timeout_s = timeout_s
        self._present: set[tuple[str, str]] = set()
        self._open: set[Publications] = set()
        self._catch_up = CatchUp(self._broker)
        self._rooms = Rooms(self._broker, self._catch_up)
        self._attendance = Attendance(self._broker.presence, self._publish_event)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Lock | None = None
        self._published = self._received = self._delivered = 0
        self._in_a_row = 0
        self._owes_turn = False  # to readers that have something waiting
        self.losses = Losses()

    # From start to close

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Connect to the broker; without effect when that is done.

        Raises:
            BrokerError: it is not there, and `start` may be called again.
            ConnectionStateError: these channels are closed, or of another event loop.
        """
        loop = asyncio.get_running_loop()
        if self._state == "started" and self._loop is loop:
            return
        if self._is_closed():
            raise ConnectionStateError("these channels are closed; make new ones")
        if self._loop is None:
            self._loop, self._starting = loop, asyncio.Lock()
        if self._loop is not loop or self._starting is None:
            raise ConnectionStateError(
                "these channels belong to another event loop; make some for each loop"
            )
        async with self._starting:
            if self._state == "new":
                await self._broker.start(self)
                if self._is_closed():
                    await self._broker.close()
                    raise ConnectionStateError("these channels were closed while they started")
                self._state = "started"

    async def close(self) -> None:
        """Let go of all readers and end all tasks; takes at most twice `timeout_s`."""
        if self._is_closed():
            return
        was_started, self._state = self._state == "started", "closed"
        for publications in self._open:
            publications.end()
        try:
            await self._catch_up.close()
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._attendance.close() if was_started else None
            except (BrokerError, TimeoutError) as exc:
                LOGGER.warning("presence may show who was here for a while: %s", exc)
            await self._rooms.close()
        finally:
            self._present.clear()
            await self._broker.close()

    def _is_closed(self) -> bool:
        return self._state == "closed"

    def __del__(self) -> None:
        if getattr(self, "_state", "new") == "started" and self._broker.needs_close:
            warnings.warn(
                "Channels were not closed; use `async with`, or await their close()",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )

    # Publishing

    async def publish(
        self,
        channel: str,
        value: Any,
        *,
        exclude: object = None,
        codec: Any = None,
    ) -> Published:
        """Send *value* to all readers of *channel*; waits for none of them.

        A loop of it leaves readers time to write: where any of them has to, each call gives
        up a turn of the event loop, and elsewhere one in `MAX_IN_A_ROW`.

        Args:
            channel: Any text that does not begin with "presence:".
            value: Encoded once, whoever reads.
            exclude: The id of a reader that shall not get it, or an object with such an
                `id`; it may be one of another process.
            codec: How to encode: JSON, or any value type that a route may have.

        Raises:
            TypeError: the value cannot be encoded so; nobody got anything.
            ConfigurationError: the codec or the channel cannot be used.
            BrokerError: it may or may not have been published.
        """
        if channel.startswith(EVENTS_PREFIX):
            raise ConfigurationError(
                f"cannot publish on {channel!r}: channels that begin with {EVENTS_PREFIX!r} "
                "are for joins and leaves; choose another name"
            )
        payload = encode(value, codec)
        id = None if exclude is None else _id_of(exclude)
        await self.start()
        position = await self._broker.publish(channel, payload, exclude=id, limits=self._limits)
        self._published += 1
        self._in_a_row += 1
        if self._owes_turn or self._in_a_row >= MAX_IN_A_ROW:
            self._owes_turn, self._in_a_row = False, 0
            await asyncio.sleep(0)
        return Published(position, self._rooms.count(channel, id))

    async def _publish_event(self, channel: str, payload: str) -> None:
        await self._broker.publish(channel, payload, limits=self._limits)

    # Readers

    async def join(
        self,
        reader: Reader,
        channel: str,
        *,
        history: int = 0,
        since: Position | None = None,
        on_gap: OnGap | None = None,
        make_room: MakeRoom | None = None,
        presence: Any = None,
    ) -> None:
        """Have *reader* get what is published on *channel*, until it leaves.

        What it gets first is the history, oldest first, then what came meanwhile, each
        publication once and in order. When `join` returns all of that is delivered.

        Args:
            reader: Anything with `deliver(payload)`.
            channel: Any text.
            history: Most publications of the past; the newest ones.
            since: A position, after which all publications are delivered instead.
            on_gap: Called with a `PositionLost` when publications were missed and cannot
                be had any more; those that can follow.
            make_room: Called with a number of publications and the bytes of their payloads,
                before so many are delivered at once: the history, and what was missed
                while the broker was away; with 0 and 0 when that has been delivered.
            presence: What others see of the reader, any JSON value but None; without it
                the reader is not seen. It needs an `id` for that.

        Joining a channel again changes nothing but the presence.

        Raises:
            PositionLost: not all publications after *since* can be had; it has not joined.
            ConfigurationError: presence is for a reader without an id, or *history* is
                negative.
            BrokerError: it has not joined.
        """
        id = _id_of(reader) if presence is not None else ""
        _check_count("history", history)
        await self.start()
        if channel.startswith(EVENTS_PREFIX):
            self._attendance.watch()
        key = key_of(reader)
        if channel not in self._rooms.of(key):
            limit = None if since is not None else history
            await self._rooms.bring_in(
                key, Member(reader, on_gap, make_room), channel, limit, since
            )
        if presence is not None:
            await self._enter(channel, id, presence)

    async def leave(self, reader: object, channel: str) -> None:
        """Have *reader*, or the one with this id, get nothing more of *channel*.

        Without effect where it has not joined. Never raises for the broker's sake: what
        it cannot be told now, it is told later.
        """
        key = key_of(reader)
        self._rooms.remove(key, channel)
        if isinstance(key, str) and (channel, key) in self._present:
            self._present.discard((channel, key))
            await self._attendance.leave(channel, key)

    async def leave_all(self, reader: object) -> None:
        """Have *reader* leave all channels that it has joined; see `leave`."""
        channels = [*self._rooms.of(key_of(reader))]
        for channel in channels:  # first all that does not wait
            self._rooms.remove(key_of(reader), channel)
        # At once, so that it takes no longer than one call where the broker is away.
        await asyncio.gather(*(self.leave(reader, channel) for channel in channels))

    @contextlib.asynccontextmanager
    async def subscribe(
        self,
        channel: str,
        *,
        history: int = 0,
        since: Position | None = None,
        limit: int = DEFAULT_LIMIT,
        when_full: Literal["close", "drop_oldest"] = "close",
        on_gap: Literal["raise", "continue"] = "raise",
    ) -> AsyncIterator[Publications]:
        """Iterate over the publications of a channel, for code that is no connection.

        Args and errors are those of `join` and of `Publications`.
        """
        publications = Publications(channel, limit=limit, when_full=when_full, on_gap=on_gap)
        publications.losses = self.losses
        self._open.add(publications)
        try:
            await self.join(
                publications,
                channel,
                history=history,
                since=since,
                on_gap=publications.lose,
                make_room=publications.make_room,
            )
            yield publications
        finally:
            self._open.discard(publications)
            await self.leave(publications, channel)

    # Asking

    async def history(
        self, channel: str, limit: int | None = None, since: Position | None = None
    ) -> list[Publication]:
        """Return what is kept of a channel, oldest first: the newest *limit*, or all.

        With *since* it is the first *limit* after that position, or all.

        Raises:
            PositionLost: not all publications after *since* are kept.
        """
        _check_count("limit", limit or 0)
        await self.start()
        return (await self._broker.history(channel, limit=limit, since=since)).publications

    async def presence(self, channel: str) -> list[Present]:
        """Return who is in a channel, in all processes, in the order of their coming."""
        await self.start()
        return await self._broker.presence.present(channel)

    def readers(self, channel: str) -> int:
        """Return how many readers, whose `join` is done, a channel has in this process."""
        return self._rooms.count(channel, None)

    @property
    def counters(self) -> Counters:
        """What happened so far."""
        missed = self._catch_up.counters
        return Counters(
            published=self._published,
            received=self._received,
            delivered=self._delivered,
            outages=missed.outages,
            made_up=missed.made_up,
            gaps=missed.gaps,
            foreign=self._broker.foreign + missed.foreign,
            dropped=self.losses.dropped,
            conflated=self.losses.conflated,
        )

    # What the broker tells; see `Listener`

    def receive(self, publication: Publication) -> None:
        """Deliver a publication; called by the broker."""
        room = self._rooms.by_name.get(publication.channel)
        if room is not None:
            self._received += 1
            self._delivered += room.receive(publication)
            if room.owes_turn:
                self._owes_turn = True

    def lost(self, reason: str) -> None:
        """Hold back what comes; called by the broker."""
        self._catch_up.lose(self._rooms.subscribed(), reason)

    def restored(self) -> None:
        """Deliver what was missed, then what was held back; called by the broker."""
        self._catch_up.restore()

    async def _enter(self, channel: str, id: str, info: Any) -> None:
        if channel not in self._rooms.of(id):
            return  # it has left meanwhile
        self._present.add((channel, id))
        await self._attendance.enter(channel, id, info)
        if (channel, id) not in self._present:
            await self._attendance.leave(channel, id)


def _id_of(reader: object) -> str:
    id = getattr(reader, "id", reader)
    if isinstance(id, str):
        return id
    raise ConfigurationError(f"{reader!r} has no id; give a str, or an object whose `id` is one")


def _check_count(name: str, count: int) -> None:
    if count < 0:
        raise ConfigurationError(f"{name} must be at least 0 publications, got {count}")
