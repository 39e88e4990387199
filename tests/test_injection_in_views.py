"""What handlers get by `Inject[…]`, from where, for how long, and what is refused."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from dishka import AsyncContainer, FromComponent, Provider, Scope
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp
from starlette_dishka import ContainerMiddleware, inject

from bocadillo import App, ConfigurationError, Inject, Router, WebSocket, WebSocketView
from bocadillo.testing import HandshakeRefused, connect, create_client
from tests.fakes import run, settle
from tests.injection import INJECT, Pool, Unknown, User, Work, noting, supplying


def visit(app: ASGIApp, path: str = "/") -> list[Any]:
    """Connect, and return all that the view sent."""

    async def scenario() -> list[Any]:
        async with connect(app, path) as ws:
            return [message async for message in ws]

    return run(scenario)


def refusal(app: ASGIApp, path: str = "/") -> tuple[int, bytes]:
    """Return the status and body by which a client is not let in."""
    with pytest.raises(HandshakeRefused) as refused:
        visit(app, path)
    return refused.value.status, refused.value.body


# Who may ask for what

METHODS = ("__init__", "process_request", "on_connect", "handle", "on_disconnect")
HOOKS = ("route's hook", "router's hook", "app's hook")
ASKERS = ("function", *METHODS, *HOOKS)


def app_of(asker: str, hint: Any, got: list[Any], steps: list[Any] | None = None) -> App:
    """Return an application in which one handler asks for `thing`, and notes what it got."""

    def take(thing: Any) -> None:
        got.append(thing)

    async def serve(thing: Any) -> None:
        got.append(thing)

    def method(self: object, thing: Any) -> None:
        got.append(thing)

    async def handle(self: object, thing: Any = None) -> None:
        got.append(thing) if asker == "handle" else None

    async def quiet() -> None: ...

    asks = {"function": serve, "handle": handle}.get(asker, method if asker in METHODS else take)
    asks.__annotations__["thing"] = hint
    hooks = {asker: take}
    app = App(
        providers=[noting([] if steps is None else steps)], process_request=hooks.get("app's hook")
    )
    router = Router(process_request=hooks.get("router's hook"))
    view: Any = serve if asker == "function" else quiet
    if asker in METHODS:
        view = type("Views", (), {"handle": handle, asker: asks})
    router.route("/", process_request=hooks.get("route's hook"))(view)
    app.include_router(router)
    return app


@pytest.mark.parametrize("asker", ASKERS)
def test_everyone_gets_what_lives_with_the_application(asker: str) -> None:
    """One pool serves all connections."""
    got: list[Any] = []
    app = app_of(asker, INJECT[Pool], got)

    async def scenario() -> None:
        for _ in range(2):
            async with connect(app, "/"):
                pass
        assert got == [await app.container.get(Pool)] * 2

    run(scenario)


@pytest.mark.parametrize("asker", ASKERS)
def test_everyone_gets_what_lives_with_the_connection(asker: str) -> None:
    """And another connection gets another."""
    got: list[Any] = []
    app = app_of(asker, INJECT[User], got)

    visit(app)
    visit(app)

    one, two = got
    assert isinstance(one, User)
    assert one is not two


@pytest.mark.parametrize("asker", ASKERS)
def test_nobody_who_runs_once_per_connection_gets_what_lives_with_a_message(asker: str) -> None:
    """A database session held as long as a socket is open empties the pool."""
    with pytest.raises(ConfigurationError) as refused:
        app_of(asker, INJECT[Work], [])

    told = str(refused.value)
    assert "parameter 'thing' asks for Work, which has scope REQUEST" in told
    assert "async with container() as message: … await message.get(Work)" in told


OWNERS = {
    "function": "view serve(): ",
    **{name: f"view Views.{name}(): " for name in METHODS},
    **dict.fromkeys(HOOKS, "process_request hook take(): "),
}


@pytest.mark.parametrize("asker", ASKERS)
def test_what_nobody_supplies_is_refused_by_handler_parameter_and_type(asker: str) -> None:
    """Before the first client comes."""
    with pytest.raises(ConfigurationError) as refused:
        app_of(asker, INJECT[Unknown], [])

    told = f"{OWNERS[asker]}parameter 'thing' asks for Unknown, which no provider of the nearest "
    assert str(refused.value).startswith(told)


def test_all_handlers_of_a_connection_share_what_lives_with_it() -> None:
    """The hook that asks who it is saves the view the work."""
    got: list[Any] = []
    app = App(providers=[noting([])])

    def hook(user: Inject[User]) -> None:
        got.append(user)

    class Chat(WebSocketView[str]):
        def __init__(self, user: Inject[User]) -> None:
            got.append(user)

        def process_request(self, user: Inject[User], ws: WebSocket) -> None:
            assert user.ws is self.ws is ws
            got.append(user)

        async def handle(self, user: Inject[User], pool: Inject[Pool]) -> None:
            assert user.pool is pool
            got.append(user)

        def on_disconnect(self, close_code: int, user: Inject[User]) -> None:
            got.extend((user, close_code))

    app.websocket_route("/", process_request=hook)(Chat)
    visit(app)

    user = got[0]
    assert got == [user] * 5 + [1000]


def test_a_message_has_a_container_of_its_own_where_a_view_opens_one() -> None:
    """A unit of work is held no longer than the work takes."""
    steps: list[Any] = []
    app = App(providers=[noting(steps)])

    @app.websocket_route("/")
    async def view(ws: WebSocket, container: Inject[AsyncContainer]) -> None:
        async for _ in ws:
            async with container() as message:
                assert await message.get(Work) is await message.get(Work)
            await ws.send("done")

    async def scenario() -> None:
        async with connect(app, "/") as ws:
            for _ in range(2):
                await ws.send("do")
                await ws.receive()

    run(scenario)

    assert steps == ["pool opened", *("work opened", "work closed") * 2]


def test_the_connection_itself_can_be_injected() -> None:
    """Into constructors, too, and with any type arguments."""
    got: list[Any] = []
    app = App()

    @app.websocket_route("/")
    class Views:
        def __init__(self, connection: Inject[WebSocket]) -> None:
            got.append(connection)

        async def handle(self, ws: WebSocket, other: Inject[WebSocket[str, str]]) -> None:
            got.extend((ws, other))

    visit(app)

    assert got == [got[0]] * 3
    assert isinstance(got[0], WebSocket)


async def by_string(ws: "WebSocket", pool: "Inject[Pool]") -> None:
    await ws.send(pool.name)


@dataclass
class ByFields:
    pool: Inject[Pool]
    spare: "Annotated[Pool, FromComponent('spare')]"
    count: int = 0

    async def handle(self, ws: WebSocket) -> None:
        await ws.send(f"{self.pool.name}, {self.spare.name}, {self.count}")


async def by_position(pool: Inject[Pool], /, ws: WebSocket, *, spare: Inject[Pool]) -> None:
    await ws.send(f"{pool.name}, {spare.name}")


FORMS: list[tuple[Any, str]] = [
    (by_string, "usual"),
    (ByFields, "usual, spare, 0"),
    (by_position, "usual, usual"),
]


@pytest.mark.parametrize(("view", "sent"), FORMS)
def test_parameters_of_every_form_are_injected(view: Any, sent: str) -> None:
    """Strings, fields of dataclasses, components, by position and by name."""
    app = App(providers=[supplying("usual"), supplying("spare").to_component("spare")])
    app.websocket_route("/")(view)

    assert visit(app) == [sent]


class WantsPool:
    def __init__(self, pool: Pool) -> None: ...

    async def handle(self) -> None: ...


class WantsByPosition(WantsPool):
    def __init__(self, pool: Inject[Pool], /) -> None: ...


class WantsNothing(WantsPool):
    def __init__(self, *args: Any, limit: int = 5, **kwargs: Any) -> None:
        assert (args, limit, kwargs) == ((), 5, {})


@pytest.mark.parametrize("view", [WantsPool, WantsByPosition])
def test_a_constructor_that_asks_for_what_is_not_injected_is_refused(view: Any) -> None:
    """Nobody else could know the value."""
    told = rf"view {view.__name__}.__init__\(\) asks for 'pool', .*`pool: Inject\[…\]`"

    with pytest.raises(ConfigurationError, match=told):
        App(providers=[noting([])]).websocket_route("/")(view)


def test_what_a_constructor_need_not_be_given_is_left_out() -> None:
    """Defaults are for tests, and for others who make an instance."""
    app = App()
    app.websocket_route("/")(WantsNothing)

    assert visit(app) == []


# Where errors show


async def asks(ws: WebSocket, pool: Inject[Pool]) -> None:
    await ws.send(pool.name)


TOLD = "asks for Pool, which nothing supplies: there are no providers; write App"


def router_of_asks(**options: Any) -> Router:
    router = Router(**options)
    router.route("/")(asks)
    return router


def test_on_an_application_errors_show_at_registration() -> None:
    """The line that is wrong is the one in the traceback."""
    with pytest.raises(ConfigurationError, match=TOLD):
        App().websocket_route("/")(asks)


def test_on_a_router_errors_show_at_inclusion() -> None:
    """The providers may be those of the application that includes it."""
    router = router_of_asks()

    with pytest.raises(ConfigurationError, match=TOLD):
        App().include_router(router)
    App(providers=[supplying("a")]).include_router(router, "/works")


def starts_alone(router: Router) -> ASGIApp:
    return router


def starts_below_a_mount(router: Router) -> ASGIApp:
    outer, between = App(), Starlette()
    between.mount("/inner", router)
    outer.mount("/between", between)
    return outer


@pytest.mark.parametrize("place", [starts_alone, starts_below_a_mount])
def test_elsewhere_errors_show_at_start_up(place: Callable[[Router], ASGIApp]) -> None:
    """A deployment that cannot work does not come up."""
    client = create_client(place(router_of_asks()))

    with pytest.raises(ConfigurationError, match=TOLD):
        client.__enter__()


def in_starlette(router: Router) -> ASGIApp:
    return Starlette(routes=[*router.routes])


def in_fastapi(router: Router) -> ASGIApp:
    app = FastAPI()
    app.router.routes.extend(router.routes)
    return app


@pytest.mark.parametrize("place", [in_starlette, in_fastapi])
def test_in_other_frameworks_errors_show_at_the_first_connection(
    place: Callable[[Router], ASGIApp], caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody else tells us that all is registered; the log says what is missing."""
    app = place(router_of_asks())

    assert refusal(app) == (500, b"Internal Server Error\n")

    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ConfigurationError)
    assert TOLD in str(record.exc_info[1])


