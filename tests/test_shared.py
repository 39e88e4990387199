"""Controllers at work: how their one instance is built, what it gets, and its hooks."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from dishka import AsyncContainer, FromComponent, Provider, Scope
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from bocadillo import (
    App,
    ConfigurationError,
    Inject,
    RoutedPath,
    Router,
    WebSocket,
    WebSocketDisconnect,
    controller,
    websocket_mapping,
)
from bocadillo.shared import Controller, SharedMethod
from bocadillo.testing import ConnectionClosed, HandshakeRefused, connect, create_client
from tests.fakes import run, settle
from tests.injection import INJECT, Pool, Unknown, User, Work, noting, supplying


async def visit(app: ASGIApp, path: str = "/") -> list[Any]:
    """Connect, and return all that the method sent."""
    async with connect(app, path) as ws:
        return [message async for message in ws]


def ask(app: ASGIApp, path: str = "/") -> list[Any]:
    return run(lambda: visit(app, path))


def refusal(app: ASGIApp, path: str = "/") -> tuple[int, bytes]:
    """Return the status and body by which a client is not let in."""
    with pytest.raises(HandshakeRefused) as refused:
        ask(app, path)
    return refused.value.status, refused.value.body


# Built once


@controller
class Numbered:
    """Tells which instance it is."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.number = type(self).made

    def __init_subclass__(cls) -> None:
        cls.made = 0

    @websocket_mapping("/")
    @websocket_mapping("/too")
    async def view(self, ws: WebSocket) -> None:
        await ws.send(str(self.number))

    @websocket_mapping("/other")
    async def other(self, ws: WebSocket) -> None:
        await ws.send(str(self.number))


def numbered() -> Any:
    """Return a controller of which there are no instances yet."""
    return controller(type("Numbered", (Numbered,), {}))


def test_it_is_built_at_the_first_connection_for_all_its_routes() -> None:
    """What it holds is shared; nothing is made at import."""
    cls = numbered()
    app = App(controllers=[cls])

    async def scenario() -> list[Any]:
        assert cls.made == 0
        return [*await visit(app), *await visit(app, "/too"), *await visit(app, "/other")]

    assert run(scenario) == ["1", "1", "1"]


def test_each_application_has_an_instance_of_its_own() -> None:
    """Two applications of one process, such as two tests, do not meet."""
    cls = numbered()
    one, two = App(controllers=[cls]), App(controllers=[cls])

    async def scenario() -> list[Any]:
        return [await visit(app) for app in (one, two, one, two)]

    assert run(scenario) == [["1"], ["2"], ["1"], ["2"]]


def test_a_router_that_is_included_twice_has_one_instance() -> None:
    """It is the same controller, under two paths."""
    cls, app, router = numbered(), App(), Router()
    router.include_controllers(cls)
    app.include_router(router, "/a")
    app.include_router(router, "/b")

    async def scenario() -> list[Any]:
        return [await visit(app, path) for path in ("/a/", "/b/", "/a/too")]

    assert run(scenario) == [["1"], ["1"], ["1"]]


def test_each_lifespan_has_an_instance_of_its_own() -> None:
    """After a restart in the same process nothing old is left."""
    app = App(controllers=[numbered()])

    async def scenario() -> list[Any]:
        answers = []
        for _ in range(2):
            async with app.router.lifespan_context(app):
                answers += [await visit(app), await visit(app)]
        return answers

    assert run(scenario) == [["1"], ["1"], ["2"], ["2"]]


def test_each_event_loop_has_an_instance_of_its_own() -> None:
    """A lock of a loop that has ended would never be released."""
    app = App(controllers=[numbered()])

    assert [ask(app), ask(app)] == [["1"], ["2"]]
    with create_client(app) as client:
        for _ in range(2):
            with client.websocket_connect("/") as ws:
                assert ws.receive_text() == "3"


