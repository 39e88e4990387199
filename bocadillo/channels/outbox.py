"""`Outbox`: payloads that wait for one reader, bounded in number and bytes."""

from collections import deque
from typing import Literal, TypeAlias

from bocadillo.errors import ConfigurationError

Payload: TypeAlias = str | bytes
WhenFull: TypeAlias = Literal["close", "drop_oldest"]

DEFAULT_LIMIT = 1024
DEFAULT_MAX_BYTES = 1024 * 1024


class Outbox:
    """Payloads waiting for one reader, oldest first.

    Args:
        limit: Most payloads held at once; at least 1.
        max_bytes: Most bytes held at once; at least 1. A text counts by its characters.
        when_full: What a full outbox does with one payload more. "drop_oldest" keeps
            the reader current; "close" keeps it complete, and `offer` returns False so
            that the caller can close the connection.

    `offer` never waits, so one slow reader cannot delay the others. A payload larger
    than `max_bytes` is held all the same where nothing else is.

    Raises:
        ConfigurationError: a bound below 1, or an unknown policy.
    """

    __slots__ = ("_bytes", "_limit", "_max_bytes", "_payloads", "_when_full", "dropped")

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
        if when_full not in ("close", "drop_oldest"):
            raise ConfigurationError(
                f"when_full must be 'close' or 'drop_oldest', got {when_full!r}"
            )
        self._payloads: deque[Payload] = deque()
        self._bytes = 0
        self._limit = limit
        self._max_bytes = max_bytes
        self._when_full = when_full
        self.dropped = 0  # payloads lost since the outbox was made

    def __len__(self) -> int:
        return len(self._payloads)

    def offer(self, payload: Payload) -> bool:
        """Add *payload*; return whether it, and all before it, will be delivered or dropped.

        False means that the outbox is full and its reader has to be closed.
        """
        size = len(payload)
        while self._payloads and (
            len(self._payloads) >= self._limit or self._bytes + size > self._max_bytes
        ):
            if self._when_full == "close":
                return False
            self._bytes -= len(self._payloads.popleft())
            self.dropped += 1
        self._payloads.append(payload)
        self._bytes += size
        return True

    def take(self) -> Payload | None:
        """Return the oldest payload and forget it; None where there is none."""
        if not self._payloads:
            return None
        payload = self._payloads.popleft()
        self._bytes -= len(payload)
        return payload

    def clear(self) -> None:
        """Forget all payloads."""
        self._payloads.clear()
        self._bytes = 0