# Which router supplies


def test_the_nearest_router_with_providers_supplies() -> None:
    """A part of an application can bring its own."""
    app = App(providers=[supplying("app's")])
    outer, without = Router(providers=[supplying("outer's")]), router_of_asks()
    app.include_router(outer, "/outer")
    outer.include_router(router_of_asks(providers=[supplying("own")]), "/own")
    outer.include_router(without, "/without")
    app.include_router(without, "/without")
    app.mount("/mounted", without)

    assert visit(app, "/outer/own/") == ["own"]
    assert visit(app, "/outer/without/") == ["outer's"]
    assert visit(app, "/without/") == ["app's"]
    assert visit(app, "/mounted/") == ["app's"]


def test_a_hook_is_supplied_by_the_router_that_holds_it() -> None:
    """What a router checks at its door does not change with what is behind it."""
    got: list[str] = []

    def hook(pool: Inject[Pool]) -> None:
        got.append(pool.name)

    app = App(process_request=hook, providers=[supplying("app's")])
    between, inner = Router(process_request=hook), inner_router(process_request=hook)
    app.include_router(between, "/between")
    between.include_router(router_of_asks())
    app.include_router(inner, "/inner")
    app.mount("/mounted", inner)

    assert visit(app, "/between/") == ["app's"]
    assert got == ["app's", "app's"]
    got.clear()
    for path in ("/inner/", "/mounted/"):
        assert visit(app, path) == ["inner's"]
    assert got == ["app's", "inner's"] * 2


