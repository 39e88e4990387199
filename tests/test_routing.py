"""Routes and routers, in Starlette, in FastAPI and alone."""

import asyncio
import copy
import logging
import pickle
import signal
from typing import Any

import pytest
import websockets
from fastapi import APIRouter, Depends, FastAPI
from fastapi import WebSocket as FastAPIWebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, NoMatchFound, Route
from starlette.routing import WebSocketRoute as StarletteWebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from bocadillo import App, ConfigurationError, RoutedPath, Router, WebSocket, WebSocketRoute
from bocadillo.leaving import Times
from bocadillo.routes import check_path, join, websocket_paths
from bocadillo.testing import connect
from bocadillo.views import View
from tests.fakes import FakeServer, run


async def show(ws: WebSocket, room: str, limit: int = 5) -> None:
    await ws.send_json([room, limit])


async def show_path(ws: WebSocket, path: RoutedPath) -> None:
    await ws.send_json([path, path.params])


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


def included_in_an_app() -> ASGIApp:
    router = Router()
    router.websocket_route("/{room}")(show)
    app = App()
    app.include_router(router, "/rooms")
    return app


def by_its_short_name() -> ASGIApp:
    router = Router()
    router.route("/rooms/{room}")(show)
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
    included_in_an_app,
    by_its_short_name,
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


def test_a_view_with_options_takes_no_others() -> None:
    """A hook beside a finished view would be forgotten in silence."""
    view = WebSocketRoute("/", show_path).endpoint

    with pytest.raises(ConfigurationError, match="<View show_path> has options already"):
        WebSocketRoute("/", view, process_request=lambda path: None)


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


def test_the_same_path_twice_is_a_warning_that_names_both() -> None:
    """The second would never be served, and nobody would know."""
    router = Router()
    router.websocket_route("/rooms")(show_path)

    with pytest.warns(
        UserWarning, match="^/rooms is registered twice: show_path is served, and b never$"
    ) as caught:
        router.websocket_route("/rooms", name="b")(show_path)

    assert caught[0].filename == __file__


def test_the_same_path_of_an_included_router_is_a_warning_too() -> None:
    """It is one router in the end, and one of the two is never served."""
    router, app = Router(), App()
    router.websocket_route("/rooms", name="included")(show_path)
    app.websocket_route("/v1/rooms", name="own")(show_path)

    with pytest.warns(UserWarning, match="/v1/rooms .* own is served, and included never"):
        app.include_router(router, "/v1")


def test_a_request_and_a_websocket_may_have_one_path() -> None:
    """A page and its connection, say."""
    app = App(routes=[Route("/rooms", lambda request: PlainTextResponse(""))])

    app.websocket_route("/rooms")(show_path)
    app.add_route("/rooms", lambda request: PlainTextResponse(""), methods=["POST"])

    assert sent(serve(app, "/rooms")) == ['["/rooms",{}]']


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


# Routers in routers


@pytest.mark.parametrize("prefix", ["/v1", "/v1/", "/v1//"])
@pytest.mark.parametrize("path", ["/rooms", "//rooms"])
def test_prefix_and_path_are_joined_with_exactly_one_slash(prefix: str, path: str) -> None:
    """Neither /v1rooms nor /v1//rooms, which nobody would find."""
    assert join(prefix, path) == "/v1/rooms"
    assert join("", path) == path


def test_an_included_route_keeps_its_name_and_options() -> None:
    """Only its path is another."""
    router = Router()
    router.websocket_route("/{room}", name="room", value_type="json")(show)
    app = App()

    app.include_router(router, prefix="/rooms/")

    assert app.url_path_for("room", room="blue") == "/rooms/blue"
    assert app.routes[0].endpoint.send_codec is router.routes[0].endpoint.send_codec  # type: ignore[attr-defined]
    assert sent(serve(app, "/rooms/blue")) == ['["blue",5]']
    assert router.url_path_for("room", room="blue") == "/blue"


