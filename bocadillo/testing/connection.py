"""`connect`: a client of one WebSocket on the test's own event loop, without a network.

What the application does is judged by `grammar`, and answered by `serverside` as a real
server would.
"""

import asyncio
import string
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal, NoReturn, Self
from urllib.parse import quote, unquote

from starlette.datastructures import Headers as ResponseHeaders
from starlette.types import ASGIApp, Scope

from bocadillo.close import MAX_REASON_BYTES, check_code, meaning
from bocadillo.codecs import decode_json, encode_json
from bocadillo.headers import Headers, RawHeaders, raw_headers
from bocadillo.testing.serverside import Payload, Refusal, ServerSide

# A JSON value comes in a text frame unless told otherwise.
Mode = Literal["text", "binary"]

# Close codes that end `async for` quietly.
NORMAL = (1000, 1001)

# Messages that a time-out tells of, the last ones.
MAX_TOLD = 5

# A client percent-encodes all but these, and `%` itself, which may begin an escape.
_URL_CHARACTERS = "".join(set(string.punctuation) - set('"#<>\\^`{|}'))

# What every handshake has in it, besides what the test gives. The key is RFC 6455's example.
_HANDSHAKE_HEADERS = (
    (b"host", b"testserver"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-version", b"13"),
)


class HandshakeRefused(Exception):
    """The application did not let the client in.

    Attributes:
        status: HTTP status: what the application answered; 403 when it closed instead of
            accepting, 500 when it failed.
        headers: Headers that the application answered with; found in any case of letters.
        body: Body of the answer.
    """

    def __init__(self, status: int, headers: ResponseHeaders, body: bytes) -> None:
        super().__init__(f"the handshake was refused by HTTP {status}, body {body!r}")
        self.status = status
        self.headers = headers
        self.body = body


class ConnectionClosed(Exception):
    """The connection is closed: nothing more can be sent or received.

    Attributes:
        code: The close code: 1005 when the client gave none, 1006 when the connection was
            lost or the application ended without closing.
        reason: The reason, or "".
    """

    def __init__(self, code: int, reason: str) -> None:
        told = f"closed with {code} ({meaning(code)})"
        super().__init__(f"{told}: {reason}" if reason else told)
        self.code = code
        self.reason = reason


def connect(
    app: ASGIApp,
    path: str,
    *,
    headers: Headers | None = None,
    subprotocols: Iterable[str] = (),
    timeout_s: float = 1.0,
    end_timeout_s: float = 5.0,
) -> "Connection":
    """Return a connection to *app*, open for the length of `async with`.

    Args:
        app: ASGI application; its lifespan is not run.
        path: Path and query as in a URL: "/rooms/caf%C3%A9?limit=3".
        headers: Headers of the request, as a mapping or as pairs.
        subprotocols: Those that the client offers, the best first.
        timeout_s: Longest time for the handshake, and for each message to come.
        end_timeout_s: Longest time for the application to end after the connection has.

    Entering raises:
        HandshakeRefused: the application did not let the client in; `__cause__` is what
            it raised, if it did.
        AsgiGrammarError: it refused by events that ASGI does not allow.
        TimeoutError: it did not answer in time.

    Leaving closes with 1000, waits for the application to end, and raises what went wrong
    in it; when the test itself has failed, its exception gets a note of that instead:
        AsgiGrammarError: it sent what ASGI does not allow.
        TimeoutError: it did not end in time; it is cancelled then.
        anything else: a view raised it by mistake, or the application to the server.

    Raises:
        ValueError: the path does not begin with "/", or a header is malformed.
    """
    server = ServerSide(app, _scope(path, raw_headers(headers), [*subprotocols]))
    return Connection(server, path, timeout_s, end_timeout_s)


class Connection:
    """One connection, as its client sees it; made by `connect`."""

    def __init__(
        self, server: ServerSide, path: str, timeout_s: float, end_timeout_s: float
    ) -> None:
        self._server = server
        self._path = path
        self._timeout_s = timeout_s
        self._end_timeout_s = end_timeout_s
        self._received: list[Payload] = []

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the application chose."""
        return self._server.subprotocol

    @property
    def response_headers(self) -> ResponseHeaders:
        """The headers that the application accepted with; found in any case of letters."""
        return self._server.headers

    @property
    def close_code(self) -> int | None:
        """The code that the connection ended with; None while it is open."""
        return self._server.ending[0] if self._server.ending else None

    @property
    def close_reason(self) -> str:
        """The reason that the connection ended with, or ""."""
        return self._server.ending[1] if self._server.ending else ""

    def __repr__(self) -> str:
        state = "open" if self._server.is_open else f"closed with {self.close_code}"
        return f"<Connection {self._path!r} {state}>"

    # Opening and closing

    async def __aenter__(self) -> Self:
        server = self._server
        server.start()
        try:
            await self._wait(
                lambda: server.is_accepted or server.refusal, "answer to the handshake"
            )
        except BaseException:
            await server.cut_off(self._end_timeout_s)
            raise
        if server.refusal is not None:
            await self._refused(server.refusal)
        return self

    async def _refused(self, refusal: Refusal) -> NoReturn:
        await self._server.end(self._end_timeout_s)
        self._server.raise_violation()
        error = HandshakeRefused(refusal.status, refusal.headers, refusal.body)
        raise error from self._server.failure()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
        late: TimeoutError | None = None
        try:
            await self._server.end(self._end_timeout_s)
        except TimeoutError as timeout:
            late = timeout
        failure = self._server.failure() or late
        if failure is None:
            return
        if exc is None:
            raise failure
        exc.add_note(f"The application on {self._path!r} failed, too: {failure!r}")

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection; do nothing when it is closed already.

        Args:
            code: A code that may be sent; None for none, as a browser's `close()` does,
                which the application is told as 1005.
            reason: At most 123 bytes of UTF-8.

        Raises:
            ValueError: the code may not be sent, or the reason is too long.
        """
        size = len(reason.encode())
        if size > MAX_REASON_BYTES:
            raise ValueError(f"a reason has at most {MAX_REASON_BYTES} bytes, got {size}")
        code = 1005 if code is None else check_code(code)
        if self._server.is_open:
            self._server.leave(code, reason)

    async def drop(self) -> None:
        """Lose the connection without a close frame; the client then sees 1006.

        As by uvicorn, the application is told 1005 without a reason.
        """
        self._server.lose()

    # Sending

    async def send(self, payload: Payload) -> None:
        """Send a text frame for `str`, a binary one for `bytes`.

        Raises:
            ConnectionClosed: the connection is closed.
            TypeError: the payload is neither.
        """
        if not isinstance(payload, str | bytes):
            raise TypeError(f"a message is str or bytes, got {type(payload).__name__}")
        if not self._server.is_open:
            self._raise_closed()
        self._server.deliver(payload)

    async def send_text(self, text: str) -> None:
        """Send a text frame; raises as `send` does."""
        await self.send(_checked(text, str))

    async def send_bytes(self, payload: bytes) -> None:
        """Send a binary frame; raises as `send` does."""
        await self.send(_checked(payload, bytes))

    async def send_json(self, value: Any, mode: Mode = "text") -> None:
        """Send *value* as JSON, in a frame of the kind that *mode* says."""
        text = encode_json(value)
        await self.send(text if mode == "text" else text.encode())

    # Receiving

    async def receive(self) -> Payload:
        """Return the next message: `str` of a text frame, `bytes` of a binary one.

        Raises:
            ConnectionClosed: the connection is closed, and all that came before is read.
            TimeoutError: nothing came within `timeout_s`.
        """
        server = self._server
        await self._wait(lambda: server.arrived or server.ending, "message")
        if not server.arrived:
            self._raise_closed()
        payload = server.arrived.popleft()
        self._received.append(payload)
        return payload

    async def receive_text(self) -> str:
        """Return the next message; an `AssertionError` unless it is a text frame."""
        text: str = _expected(await self.receive(), str)
        return text

    async def receive_bytes(self) -> bytes:
        """Return the next message; an `AssertionError` unless it is a binary frame."""
        payload: bytes = _expected(await self.receive(), bytes)
        return payload

    async def receive_json(self, mode: Mode = "text") -> Any:
        """Return the JSON value in the next message, of the kind that *mode* says."""
        text_or_bytes = self.receive_text() if mode == "text" else self.receive_bytes()
        return decode_json(await text_or_bytes)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Payload:
        """Return the next message; the iteration ends when the close code is 1000 or 1001."""
        try:
            return await self.receive()
        except ConnectionClosed as exc:
            if exc.code in NORMAL:
                raise StopAsyncIteration from None
            raise

    async def _wait(self, is_there: Callable[[], object], what: str) -> None:
        news = self._server.news
        try:
            async with asyncio.timeout(self._timeout_s):
                while not is_there():
                    news.clear()
                    await news.wait()
        except TimeoutError:
            if not is_there():  # on a busy machine it may have come just now
                raise TimeoutError(self._late(what)) from self._server.failure()

    def _late(self, what: str) -> str:
        last = ", ".join(map(repr, self._received[-MAX_TOLD:])) or "nothing"
        count = len(self._received)
        before = f"{count} before, the last {last}" if count > MAX_TOLD else f"before it: {last}"
        return (
            f"no {what} within {self._timeout_s} s on {self._path!r}; received {before}; "
            f"the application {self._server.doing()}"
        )

    def _raise_closed(self) -> NoReturn:
        code, reason = self._server.ending or (1006, "")
        raise ConnectionClosed(code, reason) from self._server.failure()


def _checked(payload: Any, kind: type) -> Any:
    if not isinstance(payload, kind):
        raise TypeError(f"expected {kind.__name__} to send, got {type(payload).__name__}")
    return payload


def _expected(payload: Any, kind: type) -> Any:
    if not isinstance(payload, kind):
        frames = ("text", "binary") if kind is str else ("binary", "text")
        raise AssertionError(f"expected a {frames[0]} frame, got a {frames[1]} one: {payload!r}")
    return payload


def _scope(path: str, headers: RawHeaders, subprotocols: list[str]) -> Scope:
    """Return the scope that uvicorn would make of the request."""
    if not path.startswith("/"):
        raise ValueError(f"a path must begin with '/', got {path!r}")
    raw_path, _, query = quote(path, safe=_URL_CHARACTERS).partition("?")
    given = {name for name, _ in headers}
    headers = [*(pair for pair in _HANDSHAKE_HEADERS if pair[0] not in given), *headers]
    if subprotocols:
        headers.append((b"sec-websocket-protocol", ", ".join(subprotocols).encode()))
    offers = [
        value.decode("latin-1") for name, value in headers if name == b"sec-websocket-protocol"
    ]
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": ("testserver", 80),
        "client": ("testclient", 50000),
        "root_path": "",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "headers": headers,
        "subprotocols": [offer.strip() for line in offers for offer in line.split(",")],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }
