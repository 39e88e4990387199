"""Routers behind `websockets.serve`, with real connections."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import Server, ServerConnection
from websockets.http11 import Request, Response

from bocadillo import ConnectionStateError, RoutedPath, Router, WebSocket, WebSocketDisconnect
from bocadillo import behind_websockets as behind
from tests.cli.certificate import CERTIFICATE, KEY
from tests.fakes import run

REFUSAL = (401, {"x-why": "because"}, b"who are you?")

WAYS = pytest.mark.parametrize("is_late", [False, True], ids=["process_request", "late"])


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """Every test leaves no run and no task, or it has found a leak."""
    behind._has_warned = True
    yield
    behind._has_warned = False
    assert behind._runs == {}
    assert all(task.done() for task in behind._tasks)


class Served:
    """A router behind `websockets.serve`, and where it is."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port: int = next(iter(server.sockets)).getsockname()[1]

    def url(self, path: str = "/") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def connect(self, path: str = "/", **options: Any) -> websockets.connect:
        return websockets.connect(self.url(path), **options)

    async def refusal(self, path: str = "/", **options: Any) -> Response:
        """Return the HTTP answer of a handshake that fails."""
        with pytest.raises(websockets.InvalidStatus) as caught:
            await self.connect(path, **options)
        return caught.value.response

    async def ending(self, path: str = "/", **options: Any) -> tuple[int, str]:
        """Return the close code and reason that the server sends first of all."""
        async with self.connect(path, **options) as ws:
            return await end_of(ws)


@contextlib.asynccontextmanager
async def serving(
    router: Router, *, is_late: bool = False, **options: Any
) -> AsyncIterator[Served]:
    options = {"process_request": None if is_late else router.process_request, **options}
    async with websockets.serve(router.handle, "127.0.0.1", 0, **options) as server:
        yield Served(server)


async def end_of(ws: ClientConnection) -> tuple[int, str]:
    with pytest.raises(websockets.ConnectionClosed) as caught:
        await ws.recv()
    rcvd = caught.value.rcvd
    return (rcvd.code, rcvd.reason) if rcvd else (1006, "")


def router_with(view: Callable[..., Any], path: str = "/", **options: Any) -> Router:
    router = Router()
    router.route(path, **options)(view)
    return router


async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


# Messages


@WAYS
def test_messages_of_both_kinds_go_both_ways(is_late: bool) -> None:
    """Empty ones are messages, too."""

    async def view(ws: WebSocket) -> None:
        for _ in range(2):
            await ws.send_text(await ws.receive_text())
            await ws.send_bytes(await ws.receive_bytes())

    async def scenario() -> list[Any]:
        async with serving(router_with(view), is_late=is_late) as served, served.connect() as ws:
            for message in ("ä☃", b"\x00\xff", "", b""):
                await ws.send(message)
            return [await ws.recv() for _ in range(4)]

    assert run(scenario) == ["ä☃", b"\x00\xff", "", b""]


def test_large_messages_pass_whole() -> None:
    """Up to the `max_size` of the library."""
    text = "ä" * 400_000

    async def scenario() -> None:
        async with serving(router_with(echo)) as served, served.connect() as ws:
            await ws.send(text)
            assert await ws.recv() == text

    run(scenario)


def test_a_message_beyond_max_size_ends_the_connection() -> None:
    """The library closes with 1009; the view sees a connection that is lost."""
    seen: list[int] = []

    async def view(ws: WebSocket) -> None:
        try:
            await ws.receive()
        except WebSocketDisconnect as exc:
            seen.append(exc.code)

    async def scenario() -> tuple[int, str]:
        async with serving(router_with(view), max_size=10) as served, served.connect() as ws:
            await ws.send("x" * 100)
            return await end_of(ws)

    assert run(scenario)[0] == 1009
    assert seen[0] in (1006, 1009)


