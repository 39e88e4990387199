"""Any ASGI app behind the `websockets` library: its connections as ASGI's.

`process_request` runs the app up to its answer to the handshake, so that a refusal is a
real HTTP answer; `handle` goes on with the same run. Without `process_request` the
handshake is over when the app first hears of it, and a refusal is a close code.

`accept` returns once the library has finished the handshake, so no view runs for a
client that only looked like one. The subprotocol of an accept is the one that the
library answers with, unless it was given a `select_subprotocol` of its own; after the
handshake only the one that was negotiated can be accepted. Headers cannot be sent.
"""

import asyncio
import contextlib
import http
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias, cast
from urllib.parse import unquote

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConcurrencyError, ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

logger = logging.getLogger("bocadillo")

Event: TypeAlias = MutableMapping[str, Any]
App: TypeAlias = Callable[
    [Event, Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]], Awaitable[None]
]

# In the scope of a connection that was accepted before the app heard of it.
KEY = "bocadillo.behind_websockets"

DENIAL = "websocket.http.response"

# RFC 6455 §7.4.1: "policy violation", and what an HTTP status of 5xx would say.
REFUSED = 1008
FAILED = 1011

# The IANA registry: "service restart", which other servers tell when they shut down.
SERVICE_RESTART = 1012

# From the app's answer to the connection's handler, which never comes if it is lost.
_runs: dict[ServerConnection, "_Run"] = {}
_tasks: set[asyncio.Future[None]] = set()  # asyncio itself holds tasks by weak references
_has_warned = False


async def process_request(
    app: App, connection: ServerConnection, request: Request
) -> Response | None:
    """Run the app until it accepts, which returns None, or refuses, which returns its answer."""
    run = _runs[connection] = _Run(app, connection, request, is_open=False)
    return await run.answer()


async def handle(app: App, connection: ServerConnection) -> None:
    """Serve a connection whose handshake is over, until the app has ended."""
    global _has_warned
    run = _runs.pop(connection, None)
    if run is None:
        if not _has_warned:
            _has_warned = True
            logger.warning(
                "websockets.serve runs without process_request=router.process_request, so "
                "clients are refused only after they were let in"
            )
        request = cast(Request, connection.request)  # the library calls us with one
        run = _Run(app, connection, request, is_open=True)
    await run.serve()