def test_routes_added_later_are_seen_through_every_inclusion() -> None:
    """Modules are imported in any order."""
    innermost, inner, app = Router(), Router(), App()
    app.include_router(inner, "/inner")
    inner.include_router(innermost, "/innermost")

    innermost.route("/decorated")(show_path)
    innermost.routes.append(WebSocketRoute("/appended", show_path))
    innermost.routes += [WebSocketRoute("/added", show_path)]
    innermost.routes.insert(0, WebSocketRoute("/inserted", show_path))
    innermost.mount("/mounted", Starlette(routes=[WebSocketRoute("/deep", show_path)]))

    for path in ("decorated", "appended", "added", "inserted", "mounted/deep"):
        whole = f"/inner/innermost/{path}"
        assert sent(serve(app, whole)) == [f'["{whole}",{{}}]']


def test_the_first_registered_wins_among_included_routers_too() -> None:
    """The order is that of registration, whenever the router was included."""
    app, first, second = App(), Router(), Router()
    app.include_router(second)
    app.include_router(first)

    first.route("/{first}")(show_path)
    second.route("/{second}")(show_path)

    assert sent(serve(app, "/x")) == ['["/x",{"first":"x"}]']


def test_one_router_may_be_included_twice() -> None:
    """An old prefix and a new one."""
    router, app = Router(), App()
    router.route("/{room}")(show)

    app.include_router(router, "/v1")
    app.include_router(router, "/v2")

    assert sent(serve(app, "/v1/blue")) == sent(serve(app, "/v2/blue")) == ['["blue",5]']


def test_a_prefix_may_have_parameters() -> None:
    """They reach the view by its path."""
    router, app = Router(), App()
    router.route("/{room}")(show_path)

    app.include_router(router, "/{tenant:int}")

    assert sent(serve(app, "/7/blue")) == ['["/7/blue",{"tenant":7,"room":"blue"}]']


def test_a_router_cannot_include_itself() -> None:
    """Not by way of another one either."""
    outer, inner = Router(), Router()
    outer.include_router(inner)

    for router in (outer, inner):
        with pytest.raises(ConfigurationError, match="a router cannot include itself"):
            inner.include_router(router)


@pytest.mark.parametrize(
    ("router", "prefix", "message"),
    [
        (APIRouter(), "", "include_router takes a Router, got <fastapi"),
        (Router(), "v1", "a path must start with '/', got 'v1'"),
        (Router(), "/{a:itn}", "unknown converter 'itn'"),
    ],
)
def test_what_cannot_be_included_is_refused(router: Any, prefix: str, message: str) -> None:
    """Where it is written, not where it is missed."""
    with pytest.raises(ConfigurationError, match=message):
        App().include_router(router, prefix)


def test_a_parameter_stands_once_in_prefix_and_path() -> None:
    """Only one of the two could reach the view."""
    router = Router()
    router.route("/{room}")(show_path)

    with pytest.raises(ConfigurationError, match="parameter 'room' stands twice"):
        App().include_router(router, "/{room}")


def test_a_router_with_requests_cannot_be_included() -> None:
    """It would lose them; a mount does not."""
    router = Router([Route("/page", lambda request: PlainTextResponse(""))])

    with pytest.raises(ConfigurationError, match="'/page'.* cannot be included; mount it"):
        App().include_router(router)


async def tag(ws: FastAPIWebSocket) -> None:
    ws.scope["tag"] = "seen"


def test_an_included_route_of_a_framework_keeps_what_its_framework_does() -> None:
    """Here FastAPI's dependencies, which its endpoint knows nothing of."""
    fastapi = FastAPI()

    @fastapi.websocket("/ws", dependencies=[Depends(tag)])
    async def foreign(ws: FastAPIWebSocket) -> None:
        await ws.accept()
        await ws.send_text(ws.scope["tag"])

    router, app = Router(), App()
    router.routes.append(fastapi.routes[-1])
    app.include_router(router, "/v1")

    async def scenario() -> str:
        async with connect(app, "/v1/ws") as ws:
            return await ws.receive_text()

    assert run(scenario) == "seen"


