"""How a connection opens: a request, the application's call, its yes or its HTTP answer."""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import unquote

from uvicorn.protocols.utils import (
    ClientDisconnected,
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
    is_ssl,
)

from bocadillo.server.deflate import negotiate
from bocadillo.server.ending import LOST, Event
from bocadillo.server.extensions import EXTENSIONS
from bocadillo.server.handshake import (
    Handshake,
    RawHeaders,
    Refusal,
    accept_key,
    plain_response,
    response_head,
)
from bocadillo.server.parser import Parser
from bocadillo.server.reading import Reading
from bocadillo.server.shared import Shared
from bocadillo.server.states import CONNECTING, DENYING, NEW, OPEN

logger = logging.getLogger("uvicorn.error")

# What `accept` says by itself.
_OWN_HEADERS = {b"connection", b"upgrade", b"sec-websocket-accept", b"sec-websocket-extensions"}


class Opening(Reading):
    """A connection that an application accepts, or refuses."""

    __slots__ = ("_app_state", "_handshake", "_has_closed", "_heard_at", "_scope")

    def __init__(self, shared: Shared, app_state: dict[str, Any]) -> None:
        super().__init__(shared, NEW)
        # All of these only until the connection is open.
        self._app_state: dict[str, Any] | None = app_state
        self._handshake: Handshake | None = None
        self._scope: dict[str, Any] | None = None
        self._has_closed = False  # the application has, by `websocket.close` or an answer
        self._heard_at = 0.0  # for the sweep, which pings who is quiet

    def begin(self, handshake: Handshake, early: bytes = b"") -> None:
        """Call the application for a request; *early* is what came behind it."""
        shared = self._shared
        state = shared.state
        limit = shared.config.limit_concurrency
        if limit is not None and (len(state.connections) > limit or len(state.tasks) >= limit):
            logger.warning("Exceeded concurrency limit.")
            self.refuse(Refusal(503, "Service Unavailable"))
            return
        self._state = CONNECTING
        self._handshake = handshake
        self._early = early
        self._scope = self._make_scope(handshake)
        self._queue = [{"type": "websocket.connect"}]
        context = contextvars.Context() if shared.config.reset_contextvars else None
        task = shared.loop.create_task(self._call(self._scope), context=context)
        state.tasks.add(task)
        task.add_done_callback(self._on_done)

    def refuse(self, refusal: Refusal) -> None:
        """Answer what is no handshake, and end."""
        headers = [*self._shared.state.default_headers, *refusal.headers]
        self._answer(plain_response(refusal.status, refusal.text, headers))

    def _call(self, scope: dict[str, Any]) -> Any:
        app = cast(Callable[..., Awaitable[Any]], self._shared.config.loaded_app)
        return app(scope, self.receive, self.send)

    async def send(self, event: Event) -> None:
        """Take an event of the application (ASGI)."""
        raise NotImplementedError

    def _on_done(self, task: "asyncio.Task[Any]") -> None:
        """End what the application has left open (asyncio)."""
        raise NotImplementedError

    def _accept(self, event: Event) -> None:
        if self._transport.is_closing():
            raise ClientDisconnected
        handshake = cast(Handshake, self._handshake)
        headers: RawHeaders = [
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-accept", accept_key(handshake.key)),
        ]
        subprotocol = event.get("subprotocol")
        if subprotocol:
            headers.append((b"sec-websocket-protocol", subprotocol.encode("latin-1")))
        config = self._shared.config
        deflate = None
        if config.ws_per_message_deflate and handshake.extensions:
            answer, deflate = negotiate(handshake.extensions, self._shared.limits.deflate)
            if answer is not None:
                headers.append((b"sec-websocket-extensions", answer.encode()))
        headers += self._shared.state.default_headers
        headers += _given_headers(event, _OWN_HEADERS)
        head = response_head(101, headers)
        inflate = None
        if deflate is not None:
            inflate = deflate.inflate()
            self._compress = deflate.compress().compress
            self._deflate = deflate
        self._parser = Parser(config.ws_max_size, inflate)
        self._heard_at = self._shared.loop.time()
        self._log("[accepted]")
        self._handshake = self._scope = self._app_state = None
        self._state = OPEN
        self._transport.write(head)
        self._take_early()

    def _reject(self, event: Event) -> None:
        """Refuse by HTTP 403: the application closed before it accepted."""
        self._log("403")
        self._has_closed = True
        self._answer(plain_response(403, "", self._shared.state.default_headers))

    def _begin_answer(self, event: Event) -> None:
        """Begin an HTTP answer; without a length its end is the connection's (RFC 9112 §6.3)."""
        status = event["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"status of an answer must be from 200 to 599, got {status!r}")
        headers = [
            *self._shared.state.default_headers,
            *_given_headers(event, {b"connection", b"transfer-encoding"}),
            (b"connection", b"close"),
        ]
        head = response_head(status, headers)
        self._log(str(int(status)))
        self._state = DENYING
        self._transport.write(head)

    def _answer_body(self, event: Event) -> None:
        body = event.get("body", b"")
        if body:
            self._transport.write(body)
        if not event.get("more_body", False):
            self._has_closed = True
            self._answer(b"")

    def _answer(self, response: bytes) -> None:
        """Write the last of an HTTP answer, and end."""
        self._end(LOST, "")
        self._scope = self._handshake = self._app_state = None
        if response and not self._transport.is_closing():
            self._transport.write(response)
        self._linger()

    def _make_scope(self, handshake: Handshake) -> dict[str, Any]:
        shared = self._shared
        raw_path, _, query = handshake.target.partition(b"?")
        return {
            "type": "websocket",
            "asgi": {"version": shared.config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(self._transport) else "ws",
            "server": get_local_addr(self._transport),
            "client": get_remote_addr(self._transport),
            "root_path": shared.config.root_path,
            "path": shared.config.root_path + unquote(raw_path.decode("ascii")),
            "raw_path": shared.root_path + raw_path,
            "query_string": query,
            "headers": handshake.headers,
            "subprotocols": handshake.subprotocols,
            "state": (self._app_state or {}).copy(),
            "extensions": EXTENSIONS,
            "bocadillo.peer": self,
        }

    def _log(self, outcome: str) -> None:
        """Log what became of the request, as uvicorn does."""
        if logger.isEnabledFor(logging.INFO) and self._scope is not None:
            scope = cast(Any, self._scope)
            address, path = get_client_addr(scope), get_path_with_query_string(scope)
            logger.info('%s - "WebSocket %s" %s', address, path, outcome)


def _given_headers(event: Event, refused: set[bytes]) -> RawHeaders:
    """Return the application's headers, without those that are the server's to say."""
    given = [(bytes(name).lower(), bytes(value)) for name, value in event.get("headers") or ()]
    return [(name, value) for name, value in given if name not in refused]