class _Run:
    """One run of the app, from its scope to its end."""

    def __init__(
        self, app: App, connection: ServerConnection, request: Request, *, is_open: bool
    ) -> None:
        self._connection = connection
        self._is_late = is_open  # the app is asked when the handshake is over
        self._is_open = is_open
        self._saw_connect = False
        self._answer: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        self._denial: tuple[int, Headers, bytearray] | None = None
        self._handshake_is_over = asyncio.Event()  # well or badly
        self._closing: asyncio.Future[None] | None = None
        scope = _scope(connection, request, is_late=is_open)
        self._task = asyncio.ensure_future(app(scope, self._receive, self._send))
        _tasks.add(self._task)
        self._task.add_done_callback(self._ended)
        connection.connection_lost_waiter.add_done_callback(self._lost)

    async def answer(self) -> Response | None:
        """Return the app's refusal, or None once it has accepted."""
        try:
            return await self._answer
        except asyncio.CancelledError:  # the library's open_timeout
            self._task.cancel()
            raise

    async def serve(self) -> None:
        """Let messages through until the app has ended."""
        self._is_open = True
        self._handshake_is_over.set()
        await self._task
        await self._see_off()

    def _ended(self, task: asyncio.Future[None]) -> None:
        _tasks.discard(task)
        if not self._answer.done():
            self._answer.set_result(_response(500, Headers(), b"Internal Server Error\n"))
        # After the handshake the library logs what `serve` raises.
        if not task.cancelled() and task.exception() is not None and not self._is_open:
            logger.error("the application failed in a handshake", exc_info=task.exception())

    def _lost(self, _: Any) -> None:
        _runs.pop(self._connection, None)
        self._handshake_is_over.set()

    async def _receive(self) -> Event:
        if not self._saw_connect:
            self._saw_connect = True
            return {"type": "websocket.connect"}
        await self._handshake_is_over.wait()
        try:
            message = await self._connection.recv()
        except ConnectionClosed as exc:
            code, reason = self._ending(exc)
            return {"type": "websocket.disconnect", "code": code, "reason": reason}
        kind = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", kind: message}

    def _ending(self, exc: ConnectionClosed) -> tuple[int, str]:
        """Return the code and reason of a connection that the app has not closed."""
        sent = None if exc.rcvd_then_sent else exc.sent
        is_ending = not self._connection.server.is_serving()
        if is_ending and sent is not None and sent.code not in _CLIENT_FAILED:
            # The client is told 1001, or what `Server.close` was given.
            return SERVICE_RESTART, sent.reason
        return (exc.rcvd.code, exc.rcvd.reason) if exc.rcvd else (1006, "")

    async def _send(self, event: Event) -> None:
        kind = event["type"]
        if kind == "websocket.accept":
            await self._accept(event)
        elif not self._answer.done():
            await self._refuse(event)
        else:
            await self._handshake_is_over.wait()
            if kind == "websocket.send":
                await self._send_message(event)
            elif kind == "websocket.close":
                await self._close(event.get("code", 1000), event.get("reason") or "")

    async def _send_message(self, event: Event) -> None:
        text = event.get("text")
        try:
            await self._connection.send(event["bytes"] if text is None else text)
        except ConnectionClosed as exc:
            raise OSError("the client has left") from exc

    async def _close(self, code: int = 1000, reason: str = "") -> None:
        """Send the close frame, without waiting for the client's as the library does."""
        closing = asyncio.ensure_future(self._connection.close(code, reason))
        await asyncio.sleep(0)
        if closing.done():
            closing.result()  # raises for a code that cannot be sent
        self._closing = closing

    async def _see_off(self) -> None:
        """Wait for the client's close frame, past all that it sent before and nobody reads."""
        closing = self._closing or asyncio.ensure_future(self._connection.close())
        with contextlib.suppress(ConnectionClosed, ConcurrencyError):
            while True:
                await self._connection.recv()
        await closing

    async def _accept(self, event: Event) -> None:
        """Let the handshake go on, and return when it is over.

        Raises:
            ValueError: the accept has something to say that cannot be said here.
            OSError: the client has left, or the library refused its handshake.
        """
        if event.get("headers"):
            raise ValueError(
                "cannot send headers by accept(): websockets.serve writes that answer; "
                "add them in its process_response"
            )
        subprotocol = event.get("subprotocol")
        if subprotocol and not self._is_late:
            self._connection.protocol.available_subprotocols = [Subprotocol(subprotocol)]
        elif subprotocol and subprotocol != self._connection.subprotocol:
            raise ValueError(
                f"cannot accept subprotocol {subprotocol!r}: the handshake is over; pass "
                "process_request=router.process_request to websockets.serve"
            )
        if not self._answer.done():
            self._answer.set_result(None)
        await self._handshake_is_over.wait()
        if not self._is_open:
            raise OSError("the client has left")

    async def _refuse(self, event: Event) -> None:
        """Take what the app answers instead of accepting."""
        kind = event["type"]
        if self._is_late:
            self._answer.set_result(None)
            status = event.get("status", event.get("code"))
            await self._close(FAILED if status in _APP_FAILED else REFUSED)
        elif kind == "websocket.close":
            self._answer.set_result(_response(403, Headers(), b""))
        elif kind == f"{DENIAL}.start":
            headers = Headers(
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in event.get("headers", [])
            )
            self._denial = (event["status"], headers, bytearray())
        elif self._denial is not None:
            status, headers, body = self._denial
            body += event.get("body", b"")
            if not event.get("more_body", False):
                self._answer.set_result(_response(status, headers, bytes(body)))


# By which an app says that it could not serve: close code, HTTP statuses.
_APP_FAILED = (FAILED, *range(500, 600))
# By which the library closes for what a client has sent, or for pings without an answer.
_CLIENT_FAILED = (1002, 1007, 1009, 1011)


def _scope(connection: ServerConnection, request: Request, *, is_late: bool) -> Event:
    # The library gives bytes beyond ASCII as surrogates or Latin-1, by its version.
    raw_path, _, query = request.path.encode("latin-1", "surrogateescape").partition(b"?")
    is_tls = connection.transport.get_extra_info("sslcontext") is not None
    offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
    if is_late:
        offered = connection.subprotocol or ""
    scope: Event = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if is_tls else "ws",
        "server": _address(connection.local_address),
        "client": _address(connection.remote_address),
        "root_path": "",
        "path": unquote(raw_path),
        "raw_path": raw_path,
        "query_string": query,
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1", "surrogateescape"))
            for name, value in request.headers.raw_items()
        ],
        "subprotocols": [name.strip() for name in offered.split(",") if name.strip()],
        "state": {},
        "extensions": {} if is_late else {DENIAL: {}},
    }
    if is_late:
        scope[KEY] = True
    return scope


def _address(name: Any) -> tuple[str, int] | None:
    """Return host and port, or None for a Unix socket or a client that has left."""
    return (name[0], name[1]) if isinstance(name, tuple) else None


def _response(status: int, headers: Headers, body: bytes) -> Response:
    for name, value in (("Connection", "close"), ("Content-Length", str(len(body)))):
        if name not in headers:
            headers[name] = value
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return Response(status, phrase, headers, body)