def test_two_tasks_may_send_while_one_receives() -> None:
    """As on every server."""

    async def view(ws: WebSocket) -> None:
        async def count(name: str) -> None:
            for number in range(50):
                await ws.send(f"{name}{number}")

        async with asyncio.TaskGroup() as group:
            group.create_task(count("a"))
            group.create_task(count("b"))
            assert await ws.receive() == "go"
        await ws.send("done")

    async def scenario() -> list[Any]:
        async with serving(router_with(view)) as served, served.connect() as ws:
            await ws.send("go")
            return [message async for message in ws]

    messages = run(scenario)
    assert messages[-1] == "done"
    for name in "ab":
        own = [message for message in messages if message[0] == name]
        assert own == [f"{name}{number}" for number in range(50)]


def test_a_timeout_around_receive_loses_no_message() -> None:
    """However often it strikes."""
    count = 200

    async def view(ws: WebSocket) -> None:
        while True:
            try:
                message = await asyncio.wait_for(ws.receive(), 0.0005)
            except TimeoutError:
                continue
            await ws.send(message)

    async def scenario() -> list[Any]:
        async with serving(router_with(view)) as served, served.connect() as ws:
            received = []
            for number in range(count):
                await ws.send(str(number))
                if number % 3 == 0:
                    await asyncio.sleep(0.001)
            for _ in range(count):
                received.append(await ws.recv())
            return received

    assert run(scenario) == [str(number) for number in range(count)]


# How it ends


ENDS: list[tuple[Any, tuple[int, str]]] = [
    ((1000, "bye"), (1000, "bye")),
    ((1001, ""), (1001, "")),
    ((4000, "tired ä"), (4000, "tired ä")),
    ("no code", (1005, "")),
    ("lost", (1006, "")),
]


async def leave(ws: ClientConnection, how: Any) -> None:
    if how == "lost":
        ws.transport.abort()
        return
    if how == "no code":  # as a browser's plain `close()`
        async with ws.send_context():
            ws.protocol.send_close()
        return
    await ws.close(*how)


@WAYS
@pytest.mark.parametrize(("how", "seen"), ENDS, ids=str)
def test_the_view_is_told_how_the_client_left(how: Any, seen: Any, is_late: bool) -> None:
    """By the client's own code and reason, each time it asks."""
    told: list[tuple[int, str]] = []
    is_told = asyncio.Event()

    async def view(ws: WebSocket) -> None:
        await ws.send("ready")
        for ask in (ws.receive, ws.receive, lambda: ws.send("late")):
            with pytest.raises(WebSocketDisconnect) as caught:
                await ask()
            told.append((caught.value.code, caught.value.reason))
        is_told.set()

    async def scenario() -> None:
        async with serving(router_with(view), is_late=is_late) as served:
            ws = await served.connect()
            assert await ws.recv() == "ready"
            await leave(ws, how)
            await is_told.wait()

    run(scenario)
    assert told == [seen] * 3


async def tick(ws: WebSocket) -> None:
    while True:
        await ws.send("tick")
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("how", [(4000, "tired"), "lost"])
def test_send_after_the_client_has_left_tells_so(how: Any) -> None:
    """A view that only sends learns of it, too, with the code."""
    told: list[tuple[int, str]] = []
    is_told = asyncio.Event()

    async def view(ws: WebSocket) -> None:
        with pytest.raises(WebSocketDisconnect) as caught:
            await tick(ws)
        told.append((caught.value.code, caught.value.reason))
        assert not ws.is_open
        is_told.set()

    async def scenario() -> None:
        async with serving(router_with(view)) as served:
            ws = await served.connect()
            await ws.recv()
            await leave(ws, how)
            await is_told.wait()

    run(scenario)
    assert told == [(1006, "") if how == "lost" else how]


CLOSES = [(1000, ""), (1001, "bye"), (1013, ""), (1014, ""), (4999, "enough ä")]


@WAYS
@pytest.mark.parametrize("ending", CLOSES, ids=str)
def test_the_client_is_told_how_the_view_closes(ending: tuple[int, str], is_late: bool) -> None:
    """By the view's own code and reason."""

    async def view(ws: WebSocket) -> None:
        await ws.close(*ending)
        with pytest.raises(ConnectionStateError):
            await ws.send("late")

    async def scenario() -> tuple[int, str]:
        async with serving(router_with(view), is_late=is_late) as served:
            return await served.ending()

    assert run(scenario) == ending


