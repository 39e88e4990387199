"""The promises of the connection object, one by one, as its page in the reference states them.

What codes and refusals look like is seen from outside, on a real uvicorn.
"""

import inspect
import json
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any
from uuid import uuid4

import pytest
import requests
from starlette.types import Message, Receive, Scope, Send
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bocadillo import App, WebSocket, WebSocketDisconnect
from bocadillo.testing import LiveServer
from tests.fakes import FakeServer, binary, left, run, text

TIMEOUT_S = 10

# What a browser asks for an open socket with, as a plain HTTP request.
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}

OFFERED = [Subprotocol("v1"), Subprotocol("v2")]

# What views have to tell, by the key that the test chose.
told: dict[str, SimpleQueue[Any]] = {}

app = App()


@app.websocket_route("/open-at-once")
async def open_at_once(ws: WebSocket) -> None:
    await ws.send_json([ws.auto_accept, ws.accepted])


@app.websocket_route("/opened-by/{way}", auto_accept=False)
async def opened_by(ws: WebSocket, way: str) -> None:
    before = [ws.auto_accept, ws.accepted]
    if way == "accept":
        await ws.accept()
        await ws.send_json(before)
    elif way == "block":
        async with ws as same:
            await same.send_json(before)
    else:
        await ws.accept()
        async with ws:
            await ws.send_json(before)


@app.websocket_route("/leaves/default/{key}")
@app.websocket_route("/leaves/none/{key}", caught_close_codes=())
@app.websocket_route("/leaves/4000/{key}", caught_close_codes=(4000,))
async def leaves(ws: WebSocket, key: str) -> None:
    try:
        async with ws:
            await ws.receive()
    except WebSocketDisconnect as exc:
        told[key].put(("raised", exc.code))
    else:
        told[key].put(("silenced", ws.close_code))


@app.websocket_route("/shows")
async def shows(ws: WebSocket) -> None:
    url = [str(ws.url), ws.url.path, ws.url.scheme, ws.url.hostname, ws.url.port, ws.url.query]
    await ws.send_json([url, dict(ws.headers), dict(ws.query_params)])


@app.websocket_route("/subprotocol", auto_accept=False)
async def subprotocol(ws: WebSocket, wanted: str | None = None) -> None:
    await ws.accept(wanted)


@app.websocket_route("/refuses/{way}/{key}", auto_accept=False)
async def refuses(ws: WebSocket, way: str, key: str) -> None:
    if way == "reject":
        await ws.reject()
    else:
        await ws.close(403)
    told[key].put(("went on", ws.accepted))


@app.websocket_route("/closes")
async def closes(ws: WebSocket, code: int | None = None) -> None:
    await (ws.close() if code is None else ws.close(code))


@app.websocket_route("/closes-wrongly/{code:int}")
async def closes_wrongly(ws: WebSocket, code: int) -> None:
    try:
        await ws.close(code)
    except ValueError:
        await ws.close(4400)


@app.websocket_route("/ensures")
async def ensures(ws: WebSocket, code: int | None = None, first: int | None = None) -> None:
    if first is not None:
        await ws.close(first)
    await (ws.ensure_closed() if code is None else ws.ensure_closed(code))
    await ws.ensure_closed(4999)


