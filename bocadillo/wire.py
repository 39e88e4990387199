"""One connection as ASGI's events: what was sent and heard, and what it means.

A small state machine over the raw `receive` and `send`, whose rules are in `states`.
Whatever a server raises for a client that has gone (each has a class of its own)
becomes `WebSocketDisconnect`. How a connection opens and closes is in `connection`.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import Any, Protocol, TypeAlias, cast

from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect as StarletteDisconnect

from bocadillo.close import check_code, cut_reason
from bocadillo.errors import ConfigurationError, ConnectionStateError, WebSocketDisconnect
from bocadillo.inbox import Step
from bocadillo.pullinbox import inbox_for
from bocadillo.states import (
    CLOSE,
    CONNECT,
    DENIAL_BODY,
    DISCONNECT,
    LAST_DENIAL_BODY,
    SEND,
    State,
    advance,
)

# The builtin `all` stands for every code.
CaughtCloseCodes: TypeAlias = Collection[int] | Callable[..., bool]

# How long a failed `send` looks for the close code that the server has for it.
LEAVING_SEARCH_S = 0.5


# Whose view runs, set by its watch; tasks that a view starts inherit it.
serving: ContextVar["Wire | None"] = ContextVar("serving", default=None)


class Watcher(Protocol):
    """Who looks after the handler of a connection."""

    def hear_leaving(self, code: int) -> None:
        """Take note that the client has left, or that the server shuts down."""


class Wire(HTTPConnection):
    """The events of one connection, and where it stands.

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
        self._server_send = send
        self._raw_send = send  # the same, or what waits its turn before
        self._inbox = inbox_for(scope, receive, self._hear_leaving)
        self._inbox.refuse(_refuse_before_accept)
        self._saw_connect = False
        self._is_accepted = False
        self._ending: tuple[int, str] | None = None  # close code and reason, ours or the client's
        # Messages ever given to the server, and those of them that it has taken or refused.
        self._begun = self._done = 0
        self._is_told = False  # whether the view has learnt of the leaving
        # Set by the lifecycle: who looks after a handler whose client has left, and for
        # which exceptions `async with` leaves the closing to others.
        self._watch: Watcher | None = None
        self._leave_open: Callable[[Any, BaseException], bool] | None = None

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
        """Sixteen hexadecimal digits that name this connection, in log lines and channels."""
        if not hasattr(self, "_id"):
            self._id = secrets.token_hex(8)
        return self._id

    def __repr__(self) -> str:
        return f"<WebSocket {self.scope.get('path')!r} {self._phase.value}>"

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
            self._refuse_send()
        self._begun += 1
        try:
            await self._raw_send(event)
        except Exception as exc:
            raise await self._explain(exc) from exc
        finally:
            self._done += 1

    # What the server's exceptions mean

    def _refuse_send(self) -> None:
        """Raise what tells why no message can be sent on a connection that is not open."""
        if self._phase is State.LEFT:
            raise self._disconnect()
        advance(self._phase, SEND)

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
        before = self._phase
        after = advance(before, kind or event["type"])
        if after is State.CLOSED:
            self._close_state((event.get("code", 1006), event.get("reason") or ""))
        else:
            self._phase = after
        try:
            await self._raw_send(event)
        except Exception as exc:
            failure = await self._explain(exc)
            if self._phase is State.OPEN:  # nothing was said, and the client still waits
                self._phase = before
            raise failure from exc
        if after is State.OPEN:
            self._is_accepted = True
            self._inbox.refuse(None)

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
        is_told = is_told and self._is_heard_by_view()
        self._is_told = self._is_told or is_told
        if is_told and is_leaving:
            self._inbox.refuse(_refuse_after(self._ending))
        if is_leaving and self._watch is not None:
            self._watch.hear_leaving(self._ending[0])

    def _tells_reasons(self) -> bool:
        """Tell whether the server gives a reason, if only an empty one, where a client closed.

        granian 2.8 (ASGI 2.3) never does: its 1005 is a browser's plain close, or a loss.
        """
        version: str = self.scope.get("asgi", {}).get("spec_version", "2.4")
        return version not in ("2.0", "2.1", "2.2", "2.3")

    def _disconnect(self) -> WebSocketDisconnect:
        """Return the exception that tells the view of the leaving."""
        self._is_told = self._is_told or self._is_heard_by_view()
        return WebSocketDisconnect(*(self._ending or (1006, "")))

    def _is_heard_by_view(self) -> bool:
        """Tell whether the running task is of this connection's own view, if that is watched.

        A view that sends to other people's connections learns of their leaving, too.
        """
        return self._watch is None or serving.get() is self

    def _catches(self, exc: BaseException) -> bool:
        if not isinstance(exc, StarletteDisconnect):
            return False
        code = 1000 if exc.code == 1005 else exc.code
        caught = self.caught_close_codes
        return True if callable(caught) else code in caught


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
