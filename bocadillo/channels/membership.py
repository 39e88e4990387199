"""`Rooms`: which reader is in which room; the broker's subscriptions follow from that."""

import asyncio
from collections.abc import Hashable, Set

from bocadillo.channels.broker import Broker
from bocadillo.channels.catching_up import CatchUp
from bocadillo.channels.members import Member, Newcomer
from bocadillo.channels.publications import START, Past, Position
from bocadillo.channels.rooms import Room
from bocadillo.errors import BrokerError, ConnectionStateError


class Rooms:
    """The rooms of a process: one for each channel that has a reader.

    Attributes:
        by_name: The rooms by the names of their channels; to be read only.
    """

    def __init__(self, broker: Broker, catch_up: CatchUp) -> None:
        self.by_name: dict[str, Room] = {}
        self._broker = broker
        self._catch_up = catch_up
        self._channels_of: dict[Hashable, set[str]] = {}  # by key of the reader
        self._is_closed = False

    def of(self, key: Hashable) -> Set[str]:
        """Return the channels that a reader has joined, or is about to join."""
        return self._channels_of.get(key, frozenset())

    def count(self, channel: str, without: Hashable) -> int:
        """Return how many readers a channel has besides one."""
        room = self.by_name.get(channel)
        return 0 if room is None else room.count_without(without)

    def subscribed(self) -> list[Room]:
        """Return the rooms that the broker brings publications to."""
        return [room for room in self.by_name.values() if room.is_subscribed]

    async def bring_in(
        self, key: Hashable, member: Member, channel: str, limit: int | None, since: Position | None
    ) -> None:
        """Have a reader get a history, unless *limit* is 0, and all that follows.

        Raises:
            BrokerError, PositionLost: as `Broker.history`; the reader is in no room.
        """
        room = self.by_name.get(channel)
        if room is None:
            room = self.by_name[channel] = Room(channel, self._catch_up.add)
        newcomer = Newcomer(member)
        room.expect(key, newcomer)
        self._channels_of.setdefault(key, set()).add(channel)
        try:
            # Subscribe before reading history: the reverse order loses what comes between.
            while room.newcomers.get(key) is newcomer and not room.is_subscribed:
                await self._settled(room)
            past, before, seen = Past([], START), START, START  # then all that has come is new
            if limit != 0 and room.newcomers.get(key) is newcomer:
                before = room.seen
                past = await self._broker.history(channel, limit=limit, since=since)
                seen = room.seen
            if room.newcomers.get(key) is newcomer and newcomer.arrive(past, before, seen):
                room.admit(key)
        except BaseException:
            if room.newcomers.get(key) is newcomer:
                self.remove(key, channel)
            raise

    def remove(self, key: Hashable, channel: str) -> None:
        """Deliver no more of a channel to a reader; without effect where it is not in it."""
        room = self.by_name.get(channel)
        if room is None or not room.remove(key):
            return
        channels = self._channels_of[key]
        channels.discard(channel)
        if not channels:
            del self._channels_of[key]
        if not room.is_wanted:
            self._settle(room)

    async def close(self) -> None:
        """End what is under way, and forget all."""
        self._is_closed = True
        settling = [room.settling for room in self.by_name.values() if room.settling]
        for task in settling:
            task.cancel()
        if settling:
            await asyncio.wait(settling)
        self.by_name.clear()
        self._channels_of.clear()

    # Subscriptions

    async def _settled(self, room: Room) -> None:
        """Wait until the subscription was tried, and raise if that failed."""
        task = self._settle(room)
        if task is None:
            raise ConnectionStateError("cannot join: these channels were closed meanwhile")
        # Several may wait for it, and one that gives up must not end it for the others.
        await asyncio.wait({task})
        error = None if task.cancelled() else task.result()
        if error is not None:
            raise BrokerError(str(error)) from error

    def _settle(self, room: Room) -> "asyncio.Task[Exception | None] | None":
        """Have the subscription follow whether the room is wanted, by one task at a time."""
        if room.settling is None and not self._is_closed:
            room.settling = asyncio.get_running_loop().create_task(self._follow(room))
        return room.settling

    async def _follow(self, room: Room) -> Exception | None:
        try:
            while room.is_wanted != room.is_subscribed:
                if room.is_wanted:
                    await self._subscribe(room)
                else:
                    room.is_subscribed = False
                    room.hold()
                    await self._broker.unsubscribe(room.name)
        except Exception as exc:
            return exc
        finally:
            room.settling = None
            if not room.is_wanted and not room.is_subscribed:
                self.by_name.pop(room.name, None)
        return None

    async def _subscribe(self, room: Room) -> None:
        outages = self._catch_up.counters.outages
        room.seen = await self._broker.subscribe(room.name)
        room.is_subscribed = True
        if outages == self._catch_up.counters.outages:
            room.make_up((), room.seen)
        else:  # something may have been missed already
            self._catch_up.add(room)