def test_two_first_connections_get_the_same_instance() -> None:
    """Also where what it asks for takes its time."""
    gate = asyncio.Event()
    provider = Provider(scope=Scope.APP)

    async def pool() -> Pool:
        await gate.wait()
        return Pool()

    provider.provide(pool)
    made: list[Any] = []

    @controller
    class Slow:
        def __init__(self, pool: Inject[Pool]) -> None:
            made.append(self)

        @websocket_mapping("/")
        async def view(self, ws: WebSocket) -> None:
            await ws.send(str(made.index(self)))

    app = App(providers=[provider], controllers=[Slow])

    async def scenario() -> list[Any]:
        clients = [asyncio.create_task(visit(app)) for _ in range(2)]
        await settle()
        assert made == []
        gate.set()
        return [*await asyncio.gather(*clients)]

    assert run(scenario) == [["0"], ["0"]]
    assert len(made) == 1


def failing(*failures: Exception | None) -> Any:
    """Return a controller whose constructor fails as told, each time as the next says."""
    left = [*failures]

    @controller
    class Failing:
        def __init__(self) -> None:
            if (failure := left.pop(0)) is not None:
                raise failure

        @websocket_mapping("/")
        async def view(self, ws: WebSocket) -> None:
            await ws.send("served")

    return Failing


def test_a_constructor_that_fails_refuses_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A database that was not up yet must not make a restart necessary."""
    app = App(controllers=[failing(LookupError("a secret"), LookupError("a secret"), None)])

    async def scenario() -> None:
        for _ in range(2):
            with pytest.raises(HandshakeRefused) as refused:
                await visit(app)
            assert (refused.value.status, refused.value.body) == (500, b"Internal Server Error\n")
        assert await visit(app) == ["served"]
        assert await visit(app) == ["served"]

    run(scenario)

    assert len(caplog.records) == 2
    assert all(record.exc_info for record in caplog.records)


def test_a_constructor_may_refuse_by_an_http_exception() -> None:
    """With the status that it says, and no traceback."""
    app = App(controllers=[failing(HTTPException(503, "not yet"))])

    assert refusal(app) == (503, b"not yet")


def test_whoever_waits_for_a_constructor_that_fails_tries_it_himself() -> None:
    """One failure is one client's."""
    gate, tries = asyncio.Event(), []
    provider = Provider(scope=Scope.APP)

    async def pool() -> Pool:
        tries.append(1)
        await gate.wait()
        if len(tries) == 1:
            raise LookupError("not up yet")
        return Pool("up")

    provider.provide(pool)

    @controller
    class Waits:
        def __init__(self, pool: Inject[Pool]) -> None:
            self.pool = pool

        @websocket_mapping("/")
        async def view(self, ws: WebSocket) -> None:
            await ws.send(self.pool.name)

    app = App(providers=[provider], controllers=[Waits])

    async def scenario() -> list[Any]:
        clients = [asyncio.create_task(visit(app)) for _ in range(2)]
        await settle()
        gate.set()
        return [*await asyncio.gather(*clients, return_exceptions=True)]

    refused, served = run(scenario)
    assert isinstance(refused, HandshakeRefused)
    assert served == ["up"]


# What the constructor gets


@controller
class Asking:
    def __init__(
        self,
        pool: Inject[Pool],
        container: Inject[AsyncContainer],
        named: "Annotated[Pool, FromComponent('x')]",
        limit: int = 3,
        *rest: Any,
        **more: Any,
    ) -> None:
        self.told = f"{pool.name} {named.name} {limit} {rest} {more}"
        self.container = container

    @websocket_mapping("/")
    async def view(self, ws: WebSocket) -> None:
        pool = await self.container.get(Pool)
        await ws.send(f"{self.told} {pool.name}")


def test_the_constructor_gets_what_lives_with_the_application() -> None:
    """Components and the container, too; what is not injected keeps its default."""
    component = Provider(scope=Scope.APP, component="x")
    component.provide(lambda: Pool("x's"), provides=Pool)

    app = App(providers=[noting([]), component], controllers=[Asking])

    assert ask(app) == ["pool x's 3 () {} pool"]


@controller
@dataclass
class Data:
    pool: Inject[Pool]
    seen: list[str] = field(default_factory=list)

    @websocket_mapping("/{name}")
    async def view(self, ws: WebSocket, name: str) -> None:
        self.seen.append(name)
        await ws.send(f"{self.pool.name} {self.seen}")


def test_a_controller_may_be_a_dataclass() -> None:
    """Its fields are what it asks for."""
    app = App(providers=[noting([])], controllers=[Data])

    async def scenario() -> list[Any]:
        return [await visit(app, "/a"), await visit(app, "/b")]

    assert run(scenario) == [["pool ['a']"], ["pool ['a', 'b']"]]


