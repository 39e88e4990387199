"""Whose channels a route has: an application's, a router's, wherever the route is served."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from bocadillo import (
    App,
    BrokerError,
    ConfigurationError,
    ConnectionStateError,
    Router,
    WebSocket,
    WebSocketRoute,
)
from bocadillo.channels import Channels, HistoryLimits, MemoryBroker
from bocadillo.testing import connect
from bocadillo.views import ALONE
from tests.channels.readers import GatedBroker
from tests.fakes import run, settle


async def stay(ws: WebSocket) -> None:
    await ws.join("x")
    async for _ in ws:
        pass


def router_of(**options: Any) -> Router:
    router = Router(**options)
    router.route("/ws")(stay)
    return router


async def is_heard(app: ASGIApp, path: str, channels: Callable[[], Channels]) -> bool:
    """Tell whether what is published there reaches a client of that path."""
    async with connect(app, path) as ws:
        await settle()
        published = await channels().publish("x", "hello", codec="text")
        return bool(published.readers_here) and await ws.receive() == "hello"


# An application's own


def test_an_application_has_channels_for_its_routes_and_all_else() -> None:
    """In a lifespan or without, as in a test."""
    app = App()
    app.websocket_route("/ws")(stay)

    async def scenario() -> None:
        assert await is_heard(app, "/ws", lambda: app.channels)
        assert app.channels is app.router.channels
        await app.channels.close()

    run(scenario)


def test_a_broker_and_the_bounds_of_history_are_options() -> None:
    """Of applications and of routers."""
    brokers = MemoryBroker(), MemoryBroker()
    limits = HistoryLimits(max_count=1)
    made: list[App | Router] = [
        App(broker=brokers[0], history=limits),
        Router(broker=brokers[1], history=limits),
    ]

    async def scenario() -> None:
        for owner, broker in zip(made, brokers, strict=True):
            for number in range(3):
                await owner.channels.publish("x", number)
            kept = await owner.channels.history("x")
            assert [known.payload for known in kept] == ["2"]
            assert (await broker.history("x")).publications == kept
            await owner.channels.close()

    run(scenario)


@pytest.mark.parametrize("make", [App, Router])
def test_a_broker_that_nobody_knows_is_refused_at_import(make: Any) -> None:
    """And not by the first client."""
    with pytest.raises(ConfigurationError, match="unknown broker 'kafka'"):
        make(broker="kafka://x")


def test_bounds_without_a_broker_hold_for_the_default() -> None:
    """An option that is accepted has its effect."""
    router = Router(history=HistoryLimits(max_count=1))

    async def scenario() -> None:
        for number in range(3):
            await router.channels.publish("x", number)
        assert len(await router.channels.history("x")) == 1
        await router.channels.close()

    run(scenario)


def test_outside_of_a_loop_there_are_no_channels() -> None:
    """They would belong to nobody."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        _ = App().channels


# From start to end


def test_channels_are_closed_with_the_lifespan_and_fresh_in_the_next() -> None:
    """A test that starts an application again finds nothing of the last."""
    app = App()
    app.websocket_route("/ws")(stay)

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            first = app.channels
            assert await is_heard(app, "/ws", lambda: app.channels)
        with pytest.raises(ConnectionStateError, match="closed"):
            await first.publish("x", 1)
        async with app.router.lifespan_context(app):
            assert app.channels is not first
            assert await app.channels.history("x") == []
            assert await is_heard(app, "/ws", lambda: app.channels)
        assert len(asyncio.all_tasks()) == 1

    run(scenario)
    run(scenario)


