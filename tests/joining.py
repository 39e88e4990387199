"""Connections of a small application that join channels, as tests see them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from bocadillo import App, WebSocket
from tests.fakes import FakeServer, left, settle

Body = Callable[[WebSocket[Any, Any]], Awaitable[None]]


@asynccontextmanager
async def served(body: Body, broker: Any = "memory://", **options: Any) -> AsyncIterator[App]:
    """Serve a view at "/", for as long as the block runs."""
    app = App(broker=broker, history=options.pop("history", None))
    app.websocket_route("/", **options)(body)
    async with app.router.lifespan_context(app):
        yield app


async def joined(app: App, channel: str, count: int) -> None:
    """Return when a channel has so many readers, whose `join` has returned."""
    while app.channels.readers(channel) != count:
        await asyncio.sleep(0)
    await settle()


async def stay(ws: WebSocket[Any, Any]) -> None:
    """Be in channel "x" until the client leaves."""
    await ws.join("x")
    async for _ in ws:
        pass


class Slow(FakeServer):
    """A server whose client takes nothing while `takes` is not set."""

    def __init__(self, **scope: Any) -> None:
        super().__init__(**scope)
        self.takes = asyncio.Event()
        self.takes.set()

    async def send(self, event: Any) -> None:
        await self.takes.wait()
        await super().send(event)

    @property
    def got(self) -> list[Any]:
        """Payloads, and the code of each close."""
        return [
            event.get("code") or event.get("text") or event.get("bytes")
            for event in self.sent
            if event["type"] != "websocket.accept"
        ]


@asynccontextmanager
async def client(app: App, server: FakeServer) -> AsyncIterator[asyncio.Task[None]]:
    """Serve a scripted connection until the block ends; then its client leaves."""
    serving = asyncio.create_task(app(server.scope, server.receive, server.send))
    try:
        yield serving
    finally:
        server.queue.put_nowait(left(1000, ""))
        await serving


async def reads(ws: WebSocket[Any, Any]) -> None:
    """Read, until the client leaves."""
    while True:
        await ws.receive()
