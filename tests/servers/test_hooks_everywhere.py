"""All hooks run on every way of serving: a refused client never meets a view."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import websockets
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection

from bocadillo import App, Router
from bocadillo.testing import LiveServer
from tests.servers import guarded
from tests.servers.running import COMMANDS, running
from tests.servers.running import run as run_bounded

# How a hook refuses: the HTTP answer that the client gets for it, and the close code
# where it was let in before. A framework may write an exception's answer in its own way.
REFUSALS = {
    "answers": ((401, b"refused"), 1008),
    "raises": ((401, b"refused"), 1008),
    "rejects": ((401, b"refused"), 1008),
    "fails": ((500, b"Internal Server Error"), 1011),
    "returns something else": ((500, b"Internal Server Error"), 1011),
}

PLACES = [
    (path, place)
    for path, place in itertools.product(guarded.PATHS, guarded.PLACES)
    if place != "class" or path.endswith("/class")
]

# Where the routes are found, and what tells which views have run.
Place = tuple[str, Callable[[str], list[str]]]


def ran_here(key: str) -> list[str]:
    return guarded.ran[key]


async def visit(url: str, **query: str) -> Any:
    """Return what the client gets: an answer, a close code, or a view's message."""
    text = "&".join(f"{name}={value.replace(' ', '+')}" for name, value in query.items())
    try:
        async with websockets.connect(f"{url}?{text}", compression=None) as ws:
            return await first_of(ws)
    except websockets.InvalidStatus as exc:
        return exc.response.status_code, exc.response.body


async def first_of(ws: ClientConnection) -> Any:
    try:
        return await ws.recv()
    except websockets.ConnectionClosed as exc:
        return exc.rcvd.code if exc.rcvd else 1006


async def try_all(place: Place, *, is_late: bool = False) -> None:
    """Be refused at every place, in every way; and be let in where nobody refuses."""
    base, ran = place
    for path in guarded.PATHS:
        key = uuid4().hex
        asked = '["outer","inner","route"' + (',"class"]' if path.endswith("class") else "]")
        assert await visit(base + path, key=key) == asked, path
        assert ran(key) == [path.rsplit("/", 1)[1]], path
    key = uuid4().hex
    for (path, by), how in itertools.product(PLACES, REFUSALS):
        (status, body), code = REFUSALS[how]
        seen = await visit(base + path, key=key, by=by, how=how)
        if is_late:
            assert seen == code, (path, by, how)
        else:
            assert seen[0] == status, (path, by, how)
            assert body in seen[1], (path, by, how)
    assert ran(key) == []


# Applications on servers


@pytest.mark.parametrize("name", COMMANDS)
def test_an_app_on_every_server(name: str, tmp_path: Path) -> None:
    """uvicorn with each of its protocols, hypercorn and granian."""
    with running(name, tmp_path, "tests.servers.guarded:app") as server:

        def ran(key: str) -> list[str]:
            answer: list[str] = requests.get(server.url(f"/ran?key={key}"), timeout=10).json()
            return answer

        run_bounded(try_all((server.ws_url(""), ran)))


def an_app() -> ASGIApp:
    app = App()
    app.include_router(guarded.make_router(), "/v1")
    return app


def mounted_in_starlette() -> ASGIApp:
    return Starlette(routes=[Mount("/v1", guarded.make_router())])


def mounted_in_fastapi() -> ASGIApp:
    app = FastAPI()
    app.mount("/v1", guarded.make_router())
    return app


def mounted_in_a_router() -> ASGIApp:
    router = Router()
    router.mount("/v1", guarded.make_router())
    return router


def below_v1() -> Router:
    router = Router()
    router.include_router(guarded.make_router(), "/v1")
    return router


def given_to_starlette() -> ASGIApp:
    return Starlette(routes=below_v1().routes)


def given_to_fastapi() -> ASGIApp:
    return FastAPI(routes=below_v1().routes)


def extended_into_starlette() -> ASGIApp:
    app = Starlette()
    app.router.routes.extend(below_v1().routes)
    return app


def extended_into_fastapi() -> ASGIApp:
    app = FastAPI()
    app.router.routes.extend(below_v1().routes)
    return app


def held_by_a_starlette_mount() -> ASGIApp:
    return Starlette(routes=[Mount("/v1", routes=guarded.make_router().routes)])


def held_by_an_api_router() -> ASGIApp:
    api = APIRouter()
    api.routes.extend(guarded.make_router().routes)
    app = FastAPI()
    app.include_router(api, prefix="/v1")
    return app


def held_by_nested_api_routers() -> ASGIApp:
    inner, outer = APIRouter(routes=guarded.make_router().routes), APIRouter()
    outer.include_router(inner, prefix="/v1")
    app = FastAPI()
    app.include_router(outer)
    return app


WAYS = [
    an_app,
    mounted_in_starlette,
    mounted_in_fastapi,
    mounted_in_a_router,
    given_to_starlette,
    given_to_fastapi,
    extended_into_starlette,
    extended_into_fastapi,
    held_by_a_starlette_mount,
    held_by_an_api_router,
    held_by_nested_api_routers,
]


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Keep the tracebacks of hooks that fail on purpose out of the output."""
    with caplog.at_level("CRITICAL", "bocadillo"):
        yield


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("way", WAYS)
def test_a_router_in_every_framework(way: Callable[[], ASGIApp]) -> None:
    """Mounted, extended, included, copied: what is handed on keeps its hooks."""
    with LiveServer(way()) as server:
        run_bounded(try_all((server.ws_url("/v1"), ran_here)))


# A router without an application


@contextlib.asynccontextmanager
async def alone() -> AsyncIterator[str]:
    async with guarded.make_router().serve(port=0) as server:
        yield server.ws_url("").rstrip("/")


@contextlib.asynccontextmanager
async def behind_websockets(*, is_late: bool = False) -> AsyncIterator[str]:
    router = guarded.make_router()
    asked = None if is_late else router.process_request
    async with websockets.serve(router.handle, "127.0.0.1", 0, process_request=asked) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("way", [alone, behind_websockets])
def test_a_router_alone_and_behind_the_websockets_library(way: Any) -> None:
    """There is no framework to rely on."""

    async def scenario() -> None:
        async with way() as base:
            await try_all((base, ran_here))

    run_bounded(scenario())


@pytest.mark.usefixtures("quiet")
def test_a_router_behind_the_websockets_library_without_process_request() -> None:
    """The refusal comes after accept, but it comes, and no view runs."""

    async def scenario() -> None:
        async with behind_websockets(is_late=True) as base:
            await try_all((base, ran_here), is_late=True)

    run_bounded(scenario())