def inner_router(**options: Any) -> Router:
    return router_of_asks(providers=[supplying("inner's")], **options)


def test_a_hook_waits_for_its_providers_whatever_is_behind_it() -> None:
    """Routers are put together in any order, and some behind it may have their own."""
    got: list[str] = []

    def hook(pool: Inject[Pool]) -> None:
        got.append(pool.name)

    app = App(providers=[supplying("app's")])
    between = Router(process_request=hook)
    between.include_router(inner_router(), "/inner")
    app.include_router(between, "/between")

    assert visit(app, "/between/inner/") == ["inner's"]
    assert got == ["app's"]


def quiet_hook() -> None: ...


@pytest.mark.parametrize("hook", [None, quiet_hook])
def test_a_mount_of_a_router_keeps_to_the_routers_providers(hook: Any) -> None:
    """Also where the router is included, or its routes are handed to Starlette."""
    inner = Router(providers=[supplying("inner's")], process_request=hook)
    inner.mount("/deep", router_of_asks())
    app, bare = App(providers=[supplying("app's")]), App()
    for outer in (app, bare):
        outer.include_router(inner, "/inner")

    for outer in (app, bare):
        with create_client(outer) as client, client.websocket_connect("/inner/deep/") as ws:
            assert ws.receive_text() == "inner's"
    assert visit(in_starlette(inner), "/deep/") == ["inner's"]