@WAYS
def test_a_view_that_returns_closes_with_1000_and_one_that_fails_with_1011(
    is_late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """As on every server; the failure is logged once, and not by the library again."""

    async def view(ws: WebSocket, fail: bool = False) -> None:
        if fail:
            raise LookupError("a secret")

    async def scenario() -> list[tuple[int, str]]:
        async with serving(router_with(view), is_late=is_late) as served:
            return [await served.ending(), await served.ending("/?fail=1")]

    assert run(scenario) == [(1000, ""), (1011, "")]
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.name for record in errors] == ["bocadillo"]


def test_a_view_whose_client_left_unnoticed_is_cancelled() -> None:
    """It is told or cancelled, as everywhere."""
    steps: list[str] = []
    router = Router(leave_grace_s=0)

    @router.route("/")
    async def view(ws: WebSocket) -> None:
        await ws.send("ready")
        try:
            await asyncio.sleep(60)
        finally:
            steps.append("cancelled")

    async def scenario() -> None:
        async with serving(router) as served, served.connect() as ws:
            await ws.recv()

    run(scenario)
    assert steps == ["cancelled"]


def test_a_flood_that_nobody_reads_does_not_hold_up_the_end() -> None:
    """A view may end whenever it likes."""

    async def view(ws: WebSocket) -> None:
        await ws.receive()

    async def scenario() -> tuple[int, str]:
        async with serving(router_with(view)) as served, served.connect() as ws:
            with contextlib.suppress(websockets.ConnectionClosed):
                for _ in range(300):
                    await ws.send("x" * 1000)
            return await end_of(ws)

    assert run(scenario) == (1000, "")


def test_closing_does_not_wait_for_the_client() -> None:
    """A hundred members are sent home at once, whatever some of them do."""
    is_closed = asyncio.Event()

    async def view(ws: WebSocket) -> None:
        await ws.close(4001)
        is_closed.set()

    async def scenario() -> None:
        async with serving(router_with(view), close_timeout=0.2) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(HANDSHAKE % (b"", b""))
            await is_closed.wait()
            assert not reader.at_eof()
            answer = await reader.read()  # until the library gives up
            assert answer.endswith(b"\x88\x02\x0f\xa1")
            writer.close()

    run(scenario)