@controller
class Register(dict[str, int]):
    @websocket_mapping("/{name}")
    async def view(self, ws: WebSocket, name: str) -> None:
        self[name] = self.get(name, 0) + 1
        await ws.send(str(self[name]))


def test_a_controller_may_be_a_subclass_of_a_builtin() -> None:
    """Whose constructor tells nothing of its parameters."""
    app = App(controllers=[Register])

    async def scenario() -> list[Any]:
        return [await visit(app, "/a"), await visit(app, "/a")]

    assert run(scenario) == [["1"], ["2"]]


def constructed(hint: Any) -> Any:
    """Return a controller whose constructor asks for something."""

    def init(self: object, thing: Any) -> None: ...

    async def view(self: object, ws: WebSocket) -> None: ...

    init.__annotations__["thing"] = hint
    return controller(type("Wants", (), {"__init__": init, "view": websocket_mapping("/")(view)}))


ASKED = "controller Wants.__init__(): parameter 'thing' asks for "


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        (
            INJECT[User],
            f"{ASKED}User, which has scope SESSION: it is built once for all connections; "
            "ask for it in the methods that need it",
        ),
        (INJECT[Work], f"{ASKED}Work, which has scope REQUEST: it is built once"),
        (INJECT[WebSocket], f"{ASKED}WebSocket, which has scope SESSION: it is built once"),
        (INJECT[Unknown], f"{ASKED}Unknown, which no provider of the nearest router"),
        (
            Pool,
            "controller Wants.__init__() asks for 'thing', which nobody has; possible: "
            "`thing: Inject[…]`, or a default",
        ),
    ],
)
def test_what_the_constructor_cannot_get_is_refused_at_registration(hint: Any, told: str) -> None:
    """With what it asked for, and why not."""
    with pytest.raises(ConfigurationError) as refused:
        App(providers=[noting([])], controllers=[constructed(hint)])

    assert str(refused.value).startswith(told)


def test_an_application_without_providers_supplies_nothing() -> None:
    """The message says what is missing."""
    with pytest.raises(ConfigurationError, match="write App\\(providers="):
        App(controllers=[constructed(INJECT[Pool])])


def test_in_a_router_without_providers_the_refusal_is_that_of_the_includer() -> None:
    """Until then it is not known who supplies."""
    router = Router()
    router.include_controllers(constructed(INJECT[Pool]))

    App(providers=[noting([])]).include_router(router)
    with pytest.raises(ConfigurationError, match="asks for Pool, which nothing supplies"):
        App().include_router(router)


def test_an_abstract_controller_is_refused_at_registration() -> None:
    """It could never be built."""

    @controller
    class Unfinished(ABC):
        @abstractmethod
        def name(self) -> str: ...

        @websocket_mapping("/")
        async def view(self, ws: WebSocket) -> None:
            await ws.send(self.name())

    with pytest.raises(ConfigurationError) as refused:
        App(controllers=[Unfinished])

    assert str(refused.value) == "controller Unfinished is abstract; it lacks: name"


def test_what_it_was_given_is_closed_with_the_application() -> None:
    """After its last connection."""
    steps: list[Any] = []
    app = App(providers=[noting(steps)], controllers=[Data])

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            await visit(app, "/a")
            await visit(app, "/b")
            assert steps == ["pool opened"]

    run(scenario)

    assert steps == ["pool opened", "pool closed"]


def test_an_override_reaches_a_controller_that_was_built_before() -> None:
    """It is built anew of the fakes; then the real one is back, as it was."""
    app = App(providers=[noting([])], controllers=[Data])
    app.include_router(router := Router(), "/included")
    router.include_controllers(Data)

    async def scenario() -> list[Any]:
        answers = [await visit(app, "/a")]
        with app.override(supplying("fake")):
            answers += [await visit(app, "/b"), await visit(app, "/included/c")]
        return [*answers, await visit(app, "/d")]

    assert run(scenario) == [["pool ['a']"], ["fake ['b']"], ["fake ['c']"], ["pool ['a', 'd']"]]


