"""What users of websockets-routes know works here, and what went wrong there does not."""

import asyncio
import contextlib
import http
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from bocadillo import (
    ConfigurationError,
    ExpectedAsync,
    RoutedPath,
    Router,
    WebSocket,
    WebSocketRoute,
)
from tests.fakes import run

PLANTS = {"7": "fern"}


@contextlib.asynccontextmanager
async def by_library(
    router: Router, *, with_process_request: bool = True, **options: Any
) -> AsyncIterator[str]:
    """Serve by `websockets.serve`, and give the address."""
    if with_process_request:
        options.setdefault("process_request", router.process_request)
    async with serve(router.handle, "127.0.0.1", 0, **options) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


@contextlib.asynccontextmanager
async def by_router(router: Router) -> AsyncIterator[str]:
    """Serve by the router itself, and give the address."""
    async with router.serve("127.0.0.1", 0) as server:
        yield server.ws_url("").rstrip("/")


BOTH = pytest.mark.parametrize("served", [by_library, by_router])


async def talk(url: str) -> tuple[list[Any], int]:
    """Return all messages and the close code."""
    async with websockets.connect(url) as ws:
        messages = []
        try:
            while True:
                messages.append(await ws.recv())
        except websockets.ConnectionClosed as exc:
            return messages, exc.rcvd.code if exc.rcvd else 1006


async def refusal(url: str) -> tuple[int, bytes]:
    """Return status and body of a refused handshake."""
    with pytest.raises(websockets.InvalidStatus) as caught:
        await websockets.connect(url)
    return caught.value.response.status_code, bytes(caught.value.response.body or b"")


# The examples


def garden() -> Router:
    """Return a router with a function for a list, and a class for one plant."""
    router = Router()

    @router.route("/plants/")
    async def plants(ws: WebSocket, path: str) -> None:
        for name in PLANTS.values():
            await ws.send(name)

    @router.route("/plants/{id}/label")
    async def label(ws: WebSocket, path: RoutedPath) -> None:
        await ws.send(path)
        await ws.send(path.params["id"])

    @router.route("/plants/{id}")
    class Plant:
        async def process_request(self, path: RoutedPath, headers: Any) -> Any:
            plant = PLANTS.get(path.params["id"])
            if plant is None:
                return http.HTTPStatus.NOT_FOUND, [("x-plant", "none")], b"no such plant\n"
            path.context["plant"] = plant
            return None

        async def handle(self, ws: WebSocket, path: RoutedPath) -> None:
            await ws.send(path.context["plant"])

    return router


@BOTH
def test_handlers_are_found_by_path(served: Any) -> None:
    """A function of connection and path, on either server."""

    async def scenario() -> Any:
        async with served(garden()) as base:
            return await talk(f"{base}/plants/")

    assert run(scenario) == (["fern"], 1000)


def test_without_process_request_no_match_is_closed_with_4040() -> None:
    """What clients of such servers look for."""

    async def scenario() -> Any:
        async with by_library(garden(), with_process_request=False) as base:
            return await talk(f"{base}/nowhere")

    assert run(scenario) == ([], 4040)


@BOTH
def test_no_match_is_http_404_in_the_handshake(served: Any) -> None:
    """The client never connects; on either server."""

    async def scenario() -> Any:
        async with served(garden()) as base:
            return await refusal(f"{base}/nowhere")

    assert run(scenario) == (404, b"not found\n")


@BOTH
def test_path_is_a_string_with_the_parameters_of_the_route(served: Any) -> None:
    """It can be sent as it is."""

    async def scenario() -> Any:
        async with served(garden()) as base:
            return await talk(f"{base}/plants/7/label")

    assert run(scenario) == (["/plants/7/label", "7"], 1000)


@BOTH
def test_a_class_refuses_in_the_handshake_or_hands_its_context_on(served: Any) -> None:
    """`handle` runs only for a plant that was found."""

    async def scenario() -> Any:
        async with served(garden()) as base:
            return await talk(f"{base}/plants/7"), await refusal(f"{base}/plants/8")

    assert run(scenario) == ((["fern"], 1000), (404, b"no such plant\n"))


class Counted(ServerConnection):
    """A connection of one's own, in place of a protocol of one's own."""

    count = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        Counted.count += 1


