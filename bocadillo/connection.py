"""How one connection opens, closes and is left; `WebSocket` adds the messages.

A small state machine over the raw ASGI `receive` and `send`. The rules are in `states`,
the reading is in `inbox`. Whatever a server raises for a client that has gone (each has
a class of its own) becomes `WebSocketDisconnect`.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, NoReturn, Self, TypeAlias, cast

from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect as StarletteDisconnect

from bocadillo.close import check_code, cut_reason
from bocadillo.errors import (
    ConfigurationError,
    ConnectionStateError,
    WebSocketDisconnect,
    closing,
)
from bocadillo.headers import Headers, RawHeaders, raw_body, raw_headers
from bocadillo.inbox import Inbox, Step
from bocadillo.states import (
    ACCEPT,
    CLOSE,
    CONNECT,
    DENIAL_BODY,
    DENIAL_START,
    DISCONNECT,
    LAST_DENIAL_BODY,
    SEND,
    State,
    advance,
    allowed,
)

# The builtin `all` stands for every code.
CaughtCloseCodes: TypeAlias = Collection[int] | Callable[..., bool]

DENIAL_EXTENSION = "websocket.http.response"

# How long a close frame may wait for a client that takes nothing.
CLOSE_TIMEOUT_S = 10

# How long a failed `send` looks for the close code that the server has for it.
LEAVING_SEARCH_S = 0.5


class Connection(HTTPConnection):
    """One connection from handshake to close, without regard to its messages.

    Args:
        scope: ASGI scope of type "websocket".
        receive: ASGI receive function.
        send: ASGI send function.
        caught_close_codes: Close codes of clients that end `async with` quietly.

    Raises:
        ConfigurationError: the scope is no WebSocket's, or the codes are no codes.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        caught_close_codes: CaughtCloseCodes | None = None,
    ) -> None:
        if scope["type"] != "websocket":
            raise ConfigurationError(
                f"WebSocket needs a scope of type 'websocket', got {scope['type']!r}"
            )
        super().__init__(scope)
        self.caught_close_codes: CaughtCloseCodes = check_caught_close_codes(caught_close_codes)
        self._phase = State.CONNECTING
        self._raw_send = send
        self._inbox = Inbox(receive, self._hear_leaving)
        self._inbox.refuse(_refuse_before_accept)
        self._saw_connect = False
        self._is_accepted = False
        self._ending: tuple[int, str] | None = None  # close code and reason, ours or the client's
        self._in_flight: Message | None = None  # the message that a `send` is waiting to be rid of
        self._is_told = False  # whether the view has learnt of the leaving
        # Set by the lifecycle: who looks after a handler whose client has left, and for
        # which exceptions `async with` leaves the closing to others.
        self._on_leaving: Callable[[int], None] | None = None
        self._leave_open: Callable[[BaseException], bool] | None = None

    @property
    def accepted(self) -> bool:
        """Whether the connection was accepted, be it open or closed by now."""
        return self._is_accepted

    @property
    def is_connecting(self) -> bool:
        """Whether the connection was neither accepted nor refused, and the client waits."""
        return self._phase is State.CONNECTING

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent: accepted, not closed, client not known to be gone."""
        return self._phase is State.OPEN

    @property
    def is_closed(self) -> bool:
        """Whether this side has closed or refused the connection."""
        return self._phase is State.CLOSED

    @property
    def close_code(self) -> int | None:
        """The code the connection ended with, ours or the client's; None before that."""
        return self._ending[0] if self._ending is not None else None

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that name this connection in log lines."""
        if not hasattr(self, "_id"):
            self._id = secrets.token_hex(4)
        return self._id

    def __repr__(self) -> str:
        return f"<WebSocket {self.scope.get('path')!r} {self._phase.value}>"

    async def accept(self, subprotocol: str | None = None, headers: Headers | None = None) -> None:
        """Accept the connection; on an open connection without arguments, do nothing.

        Args:
            subprotocol: One of those that the client offered.
            headers: Headers of the answer, as a mapping or as pairs.

        Raises:
            ConnectionStateError: the connection was closed or refused, or is open and
                a subprotocol or headers come too late.
            ValueError: the client did not offer the subprotocol, or a header has a
                line break in it.
            WebSocketDisconnect: the client has left.
        """
        if self._phase is State.OPEN:
            if subprotocol is None and not headers:
                return
            raise ConnectionStateError(
                "cannot accept with a subprotocol or headers: the connection was accepted "
                "already; make the route with auto_accept=False"
            )
        if self._phase is State.LEFT:
            raise self._disconnect()
        advance(self._phase, ACCEPT)
        self._check_subprotocol(subprotocol)
        event = {"type": ACCEPT, "subprotocol": subprotocol, "headers": raw_headers(headers)}
        await self._see_connect()
        await self._change_state(event)

    async def reject(
        self, status: int = 403, body: Any = None, headers: Headers | None = None
    ) -> None:
        """Refuse the connection by an HTTP answer; after `accept`, close it with 1008.

        Where the server lacks the ASGI extension for it the answer is HTTP 403.

        Args:
            status: HTTP status, 200 to 599. `reject()` alone is `close(403)`.
            body: `bytes`, `str`, or a value that is sent as JSON.
            headers: Headers of the answer, as a mapping or as pairs.

        Raises:
            ConnectionStateError: the connection was closed or refused already.
            ValueError: no such status, a body where the status has none, or a header
                with a line break in it.
        """
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"status of a refusal must be from 200 to 599, got {status!r}")
        if self._phase is State.OPEN:
            await self.close(1008)
            return
        if self._phase is State.LEFT:
            return
        advance(self._phase, DENIAL_START)
        plain = status == 403 and body is None and not headers
        if plain or DENIAL_EXTENSION not in self.scope.get("extensions", ()):
            await self.close(int(status))
            return
        payload, media_type = raw_body(body)
        if payload and status in (204, 205, 304):
            raise ValueError(f"a refusal with status {status} has no body (RFC 9110 §6.4.1)")
        raw = raw_headers(headers)
        names = {name for name, _ in raw}
        if payload and b"content-type" not in names:
            raw.append((b"content-type", media_type))
        if b"content-length" not in names:
            raw.append((b"content-length", b"%d" % len(payload)))
        await self._deny(int(status), raw, payload)

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the connection; before `accept`, refuse it with HTTP 403.

        Never raises because the client has gone.

        Args:
            code: 1000-1003, 1007-1014 or 3000-4999; before `accept`, where no code
                reaches the client, any.
            reason: Text for the client, cut at 123 bytes of UTF-8 (RFC 6455 §5.5).

        Raises:
            ConnectionStateError: the connection was closed already.
            ValueError: the code may not be sent.
        """
        if self._phase is not State.CONNECTING:
            code = check_code(code)
        after = advance(self._phase, CLOSE)
        if after is State.LEFT:
            return
        if self._phase is State.CONNECTING:
            try:
                await self._see_connect()
            except WebSocketDisconnect:
                return
        reason = cut_reason(reason)
        self._close_state((int(code), reason))
        # The client may have gone, which each server says by an exception of its own, or
        # may take nothing, so that the frame waits behind what it does not take.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._raw_send({"type": CLOSE, "code": int(code), "reason": reason})

    async def ensure_closed(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the connection unless it is closed or gone already; never raises for that.

        Raises:
            ValueError: the code may not be sent.
        """
        if self._phase is State.DENYING:
            self._close_state((1006, ""))
            with contextlib.suppress(Exception):
                await self._raw_send({"type": DENIAL_BODY, "body": b"", "more_body": False})
        elif self._phase in (State.CONNECTING, State.OPEN):
            await self.close(code, reason)
        elif self._is_accepted:
            check_code(code)

    async def __aenter__(self) -> Self:
        if self._phase is State.CONNECTING:
            await self.accept()
        elif self._phase is not State.OPEN and not self._is_accepted:
            advance(self._phase, ACCEPT)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if exc is None:
            await self.ensure_closed(1000)
            return False
        if isinstance(exc, StarletteDisconnect):
            return self._catches(exc)
        if self._leave_open is None or not self._leave_open(exc):
            await self.ensure_closed(*closing(exc))
        return False

    # Raw events

    async def receive_event(self) -> Message:
        """Return the next raw ASGI event, "websocket.disconnect" among them."""
        self._inbox.idle_sweeps = 0
        if self._phase is State.LEFT and self._is_told:
            raise self._disconnect()
        event = await self._inbox.next_event()
        self._saw_connect = True
        if event["type"] == DISCONNECT:
            self._hear_leaving(event, is_told=True)
        return event

    async def send_event(self, event: Message) -> None:
        """Send a raw ASGI event.

        Raises:
            ConnectionStateError: ASGI does not allow it in this state.
            ValueError: the code of a close may not be sent.
            WebSocketDisconnect: the client has left.
        """
        kind = event.get("type", "")
        if kind == DENIAL_BODY and not event.get("more_body", False):
            kind = LAST_DENIAL_BODY
        if kind == SEND:
            await self._send_message(event)
            return
        if self._phase is State.LEFT:
            raise self._disconnect()
        advance(self._phase, kind)
        if self._phase is State.CONNECTING:
            await self._see_connect()
        elif kind == CLOSE:
            code, reason = check_code(event.get("code", 1000)), cut_reason(event.get("reason"))
            event = {**event, "code": code, "reason": reason}
        await self._change_state(event, kind)

    async def _send_message(self, event: Message) -> None:
        if self._phase is not State.OPEN:
            self._refuse_send(SEND)
        self._in_flight = event
        try:
            await self._raw_send(event)
        except Exception as exc:
            raise await self._explain(exc) from exc
        finally:
            self._in_flight = None

    # What the server's exceptions mean

    def _refuse_send(self, event: str) -> NoReturn:
        if self._phase is State.LEFT:
            raise self._disconnect()
        raise ConnectionStateError(
            f"cannot send {event!r} while {self._phase.value}; allowed now: {allowed(self._phase)}"
        )

    async def _explain(self, exc: Exception) -> Exception:
        """Return what to raise for an exception that the server's `send` raised."""
        if isinstance(exc, TypeError | ValueError):  # the payload, say a lone surrogate
            return exc
        await self._search_leaving()
        if self._ending is None:
            if not isinstance(exc, OSError | RuntimeError | StarletteDisconnect):
                return exc
            self._hear_leaving({"type": DISCONNECT, "code": 1006, "reason": ""}, is_told=True)
        return self._disconnect()

    async def _search_leaving(self) -> None:
        """Look for the disconnect event that goes with a failed `send`."""
        if self._inbox.is_waiting:  # another task will be handed it
            for _ in range(10):
                if self._ending is not None:
                    break
                await asyncio.sleep(0)
        else:
            await self._inbox.search_ahead(LEAVING_SEARCH_S)

    # Changing state

    async def _see_connect(self) -> None:
        if self._saw_connect:
            return
        event = await self._inbox.next_event()
        self._saw_connect = True
        if event["type"] == DISCONNECT:
            self._hear_leaving(event, is_told=True)
            raise self._disconnect()
        if event["type"] != CONNECT:
            raise ConnectionStateError(f"the server sent {event['type']!r} before {CONNECT!r}")

    async def _change_state(self, event: Message, kind: str | None = None) -> None:
        """Send an event that moves the connection to another state."""
        after = advance(self._phase, kind or event["type"])
        if after is State.CLOSED:
            self._close_state((event.get("code", 1006), event.get("reason") or ""))
        else:
            self._phase = after
        try:
            await self._raw_send(event)
        except Exception as exc:
            raise await self._explain(exc) from exc
        if after is State.OPEN:
            self._is_accepted = True
            self._inbox.refuse(None)

    async def _deny(self, status: int, headers: RawHeaders, body: bytes) -> None:
        try:
            await self._see_connect()
        except WebSocketDisconnect:
            return
        self._phase = State.DENYING
        with contextlib.suppress(Exception):
            await self._raw_send({"type": DENIAL_START, "status": status, "headers": headers})
            await self._raw_send({"type": DENIAL_BODY, "body": body, "more_body": False})
            # uvicorn logs an error unless the application yields once after the body.
            await asyncio.sleep(0)
        self._close_state((1006, ""))

    def _close_state(self, ending: tuple[int, str]) -> None:
        self._phase = State.CLOSED
        self._ending = self._ending or ending
        self._inbox.refuse(_refuse_after_close)

    def _hear_leaving(self, event: Message, is_told: bool = False) -> None:
        """Take note of a disconnect event, which the view was told or was not."""
        if self._ending is None:
            code = int(event.get("code") or 1005)
            if code == 1005 and "reason" not in event and self._tells_reasons():
                code = 1006  # how uvicorn reports a lost connection
            self._ending = (code, event.get("reason") or "")
        is_leaving = self._phase is not State.CLOSED  # else it answers our own close
        self._phase = advance(self._phase, DISCONNECT)
        self._is_told = self._is_told or is_told
        if is_told and is_leaving:
            self._inbox.refuse(_refuse_after(self._ending))
        if is_leaving and self._on_leaving is not None:
            self._on_leaving(self._ending[0])

    def _tells_reasons(self) -> bool:
        """Tell whether the server gives a reason, if only an empty one, where a client closed.

        granian 2.8 (ASGI 2.3) never does: its 1005 is a browser's plain close, or a loss.
        """
        version: str = self.scope.get("asgi", {}).get("spec_version", "2.4")
        return version not in ("2.0", "2.1", "2.2", "2.3")

    def _disconnect(self) -> WebSocketDisconnect:
        """Return the exception that tells the view of the leaving."""
        self._is_told = True
        return WebSocketDisconnect(*(self._ending or (1006, "")))

    def _catches(self, exc: BaseException) -> bool:
        if not isinstance(exc, StarletteDisconnect):
            return False
        code = 1000 if exc.code == 1005 else exc.code
        caught = self.caught_close_codes
        return True if callable(caught) else code in caught

    def _check_subprotocol(self, subprotocol: str | None) -> None:
        # RFC 6455 §4.1: a client fails a connection whose subprotocol it did not offer.
        offered = self.scope.get("subprotocols", [])
        if subprotocol is not None and subprotocol not in offered:
            known = ", ".join(map(repr, offered)) or "none"
            raise ValueError(f"cannot accept subprotocol {subprotocol!r}; client offered: {known}")


def check_caught_close_codes(codes: CaughtCloseCodes | None) -> CaughtCloseCodes:
    """Return *codes* as a tuple, or `all`; None gives the default.

    Raises:
        ConfigurationError: neither codes nor `all`.
    """
    if codes is None:
        return (1000, 1001)
    if codes is all:
        return all
    is_codes = isinstance(codes, Collection) and all(isinstance(code, int) for code in codes)
    if not is_codes:
        raise ConfigurationError(
            f"caught_close_codes takes codes, such as (1000, 1001), or all; got {codes!r}"
        )
    return tuple(cast(Collection[int], codes))


def _refuse_before_accept(_: None) -> Step:
    raise ConnectionStateError(
        "cannot receive while connecting; call `await ws.accept()` or enter `async with ws`"
    )


def _refuse_after_close(_: None) -> Step:
    raise ConnectionStateError("cannot receive: this side has closed the connection")


def _refuse_after(ending: tuple[int, str]) -> Callable[[None], Step]:
    def refuse(_: None) -> Step:
        raise WebSocketDisconnect(*ending)

    return refuse
