"""`process_request` hooks: who runs, when, with what, and what their answers do."""

import asyncio
import functools
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException, WebSocketException
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route
from starlette.routing import WebSocketRoute as StarletteWebSocketRoute
from starlette.types import ASGIApp, Message

from bocadillo import App, ConfigurationError, RoutedPath, Router, WebSocket, WebSocketRoute
from tests.fakes import FakeServer, left, run, text

Hook = Callable[..., Any]


def serve(app: ASGIApp, path: str = "/", *events: Message, **scope: Any) -> FakeServer:
    """Serve one connection and return what the server saw."""

    async def scenario() -> FakeServer:
        server = FakeServer(*events, path=path, raw_path=path.encode(), **scope)
        await app(server.scope, server.receive, server.send)
        return server

    return run(scenario)


def ending(server: FakeServer) -> tuple[str, Any, Any]:
    """Return the last event's type with what tells it apart."""
    last = server.sent[-1]
    if last["type"] == "websocket.close":
        return ("close", last["code"], last["reason"])
    start = server.sent[-2]
    return ("http", start["status"], last["body"])


LET_IN = ("close", 1000, "")


class Visits:
    """An application with one view, which notes who came so far."""

    def __init__(self, *hooks: Hook, **options: Any) -> None:
        self.steps: list[Any] = []
        self.app = App(**options)

        @self.app.websocket_route("/", process_request=hooks)
        async def view(ws: WebSocket) -> None:
            self.steps.append("view")


async def go_on() -> None:
    pass


# What a hook may answer


def test_a_hook_that_returns_none_lets_the_view_run() -> None:
    """The usual case."""
    visits = Visits(go_on)

    assert ending(serve(visits.app)) == LET_IN
    assert visits.steps == ["view"]


HEADERS = {"x-why": "because"}

ANSWERS: list[tuple[Any, tuple[str, int, bytes]]] = [
    ((404, [], b"nothing here\n"), ("http", 404, b"nothing here\n")),
    ((HTTPStatus.UNAUTHORIZED, HEADERS, "who are you?"), ("http", 401, b"who are you?")),
    ((429, [("x-why", "because")], b""), ("http", 429, b"")),
    ([403, None, b"a list will do"], ("http", 403, b"a list will do")),
    ((200, {}, "an answer, but no upgrade"), ("http", 200, b"an answer, but no upgrade")),
    ((599, {}, b""), ("http", 599, b"")),
]


@pytest.mark.parametrize(("answer", "seen"), ANSWERS, ids=str)
def test_a_hook_refuses_by_status_headers_and_body(answer: Any, seen: Any) -> None:
    """The client gets just that, and the view never runs."""

    async def hook() -> Any:
        return answer

    visits = Visits(hook)
    server = serve(visits.app)

    assert ending(server) == seen
    assert visits.steps == []
    if answer[1]:
        assert (b"x-why", b"because") in server.sent[0]["headers"]


def test_a_hook_may_be_an_ordinary_function() -> None:
    """There is often nothing to wait for."""
    assert ending(serve(Visits(lambda: (404, {}, b"")).app)) == ("http", 404, b"")
    assert ending(serve(Visits(lambda: None).app)) == LET_IN


BAD: list[Any] = [
    (),
    False,
    True,
    0,
    404,
    "no",
    b"",
    (404, {}),
    (404, {}, b"", 1),
    (101, {}, b""),
    (199, {}, b""),
    (600, {}, b""),
    (999, [], b""),
    (4040, [], b""),
    ("404", {}, b""),
    (None, {}, b""),
    (404, {}, None),
    (404, {}, {"why": "because"}),
    (404, 7, b""),
    (404, {"x": "a\r\nset-cookie: b"}, b""),
    (404, {"a b": "c"}, b""),
    (404, [("a",)], b""),
    (404, {"x": 1}, b""),
    object(),
    PlainTextResponse("no"),
]


