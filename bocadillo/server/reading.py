"""What the peer says: read into one buffer, parsed, and kept until the application takes it."""

import asyncio
from typing import Any

from bocadillo.server.ending import Ending, Event
from bocadillo.server.frames import Close, Ping, close_frame, pong_frame
from bocadillo.server.parser import Parser
from bocadillo.server.shared import Shared
from bocadillo.server.states import CONNECTING, OPEN, State
from bocadillo.server.violations import ProtocolError


class Reading(Ending):
    """A connection that can be read from.

    What was read is a list and no queue, which an idle connection does not have at all.
    """

    __slots__ = ("_early", "_is_heard", "_parser", "_queue", "_view")

    def __init__(self, shared: Shared, state: State) -> None:
        super().__init__(shared, state)
        self._view = shared.view
        self._parser: Parser | None = None
        self._early = b""  # what came behind the request, before it was accepted
        # What waits for the application, newest first: `pop` takes the oldest. None, not empty.
        self._queue: list[Any] | None = None
        self._is_heard = True  # since the last sweep

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to (asyncio)."""
        return self._view

    def buffer_updated(self, size: int) -> None:
        """Take what was read (asyncio)."""
        self._feed(self._view[:size])

    def eof_received(self) -> None:
        """Let the transport close itself: a peer that writes no more has gone (asyncio)."""

    def resume_writing(self) -> None:
        """Let senders go on, and read again if pings had been too many."""
        super().resume_writing()
        if not self._is_reading and self._state is OPEN:
            self._resume_if_low()

    def _feed(self, chunk: bytes | memoryview) -> None:
        parser = self._parser
        if parser is None:
            self._keep_early(chunk)
            return
        self._is_heard = True
        received = parser.feed(chunk)
        if parser.has_others:
            parser.has_others = False
            self._act(received)
        elif received and self._state is OPEN:
            self._enqueue(received)

    def _enqueue(self, received: list[Any]) -> None:
        """Keep messages, and wake who waits for them."""
        received.reverse()
        if self._queue is not None:
            received += self._queue
        self._queue = received
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        shared = self._shared
        number = len(received)
        # Bytes are counted where they can be too many, and not message by message.
        size = len(received[0]) if number == 1 else sum(map(len, received))
        if number >= shared.max_queued or size >= shared.max_queued_bytes:
            self._pause_reading()

    def _keep_early(self, chunk: bytes | memoryview) -> None:
        """Keep what comes before the connection is accepted: frames of a hasty client."""
        if self._state is CONNECTING:
            self._early += chunk
            if len(self._early) >= self._shared.limits.max_early_bytes:
                self._pause_reading()

    def _take_early(self) -> None:
        """Read what was kept."""
        early, self._early = self._early, b""
        self._resume_reading()
        if early:
            self._feed(early)

    def _act(self, received: list[Any]) -> None:
        """Answer what is no message, and keep the messages."""
        messages = [item for item in received if isinstance(item, str | bytes)]
        if messages and self._state is OPEN:
            self._enqueue(messages)
        pongs = [pong_frame(item.payload) for item in received if isinstance(item, Ping)]
        if pongs and self._state is OPEN:
            self.write(b"".join(pongs))
            if not self._is_writable:  # a flood of pings, whose pongs nobody takes
                self._pause_reading()
        last = received[-1]
        if isinstance(last, Close):
            self._hear_close(last)
        elif isinstance(last, ProtocolError):
            self._fail(last)

    def _hear_close(self, close: Close) -> None:
        """Answer a close frame by its code, or take it as the answer to ours."""
        if self._state is OPEN:
            self._end(close.code, close.reason)
            self.write(close_frame(close.code))
            self.flush()
        self._linger()

    def _fail(self, error: ProtocolError) -> None:
        """Fail the connection (RFC 6455 §7.1.7): a close frame, and no more is read."""
        if self._state is OPEN:
            self._note("failed with %d: %s", error.code, error.reason)
            self._end(error.code, error.reason)
            self.write(close_frame(error.code, error.reason))
            self.flush()
        self._linger()

    def _resume_if_low(self) -> None:
        """Read again once a quarter of what made reading pause is left."""
        queue = self._queue or ()
        shared = self._shared
        if len(queue) <= shared.max_queued // 4:
            size = sum(map(len, queue))
            if size <= shared.max_queued_bytes // 4:
                self._resume_reading()

    def pull(self, _: None = None) -> Event | asyncio.Future[None]:
        """Return the next event, or a future to await before asking again ("bocadillo.pull").

        After the disconnect it is the same event again.
        """
        queue = self._queue
        if queue is None:
            if self._ending is not None:
                return dict(self._ending)
            waiter = self._waiter
            if waiter is None or waiter.done():  # cancelled
                waiter = self._waiter = self._shared.create_future()
            return waiter
        item = queue.pop()
        if not queue:
            self._queue = None
        if not self._is_reading:
            self._resume_if_low()
        if item.__class__ is str:
            return {"type": "websocket.receive", "text": item}
        if item.__class__ is bytes:
            return {"type": "websocket.receive", "bytes": item}
        return item  # type: ignore[no-any-return]

    async def receive(self) -> Event:
        """Return the next event (ASGI); after the disconnect the same one again."""
        while self._queue is None and self._ending is None:
            waiter = self._waiter
            if waiter is None or waiter.done():
                waiter = self._waiter = self._shared.create_future()
                await waiter
            else:  # another task is receiving, and may be cancelled
                await asyncio.wait({waiter})
        return self.pull()  # type: ignore[return-value]
