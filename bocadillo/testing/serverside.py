"""The server's side of one WebSocket without a network, behaving as uvicorn does.

| the application, after accept  | the client sees        | the application is told       |
|--------------------------------|------------------------|-------------------------------|
| sends `websocket.close`        | its code and reason    | disconnect with the same      |
| ends                           | 1006                   | -                             |

| the application, before accept | the client sees        | the application is told       |
|--------------------------------|------------------------|-------------------------------|
| sends `websocket.close`        | HTTP 403, no body      | disconnect with 1006          |
| sends a HTTP answer            | that                   | disconnect with 1006          |
| ends                           | HTTP 500               | -                             |

A client that closes is reported with its code and reason, a lost connection, as which
each one ends, by code 1005 without a reason. After that `send` raises an `OSError`.
"""

import asyncio
from collections import deque
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Scope

from bocadillo.endings import BUGS_KEY
from bocadillo.testing.grammar import (
    CONNECTING,
    DENYING,
    ENDED,
    OPEN,
    AsgiGrammarError,
    check,
)
from bocadillo.testing.tasks import doing

Payload = str | bytes


class ClientDisconnected(OSError):
    """The application sends, but the client has left; uvicorn's has the same name."""


class Refusal:
    """The HTTP answer of a handshake that failed."""

    def __init__(self, status: int, headers: Headers, body: bytes = b"") -> None:
        self.status = status
        self.headers = headers
        self.body = body