def test_a_hook_of_a_router_with_providers_is_checked_where_it_is_given() -> None:
    """Nothing that comes later could supply it."""

    def hook(thing: Inject[Unknown]) -> None: ...

    with pytest.raises(ConfigurationError, match=r"hook hook\(\): parameter 'thing' asks for"):
        Router(process_request=hook, providers=[noting([])])


# Making


def in_order(steps: list[Any]) -> App:
    """Return an application with hooks that note that they were asked."""

    def hook(name: str) -> Callable[[], None]:
        return lambda: steps.append(name)

    app = App(providers=[noting(steps)], process_request=hook("app's hook"))

    @app.websocket_route("/", process_request=hook("route's hook"))
    class Views:
        def process_request(self) -> None:
            steps.append("own hook")

        async def on_connect(self, user: Inject[User]) -> None:
            steps.append(f"connected: {user.ws.accepted}")

        async def handle(self) -> None: ...

        async def on_disconnect(self) -> None:
            steps.append("disconnected")

    return app


def test_what_lives_with_the_connection_is_made_after_the_hooks_and_closed_last() -> None:
    """A client that is refused costs nothing; `on_disconnect` may still use everything."""
    steps: list[Any] = []

    visit(in_order(steps))

    assert steps == [
        *("app's hook", "route's hook", "own hook", "pool opened", "user opened"),
        *("connected: True", "disconnected", "user closed"),
    ]


def app_with(factory: Callable[..., Any], **options: Any) -> App:
    """Return an application whose view asks for what a function makes for a connection."""
    provider = Provider(scope=Scope.SESSION)
    provider.provide(factory, provides=Pool)
    app = App(providers=[provider], **options)
    app.websocket_route("/")(asks)
    return app


async def refuses(ws: WebSocket) -> Pool:
    assert ws.is_connecting
    raise HTTPException(401, f"who are you, {ws.query_params['name']}?")