@app.websocket_route("/ensures-after-leaving/{key}", caught_close_codes=all)
async def ensures_after_leaving(ws: WebSocket, key: str) -> None:
    async for _ in ws:
        pass
    await ws.ensure_closed()
    told[key].put(ws.close_code)


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Echo with nothing but the three things that ASGI hands over."""
    async with WebSocket(scope, receive, send) as ws:
        async for message in ws:
            await ws.send(message)


app.mount("/bare", bare)


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer(app) as server:
        yield server


@pytest.fixture
def key() -> str:
    key = uuid4().hex
    told[key] = SimpleQueue()
    return key


def enter(server: LiveServer, path: str, **options: Any) -> ClientConnection:
    client: ClientConnection = connect(server.ws_url(path), proxy=None, **options)
    return client


def ending(client: ClientConnection) -> int:
    """Return the code of the close frame that comes next; 1006 where none comes."""
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(timeout=TIMEOUT_S)
    return caught.value.rcvd.code if caught.value.rcvd else 1006


def handshake(server: LiveServer, path: str, **options: Any) -> requests.Response:
    return requests.get(server.url(path), headers=UPGRADE, timeout=TIMEOUT_S, **options)


# Making one


def test_the_constructor_has_its_parameters_in_order_and_with_their_defaults() -> None:
    """Code that passes them by position or by name goes on to work."""
    parameters = inspect.signature(WebSocket).parameters.values()

    assert [(p.name, p.default) for p in parameters] == [
        ("scope", inspect.Parameter.empty),
        ("receive", inspect.Parameter.empty),
        ("send", inspect.Parameter.empty),
        ("auto_accept", True),
        ("value_type", None),
        ("receive_type", None),
        ("send_type", None),
        ("caught_close_codes", None),
    ]


def test_scope_receive_and_send_are_all_it_needs(server: LiveServer) -> None:
    """It serves in any ASGI application, without a route or a router."""
    with enter(server, "/bare/") as client:
        client.send("hé")

        assert client.recv(timeout=TIMEOUT_S) == "hé"


def test_it_is_accepted_before_the_view_by_default(server: LiveServer) -> None:
    """The usual view never thinks of accepting."""
    with enter(server, "/open-at-once") as client:
        assert json.loads(client.recv(timeout=TIMEOUT_S)) == [True, True]


@pytest.mark.parametrize("way", ["accept", "block", "both"])
def test_without_auto_accept_the_view_opens_it(server: LiveServer, way: str) -> None:
    """By a call, by a block, or by both; and the end is a clean one every time."""
    with enter(server, f"/opened-by/{way}") as client:
        assert json.loads(client.recv(timeout=TIMEOUT_S)) == [False, False]
        assert ending(client) == 1000


@pytest.mark.parametrize(
    ("given", "received", "sent"),
    [
        ({}, "text", "text"),
        ({"receive_type": "bytes"}, "bytes", "text"),
        ({"send_type": "bytes"}, "text", "bytes"),
        ({"receive_type": "json", "send_type": "bytes"}, "json", "bytes"),
        ({"value_type": "json"}, "json", "json"),
        ({"value_type": "json", "receive_type": "text", "send_type": "bytes"}, "json", "json"),
    ],
)
def test_types_default_to_text_and_the_value_type_wins(
    given: dict[str, str], received: str, sent: str
) -> None:
    """One option for the usual case, two for the others."""
    ws = FakeServer().websocket(**given)

    assert (ws.receive_type, ws.send_type) == (received, sent)


@pytest.mark.parametrize(
    ("caught", "code", "outcome"),
    [
        ("default", 1000, "silenced"),
        ("default", 1001, "silenced"),
        ("default", 1011, "raised"),
        ("default", 4000, "raised"),
        ("none", 1000, "raised"),
        ("none", 1001, "raised"),
        ("4000", 4000, "silenced"),
        ("4000", 1000, "raised"),
    ],
)
def test_the_caught_codes_of_clients_are_silenced_and_no_others(
    server: LiveServer, key: str, caught: str, code: int, outcome: str
) -> None:
    """By default a client that says goodbye is no exception; all else can be told apart."""
    with enter(server, f"/leaves/{caught}/{key}") as client:
        client.close(code)

    assert told[key].get(timeout=TIMEOUT_S) == (outcome, code)


# What it knows of the request


def test_url_headers_and_query_are_those_of_the_request(server: LiveServer) -> None:
    """A view sees what the client asked for, the URL as text and in its parts."""
    with enter(server, "/shows?a=1&b=x%20y", additional_headers={"X-Token": "abc"}) as client:
        url, headers, query = json.loads(client.recv(timeout=TIMEOUT_S))

    assert url[0] == server.ws_url("/shows?a=1&b=x%20y")
    assert url[1:] == ["/shows", "ws", "127.0.0.1", server.port, "a=1&b=x%20y"]
    assert headers["x-token"] == "abc"
    assert query == {"a": "1", "b": "x y"}


# Accepting and refusing


@pytest.mark.parametrize(("query", "chosen"), [("", None), ("?wanted=v2", "v2")])
def test_accept_names_the_subprotocol_or_none(
    server: LiveServer, query: str, chosen: str | None
) -> None:
    """Both sides know which one they speak."""
    with enter(server, f"/subprotocol{query}", subprotocols=OFFERED) as client:
        assert client.subprotocol == chosen


@pytest.mark.parametrize("way", ["reject", "close-403"])
def test_reject_is_close_403_and_the_client_gets_http_403(
    server: LiveServer, key: str, way: str
) -> None:
    """Refused before it is open; the view goes on behind the refusal."""
    answer = handshake(server, f"/refuses/{way}/{key}")

    assert (answer.status_code, answer.content) == (403, b"")
    assert told[key].get(timeout=TIMEOUT_S) == ("went on", False)


# Closing


@pytest.mark.parametrize(
    ("query", "code"), [("", 1000), *((f"?code={n}", n) for n in (1001, 1013, 3000, 4000, 4999))]
)
def test_close_sends_its_code_and_1000_by_default(
    server: LiveServer, query: str, code: int
) -> None:
    """A client acts on the code: try again, log in again, give up."""
    with enter(server, f"/closes{query}") as client:
        assert ending(client) == code


@pytest.mark.parametrize("code", [0, 403, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_a_code_that_no_frame_may_carry_leaves_the_connection_open(
    server: LiveServer, code: int
) -> None:
    """The view can still close by one that may be sent."""
    with enter(server, f"/closes-wrongly/{code}") as client:
        assert ending(client) == 4400


@pytest.mark.parametrize(
    ("query", "code"), [("", 1000), ("?code=4001", 4001), ("?first=4002&code=4001", 4002)]
)
def test_ensure_closed_closes_what_is_not_closed_yet(
    server: LiveServer, query: str, code: int
) -> None:
    """As often as one likes; the first close is the one that the client sees."""
    with enter(server, f"/ensures{query}") as client:
        assert ending(client) == code


def test_ensure_closed_is_quiet_when_the_client_has_gone(server: LiveServer, key: str) -> None:
    """Servers raise for a close frame to nobody, each in its own way."""
    with enter(server, f"/ensures-after-leaving/{key}") as client:
        client.close(4003)

    assert told[key].get(timeout=TIMEOUT_S) == 4003


# Receiving and sending

KINDS: list[tuple[str, Message, Any]] = [
    ("text", text("hé"), "hé"),
    ("bytes", binary(b"\0\xff"), b"\0\xff"),
    ("json", text('{"a":[1,null]}'), {"a": [1, None]}),
    ("event", text("raw"), text("raw")),
]


@pytest.mark.parametrize(("kind", "event", "value"), KINDS)
def test_receive_is_short_for_the_method_of_its_type(kind: str, event: Message, value: Any) -> None:
    """Either way a view gets the same value."""

    async def scenario() -> tuple[Any, Any]:
        ws = await FakeServer(event, event).accepted(receive_type=kind)
        return await ws.receive(), await getattr(ws, f"receive_{kind}")()

    assert run(scenario) == (value, value)


@pytest.mark.parametrize(("kind", "event", "value"), KINDS)
def test_send_is_short_for_the_method_of_its_type(kind: str, event: Message, value: Any) -> None:
    """Either way a client gets the same frame: text, binary, or JSON as text."""
    frame = {**event, "type": "websocket.send"}
    given = frame if kind == "event" else value

    async def scenario() -> list[Message]:
        server = FakeServer()
        ws = await server.accepted(send_type=kind)
        await ws.send(given)
        await getattr(ws, f"send_{kind}")(given)
        return server.sent

    assert run(scenario) == [frame, frame]


def test_receive_json_raises_the_json_modules_error() -> None:
    """`except json.JSONDecodeError` catches what is not JSON, and the next message comes."""

    async def scenario() -> Any:
        ws = await FakeServer(text("{"), text("[1]")).accepted()
        with pytest.raises(json.JSONDecodeError):
            await ws.receive_json()
        return await ws.receive_json()

    assert run(scenario) == [1]


def test_send_json_raises_a_type_error_and_sends_nothing() -> None:
    """What is no JSON never reaches the client in part."""

    async def scenario() -> list[Message]:
        server = FakeServer()
        ws = await server.accepted()
        with pytest.raises(TypeError):
            await ws.send_json({"a": object()})
        return server.sent

    assert run(scenario) == []


def test_raw_events_are_the_servers_own() -> None:
    """From the first, before accept, to the leaving, which is an event and no exception."""

    async def scenario() -> tuple[list[str], list[Message]]:
        server = FakeServer(binary(b"x"), left(4000, "bye"))
        ws = server.websocket()
        kinds = [(await ws.receive_event())["type"]]
        await ws.send_event({"type": "websocket.accept"})
        kinds += [(await ws.receive_event())["type"] for _ in range(2)]
        return kinds, server.sent

    kinds, sent = run(scenario)

    assert kinds == ["websocket.connect", "websocket.receive", "websocket.disconnect"]
    assert sent == [{"type": "websocket.accept"}]
