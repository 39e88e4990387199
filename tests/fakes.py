"""A server's side of one connection, scripted by a test."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.types import Message, Scope

from bocadillo import WebSocket

T = TypeVar("T")

CONNECT: Message = {"type": "websocket.connect"}


def text(payload: str) -> Message:
    """Return the event of a text frame."""
    return {"type": "websocket.receive", "text": payload}


def binary(payload: bytes) -> Message:
    """Return the event of a binary frame."""
    return {"type": "websocket.receive", "bytes": payload}


def left(code: int | None = None, reason: str | None = None) -> Message:
    """Return the event of a leaving; None leaves the key out."""
    event: Message = {"type": "websocket.disconnect"}
    if code is not None:
        event["code"] = code
    if reason is not None:
        event["reason"] = reason
    return event


class FakeServer:
    """ASGI `receive` and `send` over a queue that the test fills and a list it reads.

    Args:
        events: What `receive` returns first, after "websocket.connect".
        scope: What differs from a plain scope.
        send_error: What `send` raises, of "websocket.send" and "websocket.close" only.
    """

    def __init__(self, *events: Message, send_error: Exception | None = None, **scope: Any) -> None:
        self.queue: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        self.send_error = send_error
        self.scope: Scope = {
            "type": "websocket",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": [(b"host", b"testserver")],
            "subprotocols": [],
            "server": ("testserver", 80),
            "client": ("127.0.0.1", 4711),
            "scheme": "ws",
            "extensions": {"websocket.http.response": {}},
        } | scope
        for event in (CONNECT, *events):
            self.queue.put_nowait(event)

    async def receive(self) -> Message:
        return await self.queue.get()

    async def send(self, event: Message) -> None:
        if self.send_error and event["type"] in ("websocket.send", "websocket.close"):
            raise self.send_error
        self.sent.append(event)

    def websocket(self, **options: Any) -> WebSocket[Any, Any]:
        """Return a connection to this server, not accepted yet."""
        return WebSocket(self.scope, self.receive, self.send, **options)

    async def accepted(self, **options: Any) -> WebSocket[Any, Any]:
        """Return an accepted connection, with nothing in `sent`."""
        ws = self.websocket(**options)
        await ws.accept()
        self.sent.clear()
        return ws


def run(scenario: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a scenario to its end, and no longer than ten seconds."""

    async def bounded() -> T:
        async with asyncio.timeout(10):
            return await scenario()

    return asyncio.run(bounded())


async def settle() -> None:
    """Let every task go on until all of them wait."""
    for _ in range(20):
        await asyncio.sleep(0)