def test_an_override_builds_a_controller_that_asks_for_nothing_anew_too() -> None:
    """A test that overrides anything meets nothing of what was before."""
    app = App(controllers=[numbered()])

    async def scenario() -> list[Any]:
        answers = [await visit(app)]
        with app.override():
            answers += [await visit(app), await visit(app)]
        return [*answers, await visit(app)]

    assert run(scenario) == [["1"], ["2"], ["2"], ["1"]]


# What methods get


@controller("/{room}")
class Gets:
    @websocket_mapping("/special")
    async def special(self, session: Any, ws: Any, websocket: Any) -> None:
        assert session is ws is websocket
        await session.send_json("the connection")

    @websocket_mapping("/annotated")
    async def annotated(self, peer: WebSocket[dict[str, int], list[int]]) -> None:
        message = await peer.receive()
        await peer.send([*message.values()])

    @websocket_mapping("/url/{id:int}")
    async def url(
        self, ws: WebSocket, room: str, id: int, path: RoutedPath, headers: Headers, limit: int = 5
    ) -> None:
        await ws.send_json([room, id, limit, path, path.params, headers["host"]])

    @websocket_mapping("/injected")
    async def injected(self, ws: WebSocket, pool: Inject[Pool], user: Inject[User]) -> None:
        assert user.ws is ws
        await ws.send_json(pool.name)

    def on_connect(self, room: str, ws: WebSocket, user: Inject[User]) -> None:
        assert user.ws is ws
        assert room == "tea"


def test_methods_and_hooks_get_what_their_signatures_ask_for() -> None:
    """As any view: by annotation, by name, from path, query, headers and providers."""
    app = App(providers=[noting([])], controllers=[Gets])

    async def scenario() -> list[Any]:
        answers = []
        for path in ("special", "annotated", "url/7?limit=2", "injected"):
            async with connect(app, f"/tea/{path}") as ws:
                if path == "annotated":
                    await ws.send_json({"x": 1, "y": 2})
                answers.append(await ws.receive_json())
        return answers

    assert run(scenario) == [
        "the connection",
        [1, 2],
        ["tea", 7, 2, "/tea/url/7?limit=2", {"room": "tea", "id": 7}, "testserver"],
        "pool",
    ]


def test_bad_parameters_are_refused_before_it_is_built() -> None:
    """A client who cannot type its URL costs nothing."""
    made: list[Any] = []

    @controller
    class Typed:
        def __init__(self) -> None:
            made.append(self)

        @websocket_mapping("/{n}")
        async def view(self, ws: WebSocket, n: int) -> None: ...

    status, body = refusal(App(controllers=[Typed]), "/x")

    assert status == 400
    assert b'"loc":["path","n"]' in body
    assert made == []


def test_a_method_may_accept_a_connection_that_is_accepted() -> None:
    """As others want it; it says nothing on the wire."""

    @controller
    class Accepts:
        @websocket_mapping("/")
        async def view(self, session: WebSocket) -> None:
            await session.accept()
            await session.send("accepted")

        @websocket_mapping("/by-itself", auto_accept=False)
        async def by_itself(self, session: WebSocket) -> None:
            assert session.is_connecting
            await session.accept()
            await session.send("accepted")

    app = App(controllers=[Accepts])

    assert [ask(app), ask(app, "/by-itself")] == [["accepted"], ["accepted"]]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("view", "controller Puzzled.view(): nothing supplies parameter 'thing'"),
        ("on_connect", "controller Puzzled.on_connect(): nothing supplies parameter 'thing'"),
        ("on_disconnect", "controller Puzzled.on_disconnect(): nothing supplies parameter 'thing'"),
        ("process_request", "controller Puzzled.process_request(): nothing supplies parameter"),
    ],
)
def test_what_a_method_cannot_get_is_refused_at_registration(name: str, told: str) -> None:
    """With class and method."""

    async def view(self: object) -> None: ...

    async def asks(self: object, thing: int) -> None: ...

    methods: dict[str, Any] = {"view": view, name: asks}
    websocket_mapping("/")(methods["view"])

    with pytest.raises(ConfigurationError) as refused:
        App(controllers=[controller(type("Puzzled", (), methods))])

    assert str(refused.value).startswith(told)


