"""`App` is a Starlette application, for WebSockets as for HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from bocadillo import App, ConfigurationError, WebSocket
from tests.fakes import FakeServer, run


async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


class Tagging:
    """Middleware that leaves a mark in the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["tag"] = "seen"
        await self.app(scope, receive, send)


def test_routes_mounts_middleware_state_and_lifespan_are_starlettes() -> None:
    """People bring what they know."""
    order = []

    @asynccontextmanager
    async def lifespan(running: App) -> AsyncIterator[dict[str, Any]]:
        running.state.colour = "blue"
        order.append("start")
        yield {"pool": "open"}
        order.append("stop")

    inner = App()
    inner.add_route("/", lambda request: PlainTextResponse("inner"))
    app = App(lifespan=lifespan, middleware=[Middleware(Tagging)])
    app.mount("/inner", inner)

    async def home(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{request['tag']} {request.app.state.colour}")

    app.add_route("/", home)

    @app.websocket_route("/ws")
    async def view(ws: WebSocket) -> None:
        await ws.send(f"{ws['tag']} {ws.app.state.colour} {ws.state.pool}")

    with TestClient(app) as client:
        assert client.get("/").text == "seen blue"
        assert client.get("/inner/").text == "inner"
        with client.websocket_connect("/ws") as ws:
            assert ws.receive_text() == "seen blue open"
    assert order == ["start", "stop"]


def test_sessions_reach_websockets() -> None:
    """Starlette's session middleware fills `ws.session`."""
    app = App()
    app.add_middleware(SessionMiddleware, secret_key="x")

    async def login(request: Request) -> PlainTextResponse:
        request.session["user"] = "ann"
        return PlainTextResponse("")

    app.add_route("/login", login)

    @app.websocket_route("/ws")
    async def view(ws: WebSocket) -> None:
        await ws.send(ws.session["user"])

    client = TestClient(app)
    client.get("/login")
    with client.websocket_connect("/ws") as ws:
        assert ws.receive_text() == "ann"


@pytest.mark.parametrize("middleware", [None, [Middleware(Tagging)]])
def test_exception_handlers_serve_websockets_with_and_without_middleware(middleware: Any) -> None:
    """The short way to the router must not lose them."""

    async def handler(ws: Any, exc: Exception) -> None:
        await ws.close(4009, str(exc))

    handlers: Any = {LookupError: handler, 404: handler, Exception: None}
    app = App(exception_handlers=handlers, middleware=middleware)

    @app.websocket_route("/")
    async def view(ws: WebSocket) -> None:
        raise LookupError("mine")

    async def scenario() -> FakeServer:
        server = FakeServer()
        await app(server.scope, server.receive, server.send)
        return server

    last = run(scenario).sent[-1]
    assert (last["code"], last["reason"]) == (4009, "mine")


def test_without_middleware_a_websocket_goes_straight_to_the_router() -> None:
    """Nothing of the HTTP stack is built or passed for it."""
    app = App()
    app.websocket_route("/")(echo)

    async def scenario() -> FakeServer:
        server = FakeServer({"type": "websocket.disconnect", "code": 1000})
        await app(server.scope, server.receive, server.send)
        return server

    assert run(scenario).scope["app"] is app
    assert app.middleware_stack is None


def test_times_are_options_of_the_app() -> None:
    """And reach its views."""
    app = App(leave_grace_s=0.5, shutdown_grace_s=2)
    app.websocket_route("/")(echo)

    assert app.router.times.leave_grace_s == 0.5
    assert app.routes[0].endpoint.times is app.router.times  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="leave_grace_s must be a number"):
        App(leave_grace_s=-1)
    with pytest.raises(TypeError, match="leave_grace"):
        App(leave_grace=1)


def test_a_mounted_app_sees_its_own_path() -> None:
    """Starlette's mounts work for WebSockets as for requests."""
    inner = App()

    @inner.websocket_route("/chat")
    async def view(ws: WebSocket) -> None:
        await ws.send(f"{ws.url} {ws.scope['root_path']}")

    app = App()
    app.mount("/m", inner)

    with TestClient(app).websocket_connect("/m/chat") as ws:
        assert ws.receive_text() == "ws://testserver/m/chat /m"


def test_the_exception_handlers_of_an_app_end_at_a_mounted_one() -> None:
    """An application answers for its own bugs, as Starlette's do."""
    handled: list[Exception] = []

    async def handle(ws: Any, exc: Exception) -> None:
        handled.append(exc)

    inner = App()

    @inner.websocket_route("/")
    async def view(ws: WebSocket) -> None:
        raise LookupError("on purpose")

    outer = App(exception_handlers={LookupError: handle})
    outer.mount("/inner", inner)
    server = FakeServer(path="/inner/")
    run(lambda: outer(server.scope, server.receive, server.send))

    assert handled == []
    assert server.sent[-1]["code"] == 1011
