"""`Inject[Channels]`: the channels of whoever asks, wherever it is."""

from collections.abc import Callable
from typing import Any

import pytest
from dishka import Provider, Scope
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.testclient import TestClient
from starlette_dishka import ContainerMiddleware, inject

from bocadillo import App, Inject, Router, WebSocket, controller, websocket_mapping
from bocadillo.channels import Channels, HistoryLimits
from bocadillo.testing import connect
from tests.fakes import run
from tests.injection import Pool, supplying


async def asks(ws: WebSocket, channels: Inject[Channels]) -> None:
    await ws.send_json(channels is ws.channels)
    await channels.publish("x", "from the view")


async def is_the_views(app: Any, owner: Any) -> bool:
    """Tell whether a view is given the channels of its connection, which are *owner*'s."""
    async with connect(app, "/ws") as ws:
        is_same = await ws.receive_json()
    kept = await owner.channels.history("x")
    await owner.channels.close()
    return bool(is_same) and [known.payload for known in kept] == ['"from the view"']


@pytest.mark.parametrize("providers", [[], [supplying("pool")]])
def test_the_views_of_an_application_get_its_channels(providers: list[Provider]) -> None:
    """With and without providers of the user's own."""
    app = App(providers=providers)
    app.websocket_route("/ws")(asks)

    async def scenario() -> None:
        assert await is_the_views(app, app)

    run(scenario)
    run(scenario)


OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"providers": [supplying("pool")]},
    {"broker": "memory://"},
    {"broker": "memory://", "providers": [supplying("pool")]},
)

AROUND: tuple[Callable[[], Any], ...] = (App, Router, Starlette, FastAPI)


@pytest.mark.parametrize(
    ("options", "around"),
    [(o, a) for o in OPTIONS for a in AROUND],
)
def test_the_views_of_a_router_get_those_of_their_connection(
    options: Any, around: Callable[[], Any]
) -> None:
    """Whatever it has of its own, and whatever is around it."""
    router = Router(**options)
    router.route("/ws")(asks)
    app = around()
    if isinstance(app, App | Router):
        app.include_router(router)
    else:
        app.router.routes.extend(router.routes)

    async def scenario() -> None:
        assert await is_the_views(app, router)

    run(scenario)


def test_constructors_hooks_and_methods_get_them() -> None:
    """All who may ask for anything."""
    got: list[Channels] = []
    app = App()

    def hook(channels: Inject[Channels]) -> None:
        got.append(channels)

    @app.websocket_route("/ws", process_request=hook)
    class View:
        def __init__(self, channels: Inject[Channels]) -> None:
            got.append(channels)

        async def handle(self, ws: WebSocket, channels: Inject[Channels]) -> None:
            got.extend((channels, ws.channels))

    async def scenario() -> None:
        async with connect(app, "/ws"):
            pass
        assert got == [app.channels] * 4
        await app.channels.close()

    run(scenario)


@controller("/controlled")
class Controlled:
    def __init__(self, channels: Inject[Channels]) -> None:
        self.channels = channels

    @websocket_mapping("/ws")
    async def connected(self, ws: WebSocket) -> None:
        await ws.send_json(self.channels is ws.channels)


def test_the_constructor_of_a_controller_gets_those_of_its_application() -> None:
    """It is built once, and serves all connections."""
    app = App(controllers=[Controlled])

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            async with connect(app, "/controlled/ws") as ws:
                assert await ws.receive_json() is True
            controlled = app.channels
        async with app.router.lifespan_context(app):
            assert app.channels is not controlled
            async with connect(app, "/controlled/ws") as ws:
                assert await ws.receive_json() is True

    run(scenario)


def test_requests_get_them_by_dishkas_package_for_starlette() -> None:
    """An endpoint publishes without knowing the application."""
    app = App(providers=[supplying("pool")], history=HistoryLimits(max_count=1))
    app.add_middleware(ContainerMiddleware)

    @inject
    async def publish(request: Request, channels: Inject[Channels]) -> JSONResponse:
        await channels.publish("x", request.query_params["message"])
        kept = await app.channels.history("x")
        return JSONResponse([channels is app.channels, *(known.payload for known in kept)])

    app.add_route("/publish", publish)  # type: ignore[arg-type]
    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/publish?message=a").json() == [True, '"a"']
            assert client.get("/publish?message=b").json() == [True, '"b"']


def test_providers_may_ask_for_them() -> None:
    """Something of the application that publishes is made with its channels."""

    class Bell:
        def __init__(self, channels: Channels) -> None:
            self.channels = channels

    provider = Provider(scope=Scope.APP)
    provider.provide(Bell)
    app = App(providers=[provider])

    async def view(ws: WebSocket, bell: Inject[Bell]) -> None:
        await ws.send_json(bell.channels is ws.channels)

    app.websocket_route("/ws")(view)

    async def scenario() -> None:
        async with connect(app, "/ws") as ws:
            assert await ws.receive_json() is True
        await app.channels.close()

    run(scenario)


def test_an_override_leaves_them_as_they_are() -> None:
    """A test that replaces a pool still publishes to the same clients."""
    app = App(providers=[supplying("usual")])

    async def view(ws: WebSocket, channels: Inject[Channels], pool: Inject[Pool]) -> None:
        await ws.send_json([channels is ws.channels, pool.name])

    app.websocket_route("/ws")(view)

    async def scenario() -> None:
        with app.override(supplying("fake")):
            async with connect(app, "/ws") as ws:
                assert await ws.receive_json() == [True, "fake"]
        await app.channels.close()

    run(scenario)