def test_methods_may_not_ask_for_what_lives_with_a_message() -> None:
    """As any view that runs once per connection."""

    @controller
    class Holds:
        @websocket_mapping("/")
        async def view(self, work: Inject[Work]) -> None: ...

    with pytest.raises(ConfigurationError, match="controller Holds.view\\(\\): parameter 'work'"):
        App(providers=[noting([])], controllers=[Holds])


# Hooks


def stepping(steps: list[Any], **hooks: Any) -> Any:
    """Return a controller that notes its steps; *hooks* are further methods."""

    async def view(self: object, ws: WebSocket, how: str) -> None:
        steps.append("view")
        if how == "raises":
            raise LookupError("the first")
        if how == "closes":
            await ws.close(4001)
        if how == "waits":
            await ws.receive()

    return controller(type("Steps", (), {"view": websocket_mapping("/{how}")(view), **hooks}))


class SyncHooks:
    def on_connect(self, ws: WebSocket, path: RoutedPath) -> None:
        steps.append(("connected", ws.is_open, str(path)))

    def on_disconnect(self, ws: WebSocket, path: RoutedPath, close_code: int) -> None:
        steps.append(("disconnected", ws.is_open, str(path), close_code))


class AsyncHooks:
    async def on_connect(self, ws: WebSocket, path: RoutedPath) -> None:
        await asyncio.sleep(0)
        SyncHooks.on_connect(self, ws, path)  # type: ignore[arg-type]

    async def on_disconnect(self, ws: WebSocket, path: RoutedPath, close_code: int) -> None:
        await asyncio.sleep(0)
        SyncHooks.on_disconnect(self, ws, path, close_code)  # type: ignore[arg-type]


steps: list[Any] = []


@pytest.fixture(autouse=True)
def _no_steps() -> None:
    steps.clear()


@pytest.mark.parametrize("hooks", [SyncHooks, AsyncHooks])
@pytest.mark.parametrize(("how", "code"), [("returns", 1000), ("closes", 4001), ("leaves", 4000)])
def test_hooks_run_around_each_connection_of_every_path(hooks: type, how: str, code: int) -> None:
    """Sync or async; by `path` and `close_code` they know which, and how it ended."""
    methods = {name: value for name, value in vars(hooks).items() if name.startswith("on_")}
    app = App(controllers=[stepping(steps, **methods)])
    path = "/waits" if how == "leaves" else f"/{how}"

    async def scenario() -> None:
        async with connect(app, path) as ws:
            if how == "leaves":
                await ws.close(4000)

    run(scenario)

    assert steps == [
        ("connected", True, path),
        "view",
        ("disconnected", False, path, code),
    ]


def test_each_of_two_paths_has_its_hooks_called() -> None:
    """One `on_disconnect` serves all methods of a controller, and can tell them apart."""

    @controller("/c")
    class Two:
        @websocket_mapping("/a/{n:int}")
        async def a(self) -> None: ...

        @websocket_mapping("/b")
        async def b(self) -> None: ...

        async def on_disconnect(self, path: RoutedPath) -> None:
            assert path.route is not None
            steps.append((path.route.name, path.params))  # type: ignore[attr-defined]

    app = App(controllers=[Two])

    ask(app, "/c/a/7")
    ask(app, "/c/b")

    assert steps == [("Two.a", {"n": 7}), ("Two.b", {})]


def test_no_hook_runs_for_a_client_that_was_refused() -> None:
    """By the controller's own `process_request`, which may be sync and ask, too."""

    def process_request(self: object, how: str) -> Any:
        steps.append(how)
        return 403, {}, b"no\n"

    methods = {"process_request": process_request, "on_connect": SyncHooks.on_connect}
    app = App(controllers=[stepping(steps, **methods)])

    assert refusal(app, "/x") == (403, b"no\n")
    assert steps == ["x"]


def test_a_failed_on_connect_skips_the_method_but_not_on_disconnect() -> None:
    """What it had taken is given back."""

    def on_connect(self: object) -> None:
        raise LookupError("no database")

    app = App(
        controllers=[stepping(steps, on_connect=on_connect, on_disconnect=SyncHooks.on_disconnect)]
    )

    with pytest.raises(ConnectionClosed, match="1011"):
        ask(app, "/x")

    assert steps == [("disconnected", False, "/x", 1011)]