def test_the_users_lifespan_may_publish_at_its_beginning_and_its_end() -> None:
    """The channels live longer than what it opens."""
    kept: list[Any] = []

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        await app.channels.publish("x", "begin")
        yield
        await app.channels.publish("x", "end")
        kept.extend(known.payload for known in await app.channels.history("x"))

    app = App(lifespan=lifespan)

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            pass

    run(scenario)
    assert kept == ['"begin"', '"end"']


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (BrokerError("cannot reach it"), "the application cannot start: cannot reach it"),
        (LookupError("a bug"), "Traceback (most recent call last):"),
    ],
)
def test_a_server_is_told_in_one_line_that_the_broker_is_not_there(
    failure: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Others' mistakes need no traceback, which is in the log at debug; bugs do."""
    caplog.set_level(logging.DEBUG, "bocadillo")
    broker = GatedBroker()
    broker.failure = failure
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(event: Any) -> None:
        sent.append(event)

    async def scenario() -> None:
        for app in (App(broker=broker), Router(broker=broker)):
            with pytest.raises(type(failure)):
                await app({"type": "lifespan", "state": {}}, receive, send)

    run(scenario)
    assert [event["type"] for event in sent] == ["lifespan.startup.failed"] * 2
    assert {event["message"].splitlines()[0] for event in sent} == {told}
    logged = [record.exc_info for record in caplog.records]
    assert len(logged) == (2 if isinstance(failure, BrokerError) else 0)


def test_a_broker_that_is_not_there_ends_the_start() -> None:
    """Before the first client hears nothing; what was started before is closed."""
    first, broker = GatedBroker(), GatedBroker()
    app = App(broker=first)
    app.include_router(router_of(broker=broker))
    broker.failure = BrokerError("cannot reach it")

    async def scenario() -> None:
        with pytest.raises(BrokerError, match="cannot reach it"):
            async with app.router.lifespan_context(app):
                pytest.fail("it has begun")
        assert first.calls == [("start", None)]
        assert first._listener is None
        assert len(asyncio.all_tasks()) == 1

    run(scenario)


# Routers


def test_an_included_router_has_the_channels_of_what_includes_it() -> None:
    """What is published by either reaches the clients of both."""
    app, outer, inner = App(), Router(), router_of()
    app.include_router(outer, "/outer")
    outer.include_router(inner, "/inner")

    async def scenario() -> None:
        assert await is_heard(app, "/outer/inner/ws", lambda: app.channels)
        assert outer.channels is inner.channels is app.channels
        await app.channels.close()

    run(scenario)


def test_a_router_with_a_broker_keeps_it() -> None:
    """And its clients hear nothing of the application's."""
    app, inner = App(), router_of(broker="memory://")
    app.include_router(inner)

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            assert await is_heard(app, "/ws", lambda: inner.channels)
            assert not await is_heard(app, "/ws", lambda: app.channels)
            kept = inner.channels
        with pytest.raises(ConnectionStateError, match="closed"):
            await kept.publish("x", 1)

    run(scenario)


def test_a_mounted_application_has_its_own() -> None:
    """As it has its own of everything."""
    outer, inner = App(), App()
    inner.websocket_route("/ws")(stay)
    outer.mount("/inner", inner)

    async def scenario() -> None:
        async with outer.router.lifespan_context(outer):
            assert await is_heard(outer, "/inner/ws", lambda: inner.channels)
            assert not await is_heard(outer, "/inner/ws", lambda: outer.channels)
            kept = inner.channels
        with pytest.raises(ConnectionStateError, match="closed"):
            await kept.publish("x", 1)

    run(scenario)


def in_starlette(router: Router) -> ASGIApp:
    return Starlette(routes=router.routes)


def mounted_in_starlette(router: Router) -> ASGIApp:
    return Starlette(routes=[Mount("/", app=router)])


def in_fastapi(router: Router) -> ASGIApp:
    app = FastAPI()
    app.router.routes.extend(router.routes)
    return app


def mounted_in_fastapi(router: Router) -> ASGIApp:
    app = FastAPI()
    app.mount("/", router)
    return app


@pytest.mark.parametrize(
    "serve", [in_starlette, mounted_in_starlette, in_fastapi, mounted_in_fastapi]
)
@pytest.mark.parametrize("broker", [None, "memory://"])
def test_a_router_in_another_framework_has_channels_in_each_loop(
    serve: Callable[[Router], ASGIApp], broker: str | None
) -> None:
    """Nothing of ours is started there, and nothing has to be."""
    router = router_of(broker=broker)
    app = serve(router)

    async def scenario() -> None:
        assert await is_heard(app, "/ws", lambda: router.channels)
        await router.channels.close()

    run(scenario)
    run(scenario)


def test_a_router_mounted_in_an_application_has_the_same_channels_as_its_routes() -> None:
    """Or what it publishes would reach nobody."""
    app, router = App(), router_of()
    app.mount("/inner", router)

    async def scenario() -> None:
        assert await is_heard(app, "/inner/ws", lambda: router.channels)

    run(scenario)


def test_routes_handed_to_an_application_have_the_same_channels_as_their_router() -> None:
    """Or what it publishes would reach nobody."""
    router = router_of()
    app = App(routes=router.routes)

    async def scenario() -> None:
        assert await is_heard(app, "/ws", lambda: router.channels)

    run(scenario)


def test_a_view_that_is_in_no_router_has_channels_all_the_same() -> None:
    """Those of all such views."""
    app = Starlette(routes=[WebSocketRoute("/ws", stay)])

    async def scenario() -> None:
        assert await is_heard(app, "/ws", ALONE.here)
        await ALONE.close()

    run(scenario)