def test_a_provider_may_refuse_the_client() -> None:
    """Who it is, is what many providers find out."""
    assert refusal(app_with(refuses), "/?name=Eve") == (401, b"who are you, Eve?")


async def rejects(ws: WebSocket) -> Pool:
    await ws.reject(403, "not you\n")
    return Pool()


def test_a_provider_may_reject_by_itself() -> None:
    """It has the connection."""
    assert refusal(app_with(rejects)) == (403, b"not you\n")


async def fails() -> Pool:
    raise LookupError("a secret")


def test_a_provider_that_fails_is_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    """The client learns nothing of it, the log has it once."""
    assert refusal(app_with(fails)) == (500, b"Internal Server Error\n")

    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


# Closing


def closing_app(steps: list[Any], view: Any, **options: Any) -> App:
    app = App(providers=[noting(steps)], **options)
    app.websocket_route("/")(view)
    return app


def test_what_a_hook_asked_for_is_closed_when_it_refuses() -> None:
    """Or each refused client would leave something open."""
    steps: list[Any] = []

    def hook(user: Inject[User]) -> Any:
        return 403, {}, b""

    async def view() -> None: ...

    assert refusal(closing_app(steps, view, process_request=hook))[0] == 403
    assert steps == ["pool opened", "user opened", "user closed"]


def test_the_provider_is_told_what_the_view_ended_by(caplog: pytest.LogCaptureFixture) -> None:
    """A hook's refusal by exception as well as a view's bug."""
    steps: list[Any] = []

    async def view(user: Inject[User]) -> None:
        raise HTTPException(403, "no")

    def hook(user: Inject[User]) -> None:
        raise HTTPException(403, "no")

    visit_failing = closing_app(steps, view)
    with pytest.raises(Exception, match="1008"):
        visit(visit_failing)
    refusal(closing_app(steps, view, process_request=hook))

    assert [step for step in steps if "closed" in step] == [
        "user closed by HTTPException(status_code=403, detail='no')"
    ] * 2


def test_everything_is_closed_in_reverse() -> None:
    """What was made of something is closed before it."""
    steps: list[Any] = []
    provider = Provider(scope=Scope.SESSION)

    async def pool() -> AsyncIterator[Pool]:
        yield Pool()
        steps.append("pool closed")

    async def work(pool: Pool) -> AsyncIterator[Work]:
        yield Work(pool)
        steps.append("work closed")

    provider.provide(pool)
    provider.provide(work)
    app = App(providers=[provider])

    @app.websocket_route("/")
    async def view(work: Inject[Work]) -> None: ...

    visit(app)

    assert steps == ["work closed", "pool closed"]


async def fails_to_close() -> AsyncIterator[Pool]:
    yield Pool("served")
    raise LookupError("a secret")


async def hangs() -> AsyncIterator[Pool]:
    yield Pool("served")
    await asyncio.Event().wait()


def test_a_closing_that_fails_is_logged_once_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The connection had its close code by then."""
    client = create_client(app_with(fails_to_close), raise_server_exceptions=False)

    for count in (1, 2):
        with client.websocket_connect("/") as ws:
            assert ws.receive_text() == "served"
            assert ws.receive() == {"type": "websocket.close", "code": 1000, "reason": ""}
        (*_, record) = caplog.records
        assert len(caplog.records) == count
        assert record.getMessage().endswith("asks: closing what was injected failed")
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], LookupError)


def test_a_closing_that_hangs_is_cancelled_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It has as much time as `on_disconnect`."""
    with pytest.raises(TimeoutError, match="closing took more than 0.05 s, and was cancelled"):
        visit(app_with(hangs, disconnect_timeout=0.05))

    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().endswith("asks: closing what was injected failed")


async def times_out() -> AsyncIterator[Pool]:
    yield Pool("served")
    raise TimeoutError("a secret")


