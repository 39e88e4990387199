"""Routes and routers, in Starlette, in FastAPI and alone."""

import logging
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, NoMatchFound, Route
from starlette.types import ASGIApp

from bocadillo import App, ConfigurationError, Router, WebSocket, WebSocketRoute
from bocadillo.routing import check_path, websocket_paths
from bocadillo.views import View
from tests.fakes import FakeServer, run


async def show(ws: WebSocket, room: str, limit: int = 5) -> None:
    await ws.send_json([room, limit])


def serve(app: ASGIApp, path: str, query: bytes = b"", **scope: Any) -> FakeServer:
    async def scenario() -> FakeServer:
        server = FakeServer(path=path, raw_path=path.encode(), query_string=query, **scope)
        await app(server.scope, server.receive, server.send)
        return server

    return run(scenario)


def sent(server: FakeServer) -> list[Any]:
    return [event["text"] for event in server.sent if event["type"] == "websocket.send"]


def statuses(server: FakeServer) -> list[int]:
    return [event["status"] for event in server.sent if "status" in event]


# Routes in other frameworks


def in_starlette() -> ASGIApp:
    return Starlette(routes=[WebSocketRoute("/rooms/{room}", show)])


def extended_into_starlette() -> ASGIApp:
    router = Router()
    router.websocket_route("/rooms/{room}")(show)
    app = Starlette()
    app.router.routes.extend(router.routes)
    return app


def extended_into_fastapi() -> ASGIApp:
    router = Router()
    router.websocket_route("/rooms/{room}")(show)
    app = FastAPI()
    app.router.routes.extend(router.routes)
    return app


def mounted_in_starlette() -> ASGIApp:
    app = App()
    app.websocket_route("/{room}")(show)
    return Starlette(routes=[Mount("/rooms", app)])


def mounted_in_fastapi() -> ASGIApp:
    router = Router()
    router.websocket_route("/{room}")(show)
    app = FastAPI()
    app.mount("/rooms", router)
    return app


def included_in_fastapi() -> ASGIApp:
    api = APIRouter()
    api.routes.append(WebSocketRoute("/{room}", show))
    app = FastAPI()
    app.include_router(api, prefix="/rooms")
    return app


def alone() -> ASGIApp:
    router = Router()
    router.websocket_route("/rooms/{room}")(show)
    return router


def a_route_alone() -> ASGIApp:
    return WebSocketRoute("/rooms/{room}", show)


WAYS = [
    in_starlette,
    extended_into_starlette,
    extended_into_fastapi,
    mounted_in_starlette,
    mounted_in_fastapi,
    included_in_fastapi,
    alone,
    a_route_alone,
]


@pytest.mark.parametrize("way", WAYS)
def test_a_route_keeps_everything_wherever_it_is_served(way: Any) -> None:
    """Frameworks copy routes as (path, endpoint, name); the endpoint is all of the view."""
    app = way()

    good = serve(app, "/rooms/blue", b"limit=7")
    bad = serve(app, "/rooms/blue", b"limit=x")

    assert sent(good) == ['["blue",7]']
    assert good.sent[-1]["code"] == 1000
    assert statuses(bad) == [400]
    assert sent(bad) == []


def test_the_endpoint_of_a_route_is_the_view() -> None:
    """Never the user's function, which would skip the handshake."""
    route = WebSocketRoute("/rooms/{room}", show, name="room")

    assert isinstance(route.endpoint, View)
    assert route.endpoint.handler is show
    assert WebSocketRoute("/{room}", route.endpoint).endpoint is route.endpoint


# Names and paths


def test_url_path_for_works_for_websocket_routes() -> None:
    """By the function's name, or the given one."""
    app = App()
    app.websocket_route("/rooms/{room}")(show)
    app.websocket_route("/halls/{room:int}", name="hall")(show)

    assert app.url_path_for("show", room="blue") == "/rooms/blue"
    assert app.url_path_for("hall", room=7) == "/halls/7"
    with pytest.raises(NoMatchFound):
        app.url_path_for("nowhere")


