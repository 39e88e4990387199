"""What all connections of one server share: one buffer, one flush per turn, one sweep."""

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from bocadillo.server.limits import Limits

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from bocadillo.server.writing import Writing

# Read at once from one socket: 256 KiB, and the headers of what is in them: 4 messages of 64 KiB
# were 2 reads without. One for all: a reader is done with it before the next reads.
BUFFER_BYTES = 256 * 1024 + 4096

# How often the sweep looks at least; oftener where times are shorter.
SWEEP_INTERVAL_S = 1.0


class Watched(Protocol):
    """What the sweep looks at."""

    def look(self, now: float) -> None:
        """Do what is due at *now*, in the loop's seconds."""


class Late(Protocol):
    """What may have a deadline."""

    def give_up(self) -> None:
        """End: the deadline has passed."""


class Shared:
    """What all connections of one server share.

    Args:
        config: uvicorn's configuration.
        state: uvicorn's state of the server.
        limits: Times and sizes.
        loop: The event loop.
    """

    def __init__(
        self,
        config: "Config",
        state: "ServerState",
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.config = config
        self.state = state
        self.limits = limits
        self.loop = loop
        self.create_future = loop.create_future
        self.view = memoryview(bytearray(BUFFER_BYTES))
        self.max_queued = config.ws_max_queue
        self.max_queued_bytes = limits.max_queued_bytes
        self.ping_interval_s = config.ws_ping_interval or 0.0
        self.ping_timeout_s = config.ws_ping_timeout or 0.0
        self.root_path = config.root_path.encode("ascii")
        self._unflushed: list[Writing] = []
        self._watched: set[Watched] = set()
        self._deadlines: dict[Late, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.sweep_interval_s = self._sweep_interval()

    def flush_later(self, connection: "Writing") -> None:
        """Have a connection's frames written when this turn of the loop is over."""
        if not self._unflushed:
            self.loop.call_soon(self._flush)
        self._unflushed.append(connection)

    def _flush(self) -> None:
        """Write what all connections have for their peers: one write for each."""
        unflushed, self._unflushed = self._unflushed, []
        for connection in unflushed:
            connection.flush()

    def watch(self, connection: Watched) -> None:
        """Look at a connection in every sweep, until it is forgotten."""
        self._watched.add(connection)
        self._start()

    def expect_end(self, connection: Late, within_s: float) -> None:
        """Have a connection give up in so many seconds, in place of any other deadline."""
        self._deadlines[connection] = self.loop.time() + within_s
        self._start()

    def expect_nothing(self, connection: Late) -> None:
        """Take a connection's deadline back."""
        self._deadlines.pop(connection, None)

    def forget(self, connection: Any) -> None:
        """End looking after a connection."""
        self._watched.discard(connection)
        self._deadlines.pop(connection, None)

    def _start(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.sweep_interval_s, self._sweep)

    def _sweep(self) -> None:
        """Ping who is quiet, abort who is late: in place of timers for each connection."""
        self._timer = None
        now = self.loop.time()
        for connection in tuple(self._watched):
            connection.look(now)
        for late in [late for late, deadline in self._deadlines.items() if deadline <= now]:
            if self._deadlines.pop(late, None) is not None:
                late.give_up()
        if self._watched or self._deadlines:
            self._start()

    def _sweep_interval(self) -> float:
        limits = self.limits
        times_s = (
            self.ping_interval_s,
            self.ping_timeout_s,
            limits.send_timeout_s,
            limits.close_timeout_s,
            limits.handshake_timeout_s,
            limits.message_timeout_s,
            limits.linger_timeout_s,
            self.config.timeout_graceful_shutdown,
        )
        return min(SWEEP_INTERVAL_S, *(time_s / 4 for time_s in times_s if time_s))


def shared_of(config: "Config", state: "ServerState", limits: Limits) -> Shared:
    """Return what the connections of one server share, made when its first one comes."""
    loop = asyncio.get_running_loop()
    known: list[Shared] = state.__dict__.setdefault("bocadillo", [])
    for shared in known:
        if shared.limits is limits and shared.loop is loop:
            return shared
    for shared in known:  # what was unpickled, or written twice
        if shared.limits == limits and shared.loop is loop:
            return shared
    known.append(Shared(config, state, limits, loop))
    return known[-1]