class Wrapped:
    """Middleware that counts."""

    count = 0

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        Wrapped.count += 1
        await self.app(scope, receive, send)


def test_the_middleware_around_a_view_is_kept() -> None:
    """It may be what keeps people out."""
    view = WebSocketRoute("/", show_path).endpoint
    router, app = Router(), App()
    router.routes.append(StarletteWebSocketRoute("/ws", view, middleware=[Middleware(Wrapped)]))
    app.include_router(router, "/v1")
    before = Wrapped.count

    serve(app, "/v1/ws")

    assert Wrapped.count == before + 1


def test_routes_given_to_a_router_have_its_times_and_origins() -> None:
    """Whether by the decorator, at the beginning or by Starlette's own ways."""
    app = App(
        routes=[WebSocketRoute("/given", show_path)],
        leave_grace_s=0.5,
        allowed_origins=["https://mine.example"],
    )
    app.router.routes.append(WebSocketRoute("/appended", show_path))
    evil = [(b"host", b"testserver"), (b"origin", b"https://evil.example")]

    for route in app.routes:
        assert route.endpoint.times.leave_grace_s == 0.5  # type: ignore[attr-defined]
        assert statuses(serve(app, route.path, headers=evil)) == [403]  # type: ignore[attr-defined]


def test_times_that_are_set_later_are_those_of_later_routes() -> None:
    """How `bocadillo run` shortens them."""
    router = Router()

    router.times = Times(leave_grace_s=0.5)
    router.route("/")(show_path)

    assert router.times.leave_grace_s == 0.5
    assert router.routes[0].endpoint.times is router.times  # type: ignore[attr-defined]


def test_a_router_given_no_origins_goes_by_those_around_it() -> None:
    """And by its own, where it has some."""
    app = App(allowed_origins=["https://app.example"], leave_grace_s=0.5)
    plain, strict = Router(), Router(allowed_origins=[], leave_grace_s=3)
    plain.route("/plain")(show_path)
    strict.route("/strict")(show_path)
    app.include_router(plain)
    app.include_router(strict)
    headers = [(b"host", b"testserver"), (b"origin", b"https://app.example")]

    assert statuses(serve(app, "/plain", headers=headers)) == []
    assert statuses(serve(app, "/strict", headers=headers)) == [403]
    assert [route.endpoint.times.leave_grace_s for route in app.routes] == [0.5, 3]  # type: ignore[attr-defined]


def test_a_copy_of_the_routes_is_a_plain_list() -> None:
    """What is done to a copy concerns no router."""
    router = Router([WebSocketRoute("/", show_path)])

    for taken in (copy.copy(router.routes), router.routes[:]):
        assert type(taken) is list
        assert taken == router.routes
    assert pickle.loads(pickle.dumps(Router().routes)) == []


def test_a_route_put_back_is_the_same_route() -> None:
    """Its router is around it already."""
    router = Router()
    router.route("/a")(show_path)
    route = router.routes.pop()

    router.routes.append(route)

    assert router.routes[0] is route


def test_hosts_and_mounts_are_routes_as_any() -> None:
    """Without hooks there is nothing to bring along."""
    inner = Router([WebSocketRoute("/{room}", show)])
    router = Router([Mount("/rooms", inner), Host("rooms.example", inner)])
    at_host = [(b"host", b"rooms.example")]

    assert sent(serve(router, "/rooms/blue")) == ['["blue",5]']
    assert sent(serve(router, "/blue", headers=at_host)) == ['["blue",5]']
    assert websocket_paths(router.routes) == ["/rooms/{room}"]


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


def events_of(server: FakeServer) -> list[Any]:
    return [(event["type"], event.get("code"), event.get("reason")) for event in server.sent]


