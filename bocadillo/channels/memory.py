"""`MemoryBroker`: publications, history and presence of one process, in its memory."""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from bocadillo.channels.broker import Broker, Listener
from bocadillo.channels.presence import (
    Change,
    PresenceStore,
    Present,
    info_text,
    info_value,
)
from bocadillo.channels.publications import (
    START,
    HistoryLimits,
    Past,
    Position,
    Publication,
    select,
)
from bocadillo.codecs import Payload

# Channels looked at per publication; more than one comes in with it, so that none is left over.
MAX_FORGOTTEN = 8


class _Log:
    """What was published on one channel."""

    __slots__ = ("epoch", "max_age_s", "offset", "publications", "time")

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.offset = 0
        self.time = 0.0  # of the newest
        self.max_age_s = 0.0
        self.publications: list[Publication] = []

    @property
    def newest(self) -> Position:
        return Position(self.offset, self.epoch)

    def append(self, publication: Publication, limits: HistoryLimits) -> None:
        self._forget_old(publication.time)  # what is over does not come back by longer limits
        self.offset = publication.position.offset
        self.time = publication.time
        self.max_age_s = limits.max_age_s
        self.publications.append(publication)
        self._forget_old(publication.time)
        surplus = len(self.publications) - limits.max_count
        if surplus > 0:
            del self.publications[:surplus]

    def kept(self, now: float) -> list[Publication]:
        """Return what is young enough, without forgetting the rest: reads never write."""
        return [known for known in self.publications if not self._is_old(known, now)]

    def is_over(self, now: float) -> bool:
        """Whether nothing is kept any more."""
        return not self.publications or self.time + self.max_age_s <= now

    def _forget_old(self, now: float) -> None:
        while self.publications and self._is_old(self.publications[0], now):
            del self.publications[0]

    def _is_old(self, publication: Publication, now: float) -> bool:
        return publication.time + self.max_age_s <= now


class MemoryBroker(Broker):
    """Carries publications within one process; the reference reading of the contract.

    Args:
        clock: Returns seconds since 1970.

    A channel that has neither history nor a subscription takes no memory: what is older
    than its `max_age_s` is forgotten when something is published, be it elsewhere.
    """

    needs_close: ClassVar[bool] = False

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.presence = MemoryPresence(clock)
        self._clock = clock
        self._listener: Listener | None = None
        self._logs: dict[str, _Log] = {}  # the one published to last is the last
        self._subscribed: set[str] = set()
        self._process = uuid.uuid4().hex
        self._epochs = 0

    async def start(self, listener: Listener) -> None:
        """Tell *listener* from now on."""
        self._listener = listener

    async def close(self) -> None:
        """Forget everything."""
        self._listener = None
        self._subscribed.clear()
        self._logs.clear()

    async def publish(
        self,
        channel: str,
        payload: Payload,
        *,
        exclude: str | None = None,
        limits: HistoryLimits,
    ) -> Position:
        """See `Broker.publish`."""
        now = self._clock()
        log = self._logs.pop(channel, None) or self._begin()
        position = Position(log.offset + 1, log.epoch)
        publication = Publication(channel, payload, position, now, exclude)
        log.append(publication, limits)
        is_subscribed = channel in self._subscribed
        if is_subscribed or log.publications:
            self._logs[channel] = log
        self._forget(now)
        if is_subscribed and self._listener is not None:
            self._listener.receive(publication)
        return position

    async def subscribe(self, channel: str) -> Position:
        """See `Broker.subscribe`."""
        self._subscribed.add(channel)
        return self._newest(channel)

    async def unsubscribe(self, channel: str) -> None:
        """See `Broker.unsubscribe`."""
        self._subscribed.discard(channel)
        log = self._logs.get(channel)
        if log is not None and log.is_over(self._clock()):
            del self._logs[channel]

    async def history(
        self, channel: str, *, limit: int | None = None, since: Position | None = None
    ) -> Past:
        """See `Broker.history`."""
        log = self._logs.get(channel)
        kept = log.kept(self._clock()) if log is not None else []
        return select(channel, kept, self._newest(channel), limit, since)

    async def newest(self, channels: Sequence[str]) -> list[Position]:
        """See `Broker.newest`."""
        return [self._newest(channel) for channel in channels]

    def _newest(self, channel: str) -> Position:
        log = self._logs.get(channel)
        return START if log is None else log.newest

    def _begin(self) -> _Log:
        self._epochs += 1
        return _Log(f"{self._process}-{self._epochs}")

    def _forget(self, now: float) -> None:
        """Forget a few of the channels that were last published to so long ago."""
        for _ in range(MAX_FORGOTTEN):
            channel = next(iter(self._logs), None)
            if channel is None or not self._logs[channel].is_over(now):
                return
            log = self._logs.pop(channel)
            if channel in self._subscribed:  # its readers count on its offsets
                log.publications.clear()
                self._logs[channel] = log


class MemoryPresence(PresenceStore):
    """Who is in which channel of one process; dies with it, so that nothing expires."""

    ttl_s: float | None = None

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._entries: dict[str, dict[str, Present]] = {}

    async def enter(self, channel: str, id: str, info: Any) -> Change | None:
        """See `PresenceStore.enter`."""
        info = info_value(info_text(info))  # a copy, of which nobody else knows
        entries = self._entries.setdefault(channel, {})
        known = entries.get(id)
        entries[id] = Present(id, info, self._clock() if known is None else known.since)
        return Change("join", channel, entries[id]) if known is None else None

    async def leave(self, channel: str, id: str) -> Change | None:
        """See `PresenceStore.leave`."""
        entries = self._entries.get(channel, {})
        known = entries.pop(id, None)
        if not entries:
            self._entries.pop(channel, None)
        return None if known is None else Change("leave", channel, known)

    async def leave_all(self) -> list[Change]:
        """See `PresenceStore.leave_all`."""
        left, self._entries = self._entries, {}
        return [
            Change("leave", channel, known)
            for channel, entries in left.items()
            for known in entries.values()
        ]

    async def refresh(self) -> list[Change]:
        """Do nothing: no other process has entries."""
        return []

    async def present(self, channel: str) -> list[Present]:
        """See `PresenceStore.present`."""
        return [*self._entries.get(channel, {}).values()]
