"""What usually goes wrong around a connection, and the examples that people begin with.

Most of the first tests show a mistake that frameworks have made and that clients see.
"""

import json
import logging
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any
from uuid import uuid4
from weakref import WeakSet

import pydantic
import pytest
import requests
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from bocadillo import App, InvalidParameters, WebSocket, WebSocketDisconnect
from bocadillo.testing import LiveServer, create_client
from tests.fakes import FakeServer, run
from tests.test_connection_object import TIMEOUT_S, ending, enter, handshake, told

app = App()


@app.websocket_route("/rejects-late/{key}")
async def rejects_late(ws: WebSocket, key: str) -> None:
    await ws.reject()
    told[key].put("went on")
    await ws.send("never")


@app.websocket_route("/catches-all/{key}", caught_close_codes=all)
async def catches_all(ws: WebSocket, key: str) -> None:
    async for _ in ws:
        pass
    told[key].put(("after the loop", ws.close_code))


@app.websocket_route("/goes-on/{key}")
async def goes_on(ws: WebSocket, key: str) -> None:
    async for _ in ws:
        pass
    for act in (ws.close, ws.ensure_closed, ws.reject, lambda: ws.send("x"), ws.receive):
        try:
            await act()
            told[key].put(None)
        except Exception as exc:
            told[key].put(type(exc))


@app.websocket_route("/a.b")
@app.websocket_route("/files/{name:path}")
@app.websocket_route("/both")
async def finds(ws: WebSocket, name: str = "by default") -> None:
    await ws.send(name)


async def over_http(request: Request) -> Response:
    return PlainTextResponse("HTTP")


app.add_route("/both", over_http)
app.add_route("/only-http", over_http)


@app.websocket_route("/own/{room}")
async def own(ws: WebSocket, room: str, headers: Any = None, path: Any = None) -> None:
    await ws.send_json([room, headers["host"], path])


@app.websocket_route("/redirects", auto_accept=False)
async def redirects(ws: WebSocket) -> None:
    raise HTTPException(307, headers={"Location": "/both"})


@app.websocket_route("/validates/{way}", auto_accept=False)
async def validates(ws: WebSocket, way: str) -> None:
    if way == "open":
        await ws.accept()
    pydantic.TypeAdapter(int).validate_python("no number")


@app.websocket_route("/misuses", auto_accept=False)
async def misuses(ws: WebSocket) -> None:
    raise InvalidParameters([{"loc": [], "msg": "not raised by us", "type": "x"}])


# Examples


@app.websocket_route("/echo")
async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


@app.websocket_route("/guarded", auto_accept=False)
async def guarded(ws: WebSocket, api_key: str = "") -> None:
    if api_key != "s3cret":
        await ws.reject()
        return
    async with ws:
        await ws.send("come in")


clients: WeakSet[WebSocket] = WeakSet()
history: list[str] = []


@app.websocket_route("/chat/{name}", value_type="json")
async def chat(ws: WebSocket, name: str, anonymous: bool = False) -> None:
    shown = "somebody" if anonymous else name
    clients.add(ws)
    try:
        await ws.send(history)
        async for message in ws:
            history.append(f"{shown}: {message['text']}")
            for client in list(clients):
                await client.send(history[-1])
    finally:
        clients.discard(ws)
        for client in list(clients):
            await client.send(f"{shown} left")


async def client_count(request: Request) -> Response:
    return JSONResponse({"count": len(clients)})


app.add_route("/client-count", client_count)


