"""What a server has for one connection, read so that no message is ever lost.

Some servers lose a message when a pending ASGI `receive` is cancelled (granian 2.8 lost
57 of 300), and time-outs around `receive` cancel it all the time. So the task that
reads never waits *in* the server's `receive`: the inbox advances that coroutine by
hand, and when it stops at a future, the task waits on a shield around it. Whoever is
cancelled leaves the coroutine where it is, and the next reader goes on from there.

That also lets a sweep read ahead for a handler that is busy elsewhere, to notice that
the client has left. What was read ahead is delivered first, in order.

A message that is there already costs one step of a generator: no task, future, queue
or lock. Middleware that wraps `receive` must not put a time-out inside the wrapper:
it would cancel whoever happens to read.
"""

import asyncio
import contextlib
import inspect
import types
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextvars import Context
from typing import Any, Self

from starlette.types import Message, Receive

from bocadillo.errors import ConcurrencyError, ConnectionStateError

# How far a sweep reads ahead of a handler before it leaves the rest to the server.
MAX_AHEAD_MESSAGES = 16
MAX_AHEAD_BYTES = 256 * 1024

# What one step of the reading gives: an event, a future to wait on, or None to yield.
Step = Any


class Inbox:
    """The events of one connection, oldest first.

    `pull(None)` is the whole of reading when an event is there: it returns the event,
    a `dict`. Anything else it returns must be handed to `await wait(...)`, which
    returns the event once it has come. What `pull` does is what the inbox is about:
    stepping the server's `receive`, handing out what was read ahead, or refusing.

    Args:
        step: Returns the next step of reading.
        close_events: Called when there is no more to be read.
        on_disconnect: Called with a disconnect event that was read ahead.
    """

    __slots__ = (
        "_ahead",
        "_ahead_task",
        "_close_events",
        "_lost",
        "_on_disconnect",
        "_pending",
        "_refusal",
        "_shield",
        "_step",
        "_waiting",
        "idle_sweeps",
        "pull",
    )

    def __init__(
        self,
        step: Callable[[None], Step],
        close_events: Callable[[], object],
        on_disconnect: Callable[[Message], object],
    ) -> None:
        self._step = step
        self._close_events = close_events
        self._on_disconnect: Callable[[Message], object] = on_disconnect
        self._pending: Any = None  # the server's future at which the reading stands
        self._waiting = False
        self._shield: _Shield | None = None  # what the reader waits on
        self._lost: Message | None = None
        self._refusal: Callable[[None], Step] | None = None
        self._ahead: deque[Step] | None = None
        self._ahead_task: asyncio.Task[None] | None = None
        self.idle_sweeps = 1  # sweeps since the handler came to read; set to 0 by readers
        self.pull: Callable[[None], Step] = step

    @classmethod
    def awaiting(cls, receive: Receive, on_disconnect: Callable[[Message], object]) -> Self:
        """Return the inbox of a connection with a server's ASGI `receive`."""
        events = _events(receive)
        return cls(events.send, events.close, on_disconnect)

    @property
    def is_waiting(self) -> bool:
        """Whether a task is waiting for an event right now."""
        return self._waiting

    async def wait(self, step: Step) -> Message:
        """Return the event that *step*, which `pull` returned, is waiting for.

        Cancellation loses nothing: the event goes to the next reader.
        """
        self._waiting = True
        self.pull = busy
        try:
            return await self._next(step)
        finally:
            self._waiting = False
            self._settle()

    async def next_event(self) -> Message:
        """Return the next event, in any state of the connection."""
        if self._waiting:
            busy(None)
        step = self._ahead.popleft() if self._ahead else self._take_over()
        return step if step.__class__ is dict else await self.wait(step)

    def refuse(self, refusal: Callable[[None], Step] | None) -> None:
        """Make `pull` call *refusal*, which raises, once all is read; None ends that."""
        self._refusal = refusal
        if not self._waiting:
            self._settle()

    def read_ahead(self) -> None:
        """Read on in a task until a disconnect, a bound, or the handler's next `pull`."""
        if self._waiting or self._ahead_task is not None or self._ahead:
            return
        self._ahead = deque()
        self._ahead_task = asyncio.get_running_loop().create_task(self._fill())
        self._settle()

    async def search_ahead(self, timeout_s: float) -> None:
        """Read ahead until that ends by itself, but no longer than *timeout_s*."""
        self.read_ahead()
        if self._ahead_task is not None:
            await asyncio.wait({self._ahead_task}, timeout=timeout_s)

    def lose(self, event: Message) -> None:
        """Hand *event*, a disconnect that the server does not tell of, to who is waiting."""
        if self._shield is not None:
            self._lost = event
            self._shield.wake()

    def close(self) -> None:
        """Stop reading for good."""
        self._on_disconnect = _ignore  # it may know us, and rings are freed late
        self._stop_ahead()
        # A `receive` that awaits in its clean-up, or that is running: not ours to end.
        with contextlib.suppress(RuntimeError, ValueError):
            self._close_events()
        self._step = self._refusal or _refuse_ended
        self._settle()

    def _settle(self) -> None:
        if self._ahead or self._ahead_task is not None:
            self.pull = self._pull_ahead
        elif self._refusal is not None:
            self.pull = self._refusal
        else:
            self.pull = self._step if self._pending is None else self._resume

    def _resume(self, _: None) -> Step:
        """Go on with a reading that an earlier reader may have left at a future."""
        if self._pending is not None and not self._pending.done():
            return self._pending
        self._pending = None
        self._settle()
        return self._step(None)

    def _pull_ahead(self, _: None) -> Step:
        if self._ahead:
            step = self._ahead.popleft()
            self._settle()
            return step
        if self._refusal is None:
            return self._take_over()
        self._stop_ahead()
        return self.pull(None)

    def _take_over(self) -> Step:
        """Read on from where the task that read ahead has come."""
        self._stop_ahead()
        return self._resume(None)

    def _stop_ahead(self) -> None:
        if self._ahead_task is not None:
            self._ahead_task.cancel()
            self._ahead_task = None
        self._settle()

    async def _fill(self) -> None:
        ahead = self._ahead
        size = 0
        while ahead is not None and len(ahead) < MAX_AHEAD_MESSAGES and size < MAX_AHEAD_BYTES:
            try:
                event = await self._next(self._resume(None))
            except Exception as exc:
                ahead.append(Failure(exc))
                break
            ahead.append(event)
            if event["type"] == "websocket.disconnect":
                self._on_disconnect(event)
                break
            size += len(event.get("bytes") or event.get("text") or "")
        self._ahead_task = None

    async def _next(self, step: Step) -> Message:
        """Wait until the reading has an event, leaving `_pending` where it stands."""
        while step.__class__ is not dict:
            if isinstance(step, Failure):
                raise step.error
            self._pending = step
            if step is None:
                await _turn()
            else:
                shield = self._shield = _Shield(step)
                try:
                    await shield
                finally:
                    if self._shield is shield:  # and not that of the next reader
                        self._shield = None
                if self._lost is not None:
                    return self._lost
            self._pending = None
            step = self._step(None)
        event: Message = step
        return event