@pytest.mark.parametrize("is_async", [True, False])
def test_an_on_disconnect_that_fails_never_hides_the_first_error(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Both are in the log, once each; the client is told of the first by its code."""

    def fails(self: object) -> None:
        raise OSError("the second")

    async def fails_later(self: object) -> None:
        raise OSError("the second")

    app = App(controllers=[stepping(steps, on_disconnect=fails_later if is_async else fails)])
    client = create_client(app, raise_server_exceptions=False)

    with client.websocket_connect("/raises") as ws:
        assert ws.receive() == {"type": "websocket.close", "code": 1011, "reason": ""}

    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [type(error) for error in errors] == [LookupError, OSError]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "Steps.view: the view failed" in caplog.records[0].getMessage()
    assert "Steps.view: on_disconnect failed" in caplog.records[1].getMessage()


def test_an_on_disconnect_that_fails_changes_no_ending(caplog: pytest.LogCaptureFixture) -> None:
    """The connection had its close code by then."""

    def fails(self: object) -> None:
        raise OSError("the second")

    app = App(controllers=[stepping(steps, on_disconnect=fails)])
    client = create_client(app, raise_server_exceptions=False)

    with client.websocket_connect("/returns") as ws:
        assert ws.receive()["code"] == 1000

    assert len(caplog.records) == 1


def test_a_lost_connection_is_a_leaving() -> None:
    """The method is told, and `on_disconnect` knows 1006."""

    @controller
    class Tells:
        @websocket_mapping("/", caught_close_codes=())
        async def view(self, ws: WebSocket) -> None:
            try:
                await ws.receive()
            except WebSocketDisconnect as exc:
                steps.append(exc.code)

        def on_disconnect(self, close_code: int) -> None:
            steps.append(close_code)

    app = App(controllers=[Tells])

    async def scenario() -> None:
        async with connect(app, "/") as ws:
            await ws.drop()

    run(scenario)

    assert steps == [1006, 1006]


def test_what_hooks_were_injected_is_closed_after_on_disconnect() -> None:
    """Of each connection its own."""
    log: list[Any] = []

    @controller
    class Injected:
        @websocket_mapping("/")
        async def view(self, user: Inject[User]) -> None:
            log.append("view")

        async def on_disconnect(self, user: Inject[User]) -> None:
            log.append("disconnected")

    app = App(providers=[noting(log)], controllers=[Injected])

    async def scenario() -> None:
        await visit(app)
        await visit(app)

    run(scenario)

    once = ["user opened", "view", "disconnected", "user closed"]
    assert log == ["pool opened", *once, *once]


def test_a_bad_message_closes_with_1007() -> None:
    """As in any view."""

    @controller
    class Typed:
        @websocket_mapping("/")
        async def view(self, ws: WebSocket[list[int], int]) -> None:
            await ws.send(sum(await ws.receive()))

    async def scenario() -> int:
        async with connect(App(controllers=[Typed]), "/") as ws:
            await ws.send_json({"no": "list"})
            with pytest.raises(ConnectionClosed) as closed:
                await ws.receive()
            return closed.value.code

    assert run(scenario) == 1007


# The room itself


def test_a_shared_method_is_named_after_class_and_method() -> None:
    """For log lines and the list of routes."""
    method = SharedMethod(Controller(Numbered), "view")

    assert method.__name__ == "Numbered.view"
    assert method.__qualname__ == "Numbered.view"
    assert method.__module__ == __name__


def test_a_plan_asks_for_what_constructor_and_methods_ask_for() -> None:
    """So that all of it is checked when the route is made."""
    plan = SharedMethod(Controller(Data), "view").plan(["name"])

    assert plan.body is Data.view
    assert [ask.parameter for ask in plan.asks] == ["pool"]


async def fails_to_open() -> AsyncIterator[Pool]:
    raise HTTPException(503, "the database is down\n")
    yield Pool()


def test_a_provider_that_fails_refuses_like_a_constructor_that_does() -> None:
    """What it raises is what the client is told by."""
    provider = Provider(scope=Scope.APP)
    provider.provide(fails_to_open)

    assert refusal(App(providers=[provider], controllers=[Data]), "/a") == (
        503,
        b"the database is down\n",
    )