CLOSED = [("websocket.accept", None, None), ("websocket.close", 4040, "not found")]


@pytest.mark.parametrize("make", [App, Router])
def test_no_match_close_accepts_and_closes_with_4040(make: Any) -> None:
    """What clients can tell from a network error, and code for browsers to read."""
    app = make(no_match="close")
    app.websocket_route("/rooms")(show_path)

    assert events_of(serve(app, "/rooms/")) == CLOSED


def test_no_match_is_each_routers_own() -> None:
    """A mounted router answers for its own paths, an included one has none."""
    app, mounted, included = App(), Router(no_match="close"), Router(no_match="close")
    app.mount("/mounted", mounted)
    app.include_router(included, "/included")

    assert events_of(serve(app, "/mounted/x")) == CLOSED
    assert statuses(serve(app, "/included/x")) == [404]
    assert statuses(serve(app, "/x")) == [404]


def test_no_match_close_says_nothing_to_a_client_that_left() -> None:
    """Nobody is there, and that is no error."""
    server = FakeServer(path="/nowhere")
    server.queue.get_nowait()
    server.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def scenario() -> None:
        await Router(no_match="close")(server.scope, server.receive, server.send)

    run(scenario)
    assert server.sent == []


def test_an_unknown_no_match_is_refused() -> None:
    """With what is possible."""
    with pytest.raises(ConfigurationError, match="no_match must be 'deny' or 'close', got 'drop'"):
        App(no_match="drop")  # type: ignore[arg-type]


def test_the_nearest_route_is_looked_for_only_where_it_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A client can ask for unknown paths as often as it likes."""
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr("difflib.get_close_matches", None)
    router = Router([WebSocketRoute("/rooms", show_path)])

    assert statuses(serve(router, "/nowhere")) == [404]


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


# A router served alone


def greeting() -> Router:
    router = Router()

    @router.route("/hello/{name}")
    async def hello(ws: WebSocket, name: str) -> None:
        await ws.send(f"hello {name}")

    return router


async def greeted(url: str) -> str:
    async with websockets.connect(url) as ws:
        return str(await ws.recv())


def test_an_awaited_router_serves_until_it_is_closed() -> None:
    """As `websockets.serve` does."""

    async def scenario() -> None:
        server = await greeting().serve("127.0.0.1", 0)

        assert await greeted(f"ws://127.0.0.1:{server.port}/hello/ann") == "hello ann"
        server.close()
        await server.wait_closed()

        with pytest.raises(OSError, match="refused|Connect"):
            await greeted(server.ws_url("/hello/ann"))

    run(scenario)


def test_a_router_entered_by_async_with_is_stopped_at_the_end() -> None:
    """Also when the block fails."""

    urls = []

    async def fail_while_serving() -> None:
        async with greeting().serve("127.0.0.1", 0) as server:
            urls.append(server.ws_url("/hello/bo"))
            assert await greeted(urls[0]) == "hello bo"
            raise LookupError

    async def scenario() -> None:
        with pytest.raises(LookupError):
            await fail_while_serving()
        with pytest.raises(OSError, match="refused|Connect"):
            await greeted(urls[0])

    run(scenario)


def test_an_unknown_path_of_a_router_alone_is_http_404() -> None:
    """Before the client is let in."""

    async def scenario() -> None:
        async with greeting().serve(port=0) as server:
            with pytest.raises(websockets.InvalidStatus) as caught:
                await websockets.connect(server.ws_url("/nowhere"))
        assert caught.value.response.status_code == 404
        assert caught.value.response.body == b"not found\n"

    run(scenario)


def test_a_port_in_use_is_an_os_error() -> None:
    """Never `SystemExit`, which would take the whole program along."""

    async def scenario() -> None:
        async with greeting().serve(port=0) as server:
            with pytest.raises(OSError, match=f"port {server.port}"):
                await greeting().serve("127.0.0.1", server.port)

    run(scenario)


def test_a_router_alone_takes_no_signal_handlers() -> None:
    """They are the host program's."""

    async def scenario() -> None:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        async with greeting().serve(port=0):
            now = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        assert now == handlers

    run(scenario)


