"""Every route of an application is listed, wherever it is and whoever made it."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Host, Mount, Route
from starlette.routing import WebSocketRoute as StarletteWebSocketRoute

from bocadillo import App, Router, WebSocket
from bocadillo.cli import listing
from bocadillo.cli.listing import routes_of
from bocadillo.views import View


async def chat(ws: WebSocket) -> None:
    pass


async def plain(websocket: Any) -> None:
    pass


async def home(request: Request) -> Response:
    return PlainTextResponse("home")


def listed(app: Any) -> list[tuple[str, str, str]]:
    return [(route.kind, route.path, route.name) for route in routes_of(app)]


def rooms() -> App:
    app = App()
    app.websocket_route("/rooms/{room}", name="room")(chat)
    return app


def test_routes_come_in_the_order_in_which_they_are_tried() -> None:
    """Which of two routes wins can be read off the list."""
    app = rooms()
    app.router.routes.append(Route("/", home, methods=["POST", "GET"]))
    app.router.routes.append(StarletteWebSocketRoute("/plain", plain))

    assert listed(app) == [
        ("WebSocket", "/rooms/{room}", "room"),
        ("GET, HEAD, POST", "/", "home"),
        ("WebSocket", "/plain", "plain"),
    ]


def test_routes_below_mounts_have_the_whole_path() -> None:
    """What is listed is what a client connects to."""
    app = Starlette(
        routes=[
            Mount("/v1", routes=[Mount("/chat", rooms())]),
            Mount("/v2", routes=[StarletteWebSocketRoute("/plain", plain)]),
            Host("chat.example.org", rooms()),
        ]
    )

    assert listed(app) == [
        ("WebSocket", "/v1/chat/rooms/{room}", "room"),
        ("WebSocket", "/v2/plain", "plain"),
        ("WebSocket", "chat.example.org/rooms/{room}", "room"),
    ]


def test_routes_are_found_behind_middleware() -> None:
    """An application wrapped by hand is listed like one that is not."""
    app = CORSMiddleware(Starlette(routes=[Mount("/chat", CORSMiddleware(rooms()))]))

    assert listed(app) == [("WebSocket", "/chat/rooms/{room}", "room")]


def test_an_application_without_routes_is_listed_where_it_is_mounted() -> None:
    """Static files and foreign applications are not left out."""

    async def foreign(scope: Any, receive: Any, send: Any) -> None:
        pass

    app = Starlette(routes=[Mount("/foreign", foreign), Mount("/", foreign, name="rest")])

    assert listed(app) == [("any", "/foreign", ""), ("any", "/", "rest")]


def test_an_application_that_tells_of_no_routes_gives_an_empty_list() -> None:
    """Any ASGI callable can be asked."""

    async def foreign(scope: Any, receive: Any, send: Any) -> None:
        pass

    assert listed(foreign) == []


def test_a_route_of_an_unknown_kind_is_listed_with_itself() -> None:
    """A framework's own kind of route does not break the list."""
    route = BaseRoute()

    (only,) = routes_of(Starlette(routes=[route]))

    assert only == listing.Listed("any", "/", "", route)


def test_routers_that_fastapi_includes_are_looked_into() -> None:
    """FastAPI keeps an included router as a whole; its routes are listed with the prefix."""
    router = APIRouter()
    router.add_api_websocket_route("/plain", plain)
    router.add_api_route("/items", home, response_model=None)
    ours = Router()
    ours.websocket_route("/chat", name="chat")(chat)
    router.routes.extend(ours.routes)
    app = FastAPI(openapi_url=None)
    app.include_router(router, prefix="/api")
    app.mount("/sub", rooms())

    assert listed(app) == [
        ("WebSocket", "/api/plain", "plain"),
        ("GET", "/api/items", "home"),
        ("WebSocket", "/api/chat", "chat"),
        ("WebSocket", "/sub/rooms/{room}", "room"),
    ]
    assert isinstance(routes_of(app)[2].endpoint, View)


def test_nothing_of_fastapi_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where FastAPI is not imported, or is an older one, routes are listed as they are."""
    monkeypatch.setattr(listing, "sys", SimpleNamespace(modules={}))

    assert listed(rooms()) == [("WebSocket", "/rooms/{room}", "room")]