class ServerSide:
    """One application serving one connection, in a task of its own.

    Attributes:
        is_accepted: Whether the application accepted, be the connection open or closed now.
        state: Where the application has brought the connection; a key of
            `grammar.ALLOWED`.
        subprotocol: What it chose.
        headers: What it accepted with.
        arrived: Payloads that it sent and the client has not read.
        ending: Close code and reason, once there is one.
        refusal: The HTTP answer, once the handshake has failed.
        news: Set at every change of the above.
    """

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self.is_accepted = False
        self.state = CONNECTING
        self.subprotocol: str | None = None
        self.headers = Headers(raw=[])
        self.arrived: deque[Payload] = deque()
        self.ending: tuple[int, str] | None = None
        self.refusal: Refusal | None = None
        self.news = asyncio.Event()
        self._app = app
        self._scope = scope
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._denial = Refusal(500, Headers(raw=[]))
        self._loss_code = 1006
        self._is_lost = False
        self._is_cut_off = False
        self._violation: AsgiGrammarError | None = None
        self._bugs: list[BaseException] = []
        self._raised: BaseException | None = None

    @property
    def is_open(self) -> bool:
        """Whether messages go both ways."""
        return self.state == OPEN and self.ending is None

    def failure(self) -> BaseException | None:
        """Return what went wrong in the application, the likeliest cause of all first."""
        return self._violation or next(iter(self._bugs), None) or self._raised

    def raise_violation(self) -> None:
        """Raise the first event that ASGI does not allow, if there was one."""
        if self._violation is not None:
            raise self._violation

    # What the client does

    def start(self) -> None:
        """Start the application's task."""
        self._scope[BUGS_KEY] = self._bugs
        self._events.put_nowait({"type": "websocket.connect"})
        name = f"application on {self._scope['path']}"
        self._task = asyncio.create_task(self._run(), name=name)

    def deliver(self, payload: Payload) -> None:
        """Hand a message to the application."""
        kind = "text" if isinstance(payload, str) else "bytes"
        self._events.put_nowait({"type": "websocket.receive", kind: payload})

    def leave(self, code: int, reason: str) -> None:
        """Close the connection from the client's side."""
        self.ending = (code, reason)
        self._disconnect(code, reason)
        self.lose()

    def lose(self) -> None:
        """End the connection to the client, once, without a close frame."""
        if self._is_lost:
            return
        self._is_lost = True
        if self.ending is None and self.state == OPEN:
            self.ending = (1006, "")
        self._events.put_nowait({"type": "websocket.disconnect", "code": self._loss_code})
        self.news.set()

    def doing(self) -> str:
        """Return what the application is doing, in words."""
        return doing(self._task)

    async def end(self, timeout_s: float) -> None:
        """Wait for the application to end, and cancel it when it does not.

        Raises:
            TimeoutError: it did not end in time, with what it was doing.
        """
        try:
            await asyncio.wait({self._task}, timeout=timeout_s)
            place = self.doing()
        finally:
            is_late = not self._task.done()
            await self.cut_off(timeout_s)
        if is_late:
            raise TimeoutError(
                f"the application on {self._scope['path']!r} did not end within {timeout_s} s of "
                f"the connection's end: it {place}; end it when the client leaves, or raise "
                "end_timeout_s"
            )

    async def cut_off(self, timeout_s: float) -> None:
        """Cancel the application unless it has ended, and give it time to end."""
        if not self._task.done():
            self._is_cut_off = True
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=timeout_s)

    # What the application does

    async def _run(self) -> None:
        try:
            result: Any = await self._app(self._scope, self._receive, self._send)  # type: ignore[func-returns-value]
            if result is not None:
                self._violate(f"the application returned {result!r}; ASGI has it return None")
        except (KeyboardInterrupt, SystemExit):
            raise
        except asyncio.CancelledError as exc:
            if not self._is_cut_off:
                self._raised = RuntimeError("the application let a CancelledError escape")
                self._raised.__cause__ = exc
        except ClientDisconnected:
            pass  # servers take it as the application's way to end
        except BaseException as exc:  # such as `pytest.fail` raises
            self._raised = exc
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        """Do what a server does when the application has ended."""
        if self.state == DENYING and not self._is_cut_off:
            self._violate("the application ended in the middle of a HTTP answer")
        if self.state in (CONNECTING, DENYING):
            self.refusal = Refusal(500, Headers(raw=[]), b"Internal Server Error")
        self.lose()

    async def _receive(self) -> Message:
        return await self._events.get()

    async def _send(self, event: Message) -> None:
        if self._is_lost and self.state != ENDED:
            raise ClientDisconnected("the client has left")
        try:
            check(event, self.state, self._scope["subprotocols"])
        except AsgiGrammarError as exc:
            self._violation = self._violation or exc
            raise
        _REACTIONS[self.state, event["type"]](self, event)
        self.news.set()

    def _violate(self, what: str) -> None:
        self._violation = self._violation or AsgiGrammarError(what)

    def _accept(self, event: Message) -> None:
        self.is_accepted = True
        self.state = OPEN
        self._loss_code = 1005  # not ASGI's rule, but how uvicorn tells a loss
        self.subprotocol = event.get("subprotocol")
        self.headers = Headers(raw=[*event.get("headers", ())])

    def _take(self, event: Message) -> None:
        text: str | None = event.get("text")
        self.arrived.append(event["bytes"] if text is None else text)

    def _close(self, event: Message) -> None:
        self.state = ENDED
        self.ending = (int(event.get("code", 1000)), event.get("reason") or "")
        self._disconnect(*self.ending)
        self.lose()  # the client answers a close frame at once

    def _forbid(self, _: Message) -> None:
        self._loss_code = 1005
        self._refuse(Refusal(403, Headers(raw=[])))

    def _begin_denial(self, event: Message) -> None:
        self.state = DENYING
        self._denial = Refusal(int(event["status"]), Headers(raw=[*event.get("headers", ())]))

    def _go_on_denying(self, event: Message) -> None:
        self._denial.body += event.get("body", b"")
        if not event.get("more_body", False):
            self._refuse(self._denial)

    def _refuse(self, refusal: Refusal) -> None:
        self.state = ENDED
        self.refusal = refusal
        self._events.put_nowait({"type": "websocket.disconnect", "code": 1006})
        self.lose()

    def _disconnect(self, code: int, reason: str) -> None:
        event = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self._events.put_nowait(event)


_REACTIONS = {
    (CONNECTING, "websocket.accept"): ServerSide._accept,
    (CONNECTING, "websocket.close"): ServerSide._forbid,
    (CONNECTING, "websocket.http.response.start"): ServerSide._begin_denial,
    (DENYING, "websocket.http.response.body"): ServerSide._go_on_denying,
    (OPEN, "websocket.send"): ServerSide._take,
    (OPEN, "websocket.close"): ServerSide._close,
}
