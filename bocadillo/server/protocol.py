"""`WebSocketProtocol`: any ASGI application's WebSockets on uvicorn.

    uvicorn app:app --ws bocadillo.server:WebSocketProtocol

Sources: RFC 6455, RFC 7692, the ASGI specification ("WebSocket") and its extension
"Websocket Denial Response".

A connection's frames are written when a turn of the event loop is over, in one write for
all of the turn. What was read is handed to the application as it was parsed: a list, and
no queue, task or timer for each connection. Measured against uvicorn's default in
docs/performance.md.

The class is made in layers, each with one job: `writing`, `ending`, `reading`, `opening`,
and here the events of the application, and what the server and asyncio say.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.utils import ClientDisconnected

from bocadillo.close import check_code, cut_reason
from bocadillo.server.ending import LOST, Event
from bocadillo.server.frames import BINARY, TEXT, TEXT_HEADERS, ping_frame
from bocadillo.server.handshake import Refusal, plain_response, read_handshake
from bocadillo.server.limits import DEFAULT_LIMITS, Limits
from bocadillo.server.messages import Message
from bocadillo.server.opening import Opening
from bocadillo.server.shared import shared_of
from bocadillo.server.states import CLOSING, CONNECTING, DENYING, ENDED, NEW, OPEN, State
from bocadillo.server.violations import ProtocolError
from bocadillo.server.writing import MAX_UNFLUSHED_PIECES

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

logger = logging.getLogger("uvicorn.error")

SERVICE_RESTART = 1012


class WebSocketProtocol(Opening):
    """One WebSocket connection, between uvicorn's HTTP protocol and an ASGI application.

    Args:
        config: uvicorn's; `ws_max_size`, `ws_max_queue`, `ws_ping_interval`,
            `ws_ping_timeout`, `ws_per_message_deflate` and `limit_concurrency` apply.
        server_state: uvicorn's.
        app_state: What the lifespan left for `scope["state"]`.
        limits: What uvicorn has no options for:
            `ws=functools.partial(WebSocketProtocol, limits=Limits(send_timeout_s=5))`.
    """

    __slots__ = ("__weakref__", "_is_pinged", "_unfinished", "_unfinished_since")

    def __init__(
        self,
        config: "Config",
        server_state: "ServerState",
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        super().__init__(shared_of(config, server_state, limits), app_state)
        # For the sweep.
        self._is_pinged = False
        self._unfinished: Message | None = None
        self._unfinished_since = 0.0

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._shared.state.connections.add(self)  # type: ignore[arg-type]
        self._shared.watch(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and whoever waits to send."""
        self._state = ENDED
        self._shared.forget(self)
        self._shared.state.connections.discard(self)
        self._end(LOST, "")
        self._unflushed = self._parser = self._compress = self._unfinished = None
        self._wake_senders()

    def data_received(self, chunk: bytes) -> None:
        """Take the request, as uvicorn's HTTP protocols hand it over."""
        if self._state is not NEW:
            self._feed(chunk)
            return
        try:
            handshake = read_handshake(chunk)
        except Refusal as refusal:
            self.refuse(refusal)
        else:
            self.begin(handshake)

    # The application's side

    async def send(self, event: Event) -> None:
        """Take an event of the application (ASGI).

        Raises:
            OSError: the client has gone (`ClientDisconnected`).
            RuntimeError: the event is not allowed where the connection stands.
            ValueError: a close code, header or status that may not be sent.
        """
        if self._state is not OPEN or event["type"] != "websocket.send":
            await self._send_other(event)
            return
        text = event.get("text")
        if text is None:
            self.write_message(BINARY, _payload_of(event))
        else:
            payload = text.encode()
            size = len(payload)
            if size > 125 or self._compress is not None:
                self.write_message(TEXT, payload)
            else:
                # `write`, once more, for most messages, and counted in number in place of bytes:
                # 16 messages of 64 bytes in a turn took 1.1 µs each, and 1.25 by way of `write`.
                piece = TEXT_HEADERS[size] + payload
                if self._unflushed is None:
                    self._unflushed = [piece]
                    self._shared.flush_later(self)
                else:
                    self._unflushed.append(piece)
                    if len(self._unflushed) >= MAX_UNFLUSHED_PIECES:
                        self._flush_early()
        if not self._may_go_on:
            await self._drain()

    async def _send_other(self, event: Event) -> None:
        """Take what is no message, or comes out of turn."""
        kind = event["type"]
        if kind == "bocadillo.abort":
            self._has_closed = True
            self.abort()
            return
        act = None if self._has_closed else _ACTS.get((self._state, kind))
        if act is not None:
            act(self, event)
            if not self._is_writable:
                await self._drain()
            return
        if self._ending is not None and not self._has_closed:
            raise ClientDisconnected
        now = "closed" if self._has_closed else self._state.name.lower()
        allowed = [] if self._has_closed else [name for at, name in _ACTS if at is self._state]
        raise RuntimeError(
            f"cannot send {kind!r} while {now}; allowed now: "
            + (", ".join(sorted(allowed)) or "nothing")
        )

    def _close(self, event: Event) -> None:
        code = event.get("code")
        code = check_code(1000 if code is None else code)
        self._has_closed = True
        reason = cut_reason(event.get("reason"))
        self._close_with(code, reason, self._shared.limits.close_timeout_s)

    def _on_done(self, task: "asyncio.Task[Any]") -> None:
        """End what the application has left open."""
        self._shared.state.tasks.discard(task)
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, ClientDisconnected):
            failure = None
        elif failure is not None:
            logger.error("Exception in ASGI application\n", exc_info=failure)
        elif not task.cancelled() and task.result() is not None:
            logger.error("ASGI callable should return None, but returned '%s'.", task.result())
        if self._state is CONNECTING:
            if failure is None and not task.cancelled():
                logger.error("ASGI callable returned without completing handshake.")
            headers = self._shared.state.default_headers
            self._answer(plain_response(500, "Internal Server Error", headers))
        elif self._state is DENYING:
            self.abort()  # an answer without its end is not to look like a whole one
        elif self._state is OPEN:
            code = SERVICE_RESTART if task.cancelled() else 1000 if failure is None else 1011
            self._close_with(code, "", self._shared.limits.close_timeout_s)

    # The server's side

    def shutdown(self) -> None:
        """Close with 1012: the server is going (uvicorn)."""
        within_s = self._shared.limits.linger_timeout_s
        grace_s = self._shared.config.timeout_graceful_shutdown
        if grace_s is not None:  # uvicorn waits for every connection, and deaf peers take no frame
            within_s = min(within_s, grace_s / 2)
        if self._state is OPEN:
            self._close_with(SERVICE_RESTART, "", within_s)
        elif self._state is CONNECTING:
            headers = self._shared.state.default_headers
            self._answer(plain_response(503, "Service Unavailable", headers))
        elif self._state is not CLOSING:
            self._transport.close()
        self._shared.expect_end(self, within_s)

    def look(self, now: float) -> None:
        """Ping a peer that is quiet, abort one that is late (the sweep)."""
        if not self._is_writable and self._is_stuck(now):
            self._note("aborted: its peer took nothing for %g s", now - self._stuck_since)
            self.abort()
        elif self._state is OPEN:
            if self._parser is not None and self._parser.unfinished is not None:
                self._time_message(self._parser.unfinished, now)
            if self._shared.ping_interval_s:
                self._keep_alive(now)

    def _time_message(self, message: Message, now: float) -> None:
        """End a message that comes for ever; what of it is here takes memory."""
        # While reading is paused, it is the application that is late.
        if message is not self._unfinished or not self._is_reading:
            self._unfinished = message
            self._unfinished_since = now
        elif now - self._unfinished_since >= self._shared.limits.message_timeout_s:
            self._fail(ProtocolError(1008, "message took too long"))

    def _keep_alive(self, now: float) -> None:
        shared = self._shared
        if self._is_heard or not self._is_reading:  # whatever comes shows that it is there
            self._is_heard = self._is_pinged = False
            self._heard_at = now - shared.sweep_interval_s  # or after that
            return
        quiet_s = now - self._heard_at
        if not self._is_pinged:
            if quiet_s >= shared.ping_interval_s:
                self._is_pinged = True
                self._heard_at = now - shared.ping_interval_s
                self.write(ping_frame())
        elif shared.ping_timeout_s and quiet_s >= shared.ping_interval_s + shared.ping_timeout_s:
            self._note("aborted: no answer to a ping for %g s", shared.ping_timeout_s)
            self.abort()


# What the application may send, by where the connection stands.
_ACTS: dict[tuple[State, str], Callable[[WebSocketProtocol, Event], None]] = {
    (CONNECTING, "websocket.accept"): WebSocketProtocol._accept,
    (CONNECTING, "websocket.close"): WebSocketProtocol._reject,
    (CONNECTING, "websocket.http.response.start"): WebSocketProtocol._begin_answer,
    (DENYING, "websocket.http.response.body"): WebSocketProtocol._answer_body,
    (OPEN, "websocket.close"): WebSocketProtocol._close,
}


def _payload_of(event: Event) -> bytes:
    payload = event.get("bytes")
    if payload is None:
        raise ValueError("websocket.send needs a value for 'text' or 'bytes'")
    if payload.__class__ is not bytes:
        if not isinstance(payload, bytes | bytearray | memoryview):
            raise TypeError(f"'bytes' of websocket.send must be bytes, got {payload!r}")
        payload = bytes(payload)  # it is written later, and may change until then
    return payload
