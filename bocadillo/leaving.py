"""Who is late: clients that left or take nothing, and handlers that do not notice.

A handler learns that its client has left by being told or cancelled, never both.

Told: a `receive`, `async for` or `send` of the handler reported it; the handler then
ends in its own time. Cancelled: it has not come back to its connection for
`leave_grace_s` after the leaving. A server that shuts down (1012) leaves handlers
`shutdown_grace_s`, told or not.

A handler that waits in `receive` is told at once and needs no watcher. For all others
one sweep per event loop reads ahead, so nothing here costs anything per message. The
same sweep ends a handshake that takes too long, and a connection whose peer does not
take what is sent to it.
"""

import asyncio
import enum
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from bocadillo.errors import ConfigurationError
from bocadillo.websockets import WebSocket
from bocadillo.wire import serving

SWEEP_INTERVAL_S = 0.5

# A handler that was not reading in this many sweeps running is read ahead for.
IDLE_SWEEPS = 2

SERVICE_RESTART = 1012


@dataclass(frozen=True, slots=True)
class Times:
    """How long the lifecycle waits for what, in seconds.

    Args:
        leave_grace_s: For a handler to come back to its connection after the client
            has left; then it is cancelled.
        shutdown_grace_s: For handlers to end when the server shuts down.
        send_timeout_s: For a peer to take one message; then its connection counts as
            lost, and the handler is cancelled.
        handshake_timeout_s: For a view without `auto_accept` to accept or refuse; then
            it is cancelled and the client gets HTTP 503.
        disconnect_timeout: For `on_disconnect` to end; then it is cancelled.
    """

    leave_grace_s: float = 1.5
    shutdown_grace_s: float = 5
    send_timeout_s: float = 30
    handshake_timeout_s: float = 10
    disconnect_timeout: float = 30

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ConfigurationError(f"{name} must be a number of seconds, got {value!r}")


class Cancellation(enum.Enum):
    """Why a watch has cancelled its handler."""

    LEFT = "the client left with"
    DEAF = "the client takes nothing; it counts as left with"
    LATE = "the handshake took too long"


class Watch:
    """Looks after one connection and the task that handles it, until `stop`.

    `cancellation` tells, when the task ends in `CancelledError`, why it was this watch
    that cancelled it.
    """

    __slots__ = (
        "_began",
        "_looked_at",
        "_stuck",
        "_sweep",
        "_task",
        "_timer",
        "_times",
        "_ws",
        "cancellation",
    )

    def __init__(self, ws: WebSocket, times: Times) -> None:
        try:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
        except RuntimeError:
            raise ConfigurationError(
                "bocadillo runs on asyncio, and the server runs something else, such as trio"
            ) from None
        if task is None:
            raise ConfigurationError("a connection must be served by an asyncio task")
        self._ws = ws
        self._times = times
        self._task: asyncio.Task[object] = task
        self._timer: asyncio.TimerHandle | None = None
        self._began = loop.time()
        self._looked_at = 0.0
        # How many messages the server was rid of when the next began to wait, and since when.
        self._stuck: tuple[int, float] | None = None
        self._sweep = _sweep_of(loop)
        self._sweep.add(self)
        self.cancellation: Cancellation | None = None
        ws._watch = self
        serving.set(ws)

    def look(self, now: float) -> None:
        """Read ahead if the handler has not been reading for a while; end what is late."""
        ws = self._ws
        if self._timer is not None:
            return
        if not ws.is_open:
            if ws.is_connecting and now - self._began > self._times.handshake_timeout_s:
                self._cancel(Cancellation.LATE)
            return
        if self._is_deaf(now):
            ws._hear_leaving({"type": "websocket.disconnect", "code": 1006, "reason": ""})
            self._cancel(Cancellation.DEAF)
            return
        if ws._inbox.is_waiting:
            return
        ws._inbox.idle_sweeps += 1
        if ws._inbox.idle_sweeps == IDLE_SWEEPS:
            self._looked_at = now
        if ws._inbox.idle_sweeps >= IDLE_SWEEPS:
            ws._inbox.read_ahead()

    def hear_leaving(self, code: int) -> None:
        """Take note that the client has left, or that the server shuts down."""
        if self._timer is not None:
            return
        if code == SERVICE_RESTART:
            self._wait(self._times.shutdown_grace_s, self._cancel)
        elif not self._ws._is_told:
            # Found as soon as it was looked for, it may be as old as the sweep before,
            # when the handler was away already; so the grace counts from there.
            looking = self._task.get_loop().time() - self._looked_at
            grace = self._times.leave_grace_s - max(0.0, SWEEP_INTERVAL_S - looking)
            self._wait(max(0.0, grace), self._cancel_if_away)

    def stop(self) -> None:
        """End the watch."""
        self._ws._watch = None
        if serving.get() is self._ws:
            serving.set(None)
        self._sweep.discard(self)
        if self.cancellation is not None:
            self._task.uncancel()  # whether or not the handler let it through
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._ws._inbox.idle_sweeps = _AWAY
        self._timer = self._task.get_loop().call_later(seconds, then)

    def _cancel_if_away(self) -> None:
        if self._ws._is_told:
            return
        if self._ws._inbox.idle_sweeps >= _AWAY:
            self._cancel()
        else:  # it came back meanwhile, and works through what was read ahead
            self._wait(self._times.leave_grace_s, self._cancel_if_away)

    def _cancel(self, why: Cancellation = Cancellation.LEFT) -> None:
        if self.cancellation is None:
            self.cancellation = why
            self._task.cancel()

    def _is_deaf(self, now: float) -> bool:
        done = self._ws._done
        if done == self._ws._begun:
            self._stuck = None
        elif self._stuck is None or self._stuck[0] != done:
            self._stuck = (done, now)
        return self._stuck is not None and now - self._stuck[1] > self._times.send_timeout_s


# A reader sets `idle_sweeps` back to 0; sweeps add 1 each, and never get this far.
_AWAY = 1_000_000_000


class Sweep:
    """Looks at every watched connection of one event loop, every half second."""

    def __init__(self) -> None:
        self.watches: set[Watch] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, watch: Watch) -> None:
        """Look after *watch* until it is discarded."""
        self.watches.add(watch)
        if self._timer is None:
            self._set_timer()

    def discard(self, watch: Watch) -> None:
        """End looking after *watch*."""
        self.watches.discard(watch)
        if not self.watches and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        self._set_timer()
        for watch in tuple(self.watches):
            watch.look(now)

    def _set_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SWEEP_INTERVAL_S, self._tick)


# An idle sweep knows nothing of its loop, or neither would ever be freed.
_sweeps: WeakKeyDictionary[asyncio.AbstractEventLoop, Sweep] = WeakKeyDictionary()


def _sweep_of(loop: asyncio.AbstractEventLoop) -> Sweep:
    sweep = _sweeps.get(loop)
    if sweep is None:
        sweep = _sweeps[loop] = Sweep()
    return sweep