def test_the_decorator_returns_what_it_decorates() -> None:
    """The function stays a function, to be called and tested."""
    router = Router()

    assert router.websocket_route("/a/{room}")(show) is show
    assert App().websocket_route("/a/{room}")(show) is show


def test_the_first_registered_route_wins() -> None:
    """As everywhere in the field."""
    router = Router()

    @router.websocket_route("/{name}")
    async def first(ws: WebSocket, name: str) -> None:
        await ws.send(name)

    @router.websocket_route("/special")
    async def second(ws: WebSocket) -> None:
        await ws.send("never")

    assert sent(serve(router, "/special")) == ["special"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("rooms", "a path must start with '/', got 'rooms'"),
        ("", "a path must start with '/'"),
        (7, "a path must start with '/'"),
        ("/{id:itn}", r"/{id:itn}: unknown converter 'itn'; known: float, int, path, str, uuid"),
        ("/{a}/{a}", "parameter 'a' stands twice"),
        ("/{a", "parameters are written {name} or {name:converter}"),
        ("/{}", "parameters are written"),
        ("/{a b}", "parameters are written"),
    ],
)
def test_a_malformed_path_is_refused_where_it_is_written(path: Any, message: str) -> None:
    """Not by an `AssertionError`, and not by a route that never matches."""
    with pytest.raises(ConfigurationError, match=message.replace("{", r"\{")):
        Router().websocket_route(path)(show)


def test_check_path_returns_the_parameters_names() -> None:
    """In the order of the path."""
    assert check_path("/a/{b}/{c:int}/{d:path}") == ["b", "c", "d"]


def test_websocket_paths_are_found_below_mounts() -> None:
    """For the log line of an unknown path, and for `bocadillo routes`."""
    inner = Starlette(routes=[WebSocketRoute("/{room}", show)])
    routes = [
        Route("/", lambda request: PlainTextResponse("")),
        WebSocketRoute("/a/{room}", show),
        Mount("/inner", inner),
    ]

    assert websocket_paths(routes) == ["/a/{room}", "/inner/{room}"]


# No route


def test_an_unknown_path_is_http_404_and_one_line_with_the_nearest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Servers' own 403 sends people looking for a permission."""
    caplog.set_level(logging.INFO)
    app = App()
    app.websocket_route("/rooms/{room}")(show)
    app.websocket_route("/zebras/{room}")(show)

    server = serve(app, "/room/blue")

    assert statuses(server) == [404]
    assert server.sent[-1]["body"] == b"not found\n"
    assert [record.getMessage() for record in caplog.records] == [
        "no WebSocket route for '/room/blue'; the nearest is /rooms/{room}"
    ]


def test_an_unknown_path_is_403_where_the_server_cannot_answer() -> None:
    """An older server, without the extension."""
    server = serve(App(), "/nowhere", extensions={})

    assert [event["type"] for event in server.sent] == ["websocket.close"]


def test_a_hostile_path_does_no_harm_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """No control character reaches the terminal, and no megabyte the disk."""
    caplog.set_level(logging.INFO)
    path = "/\x1b[31m\r\nfake" + "x" * 100_000

    serve(App(), path)

    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert len(record.getMessage()) < 400
    assert record.getMessage().endswith("there are none")


def test_requests_on_a_router_are_not_found() -> None:
    """A router has no HTTP side."""

    async def scenario() -> list[Any]:
        sent_events: list[Any] = []

        async def send(event: Any) -> None:
            sent_events.append(event)

        async def receive() -> Any:
            return {"type": "http.request"}

        scope = {"type": "http", "path": "/", "method": "GET", "headers": []}
        await Router()(scope, receive, send)
        return sent_events

    assert run(scenario)[0]["status"] == 404


def test_an_unknown_option_is_refused_by_its_name() -> None:
    """A typo must not be a default."""
    with pytest.raises(TypeError, match="leave_grace"):
        Router(leave_grace=1)
    with pytest.raises(TypeError, match="values_type"):
        WebSocketRoute("/", show, values_type="json")