def test_options_are_uvicorns() -> None:
    """An unknown one is refused at once."""
    with pytest.raises(TypeError, match="uvicorn has no option 'ws_pingg_interval'"):
        Router().serve(ws_pingg_interval=1)
    with pytest.raises(ValueError, match="option 'workers' has no meaning"):
        Router().serve(workers=2)


def test_a_view_that_does_not_end_cannot_hold_up_the_end_of_the_server() -> None:
    """The shutdown's grace is the router's."""
    router = Router(shutdown_grace_s=0)
    begun = asyncio.Event()

    @router.route("/sleeps")
    async def sleeps(ws: WebSocket) -> None:
        begun.set()
        await asyncio.sleep(60)

    async def scenario() -> None:
        async with router.serve(port=0) as server:
            ws = await websockets.connect(server.ws_url("/sleeps"))
            await begun.wait()
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await ws.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012

    run(scenario)


def test_a_number_of_too_many_digits_fits_no_route() -> None:
    """Python reads 4300 at most; a client must not make a traceback of it."""
    router = Router()

    @router.route("/{id:int}")
    async def view(ws: WebSocket, id: int) -> None: ...

    assert statuses(serve(router, "/" + "1" * 5000)) == [404]


@pytest.mark.parametrize("is_served_alone", [False, True])
def test_a_router_that_overrides_app_sees_its_connections(is_served_alone: bool) -> None:
    """The way around it saves memory, and is taken only where nobody would notice."""
    seen: list[str] = []

    class Noting(Router):
        async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["path"])
            await super().app(scope, receive, send)

    router = Noting()

    @router.route("/")
    async def view(ws: WebSocket) -> None:
        pass

    app = router if is_served_alone else Starlette(routes=[Mount("/", app=router)])
    server = FakeServer()
    run(lambda: app(server.scope, server.receive, server.send))

    assert seen == ["/"]
    assert server.sent[0]["type"] == "websocket.accept"


def test_a_scope_has_what_starlette_would_have_put_into_it() -> None:
    """Middleware, `request.url_for` and tracing tools read these keys."""
    found: dict[str, Any] = {}
    app = App()

    @app.websocket_route("/rooms/{room}", name="room")
    async def view(ws: WebSocket, room: str) -> None:
        found.update(ws.scope)

    server = FakeServer(path="/rooms/blue")
    run(lambda: app(server.scope, server.receive, server.send))

    assert found["app"] is app
    assert found["router"] is app.router
    assert found["route"] is app.routes[0]
    assert found["endpoint"] is app.routes[0].endpoint
    assert found["path_params"] == {"room": "blue"}


@pytest.mark.parametrize("what", ["route", "router", "wrapper"])
def test_what_others_put_around_a_view_is_called(what: str) -> None:
    """The short way to a view is taken only where nobody stands in it."""
    seen: list[str] = []

    class NotingRoute(WebSocketRoute):
        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append("route")
            await super().handle(scope, receive, send)

    class NotingRouter(Router):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append("router")
            await super().__call__(scope, receive, send)

    async def view(ws: WebSocket) -> None:
        pass

    app = App()
    route = NotingRoute("/", view) if what == "route" else WebSocketRoute("/", view)
    fake: Any = app
    if what == "router":
        fake.router = NotingRouter()
    app.router.routes.append(route)
    if what == "wrapper":
        router = app.router

        async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append("wrapper")
            await router(scope, receive, send)

        fake.router = wrapper
    server = FakeServer()
    run(lambda: app(server.scope, server.receive, server.send))

    assert seen == [what]
    assert server.sent[0]["type"] == "websocket.accept"