async def foreign(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI application that knows nothing of us, over HTTP and WebSockets."""
    if scope["type"] == "http":
        await PlainTextResponse("polling")(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept", "headers": [(b"x-by", b"foreign")]})
    told_by_scope = [scope["root_path"], scope["path"], scope["query_string"].decode()]
    await send({"type": "websocket.send", "bytes": json.dumps(told_by_scope).encode()})
    await receive()
    await send({"type": "websocket.close", "code": 4001})


app.mount("/sio", foreign)


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer(app) as server:
        yield server


@pytest.fixture
def key() -> str:
    key = uuid4().hex
    told[key] = SimpleQueue()
    return key


def first_message(server: LiveServer, path: str) -> Any:
    with enter(server, path) as client:
        return client.recv(timeout=TIMEOUT_S)


def serve(served: App, path: str = "/") -> FakeServer:
    server = FakeServer(path=path)
    run(lambda: served(server.scope, server.receive, server.send))
    return server


# Ending


def test_a_reject_that_comes_too_late_closes_by_the_rules(server: LiveServer, key: str) -> None:
    """A view that forgot `auto_accept=False`, and `return`: no 1006, whatever follows."""
    with enter(server, f"/rejects-late/{key}") as client:
        assert ending(client) == 1008

    assert told[key].get(timeout=TIMEOUT_S) == "went on"


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999]
)
def test_all_catches_every_code_that_a_client_can_send(
    server: LiveServer, key: str, code: int
) -> None:
    """No list of codes to fall behind the RFC; and code behind the loop runs."""
    with enter(server, f"/catches-all/{key}") as client:
        client.close(code)

    assert told[key].get(timeout=TIMEOUT_S) == ("after the loop", code)


def test_a_dead_connection_raises_nothing_but_the_leaving(server: LiveServer, key: str) -> None:
    """Closing it is no error, and using it is one that a view knows, never the server's own."""
    with enter(server, f"/goes-on/{key}") as client:
        client.close()

    outcomes = [told[key].get(timeout=TIMEOUT_S) for _ in range(5)]
    assert outcomes == [None, None, None, WebSocketDisconnect, WebSocketDisconnect]


# Refusing


@pytest.mark.parametrize(
    ("status", "detail", "headers"),
    [(101, "x", None), (600, "x", None), (400, object(), None), (429, "x", {"Retry-After": 5})],
)
def test_an_answer_that_cannot_be_written_is_http_500(
    status: int, detail: Any, headers: Any
) -> None:
    """A slip in an exception is a bug like any other, told once and not to the server."""
    failing = App()

    @failing.websocket_route("/", auto_accept=False)
    async def view(ws: WebSocket) -> None:
        raise HTTPException(status, detail, headers)

    assert serve(failing).sent[0]["status"] == 500


def test_a_response_of_an_exception_handler_leaves_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The exception was dealt with; a traceback in the log would say otherwise."""

    async def answer(ws: Any, exc: Exception) -> Response:
        return PlainTextResponse("sold out", 409)

    shop = App(exception_handlers={LookupError: answer})

    @shop.websocket_route("/", auto_accept=False)
    async def view(ws: WebSocket) -> None:
        raise LookupError

    assert serve(shop).sent[0]["status"] == 409
    assert caplog.records == []


def test_ensure_closed_is_quiet_behind_a_refusal_with_the_code_of_a_refusal() -> None:
    """403 is what a refusal closes with, so it is no mistake there, first or second."""

    async def scenario() -> None:
        ws = FakeServer().websocket()
        await ws.ensure_closed(403)
        await ws.ensure_closed(403)

    run(scenario)


# Finding the view


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/a.b", 101),
        ("/aXb", 404),
        ("/echo", 101),
        ("/echo/", 404),
        ("/nowhere", 404),
        ("/only-http", 404),
        ("/own", 404),
        ("/own/a/b", 404),
        ("/files/a/b", 101),
        ("/files/", 101),
        ("/sio/nowhere", 101),
    ],
)
def test_a_path_is_taken_literally_or_not_found(server: LiveServer, path: str, status: int) -> None:
    """No dot stands for any letter, no slash is forgiven, no HTTP view is opened as a socket."""
    with handshake(server, path, stream=True) as answer:
        assert answer.status_code == status


def test_one_path_can_be_a_page_and_a_socket(server: LiveServer) -> None:
    """Each protocol finds its own view."""
    page = requests.get(server.url("/both"), timeout=TIMEOUT_S).text

    assert (page, first_message(server, "/both")) == ("HTTP", "by default")


def test_a_client_cannot_replace_what_the_server_supplies(server: LiveServer) -> None:
    """`?room=`, `?headers=` and `?path=` are only a query: no error, and no effect."""
    path = "/own/blue?room=red&headers=x&path=y"

    room, host, target = json.loads(first_message(server, path))

    assert (room, host, target) == ("blue", f"127.0.0.1:{server.port}", path)


def test_a_redirect_before_accept_reaches_the_client(server: LiveServer) -> None:
    """It is an HTTP answer like any other, and clients that follow it arrive."""
    answer = handshake(server, "/redirects", allow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (307, "/both")
    assert first_message(server, "/redirects") == "by default"


def test_an_invalid_value_inside_a_view_is_a_bug_and_not_the_clients_fault(
    server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Only parameters of the request are answered with HTTP 400."""
    statuses = [handshake(server, path).status_code for path in ("/validates/shut", "/misuses")]
    with enter(server, "/validates/open") as client:
        code = ending(client)

    assert (statuses, code) == ([500, 500], 1011)
    told_of = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert sum("validates: the view failed" in line for line in told_of) == 2
    assert sum("misuses: the view failed" in line for line in told_of) == 1


@pytest.mark.parametrize("limit", ["inf", "-inf", "1e400", "nan", "9" * 5000])
def test_a_number_that_is_no_int_is_the_clients_fault(limit: str) -> None:
    """No overflow in a conversion ends as a bug of the view."""
    limited = App()

    @limited.websocket_route("/{limit}")
    async def view(ws: WebSocket, limit: int) -> None:
        await ws.send_json(limit)

    assert serve(limited, f"/{limit}").sent[0]["status"] == 400


# Beside other applications


def test_a_middleware_for_http_does_not_touch_websockets() -> None:
    """Adding one must not break every socket of the application."""

    class Stamping(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            return PlainTextResponse("stamped")

    stamped = App()
    stamped.websocket_route("/echo")(echo)
    stamped.add_middleware(Stamping)
    client = create_client(stamped)

    with client.websocket_connect("/echo") as ws:
        ws.send_text("a")

        assert ws.receive_text() == "a"
    assert client.get("/echo").text == "stamped"


def test_a_mounted_application_that_fails_is_called_once() -> None:
    """A `TypeError` inside of it is its own, and no sign that it wants other arguments."""
    calls: list[str] = []

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(scope["type"])
        raise TypeError("mine")

    outer = App()
    outer.mount("/m", failing)

    with pytest.raises(TypeError, match="mine"):
        serve(outer, "/m/x")
    assert calls == ["websocket"]


@pytest.mark.parametrize(("path", "found"), [("/m", False), ("/m/", True), ("/m/other", False)])
def test_a_mounted_app_answers_for_its_own_paths(path: str, found: bool) -> None:
    """What it does not know is not found, as anywhere else."""
    inner, outer = App(), App()
    inner.websocket_route("/")(finds)
    outer.mount("/m", inner)

    first = {"type": "websocket.accept"} if found else {"status": 404}
    assert first.items() <= serve(outer, path).sent[0].items()


# What people begin with


def test_echo(server: LiveServer) -> None:
    """The smallest view there is."""
    with enter(server, "/echo") as client:
        for message in ("a", "b"):
            client.send(message)

        assert [client.recv(timeout=TIMEOUT_S) for _ in range(2)] == ["a", "b"]


def test_a_key_opens_the_door(server: LiveServer) -> None:
    """Whoever has none never sees an open socket."""
    refused = [handshake(server, path) for path in ("/guarded", "/guarded?api_key=guess")]

    assert [answer.status_code for answer in refused] == [403, 403]
    assert first_message(server, "/guarded?api_key=s3cret") == "come in"


def test_a_chat_room_counts_its_clients_over_http(server: LiveServer) -> None:
    """A plain set of connections, weak even, is seen by views of both protocols."""

    def hear(member: Any) -> Any:
        return json.loads(member.recv(timeout=TIMEOUT_S))

    def count() -> int:
        answer = requests.get(server.url("/client-count"), timeout=TIMEOUT_S)
        number: int = answer.json()["count"]
        return number

    history.clear()
    with enter(server, "/chat/ann") as ann:
        assert hear(ann) == []
        with enter(server, "/chat/bob?anonymous=true") as bob:
            assert hear(bob) == []
            assert count() == 2

            bob.send('{"text": "hi"}')
            assert [hear(ann), hear(bob)] == ["somebody: hi"] * 2

        assert hear(ann) == "somebody left"
        assert count() == 1
        with enter(server, "/chat/cay") as cay:
            assert hear(cay) == ["somebody: hi"]


def test_a_foreign_application_lives_below_its_prefix(server: LiveServer) -> None:
    """Other protocols on top of WebSockets keep their own codes, headers and HTTP side."""
    path = "/sio/socket.io/?EIO=4"

    with enter(server, path) as client:
        told_by_scope = json.loads(client.recv(timeout=TIMEOUT_S))
        client.send("over")
        code = ending(client)
        assert client.response is not None
        assert client.response.headers["x-by"] == "foreign"

    assert told_by_scope == ["/sio", "/sio/socket.io/", "EIO=4"]
    assert code == 4001
    assert requests.get(server.url(path), timeout=TIMEOUT_S).text == "polling"
