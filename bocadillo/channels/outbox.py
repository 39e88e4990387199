"""`Outbox`: payloads that wait for one reader, bounded in number and bytes."""

from collections import deque
from collections.abc import Hashable
from typing import Literal, TypeAlias, get_args

from bocadillo.channels.counters import Losses, OutboxCounters
from bocadillo.errors import ConfigurationError

Payload: TypeAlias = str | bytes
WhenFull: TypeAlias = Literal["close", "drop_oldest", "latest"]

DEFAULT_LIMIT = 1024
DEFAULT_MAX_BYTES = 1024 * 1024


class _Keyed:
    """The place of the newest payload of a key."""

    __slots__ = ("key", "payload")

    def __init__(self, key: Hashable, payload: Payload) -> None:
        self.key = key
        self.payload = payload

    def __len__(self) -> int:
        return len(self.payload)


# Of an outbox that is empty, never filled: a deque takes 760 bytes, and most readers keep up.
_NONE: deque[Payload | _Keyed] = deque()


class Outbox:
    """Payloads waiting for one reader, oldest first.

    Args:
        limit: Most payloads held at once; at least 1.
        max_bytes: Most bytes held at once; at least 1. A text counts by its characters.
        when_full: What a full outbox does with one payload more. "drop_oldest" keeps
            the reader current; "close" keeps it complete, and `offer` returns False so
            that the caller can close the connection. "latest" is "drop_oldest", and of
            payloads offered with the same key only the newest waits, full or not, in
            the place of the first: a key that changes all the time is not put off by it.

    `offer` never waits, so one slow reader cannot delay the others. A payload larger
    than `max_bytes` is held all the same where nothing else is.

    Attributes:
        dropped: Payloads lost since the outbox was made.
        conflated: Payloads that a newer one of their key has replaced.
        losses: Counts both, for all outboxes that are given the same.
        placed: Payloads that got a place of their own, be they taken, dropped or
            waiting; the first `placed - len(outbox)` of the places are done with.

    Raises:
        ConfigurationError: a bound below 1, or an unknown policy.
    """

    __slots__ = (
        "_bounds",
        "_by_key",
        "_bytes",
        "_limit",
        "_max_bytes",
        "_payloads",
        "_spare",
        "conflated",
        "dropped",
        "losses",
        "placed",
        "when_full",
    )

    def __init__(
        self,
        limit: int = DEFAULT_LIMIT,
        max_bytes: int = DEFAULT_MAX_BYTES,
        when_full: WhenFull = "close",
    ) -> None:
        if limit < 1 or max_bytes < 1:
            raise ConfigurationError(
                f"an outbox must hold at least 1 payload and 1 byte, got {limit} and {max_bytes}"
            )
        if when_full not in get_args(WhenFull):
            raise ConfigurationError(
                f"when_full must be 'close', 'drop_oldest' or 'latest', got {when_full!r}"
            )
        self._payloads: deque[Payload | _Keyed] = _NONE
        self._by_key: dict[Hashable, _Keyed] | None = {} if when_full == "latest" else None
        self._bytes = 0
        self._limit = limit
        self._max_bytes = max_bytes
        self.when_full = when_full
        self._bounds = limit, max_bytes
        self._spare = 0  # for how many payloads the bounds are wider now
        self.dropped = 0
        self.conflated = 0
        self.losses = Losses()
        self.placed = 0

    def __len__(self) -> int:
        return len(self._payloads)

    def offer(self, payload: Payload, key: Hashable = None) -> bool:
        """Add *payload*; return whether it, and all before it, will be delivered or dropped.

        False means that the outbox is full and its reader has to be closed. By "latest",
        *key* tells what the payload is the newest of; without one it is on its own.
        """
        size = len(payload)
        if key is not None and self._by_key is not None:
            place = self._by_key.get(key)
            if place is not None:
                self._replace(place, payload)
                return True
        while self._payloads and (
            len(self._payloads) >= self._limit or self._bytes + size > self._max_bytes
        ):
            if self.when_full == "close":
                return False
            self._drop()
        self._place(payload, key)
        self._bytes += size
        return True

    def take(self) -> Payload | None:
        """Return the oldest payload and forget it; None where there is none."""
        if not self._payloads:
            return None
        payload = self._payloads.popleft()
        self._bytes -= len(payload)
        if self._spare:
            self._narrow(len(payload))
        if isinstance(payload, _Keyed):
            if self._by_key is not None:
                del self._by_key[payload.key]
            return payload.payload
        return payload

    def clear(self) -> None:
        """Forget all payloads."""
        self._payloads = _NONE
        if self._by_key is not None:
            self._by_key.clear()
        self._bytes = 0
        self._spare = 0
        self._limit, self._max_bytes = self._bounds

    @property
    def is_wide(self) -> bool:
        """Whether what `make_room` was for still waits."""
        return self._spare > 0

    @property
    def counters(self) -> OutboxCounters:
        """What was dropped and conflated so far."""
        return OutboxCounters(self.dropped, self.conflated)

    def make_room(self, count: int, size: int) -> None:
        """Make room for *count* payloads of *size* bytes together, which are offered next.

        For what comes all at once, so that a reader has no time to take any of it. Without
        effect where it fits; else the bounds are wider, by less with each that is taken.
        Where nothing waits, they are first what they were in the beginning.
        """
        if not self._payloads:
            self.clear()
        waiting = len(self._payloads)
        if waiting + count > self._limit or self._bytes + size > self._max_bytes:
            self._limit += count
            self._max_bytes += size
            self._spare += count

    def _narrow(self, size: int) -> None:
        """Take back room of one payload, which was taken."""
        self._spare = self._spare - 1 if self._payloads else 0
        limit, max_bytes = self._bounds
        self._limit = limit + self._spare
        self._max_bytes = max(self._max_bytes - size, max_bytes) if self._spare else max_bytes

    def _replace(self, place: _Keyed, payload: Payload) -> None:
        self.conflated += 1
        self.losses.conflated += 1
        self._bytes += len(payload) - len(place.payload)
        place.payload = payload
        while self._bytes > self._max_bytes and len(self._payloads) > 1:
            if self._payloads[0] is place:  # the others go first
                self._payloads.rotate(-1)
                continue
            self._drop()

    def _drop(self) -> None:
        spare, self._spare = self._spare, 0  # nobody has taken it: the room stays
        self.take()
        self._spare = spare
        self.dropped += 1
        self.losses.dropped += 1

    def _place(self, payload: Payload, key: Hashable) -> None:
        self.placed += 1
        if self._payloads is _NONE:
            self._payloads = deque()
        if key is None or self._by_key is None:
            self._payloads.append(payload)
        else:
            place = self._by_key[key] = _Keyed(key, payload)
            self._payloads.append(place)
