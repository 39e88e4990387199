"""The extension `bocadillo.pull` on a real uvicorn: events without a coroutine for each."""

import asyncio
from typing import Any

import pytest

from bocadillo import App, WebSocket
from bocadillo.pullinbox import PullInbox
from tests.server.clients import TEXT, client_frame, close
from tests.servers.inside import on_both_loops, run, serving, until


class Asking:
    """An application that asks its one connection for events, and awaits what it is told to."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.cancelled = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pull = scope["extensions"]["bocadillo.pull"]["pull"]
        peer = scope["bocadillo.peer"]
        assert receive.__self__ is peer
        assert pull(peer) == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        while not self.steps or self.steps[-1]["type"] != "websocket.disconnect":
            step = pull(peer)
            if isinstance(step, dict):
                self.steps.append(step)
                continue
            try:
                async with asyncio.timeout(0.001):
                    await step
            except TimeoutError:
                self.cancelled += 1
        assert pull(peer) == self.steps[-1]


@on_both_loops
def test_events_come_in_order_though_every_wait_is_cancelled(loop: str) -> None:
    """A time-out around a wait is what an application does, and must cost no message."""

    async def scenario() -> None:
        app = Asking()
        async with serving(app) as server:
            client = await server.open()
            for number in range(100):
                waits = app.cancelled
                if number % 10 == 0:
                    await until(lambda: app.cancelled > waits)  # noqa: B023
                client.write(client_frame(TEXT, b"%d" % number))
            client.write(close(1000))
            await server.until_idle()

        *messages, last = app.steps
        assert [event["text"] for event in messages] == [*map(str, range(100))]
        assert last == {"type": "websocket.disconnect", "code": 1000, "reason": ""}
        assert app.cancelled >= 10

    run(scenario, loop)


class Counting:
    """A middleware that counts what is received, and knows of no extension."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.count = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def counted() -> Any:
            event = await receive()
            self.count += event["type"] == "websocket.receive"
            return event

        await self._app(scope, counted, send)


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_our_views_ask_unless_a_middleware_wants_to_see(is_wrapped: bool) -> None:
    """A middleware must see every message, and without one nobody pays for `receive`."""
    inboxes: list[type] = []

    async def scenario() -> None:
        app = App()

        @app.websocket_route("/")
        async def echo(ws: WebSocket) -> None:
            inboxes.append(type(ws._inbox))
            async for message in ws:
                await ws.send(message)

        counting = Counting(app)
        async with serving(counting if is_wrapped else app) as server:
            client = await server.open()
            client.write(client_frame(TEXT, b"a") + client_frame(TEXT, b"b"))
            assert [await client.text(), await client.text()] == ["a", "b"]
            client.write(close(1000))
            await server.until_idle()

        assert counting.count == (2 if is_wrapped else 0)
        assert (inboxes == [PullInbox]) is not is_wrapped

    run(scenario)