@pytest.mark.parametrize("answer", BAD)
def test_a_bad_answer_is_http_500_and_one_line_that_says_what_is_possible(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that meant to refuse must never let in."""

    def hook() -> Any:
        return answer

    visits = Visits(hook)
    server = serve(visits.app)

    assert ending(server) == ("http", 500, b"Internal Server Error\n")
    assert visits.steps == []
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "view: process_request hook hook() returned" in record.getMessage()
    assert "possible: None to go on, or (status, headers, body)" in record.getMessage()


class Teapot(Exception):
    """An application's own exception."""


RAISED: list[tuple[Exception, Any]] = [
    (HTTPException(401, "who?", HEADERS), ("http", 401, b"who?")),
    (HTTPException(503), ("http", 503, b"Service Unavailable")),
    (WebSocketException(4001, "why"), ("close", 4001, "why")),  # which is HTTP 403
    (LookupError("a secret"), ("http", 500, b"Internal Server Error\n")),
]


@pytest.mark.parametrize(("error", "seen"), RAISED, ids=repr)
def test_an_exception_of_a_hook_is_answered_like_one_of_the_view(
    error: Exception, seen: Any
) -> None:
    """And the view never runs."""

    async def hook() -> None:
        raise error

    visits = Visits(hook)

    assert ending(serve(visits.app)) == seen
    assert visits.steps == []


def test_the_applications_exception_handlers_answer_for_hooks_too() -> None:
    """One place for all of them."""

    async def hook() -> None:
        raise Teapot

    def brew(request: Any, exc: Exception) -> PlainTextResponse:
        return PlainTextResponse("short and stout", status_code=418)

    visits = Visits(hook, exception_handlers={Teapot: brew})

    assert ending(serve(visits.app)) == ("http", 418, b"short and stout")
    assert visits.steps == []


def test_a_bug_in_a_hook_is_logged_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client is told nothing of it."""

    async def hook() -> None:
        raise LookupError("a secret")

    serve(Visits(hook).app)

    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


# Hooks that act themselves


def test_a_hook_may_refuse_by_itself() -> None:
    """What it returns then is not asked for."""

    async def hook(ws: WebSocket) -> None:
        await ws.reject(402, "pay first")

    visits = Visits(hook)

    assert ending(serve(visits.app)) == ("http", 402, b"pay first")
    assert visits.steps == []


def test_a_hook_may_close_by_itself() -> None:
    """Which is HTTP 403 before accept."""

    async def hook(ws: WebSocket) -> tuple[int, Any, bytes]:
        await ws.close()
        return 404, {}, b"too late"

    visits = Visits(hook)
    server = serve(visits.app)

    assert [event["type"] for event in server.sent] == ["websocket.close"]
    assert visits.steps == []


def test_a_hook_may_accept_by_itself_and_the_view_runs_once() -> None:
    """To greet before the view does."""

    async def hook(ws: WebSocket) -> None:
        await ws.accept()
        await ws.send("wait")

    visits = Visits(hook)
    server = serve(visits.app)

    kinds = [event["type"].removeprefix("websocket.") for event in server.sent]
    assert kinds == ["accept", "send", "close"]
    assert visits.steps == ["view"]


def accepting(then: Any) -> Hook:
    async def hook(ws: WebSocket) -> Any:
        await ws.accept()
        if isinstance(then, Exception):
            raise then
        return then

    return hook


ACCEPTED: list[tuple[Any, Any]] = [
    ((403, {}, b"no"), ("close", 1008, "")),
    ((404, {}, b"no"), ("close", 1008, "")),
    ((), ("close", 1011, "")),
    (HTTPException(401, "who?"), ("close", 1008, "who?")),
    (LookupError("a secret"), ("close", 1011, "")),
]


@pytest.mark.parametrize(("then", "seen"), ACCEPTED, ids=repr)
def test_a_refusal_after_accept_is_a_close_code(then: Any, seen: Any) -> None:
    """It is too late for an HTTP answer, but not for the refusal."""
    visits = Visits(accepting(then))

    assert ending(serve(visits.app)) == seen
    assert visits.steps == []


def test_a_second_hook_refuses_what_the_first_has_accepted() -> None:
    """An accept is no pass."""
    visits = Visits(accepting(None), lambda: (403, {}, b""))

    assert ending(serve(visits.app)) == ("close", 1008, "")
    assert visits.steps == []


def test_a_client_that_leaves_during_a_hook_meets_no_view() -> None:
    """Nothing is sent, and nothing is logged as an error."""

    async def hook(ws: WebSocket) -> None:
        assert (await ws.receive_event())["type"] == "websocket.connect"
        assert (await ws.receive_event())["type"] == "websocket.disconnect"

    visits = Visits(hook)
    server = serve(visits.app, "/", left(1006, ""))

    assert server.sent == []
    assert visits.steps == []


def test_a_hook_that_takes_too_long_is_http_503(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that hangs must not hold clients for ever."""
    monkeypatch.setattr("bocadillo.leaving.SWEEP_INTERVAL_S", 0.01)

    async def hook() -> None:
        await asyncio.sleep(60)

    visits = Visits(hook, handshake_timeout_s=0.02)

    assert ending(serve(visits.app)) == ("http", 503, b"the handshake took too long\n")
    assert visits.steps == []
    assert "the handshake took too long" in caplog.text


def test_a_hook_that_outlives_its_cancellation_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bare `except` in a hook is not a way in."""
    monkeypatch.setattr("bocadillo.leaving.SWEEP_INTERVAL_S", 0.01)

    async def hook() -> tuple[int, Any, bytes] | None:
        try:
            await asyncio.sleep(60)
        except BaseException:
            return 403, {}, b"late"
        return None

    visits = Visits(hook, handshake_timeout_s=0.02)

    assert ending(serve(visits.app)) == ("http", 403, b"late")
    assert visits.steps == []


# What a hook may ask for


def test_a_hook_is_called_with_what_it_asks_for() -> None:
    """As views are: by annotation and by name."""
    seen: list[Any] = []

    async def hook(
        ws: WebSocket, path: RoutedPath, headers: Headers, id: int, limit: int = 5
    ) -> None:
        seen.extend([ws.query_params["limit"], path, headers["host"], id, limit])

    app = App()

    @app.websocket_route("/rooms/{id}", process_request=hook)
    async def view(ws: WebSocket) -> None: ...

    serve(app, "/rooms/7", query_string=b"limit=9")

    assert seen == ["9", "/rooms/7?limit=9", "testserver", 7, 9]


def test_path_and_its_context_are_the_same_object_in_all_hooks_and_the_view() -> None:
    """What a hook has looked up, the view need not look up again."""
    seen: list[Any] = []

    async def outer(path: RoutedPath) -> None:
        path.context["user"] = "ann"
        seen.append(path)

    def inner(path: str) -> None:
        seen.append(path)

    app = App(process_request=outer)

    @app.websocket_route("/rooms/{room:int}", process_request=inner)
    async def view(ws: WebSocket, path: RoutedPath) -> None:
        seen.append(path)
        seen.append((path.params, path.context, path.route))

    serve(app, "/rooms/7")

    assert seen[0] is seen[1] is seen[2]
    assert seen[3] == ({"room": 7}, {"user": "ann"}, app.routes[0])


def test_context_is_a_fresh_dict_per_connection() -> None:
    """Nothing of one client reaches another."""
    seen: list[dict[str, Any]] = []

    async def hook(path: RoutedPath) -> None:
        assert path.context == {}
        path.context["user"] = len(seen)

    app = App(process_request=hook)

    @app.websocket_route("/")
    async def view(ws: WebSocket, path: RoutedPath) -> None:
        seen.append(path.context)

    serve(app)
    serve(app)

    assert seen == [{"user": 0}, {"user": 1}]


def test_params_have_nothing_of_the_query_string() -> None:
    """A client must not write into what the path has settled."""
    seen: list[Any] = []

    async def hook(path: RoutedPath) -> None:
        seen.append((path.params, str(path)))

    app = App()

    @app.websocket_route("/things/{id}", process_request=hook)
    async def view(ws: WebSocket) -> None: ...

    serve(app, "/things/123", query_string=b"id=7&x=1")

    assert seen == [({"id": "123"}, "/things/123?id=7&x=1")]


@pytest.mark.parametrize("kind", ["app", "route"])
def test_a_bad_query_parameter_of_a_hook_is_http_400(kind: str) -> None:
    """It is the client's mistake, not ours."""

    async def hook(limit: int = 1) -> None: ...

    visits = Visits(process_request=hook) if kind == "app" else Visits(hook)
    server = serve(visits.app, query_string=b"limit=many")

    assert ending(server)[:2] == ("http", 400)
    assert b'"loc":["query","limit"]' in ending(server)[2]
    assert visits.steps == []


def test_bad_parameters_of_the_view_are_answered_before_hooks_are_asked() -> None:
    """What can be refused cheaply is."""
    asked: list[str] = []
    app = App(process_request=lambda: asked.append("hook"))

    @app.websocket_route("/{id}")
    async def view(ws: WebSocket, id: int) -> None: ...

    assert ending(serve(app, "/x"))[:2] == ("http", 400)
    assert asked == []


def test_origins_are_checked_before_hooks_are_asked() -> None:
    """A hook that reads cookies never sees those of a stranger's page."""
    asked: list[str] = []
    visits = Visits(process_request=lambda: asked.append("hook"), allowed_origins=[])
    headers = [(b"host", b"testserver"), (b"origin", b"https://evil.example")]

    assert ending(serve(visits.app, headers=headers))[:2] == ("http", 403)
    assert asked == []


# Hooks that cannot work


class Guard:
    async def __call__(self, path: RoutedPath) -> tuple[int, Any, bytes] | None:
        return self.guard()

    def guard(self) -> tuple[int, Any, bytes] | None:
        return (403, {}, b"guarded")


def test_partials_and_bound_methods_are_hooks() -> None:
    """Functions of any kind."""

    def fixed(status: int) -> tuple[int, Any, bytes]:
        return status, {}, b""

    assert ending(serve(Visits(Guard().guard).app)) == ("http", 403, b"guarded")
    assert ending(serve(Visits(functools.partial(fixed, status=418)).app))[:2] == ("http", 418)


def test_an_object_that_can_be_called_is_a_hook() -> None:
    """One that keeps a pool or a key."""
    assert ending(serve(Visits(Guard()).app)) == ("http", 403, b"guarded")


async def wants_more(ws: WebSocket, database: str) -> None: ...


BAD_HOOKS: list[tuple[Any, str]] = [
    (7, "process_request takes functions, got 7"),
    ("hook", "process_request takes functions, got 'h'"),
    (Guard, "process_request takes functions, got <class"),
    ([go_on, None], "process_request takes functions, got None"),
    ({go_on}, "process_request takes functions, got {"),
    (wants_more, r"hook wants_more\(\): nothing supplies parameter 'database'"),
    ([go_on, wants_more], r"hook wants_more\(\): nothing supplies parameter 'database'"),
]


@pytest.mark.parametrize(("hooks", "message"), BAD_HOOKS)
@pytest.mark.parametrize("kind", ["app", "router", "route"])
def test_a_hook_that_cannot_work_is_refused_where_it_is_given(
    kind: str, hooks: Any, message: str
) -> None:
    """Not at the first connection."""
    give: dict[str, Callable[[], object]] = {
        "app": lambda: App(process_request=hooks),
        "router": lambda: Router(process_request=hooks),
        "route": lambda: Router().websocket_route("/", process_request=hooks)(view),
    }

    with pytest.raises(ConfigurationError, match=message):
        give[kind]()


async def view(ws: WebSocket) -> None: ...


async def wants_room(room: str) -> None: ...


def test_a_hook_of_a_router_knows_no_path_parameters_by_name() -> None:
    """Its routes have different ones; `path.params` has them."""
    Router().websocket_route("/{room}", process_request=wants_room)(view)

    with pytest.raises(ConfigurationError, match="nothing supplies parameter 'room'"):
        Router(process_request=wants_room)


# Order, and each exactly once


class Journey:
    """Hooks that note their names, and a view that notes itself."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def hook(self, name: str) -> Hook:
        async def noting() -> None:
            self.steps.append(name)

        return noting

    async def view(self, ws: WebSocket) -> None:
        self.steps.append("view")

    def router(self, name: str) -> Router:
        """Return a router with one hook, and one route with one hook, "/view"."""
        router = Router(process_request=self.hook(name))
        hook = self.hook(f"route of {name}")
        router.websocket_route("/view", process_request=hook)(self.view)
        return router

    def walk(self, app: ASGIApp, path: str) -> list[str]:
        self.steps.clear()
        serve(app, path)
        return [*self.steps]


def test_hooks_run_outermost_first_in_the_order_in_which_they_are_given() -> None:
    """An application's log-in before a route's permission."""
    journey = Journey()
    hook = journey.hook
    app = App(process_request=[hook("app 1"), hook("app 2")])
    app.websocket_route("/", process_request=[hook("route 1"), hook("route 2")])(journey.view)

    assert journey.walk(app, "/") == ["app 1", "app 2", "route 1", "route 2", "view"]


def test_a_class_has_its_hook_last() -> None:
    """It is the innermost of all."""
    journey = Journey()

    class Room:
        async def process_request(self) -> None:
            journey.steps.append("class")

        async def handle(self, ws: WebSocket) -> None:
            journey.steps.append("view")

    app = App(process_request=journey.hook("app"))
    app.websocket_route("/", process_request=journey.hook("route"))(Room)

    assert journey.walk(app, "/") == ["app", "route", "class", "view"]


def test_the_first_hook_that_refuses_is_the_last_that_is_asked() -> None:
    """The others may rely on it."""
    journey = Journey()
    app = App(process_request=[journey.hook("app"), lambda: (403, {}, b"")])
    app.websocket_route("/", process_request=journey.hook("route"))(journey.view)

    assert journey.walk(app, "/") == ["app"]


def nested(join: Callable[[Any, Any, str], None]) -> tuple[Journey, App, str]:
    """Return App / outer / inner, joined in one way."""
    journey = Journey()
    app = App(process_request=journey.hook("app"))
    outer, inner = journey.router("outer"), journey.router("inner")
    join(outer, inner, "/inner")
    join(app, outer, "/outer")
    return journey, app, "/outer/inner/view"


def include(outer: Any, inner: Any, prefix: str) -> None:
    outer.include_router(inner, prefix)


def mount(outer: Any, inner: Any, prefix: str) -> None:
    outer.mount(prefix, inner)


def mount_by_route(outer: Any, inner: Any, prefix: str) -> None:
    outer.routes.append(Mount(prefix, inner))


JOINS = [include, mount, mount_by_route]
ALL_THREE = ["app", "outer", "inner", "route of inner", "view"]


@pytest.mark.parametrize("join", JOINS)
def test_nested_routers_hooks_run_outermost_first_each_once(join: Any) -> None:
    """Included or mounted makes no difference to who is asked."""
    journey, app, path = nested(join)

    assert journey.walk(app, path) == ALL_THREE
    assert journey.walk(app, "/outer/view") == ["app", "outer", "route of outer", "view"]


@pytest.mark.parametrize("first", JOINS)
@pytest.mark.parametrize("second", JOINS)
def test_inclusions_and_mounts_can_be_mixed(first: Any, second: Any) -> None:
    """In either order, before or after the routes are there."""
    for early in (True, False):
        journey = Journey()
        app = App(process_request=journey.hook("app"))
        outer = Router(process_request=journey.hook("outer"))
        inner = Router(process_request=journey.hook("inner"))
        if early:
            first(app, outer, "/outer")
        second(outer, inner, "/inner")
        inner.websocket_route("/view", process_request=journey.hook("route of inner"))(journey.view)
        if not early:
            first(app, outer, "/outer")

        assert journey.walk(app, "/outer/inner/view") == ALL_THREE


def test_a_hook_that_two_routers_share_runs_for_each() -> None:
    """Each of them asked for it."""
    journey = Journey()
    shared = journey.hook("shared")
    app, router = App(process_request=shared), Router(process_request=shared)
    router.websocket_route("/")(journey.view)
    app.include_router(router)

    assert journey.walk(app, "/") == ["shared", "shared", "view"]


def test_a_router_that_is_met_twice_is_asked_once() -> None:
    """Its routes bring it along, and it is mounted besides."""
    journey = Journey()
    router = journey.router("router")
    app = App()
    app.mount("/mounted", router)
    app.include_router(router, "/included")
    app.router.routes.append(Mount("/handed-on", routes=router.routes))

    for way in ("mounted", "included", "handed-on"):
        assert journey.walk(app, f"/{way}/view") == ["router", "route of router", "view"]


# Hooks stay with what is handed on


def handed_on(router: Router) -> ASGIApp:
    return Mount("/v1", routes=[*router.routes])


@pytest.mark.parametrize(
    "adding", ["given", "appended", "added", "inserted", "included", "mounted"]
)
def test_hooks_stay_with_routes_however_they_came_into_the_router(adding: str) -> None:
    """The router that is passed over must not be the one that kept people out."""
    journey = Journey()
    route = WebSocketRoute("/view", journey.view)
    router = Router([route] if adding == "given" else [], process_request=journey.hook("router"))
    if adding == "appended":
        router.routes.append(route)
    elif adding == "added":
        router.routes += [route]
    elif adding == "inserted":
        router.routes.insert(0, route)
    elif adding == "included":
        router.include_router(Router([route]))
    elif adding == "mounted":
        router.mount("/", Router([route]))

    assert journey.walk(handed_on(router), "/v1/view") == ["router", "view"]
    assert journey.walk(router, "/view") == ["router", "view"]


def test_hooks_stay_with_mounts_of_an_included_router() -> None:
    """The included router itself is passed over."""
    journey = Journey()
    inner = Router(process_request=journey.hook("inner"))
    inner.mount("/mounted", journey.router("mounted"))
    app = App(process_request=journey.hook("app"))
    app.include_router(inner, "/inner")

    steps = ["app", "inner", "mounted", "route of mounted", "view"]
    assert journey.walk(app, "/inner/mounted/view") == steps
    assert journey.walk(handed_on(app.router), "/v1/inner/mounted/view") == steps


def test_hooks_stay_with_hosts() -> None:
    """A Host is a Mount by another name."""
    journey = Journey()
    router = Router(process_request=journey.hook("router"))
    router.routes.append(Host("testserver", journey.router("host")))

    steps = ["router", "host", "route of host", "view"]
    assert journey.walk(router, "/view") == steps
    assert journey.walk(handed_on(router), "/v1/view") == steps


async def foreign(ws: Any) -> None:
    raise AssertionError("the view ran")


def test_a_route_that_would_skip_the_hooks_is_refused() -> None:
    """Starlette's own routes know nothing of them."""
    route = StarletteWebSocketRoute("/ws", foreign)
    guarded: list[Callable[[], object]] = [
        lambda: Router([route], process_request=go_on),
        lambda: App(routes=[route], process_request=go_on),
        lambda: App(process_request=go_on).router.routes.append(route),
        lambda: App(process_request=go_on).include_router(Router([route])),
    ]

    for put_in in guarded:
        with pytest.raises(ConfigurationError, match="'/ws'.* would skip the hooks"):
            put_in()


def test_requests_are_none_of_the_hooks_business() -> None:
    """They have middleware."""
    page = Route("/page", lambda request: PlainTextResponse(""))

    App(routes=[page, Mount("/pages", routes=[page])], process_request=go_on)


def test_an_unknown_path_asks_no_hook() -> None:
    """There is nothing to guard."""
    journey = Journey()

    assert journey.walk(journey.router("router"), "/nowhere") == []


def test_a_view_still_receives_all_that_was_sent_while_hooks_ran() -> None:
    """A client need not wait to be let in."""
    seen: list[str] = []

    async def hook() -> None:
        await asyncio.sleep(0)

    app = App(process_request=hook)

    @app.websocket_route("/")
    async def view(ws: WebSocket) -> None:
        seen.extend([await ws.receive(), await ws.receive()])

    serve(app, "/", text("a"), text("b"))

    assert seen == ["a", "b"]


def test_a_hook_that_accepts_leaves_nothing_to_accept() -> None:
    """Not even where the route would have chosen a subprotocol."""
    router = Router()

    async def welcome(ws: WebSocket) -> None:
        await ws.accept()

    @router.route("/", process_request=welcome, subprotocols=["v1"])
    async def view(ws: WebSocket) -> None:
        await ws.send("in")

    async def scenario() -> FakeServer:
        server = FakeServer(subprotocols=["v1"])
        await router(server.scope, server.receive, server.send)
        return server

    types = [event["type"] for event in run(scenario).sent]
    assert types == ["websocket.accept", "websocket.send", "websocket.close"]


@pytest.mark.parametrize(("own", "status"), [(None, 403), (["https://app.example"], None)])
def test_a_mounted_router_keeps_to_the_origins_around_it(own: Any, status: int | None) -> None:
    """Unless it names its own; a stranger's page must not come in by a mount."""
    router = Router(allowed_origins=own)
    app = App(allowed_origins=[])
    app.mount("/in", router)

    @router.route("/")
    async def view(ws: WebSocket) -> None: ...

    async def scenario() -> FakeServer:
        headers = [(b"host", b"good.example"), (b"origin", b"https://app.example")]
        server = FakeServer(path="/in/", raw_path=b"/in/", headers=headers)
        await app(server.scope, server.receive, server.send)
        return server

    assert run(scenario).sent[0].get("status") == status


@pytest.mark.parametrize("how", ["slice", "index", "assignment"])
def test_a_route_cannot_be_put_in_behind_the_hooks(how: str) -> None:
    """However the list of routes is written to."""

    async def view(ws: WebSocket) -> None:
        raise LookupError("never")

    async def refuse() -> tuple[int, dict[str, str], str]:
        return 401, {}, "no"

    router = Router(process_request=refuse)
    router.routes.append(WebSocketRoute("/other", view))
    if how == "slice":
        router.routes[0:0] = [WebSocketRoute("/", view)]
    elif how == "index":
        router.routes[0] = WebSocketRoute("/", view)
    else:
        router.routes = [WebSocketRoute("/", view)]

    async def scenario() -> FakeServer:
        server = FakeServer()
        await Starlette(routes=[*router.routes])(server.scope, server.receive, server.send)
        return server

    assert run(scenario).sent[0]["status"] == 401