def test_a_time_out_of_a_providers_own_is_a_failure_like_any_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log would else tell of a limit that was not reached, and hide where it failed."""
    with pytest.raises(TimeoutError, match="a secret"):
        visit(app_with(times_out))

    (record,) = caplog.records
    assert record.getMessage().endswith("asks: closing what was injected failed")


def test_what_hangs_keeps_nothing_else_open() -> None:
    """Or a provider that hangs takes the connections of the others' pools with it."""
    steps: list[Any] = []
    provider, hanging = Provider(scope=Scope.SESSION), Provider(scope=Scope.SESSION)

    async def work() -> AsyncIterator[Work]:
        yield Work(Pool())
        steps.append("work closed")

    async def pool(work: Work) -> AsyncIterator[Pool]:
        async for made in hangs():
            yield made

    provider.provide(work)
    hanging.provide(pool)
    app = App(providers=[provider, hanging], disconnect_timeout=0.05)
    app.websocket_route("/")(asks)

    with pytest.raises(TimeoutError):
        visit(app)

    assert steps == ["work closed"]


def test_a_closing_that_fails_is_raised_in_a_test() -> None:
    """As any bug is."""
    with pytest.raises(LookupError, match="a secret"):
        visit(app_with(fails_to_close))


# What lives with the application


def test_two_first_connections_share_what_is_made_for_the_application() -> None:
    """A pool is not opened twice because two clients came at once."""
    gate, made = asyncio.Event(), []

    async def pool() -> Pool:
        made.append(1)
        await gate.wait()
        return Pool("slow")

    provider = Provider(scope=Scope.APP)
    provider.provide(pool)
    app = App(providers=[provider])
    app.websocket_route("/")(asks)

    async def come() -> Any:
        async with connect(app, "/") as ws:
            return await ws.receive()

    async def scenario() -> list[Any]:
        clients = [asyncio.create_task(come()) for _ in range(2)]
        await settle()
        gate.set()
        return await asyncio.gather(*clients)

    assert run(scenario) == ["slow", "slow"]
    assert len(made) == 1


def test_what_is_made_for_the_application_is_closed_with_its_lifespan() -> None:
    """And is made anew in the next one, as after a restart."""
    steps: list[Any] = []
    app = closing_app(steps, asks)
    app.mount("/mounted", closing_app(steps, asks))

    for _ in range(2):
        with create_client(app) as client:
            for path in ("/", "/", "/mounted/"):
                with client.websocket_connect(path) as ws:
                    assert ws.receive_text() == "pool"
            assert steps == ["pool opened", "pool opened"]
        assert steps[2:] == ["pool closed", "pool closed"]
        steps.clear()


def test_the_users_lifespan_may_use_what_is_made_for_the_application() -> None:
    """It is closed after that, even when that fails."""
    steps: list[Any] = []
    router = router_of_asks(providers=[noting(steps)])

    async def scenario() -> None:
        async with router.lifespan_context(router):
            steps.append((await router.container.get(Pool)).name)
            raise LookupError("down")

    with pytest.raises(LookupError, match="down"):
        run(scenario)

    assert steps == ["pool opened", "pool", "pool closed"]


def mounted_in_starlette(router: Router) -> tuple[ASGIApp, str]:
    app = Starlette()
    app.mount("/ws", router)
    return app, "/ws/"


def extended_into_fastapi(router: Router) -> tuple[ASGIApp, str]:
    return in_fastapi(router), "/"


@pytest.mark.parametrize("place", [mounted_in_starlette, extended_into_fastapi])
def test_no_lifespan_is_needed(place: Callable[[Router], tuple[ASGIApp, str]]) -> None:
    """Mounted applications get none; `lifespan_context` closes what was made."""
    steps: list[Any] = []
    router = router_of_asks(providers=[noting(steps)])
    app, path = place(router)

    assert visit(app, path) == ["pool"]
    assert visit(app, path) == ["pool"]
    assert steps == ["pool opened", "pool opened"]  # each in a loop of its own

    async def scenario() -> None:
        async with router.lifespan_context(app), connect(app, path) as ws:
            assert await ws.receive() == "pool"

    run(scenario)

    assert steps[2:] == ["pool opened", "pool closed"]


