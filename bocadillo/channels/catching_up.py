"""`CatchUp`: after a loss of the broker each room gets what it has missed, or is told."""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from bocadillo.channels.broker import Broker
from bocadillo.channels.publications import Position
from bocadillo.channels.rooms import Room
from bocadillo.errors import PositionLost

LOGGER = logging.getLogger("bocadillo.channels")

# Rooms looked at in one call of the broker; most have missed nothing.
ROOMS_AT_ONCE = 500

# Histories read at the same time.
HISTORIES_AT_ONCE = 8

# Seconds before another try, where the broker is there but does not answer; grows to the last.
RETRY_AFTER_S = 0.1
MAX_RETRY_AFTER_S = 5.0


@dataclass
class CatchUpCounters:
    """What was missed so far.

    Attributes:
        outages: How often the broker was lost.
        made_up: Publications that were delivered late, out of the history.
        gaps: How often readers of a channel were told that publications are lost.
        foreign: Publications that the broker knows nothing of; they were dropped.
    """

    outages: int = 0
    made_up: int = 0
    gaps: int = 0
    foreign: int = 0


class CatchUp:
    """Reads what rooms have missed; one task, which exists only while there is any such room.

    A room in it holds back what is published until it is let go.
    """

    def __init__(self, broker: Broker) -> None:
        self.counters = CatchUpCounters()
        self._broker = broker
        self._behind: dict[Room, None] = {}
        self._is_lost = False
        self._task: asyncio.Task[None] | None = None
        self._told = (0, 0)  # publications that came late, and gaps, in log lines so far

    def lose(self, rooms: Sequence[Room], reason: str) -> None:
        """Hold back what comes: the broker was lost, and what it brings may have holes."""
        if not self._is_lost:
            self.counters.outages += 1
            LOGGER.warning(
                "the broker is lost; publications may come late, or be missed: %s", reason
            )
        self._is_lost = True
        self._stop()
        for room in rooms:
            room.hold()
            self._behind[room] = None

    def restore(self) -> None:
        """Begin to read what was missed."""
        self._is_lost = False
        self._begin()

    def add(self, room: Room) -> None:
        """Read what one room has missed; it holds back what comes already."""
        self._behind[room] = None
        self._begin()

    async def close(self) -> None:
        """Stop, for good."""
        self._is_lost = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def _begin(self) -> None:
        if self._task is None and self._behind and not self._is_lost:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        delay_s = RETRY_AFTER_S
        while self._behind:
            try:
                await self._catch_up([*islice(self._behind, ROOMS_AT_ONCE)])
                delay_s = RETRY_AFTER_S
            except Exception as exc:
                LOGGER.warning("cannot read what was missed, trying again: %s", exc)
                await asyncio.sleep(delay_s * random.uniform(0.5, 1))
                delay_s = min(delay_s * 2, MAX_RETRY_AFTER_S)
        self._task = None
        self._tell()

    def _tell(self) -> None:
        now = self.counters.made_up, self.counters.gaps
        late, gaps = (count - told for count, told in zip(now, self._told, strict=True))
        self._told = now
        LOGGER.log(
            logging.WARNING if gaps else logging.INFO,
            "caught up with the broker: %d publications came late, in %d channels some are lost",
            late,
            gaps,
        )

    async def _catch_up(self, rooms: Sequence[Room]) -> None:
        before = [room.seen for room in rooms]
        newest = await self._broker.newest([room.name for room in rooms])
        behind = []
        for room, seen, position in zip(rooms, before, newest, strict=True):
            if not _is_unchanged(room, seen):
                self._behind.pop(room, None)
            elif position == seen:
                self._behind.pop(room, None)
                self.counters.foreign += room.go_on()
            else:
                behind.append((room, seen))
        for start in range(0, len(behind), HISTORIES_AT_ONCE):
            reading = behind[start : start + HISTORIES_AT_ONCE]
            reads = (self._read(room, seen) for room, seen in reading)
            for failure in await asyncio.gather(*reads, return_exceptions=True):
                if failure is not None:
                    raise failure

    async def _read(self, room: Room, seen: Position) -> None:
        loss = None
        try:
            past = await self._broker.history(room.name, since=seen)
        except PositionLost as exc:
            loss = exc
            past = await self._broker.history(room.name)
        self._behind.pop(room, None)
        if not _is_unchanged(room, seen):
            return
        if loss is None:
            self.counters.made_up += len(past.publications)
            room.make_up(past.publications, past.newest)
        else:
            self.counters.gaps += 1
            self.counters.made_up += room.lose(loss, past)


def _is_unchanged(room: Room, seen: Position) -> bool:
    """Whether a room still waits for what follows *seen*; it may have been left and joined."""
    return room.is_subscribed and room.is_held and room.seen is seen