def _ignore(_: Message) -> None:
    pass


def _refuse_ended(_: None) -> Step:
    raise ConnectionStateError("cannot receive: the view of this connection has ended")


def busy(_: None) -> Step:
    """Refuse a second reader."""
    raise ConcurrencyError(
        "cannot receive: another task is already receiving from this connection; "
        "let one task receive and hand the messages on"
    )


class Failure:
    """A step: an exception that the server's `receive` raised, on its way to the reader."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


@types.coroutine
def _events(receive: Receive) -> Generator[Step, None, None]:
    """Yield each event, and each future that the server waits on before it."""
    if not inspect.iscoroutinefunction(receive):
        receive = _as_coroutine(receive)
    while True:
        try:
            event: Any = yield from receive()  # type: ignore[misc]
        except (Exception, asyncio.CancelledError) as exc:  # the server's, never a reader's
            event = Failure(exc)
        if event.__class__ is not dict and not isinstance(event, Failure):
            event = dict(event)
        yield event


def _as_coroutine(receive: Callable[[], Awaitable[Message]]) -> Receive:
    async def receive_awaitable() -> Message:
        return await receive()

    return receive_awaitable


@types.coroutine
def _turn() -> Generator[None, None, None]:
    """Let the event loop run once."""
    yield


class _Shield:
    """A future of the server's, as the reading task sees it: cancelled apart from it.

    It speaks the part of `asyncio.Future` that a task uses of what it waits on, so a
    wait costs no future and no turn of the loop of its own.
    """

    __slots__ = ("_asyncio_future_blocking", "_context", "_future", "_is_cancelled", "_wakeup")

    def __init__(self, future: Any) -> None:
        future._asyncio_future_blocking = False
        self._future = future
        self._asyncio_future_blocking = False
        self._wakeup: Callable[[Any], None] | None = None
        self._context: Context | None = None
        self._is_cancelled = False

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = self._future.get_loop()
        return loop

    def add_done_callback(
        self, wakeup: Callable[[Any], None], *, context: Context | None = None
    ) -> None:
        self._wakeup = wakeup
        self._context = context
        self._future.add_done_callback(self._on_done, context=context)

    def cancel(self, msg: Any = None) -> bool:
        wakeup, self._wakeup = self._wakeup, None
        if wakeup is None:
            return False
        self._is_cancelled = True
        self._future.remove_done_callback(self._on_done)
        self.get_loop().call_soon(wakeup, self, context=self._context)
        return True

    def wake(self) -> None:
        """Let the task go on although the server's future is not done."""
        self._future.remove_done_callback(self._on_done)
        self.get_loop().call_soon(self._on_done, self._future, context=self._context)

    def result(self) -> None:
        if self._is_cancelled:
            raise asyncio.CancelledError

    def _on_done(self, _: Any) -> None:
        wakeup, self._wakeup = self._wakeup, None
        if wakeup is not None:
            wakeup(self)
