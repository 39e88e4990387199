"""`Publications`: what is published on a channel, for code that is no connection."""

import asyncio
import uuid
from collections import deque
from typing import Literal

from bocadillo.channels.counters import Losses
from bocadillo.channels.publications import Publication
from bocadillo.codecs import Payload
from bocadillo.errors import ConfigurationError, PositionLost

DEFAULT_LIMIT = 1024


class Publications:
    """An async iterator of publications, which wait in a bounded queue.

    Args:
        channel: Whose.
        limit: Most publications that wait, beyond a history that is larger; at least 1.
        when_full: "close" ends the iteration, behind what waits, by a `PositionLost`;
            "drop_oldest" goes on, and counts what was dropped.
        on_gap: Whether a loss at the broker is raised in the iteration, as a
            `PositionLost`, after which one may go on iterating; or only counted.

    One task iterates. When the channels are closed the iteration ends.

    Attributes:
        id: For `publish(..., exclude=…)`.
        dropped: Publications lost because they were not taken in time.
        gaps: How often publications were missed.
        losses: Counts what was dropped, for all readers that are given the same.
    """

    def __init__(
        self,
        channel: str,
        *,
        limit: int = DEFAULT_LIMIT,
        when_full: Literal["close", "drop_oldest"] = "close",
        on_gap: Literal["raise", "continue"] = "raise",
    ) -> None:
        if limit < 1:
            raise ConfigurationError(f"limit must be at least 1 publication, got {limit}")
        if when_full not in ("close", "drop_oldest"):
            raise ConfigurationError(
                f"when_full must be 'close' or 'drop_oldest', got {when_full!r}"
            )
        if on_gap not in ("raise", "continue"):
            raise ConfigurationError(f"on_gap must be 'raise' or 'continue', got {on_gap!r}")
        self.id = uuid.uuid4().hex
        self.channel = channel
        self.dropped = 0
        self.gaps = 0
        self._limit = limit
        self._spare = 0  # for how many publications the limit is wider now
        self.losses = Losses()
        self._when_full = when_full
        self._on_gap = on_gap
        self._queue: deque[Publication | PositionLost] = deque()
        self._is_over = False
        self._wake: asyncio.Future[None] | None = None

    def __aiter__(self) -> "Publications":
        return self

    async def __anext__(self) -> Publication:
        while not self._queue:
            if self._is_over:
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        known = self._queue.popleft()
        self._spare = max(self._spare - 1, 0) if self._queue else 0
        if isinstance(known, PositionLost):
            raise known
        return known

    def deliver(self, payload: Payload) -> None:
        """Never called: whole publications are taken."""
        raise NotImplementedError

    def deliver_publication(self, publication: Publication) -> None:
        """Queue a publication."""
        if self._is_over:
            return
        if len(self._queue) >= self._limit + self._spare:
            if self._when_full == "close":
                self._queue.append(PositionLost(self.channel, "too slow", self._newest()))
                self.end()
                return
            self._queue.popleft()
            self.dropped += 1
            self.losses.dropped += 1
        self._queue.append(publication)
        self._notify()

    def make_room(self, count: int, size: int) -> None:
        """Make room for what comes at once; see `Outbox.make_room`."""
        if not self._queue:
            self._spare = 0
        if len(self._queue) + count > self._limit:
            self._spare += count

    def lose(self, loss: PositionLost) -> None:
        """Note that publications were missed."""
        self.gaps += 1
        if self._on_gap == "raise" and not self._is_over:
            self._queue.append(loss)
            self._notify()

    def end(self) -> None:
        """End the iteration behind what waits."""
        self._is_over = True
        self._notify()

    def _newest(self) -> object:
        known = self._queue[-1]
        return known.since if isinstance(known, PositionLost) else known.position

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
