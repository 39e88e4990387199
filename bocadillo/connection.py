"""How one connection opens, is refused and closes; `WebSocket` adds the messages."""

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Self

from starlette.websockets import WebSocketDisconnect as StarletteDisconnect

from bocadillo.close import check_code, cut_reason
from bocadillo.errors import ConnectionStateError, WebSocketDisconnect, closing
from bocadillo.extensions import ABORT, DENIAL
from bocadillo.headers import Headers, RawHeaders, raw_body, raw_headers
from bocadillo.states import ACCEPT, CLOSE, DENIAL_BODY, DENIAL_START, DISCONNECT, State, advance
from bocadillo.wire import Wire

# How long a close frame may wait for a client that takes nothing.
CLOSE_TIMEOUT_S = 10


class Connection(Wire):
    """One connection from handshake to close, without regard to its messages."""

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
        if plain or DENIAL not in self.scope.get("extensions", ()):
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
        event = {"type": CLOSE, "code": int(code), "reason": reason}
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._raw_send(event)
        except TimeoutError:
            # No server tells a view that waits in `receive` of a client that takes nothing.
            self._inbox.lose({"type": DISCONNECT, "code": 1006, "reason": ""})
        except Exception:
            pass

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

    async def _abort(self) -> None:
        """Cut the connection, past all that waits to be sent, where the server can do that."""
        if ABORT in self.scope.get("extensions", ()):
            with contextlib.suppress(Exception):
                await self._server_send({"type": ABORT})

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
        # A leaving on another's connection, to which this view has sent, is not this one's.
        if isinstance(exc, StarletteDisconnect) and self._phase is not State.OPEN:
            return self._catches(exc)
        if self._leave_open is None or not self._leave_open(self, exc):
            await self.ensure_closed(*closing(exc))
        return False

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

    def _check_subprotocol(self, subprotocol: str | None) -> None:
        # RFC 6455 §4.1: a client fails a connection whose subprotocol it did not offer.
        offered = self.scope.get("subprotocols", [])
        if subprotocol is not None and subprotocol not in offered:
            known = ", ".join(map(repr, offered)) or "none"
            raise ValueError(f"cannot accept subprotocol {subprotocol!r}; client offered: {known}")