def test_connections_and_handshake_can_be_customized() -> None:
    """By what `websockets.serve` offers for it."""
    router = garden()

    async def process_request(connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/health":
            return connection.respond(http.HTTPStatus.OK, "well\n")
        return await router.process_request(connection, request)

    async def scenario() -> None:
        options: dict[str, Any] = {"create_connection": Counted}
        async with by_library(router, process_request=process_request, **options) as base:
            assert await refusal(f"{base}/health") == (200, b"well\n")
            assert await refusal(f"{base}/nowhere") == (404, b"not found\n")
            assert await talk(f"{base}/plants/7") == (["fern"], 1000)

    before = Counted.count
    run(scenario)
    assert Counted.count == before + 3


def test_the_router_can_be_started_on_a_loop_by_hand() -> None:
    """As programs from before `asyncio.run` do."""
    loop = asyncio.new_event_loop()
    try:
        server = loop.run_until_complete(garden().serve("127.0.0.1", 0))
        assert loop.run_until_complete(talk(server.ws_url("/plants/7"))) == (["fern"], 1000)
        server.close()
        loop.run_until_complete(server.wait_closed())
    finally:
        loop.close()


# Routes


async def view(ws: WebSocket, path: RoutedPath) -> None:
    await ws.send_json([path, path.params])


def test_route_takes_functions_and_classes_and_returns_them() -> None:
    """They can be called, tested and given a second path."""

    class View:
        async def handle(self, ws: WebSocket) -> None: ...

    router = Router()

    assert router.route("/function", name="one")(view) is view
    assert router.route("/class")(View) is View


def test_names_find_their_paths() -> None:
    """There, a name was taken and never used."""
    router = Router()
    router.route("/plants/{id}", name="plant")(view)

    assert router.url_path_for("plant", id="7") == "/plants/7"


def test_paths_match_to_the_slash_and_the_first_wins() -> None:
    """/plants is not /plants/."""
    router = Router()
    router.route("/plants/{first}")(view)
    router.route("/plants/{second}/")(view)
    router.route("/{rest:path}")(view)

    async def scenario() -> Any:
        async with by_library(router) as base:
            return [
                (await talk(base + path))[0][0] for path in ("/plants/7", "/plants/7/", "/plants")
            ]

    assert run(scenario) == [
        '["/plants/7",{"first":"7"}]',
        '["/plants/7/",{"second":"7"}]',
        '["/plants",{"rest":"plants"}]',
    ]


def test_converters_stand_where_expressions_stood() -> None:
    """A number is a number then; and what is none is no match."""
    router = Router()
    router.route("/plants/{id:int}")(view)

    async def scenario() -> Any:
        async with by_library(router) as base:
            return await talk(f"{base}/plants/7"), await refusal(f"{base}/plants/fern")

    assert run(scenario) == ((['["/plants/7",{"id":7}]'], 1000), (404, b"not found\n"))


@pytest.mark.parametrize("path", [r"/plants/{id:\d+}", "/plants/{rest:.*}"])
def test_an_expression_in_a_path_is_refused(path: str) -> None:
    """Rather than being a path that nothing matches."""
    with pytest.raises(ConfigurationError):
        Router().route(path)(view)


def test_the_path_tells_its_route_and_slices_to_strings() -> None:
    """It is a `str` in all respects."""
    seen: list[Any] = []
    router = Router()

    @router.route("/plants/{id}")
    async def plant(ws: WebSocket, path: RoutedPath) -> None:
        seen.extend([path.route, type(path), type(path[1:]), path.split("/")[1]])

    async def scenario() -> None:
        async with by_library(router) as base:
            await talk(f"{base}/plants/7")

    run(scenario)
    assert seen == [router.routes[0], RoutedPath, str, "plants"]
    assert isinstance(router.routes[0], WebSocketRoute)


def test_each_connection_has_an_instance_and_a_context_of_its_own() -> None:
    """The same in both of its methods."""
    seen: list[Any] = []
    router = Router()

    @router.route("/")
    class View:
        async def process_request(self, path: RoutedPath) -> None:
            assert path.context == {}
            path.context["self"] = self

        async def handle(self, ws: WebSocket, path: RoutedPath) -> None:
            assert path.context["self"] is self
            seen.append(self)

    async def scenario() -> None:
        async with by_library(router) as base:
            await asyncio.gather(talk(f"{base}/"), talk(f"{base}/"))

    run(scenario)
    assert len({*seen}) == 2


def test_process_request_is_optional_in_a_class() -> None:
    """Then all are let in."""
    router = Router()

    @router.route("/")
    class View:
        async def handle(self, ws: WebSocket) -> None:
            await ws.send("hello")

    async def scenario() -> Any:
        async with by_library(router) as base:
            return await talk(f"{base}/")

    assert run(scenario) == (["hello"], 1000)


@BOTH
def test_a_handler_that_returns_closes_with_1000_and_one_that_fails_with_1011(
    served: Any,
) -> None:
    """Without a line of its own."""
    router = Router()

    @router.route("/{what}")
    async def ends(ws: WebSocket, what: str) -> None:
        if what == "fails":
            raise LookupError

    async def scenario() -> Any:
        async with served(router) as base:
            return [(await talk(f"{base}/{what}"))[1] for what in ("returns", "fails")]

    assert run(scenario) == [1000, 1011]


@BOTH
def test_a_hook_without_a_good_answer_is_http_500(served: Any) -> None:
    """An empty one, an unknown status, an exception."""
    router = Router()
    router.route("/empty", process_request=lambda: ())(view)
    router.route("/unknown", process_request=lambda: (999, [], b""))(view)
    router.route("/raises", process_request=lambda: 1 / 0)(view)

    async def scenario() -> Any:
        async with served(router) as base:
            return [(await refusal(base + route.path))[0] for route in router.routes]  # type: ignore[attr-defined]

    assert run(scenario) == [500, 500, 500]


# What went wrong there


@BOTH
def test_the_query_string_is_no_part_of_a_parameter(served: Any) -> None:
    """It was put to the end of the last one there."""
    router = Router()
    router.route("/plants/{id}")(view)

    async def scenario() -> Any:
        async with served(router) as base:
            return await talk(f"{base}/plants/7?x=1&id=9")

    assert run(scenario)[0] == ['["/plants/7?x=1&id=9",{"id":"7"}]']


def test_a_refusal_is_never_skipped(caplog: pytest.LogCaptureFixture) -> None:
    """There, a plain `websockets.serve` let everybody in, and said nothing."""
    ran: list[str] = []
    router = Router()

    @router.route("/")
    class Members:
        async def process_request(self) -> Any:
            return 403, [], b"members only"

        async def handle(self, ws: WebSocket) -> None:
            ran.append("handle")

    async def scenario() -> Any:
        async with by_library(router, with_process_request=False) as base:
            return await talk(f"{base}/")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bocadillo.behind_websockets._has_warned", False)
        assert run(scenario) == ([], 1008)
    assert ran == []
    assert "without process_request=router.process_request" in caplog.text


def test_a_sync_function_is_refused_where_it_is_written() -> None:
    """It was taken for a class there, and failed when a client came."""

    def forgot_async(ws: WebSocket, path: str) -> None: ...

    with pytest.raises(ExpectedAsync, match=r"write `async def forgot_async\(ws\)`"):
        Router().route("/")(forgot_async)  # type: ignore[type-var]


def test_a_class_without_handle_is_refused_where_it_is_written() -> None:
    """It was a view that did nothing there."""

    class Empty:
        async def process_request(self) -> None: ...

    with pytest.raises(ConfigurationError, match="view Empty has no `handle`"):
        Router().route("/")(Empty)


def test_a_path_without_its_slash_is_refused_where_it_is_written() -> None:
    """It never matched there."""
    with pytest.raises(ConfigurationError, match="a path must start with '/', got 'plants'"):
        Router().route("plants")(view)


def test_an_argument_that_means_nothing_is_refused() -> None:
    """A router took any there, and ignored them."""
    with pytest.raises(TypeError, match="minimization"):
        Router(minimization=False)


def test_closing_with_4040_is_the_end_of_it(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is called for a connection without a route, and nothing is sent after it."""
    caplog.set_level(logging.INFO, "bocadillo")
    router = garden()

    async def scenario() -> Any:
        async with by_library(router, with_process_request=False) as base:
            return await talk(f"{base}/plant")

    assert run(scenario) == ([], 4040)
    assert "no WebSocket route for '/plant'; the nearest is /plants/" in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