def test_a_code_that_cannot_be_sent_is_told_to_the_library(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Bocadillo's own views never try."""

    async def scenario() -> tuple[int, str]:
        bad = {"type": "websocket.close", "code": 1006}
        async with behind_app(playing(ACCEPT, bad)) as server:
            return await Served(server).ending()

    assert run(scenario) == (1011, "")
    assert "connection handler failed" in caplog.text


# The server's shutdown


@WAYS
def test_a_shutdown_tells_the_view_1012_and_the_client_1001(is_late: bool) -> None:
    """1001 is the library's; the view sees what it sees on every server."""
    told: list[int] = []

    async def view(ws: WebSocket) -> None:
        await ws.send("ready")
        with pytest.raises(WebSocketDisconnect) as caught:
            await ws.receive()
        told.append(caught.value.code)

    async def scenario() -> tuple[int, str]:
        async with serving(router_with(view), is_late=is_late) as served:
            ws = await served.connect()
            await ws.recv()
            served.server.close()
            ending = await end_of(ws)
            await served.server.wait_closed()
            return ending

    assert run(scenario)[0] == 1001
    assert told == [1012]


@pytest.mark.parametrize("is_told", [True, False])
def test_a_shutdown_does_not_hang_on_a_view_that_goes_on(is_told: bool) -> None:
    """It has the router's `shutdown_grace_s`, and is cancelled then."""
    steps: list[str] = []
    router = Router(shutdown_grace_s=0.05)

    @router.route("/")
    async def view(ws: WebSocket) -> None:
        await ws.send("ready")
        try:
            if is_told:
                with contextlib.suppress(WebSocketDisconnect):
                    await ws.receive()
            await asyncio.sleep(60)
        finally:
            steps.append("cancelled")

    async def scenario() -> None:
        async with serving(router) as served:
            ws = await served.connect()
            await ws.recv()
            served.server.close()
            await served.server.wait_closed()

    run(scenario)
    assert steps == ["cancelled"]


def test_a_shutdown_in_the_middle_of_a_handshake_lets_nobody_in() -> None:
    """The library answers with 503, whatever the hook says."""
    steps: list[str] = []
    is_asked, may_go_on = asyncio.Event(), asyncio.Event()

    async def hook() -> None:
        is_asked.set()
        await may_go_on.wait()

    async def scenario() -> int:
        async with serving(router_with(noting(steps), process_request=hook)) as served:
            connecting = asyncio.create_task(served.refusal())
            await is_asked.wait()
            served.server.close()
            may_go_on.set()
            return (await connecting).status_code

    assert run(scenario) == 503
    assert steps == []


# Refusals


def noting(steps: list[str]) -> Callable[..., Any]:
    """Return a view that notes that it ran."""

    async def view(ws: WebSocket) -> None:
        steps.append("view")

    return view


def test_a_hooks_refusal_is_a_real_http_answer() -> None:
    """With its status, headers and body, and no view."""
    steps: list[str] = []
    router = router_with(noting(steps), process_request=lambda: REFUSAL)

    async def scenario() -> Response:
        async with serving(router) as served:
            return await served.refusal()

    response = run(scenario)
    assert (response.status_code, response.body) == (401, b"who are you?")
    assert response.reason_phrase == "Unauthorized"
    assert response.headers["x-why"] == "because"
    assert response.headers["Content-Length"] == "12"
    assert response.headers["Connection"] == "close"
    assert steps == []


def test_a_status_without_a_name_is_answered_as_it_is() -> None:
    """And headers of the hook's own are not doubled."""
    answer = (499, {"connection": "close", "content-length": "2"}, b"no")
    router = router_with(echo, process_request=lambda: answer)

    async def scenario() -> Response:
        async with serving(router) as served:
            return await served.refusal()

    response = run(scenario)
    assert (response.status_code, response.reason_phrase, response.body) == (499, "", b"no")
    assert response.headers.get_all("connection") == ["close"]
    assert response.headers.get_all("content-length") == ["2"]


async def rejecting(ws: WebSocket) -> None:
    await ws.reject(402, {"why": "because"})


async def forgetting(ws: WebSocket) -> None: ...


async def failing(ws: WebSocket) -> None:
    raise LookupError("a secret")


async def with_number(ws: WebSocket, n: int = 0) -> None: ...


def refusing() -> Router:
    """Return a router with a path for each kind of refusal."""
    router = Router()
    router.route("/hook", process_request=lambda: REFUSAL)(echo)
    router.route("/hook-fails", process_request=lambda: 1 / 0)(echo)
    router.route("/hook-late", process_request=lambda: (503, {}, b"busy"))(echo)
    router.route("/rejects", auto_accept=False)(rejecting)
    router.route("/forgets", auto_accept=False)(forgetting)
    router.route("/fails", auto_accept=False)(failing)
    router.route("/converts")(with_number)
    return router


EVIL = {"additional_headers": {"origin": "https://evil.example"}}

REFUSED: list[tuple[str, dict[str, Any], int, bytes, int]] = [
    ("/nowhere", {}, 404, b"not found\n", 4040),
    ("/hook", {}, 401, b"who are you?", 1008),
    ("/hook-fails", {}, 500, b"Internal Server Error\n", 1011),
    ("/hook-late", {}, 503, b"busy", 1011),
    ("/rejects", {}, 402, b'{"why":"because"}', 1008),
    ("/forgets", {}, 403, b"", 1008),
    ("/fails", {}, 500, b"Internal Server Error\n", 1011),
    ("/hook", EVIL, 403, b"origin not allowed\n", 1008),
]


@pytest.mark.parametrize(("path", "options", "status", "body", "code"), REFUSED)
def test_each_refusal_is_an_http_answer_or_a_close_code(
    path: str, options: dict[str, Any], status: int, body: bytes, code: int
) -> None:
    """The one with `process_request=router.process_request`, the other without."""

    async def scenario() -> None:
        async with serving(refusing()) as served:
            response = await served.refusal(path, **options)
            assert (response.status_code, response.body) == (status, body)
        async with serving(refusing(), is_late=True) as served:
            assert (await served.ending(path, **options))[0] == code

    run(scenario)


def test_bad_parameters_are_refused() -> None:
    """HTTP 400, or 1008."""

    async def scenario() -> None:
        async with serving(refusing()) as served:
            response = await served.refusal("/converts?n=x")
            assert response.status_code == 400
            assert b'"loc":["query","n"]' in response.body
        async with serving(refusing(), is_late=True) as served:
            assert await served.ending("/converts?n=x") == (1008, "")

    run(scenario)


@WAYS
def test_no_match_close_is_4040_either_way(is_late: bool) -> None:
    """With its reason."""

    async def scenario() -> tuple[int, str]:
        async with serving(Router(no_match="close"), is_late=is_late) as served:
            return await served.ending("/nowhere")

    assert run(scenario) == (4040, "not found")


def test_without_process_request_a_warning_comes_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not for each of a million connections."""
    behind._has_warned = False

    async def scenario() -> None:
        async with serving(router_with(echo), is_late=True) as served:
            for _ in range(3):
                async with served.connect():
                    pass
        async with serving(router_with(echo)) as served, served.connect():
            pass

    run(scenario)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in warnings] == [
        "websockets.serve runs without process_request=router.process_request, so clients are "
        "refused only after they were let in"
    ]


def test_with_process_request_no_warning_comes(caplog: pytest.LogCaptureFixture) -> None:
    """All is well then."""
    behind._has_warned = False

    async def scenario() -> None:
        async with serving(router_with(echo)) as served, served.connect():
            pass

    run(scenario)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# Handshakes that go wrong


def test_a_client_that_leaves_during_a_hook_meets_no_view() -> None:
    """And leaves no task behind."""
    steps: list[str] = []
    is_asked, may_go_on, has_ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hook() -> None:
        is_asked.set()
        await may_go_on.wait()
        steps.append("hook")

    async def scenario() -> None:
        async with serving(router_with(noting(steps), process_request=hook)) as served:
            connecting = asyncio.create_task(_connect(served))
            await is_asked.wait()
            (task,) = behind._tasks
            task.add_done_callback(lambda _: has_ended.set())
            connecting.cancel()
            await asyncio.wait({connecting})
            await _all_gone(served)
            may_go_on.set()
            await has_ended.wait()

    run(scenario)
    assert steps == ["hook"]


async def _connect(served: Served) -> None:
    async with served.connect():
        pass


async def _all_gone(served: Served) -> None:
    """Return when the library has heard that its connections are lost."""
    while behind._runs:
        await asyncio.sleep(0.001)


def test_a_request_that_is_no_handshake_meets_no_view_and_leaves_nothing() -> None:
    """A crawler, say; hooks may let it in, but the library does not."""
    steps: list[str] = []

    async def scenario() -> bytes:
        router = router_with(noting(steps), process_request=lambda: steps.append("hook"))
        async with serving(router) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
            answer = await reader.read()
            writer.close()
            await _all_gone(served)
            await asyncio.gather(*behind._tasks)
            return answer

    assert run(scenario).startswith(b"HTTP/1.1 426")
    assert steps == ["hook"]


def test_who_is_refused_by_another_process_request_meets_no_view() -> None:
    """The router's may be a part of a greater one."""
    steps: list[str] = []
    router = router_with(noting(steps))

    async def stricter(connection: ServerConnection, request: Request) -> Response | None:
        assert await router.process_request(connection, request) is None
        return connection.respond(418, "no coffee")

    async def scenario() -> int:
        async with serving(router, process_request=stricter) as served:
            status = (await served.refusal()).status_code
            await _all_gone(served)
            await asyncio.gather(*behind._tasks)
            return status

    assert run(scenario) == 418
    assert steps == []


def test_a_hook_that_outlasts_open_timeout_is_cancelled() -> None:
    """The library hangs up; nobody waits for the hook any more."""
    steps: list[str] = []

    async def hook() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise

    async def scenario() -> None:
        router = router_with(noting(steps), process_request=hook)
        async with serving(router, open_timeout=0.05) as served:
            with pytest.raises((websockets.InvalidMessage, websockets.InvalidHandshake, OSError)):
                await served.connect()
            await asyncio.gather(*behind._tasks, return_exceptions=True)

    run(scenario)
    assert steps == ["cancelled"]


def test_a_hook_that_takes_too_long_is_http_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """If `open_timeout` leaves it that long."""
    monkeypatch.setattr("bocadillo.leaving.SWEEP_INTERVAL_S", 0.01)
    router = Router(handshake_timeout_s=0.02)
    router.route("/", process_request=lambda: asyncio.sleep(60))(echo)

    async def scenario() -> Response:
        async with serving(router) as served:
            return await served.refusal()

    assert run(scenario).status_code == 503


def test_the_view_runs_when_the_handshake_is_over_and_not_before() -> None:
    """What it sends first may not overtake the library's answer."""
    states: list[str] = []
    router = Router()

    async def process_request(connection: ServerConnection, request: Request) -> Response | None:
        connections.append(connection)
        return await router.process_request(connection, request)

    connections: list[ServerConnection] = []

    @router.route("/")
    async def view(ws: WebSocket) -> None:
        states.append(connections[0].state.name)

    async def scenario() -> None:
        async with serving(router, process_request=process_request) as served:
            await served.ending()

    run(scenario)
    assert states == ["OPEN"]


def test_a_cancelled_handler_cancels_its_view() -> None:
    """A program that ends cancels all of its tasks."""
    steps: list[str] = []
    handlers: list[asyncio.Task[Any]] = []

    async def view(ws: WebSocket) -> None:
        await ws.send("ready")
        try:
            await asyncio.sleep(60)
        finally:
            steps.append("cancelled")

    router = router_with(view)

    async def handle(connection: ServerConnection) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.append(task)
        await router.handle(connection)

    async def scenario() -> None:
        process_request = router.process_request
        async with websockets.serve(
            handle, "127.0.0.1", 0, process_request=process_request
        ) as server:
            ws = await Served(server).connect()
            await ws.recv()
            handlers[0].cancel()
            await asyncio.wait(handlers)
            await ws.close()

    run(scenario)
    assert steps == ["cancelled"]


# What is accepted


@pytest.mark.parametrize(
    ("of_view", "of_serve", "offered", "chosen"),
    [
        (("v2", "v1"), None, ["v1", "v2"], "v2"),
        (("v2", "v1"), None, ["v1"], "v1"),
        (("v2",), None, ["v9"], None),
        (("v2",), None, None, None),
        (None, ["v1"], ["v1"], "v1"),
        (None, ["v2", "v1"], ["v1", "v2"], "v2"),
        (("v1",), ["v2", "v1"], ["v1", "v2"], "v1"),
        (("v1",), ["v2"], ["v1"], "v1"),
    ],
)
def test_the_view_settles_the_subprotocol_if_it_names_one(
    of_view: Any, of_serve: Any, offered: Any, chosen: str | None
) -> None:
    """Otherwise the library does, by the names that it was given."""
    router = router_with(echo, subprotocols=of_view)

    async def scenario() -> str | None:
        async with (
            serving(router, subprotocols=of_serve) as served,
            served.connect(subprotocols=offered) as ws,
        ):
            return ws.subprotocol

    assert run(scenario) == chosen


@pytest.mark.parametrize(("of_serve", "chosen"), [(["v1"], "v1"), (None, None)])
def test_after_the_handshake_the_subprotocol_is_the_negotiated_one(
    of_serve: Any, chosen: str | None
) -> None:
    """The view's wish comes too late, and the view sees that."""
    seen: list[Any] = []

    async def view(ws: WebSocket) -> None:
        seen.append(ws.scope["subprotocols"])

    router = router_with(view, subprotocols=("v2", "v1"))

    async def scenario() -> str | None:
        async with serving(router, is_late=True, subprotocols=of_serve) as served:
            ws = await served.connect(subprotocols=["v1", "v2"])
            await end_of(ws)
            return ws.subprotocol

    assert run(scenario) == chosen
    assert seen == [[chosen] if chosen else []]


@WAYS
def test_headers_cannot_be_accepted_with(is_late: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A cookie that silently never arrives would be worse."""

    async def view(ws: WebSocket) -> None:
        with pytest.raises(ValueError, match="cannot send headers .* in its process_response"):
            await ws.accept(headers={"set-cookie": "a=b"})

    async def scenario() -> None:
        async with serving(router_with(view, auto_accept=False), is_late=is_late) as served:
            if is_late:
                await served.ending()
            else:
                await served.refusal()

    run(scenario)


# What the app is told of the connection


def test_the_scope_tells_what_the_client_sent() -> None:
    """As it came, and decoded."""
    seen: dict[str, Any] = {}

    async def view(ws: WebSocket, path: RoutedPath) -> None:
        seen.update(
            path=path,
            params=path.params,
            url=str(ws.url).replace(str(ws.url.port), "PORT"),
            query=ws.query_params["q"],
            cookies=ws.cookies,
            header=ws.headers["x-mine"],
            client=ws.client is not None and ws.client.host,
            state=ws.state._state,
        )

    async def scenario() -> None:
        headers = {"Cookie": "a=b; c=d", "X-Mine": "ä"}
        async with serving(router_with(view, "/rooms/{room}")) as served:
            await served.ending("/rooms/t%C3%A9%20a?q=%C3%A4+1&room=x", additional_headers=headers)

    run(scenario)
    assert seen == {
        "path": "/rooms/t%C3%A9%20a?q=%C3%A4+1&room=x",
        "params": {"room": "té a"},
        "url": "ws://127.0.0.1:PORT/rooms/té a?q=%C3%A4+1&room=x",
        "query": "ä 1",
        "cookies": {"a": "b", "c": "d"},
        "header": seen["header"],
        "client": "127.0.0.1",
        "state": {},
    }
    assert seen["header"].encode("latin-1") in (b"\xe4", b"\xc3\xa4")


HANDSHAKE = (
    b"GET /%s HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
)


@pytest.mark.parametrize(
    ("path", "header"),
    [
        (b"\xff", b""),
        (b"%ff%00", b""),
        (b"?q=\xe4", b""),
        (b"", b"X-Mine: \xff\xe4\r\n"),
        (b"", b"Cookie: \xc3\xa4=\xff\r\n"),
    ],
)
def test_bytes_that_nobody_expects_are_no_error_of_ours(
    path: bytes, header: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A client must not be able to fill the log with tracebacks."""

    async def scenario() -> bytes:
        async with serving(router_with(echo, "/{path:path}")) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(HANDSHAKE % (path, header))
            status = await reader.readline()
            writer.close()
            return status

    assert run(scenario).split()[1:2] in ([b"101"], [b"400"], [])  # [] is the library's own
    assert [record for record in caplog.records if record.name == "bocadillo"] == []
    assert "process_request failed" not in caplog.text


def test_a_unix_socket_has_no_host_and_port(tmp_path: Path) -> None:
    """Behind a proxy on the same machine."""
    seen: list[Any] = []
    place = str(tmp_path / "s")

    async def view(ws: WebSocket) -> None:
        seen.extend([ws.client, ws.scope["server"], str(ws.url)])

    async def scenario() -> None:
        router = router_with(view)
        async with (
            websockets.unix_serve(router.handle, place, process_request=router.process_request),
            websockets.unix_connect(place, uri="ws://example.com/") as ws,
        ):
            await end_of(ws)

    run(scenario)
    assert seen == [None, None, "ws://example.com/"]


def test_tls_makes_the_scheme_wss(tmp_path: Path) -> None:
    """For links, cookies and the check of origins."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_text(CERTIFICATE)
    key.write_text(KEY)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate, key)
    ours = ssl.create_default_context(cafile=str(certificate))
    seen: list[str] = []

    async def view(ws: WebSocket) -> None:
        seen.append(ws.url.scheme)

    async def scenario() -> None:
        async with serving(router_with(view), ssl=theirs) as served:
            url = f"wss://localhost:{served.port}/"
            async with websockets.connect(url, ssl=ours, host="127.0.0.1") as ws:
                await end_of(ws)

    run(scenario)
    assert seen == ["wss"]


# Any ASGI app


def behind_app(app: Any, *, is_late: bool = False) -> Any:
    """Return a server of an ASGI app that is no router."""

    async def handler(connection: ServerConnection) -> None:
        await behind.handle(app, connection)

    async def process_request(connection: ServerConnection, request: Request) -> Response | None:
        return await behind.process_request(app, connection, request)

    asked = None if is_late else process_request
    return websockets.serve(handler, "127.0.0.1", 0, process_request=asked)


def playing(*events: dict[str, Any], error: Exception | None = None) -> Any:
    """Return an app that sends events, and then raises."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        for event in events:
            await send(event)
        if error is not None:
            raise error

    return app


ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close", "code": 4001, "reason": "enough"}
START = {"type": "websocket.http.response.start", "status": 404}
BODY = {"type": "websocket.http.response.body", "body": b"no"}


@pytest.mark.parametrize(
    ("app", "status", "body"),
    [
        (playing(CLOSE), 403, b""),
        (playing(START, BODY), 404, b"no"),
        (playing(START, {**BODY, "more_body": True}, BODY), 404, b"nono"),
        (playing(BODY, START, {"type": BODY["type"]}), 404, b""),
        (playing(START, BODY, BODY), 404, b"no"),
        (playing(), 500, b"Internal Server Error\n"),
    ],
)
def test_an_app_refuses_as_asgi_has_it(app: Any, status: int, body: bytes) -> None:
    """Starlette's and FastAPI's own routes, mounted into a router, do."""

    async def scenario() -> Response:
        async with behind_app(app) as server:
            return await Served(server).refusal()

    response = run(scenario)
    assert (response.status_code, response.body) == (status, body)


def test_an_app_that_fails_in_the_handshake_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The library never sees that exception."""

    async def scenario() -> int:
        async with behind_app(playing(error=LookupError("mine"))) as server:
            return (await Served(server).refusal()).status_code

    assert run(scenario) == 500
    (record,) = [record for record in caplog.records if record.name == "bocadillo"]
    assert record.getMessage() == "the application failed in a handshake"
    assert record.exc_info is not None


@WAYS
def test_an_app_that_fails_later_is_logged_by_the_library(
    is_late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """As a server does."""

    async def scenario() -> tuple[int, str]:
        async with behind_app(playing(ACCEPT, error=LookupError()), is_late=is_late) as server:
            return await Served(server).ending()

    assert run(scenario) == (1011, "")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.name for record in errors] == ["websockets.server"]


@pytest.mark.parametrize(
    ("app", "code"),
    [
        (playing(CLOSE), 1008),
        (playing({"type": "websocket.close"}), 1008),
        (playing(START, BODY), 1008),
        (playing({**START, "status": 503}, BODY), 1011),
        (playing({"type": "websocket.close", "code": 1011}), 1011),
        (playing({**ACCEPT, "subprotocol": "v1"}), 1011),
        (playing(ACCEPT, CLOSE), 4001),
        (playing(ACCEPT, {"type": "websocket.close"}), 1000),
        (playing(ACCEPT), 1000),
    ],
)
def test_after_the_handshake_an_app_refuses_by_a_close_code(app: Any, code: int) -> None:
    """1008 for what is the client's fault, 1011 for ours."""

    async def scenario() -> tuple[int, str]:
        async with behind_app(app, is_late=True) as server:
            return await Served(server).ending()

    assert run(scenario)[0] == code


def test_an_app_may_wait_for_the_leaving_before_it_has_answered() -> None:
    """Nothing but that can come."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await send(CLOSE)
        seen.append(await waiting)
        with pytest.raises(OSError, match="the client has left"):
            await send({"type": "websocket.send", "bytes": b"late"})
        await send(CLOSE)

    async def scenario() -> None:
        async with behind_app(app) as server:
            await Served(server).refusal()
            await asyncio.gather(*behind._tasks)

    run(scenario)
    assert seen == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


def test_an_accept_after_the_refusal_is_too_late() -> None:
    """The client has its answer."""
    seen: list[type[Exception]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(CLOSE)
        with pytest.raises(OSError, match="the client has left") as caught:
            await send(ACCEPT)
        seen.append(caught.type)

    async def scenario() -> int:
        async with behind_app(app) as server:
            status = (await Served(server).refusal()).status_code
            await asyncio.gather(*behind._tasks)
            return status

    assert run(scenario) == 403
    assert seen == [OSError]