# HTTP, containers and overrides


def with_http(*providers: Provider) -> App:
    """Return an application that tells the name of its pool by HTTP and by WebSocket."""
    app = App(providers=providers)
    app.add_middleware(ContainerMiddleware)
    app.websocket_route("/")(asks)

    @inject
    async def page(request: Request, pool: Inject[Pool], work: Inject[Work]) -> PlainTextResponse:
        assert pool is work.pool
        return PlainTextResponse(f"{pool.name} {id(pool)}")

    app.add_route("/page", page)  # type: ignore[arg-type]

    @app.websocket_route("/id")
    async def view(ws: WebSocket, pool: Inject[Pool]) -> None:
        await ws.send(f"{pool.name} {id(pool)}")

    return app


def test_http_routes_see_the_same_objects() -> None:
    """One pool for both sides of an application."""
    with create_client(with_http(noting([]))) as client:
        page = client.get("/page").text
        with client.websocket_connect("/id") as ws:
            assert ws.receive_text() == page


def test_an_override_is_seen_by_both_sides_and_by_included_routers() -> None:
    """A test replaces a thing once, and everywhere."""
    app = with_http(noting([]))
    app.include_router(router_of_asks(), "/included")

    with create_client(app) as client:

        def names() -> set[str]:
            found = {client.get("/page").text.split()[0]}
            for path in ("/", "/included/"):
                with client.websocket_connect(path) as ws:
                    found.add(ws.receive_text())
            return found

        assert names() == {"pool"}
        with app.override(supplying("fake")):
            assert names() == {"fake"}
            with app.override(supplying("faker")):
                assert names() == {"faker"}
            assert names() == {"fake"}
        assert names() == {"pool"}


def test_what_an_override_made_is_closed_with_the_application() -> None:
    """A connection that was opened meanwhile may still use it."""
    steps: list[Any] = []
    app = with_http(noting([]))

    with create_client(app) as client:
        with app.override(noting(steps, "fake")), client.websocket_connect("/") as ws:
            ws.receive_text()
        assert steps == ["fake opened"]

    assert steps == ["fake opened", "fake closed"]


def test_the_container_is_at_hand() -> None:
    """For scripts, background tasks and tests."""
    app = closing_app([], asks)

    async def scenario() -> None:
        async with connect(app, "/") as ws:
            pool = await app.container.get(Pool)
            assert await ws.receive() == pool.name
            assert app.container is app.router.container

    run(scenario)


def test_a_router_without_providers_has_no_container() -> None:
    """It is the application's that counts, and the message says so."""
    router = Router()
    told = "a router without providers {}; write Router(providers=[…]), or go to the application"

    with pytest.raises(ConfigurationError) as no_container:
        router.container  # noqa: B018
    with pytest.raises(ConfigurationError) as no_override:
        router.override(supplying("fake"))

    assert str(no_container.value).startswith(told.format("has no container"))
    assert str(no_override.value).startswith(told.format("has nothing to override"))


def test_an_application_without_providers_never_imports_dishka() -> None:
    """Neither when it is made nor when it serves; it would take a fifth of a second."""
    program = """
import asyncio, sys
from bocadillo import App, WebSocket
from bocadillo.testing.connection import connect

app = App()

@app.websocket_route("/")
class View:
    async def on_connect(self, ws: WebSocket): await ws.send("hello")
    async def handle(self): ...

async def scenario():
    async with app.router.lifespan_context(app), connect(app, "/") as ws:
        return await ws.receive()

print(asyncio.run(scenario()), "dishka" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.split() == ["hello", "False"]
