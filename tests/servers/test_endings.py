"""How a connection ends, on every server: the table of the architecture page."""

from typing import Any

import pytest
import websockets

from tests.servers.conftest import Servers
from tests.servers.running import ALL, end_of, run

# What happens after accept: path, what the client sends, the close frame it gets.
AFTER_ACCEPT: list[tuple[str, Any, tuple[int, str]]] = [
    ("/returns", None, (1000, "")),
    ("/raises/websocket-exception", None, (4001, "why")),
    ("/raises/http/401", None, (1008, "what")),
    ("/raises/http/403", None, (1008, "what")),
    ("/raises/http/404", None, (1011, "what")),
    ("/raises/bug", None, (1011, "")),
    ("/invalid/payload", "{", (1007, "unexpected end of data: line 1 column 2 (char 1)")),
    ("/invalid/frame", b"x", (1003, "expected a text frame, got a binary frame")),
    ("/closes/1000", None, (1000, "")),
    ("/closes/4999?reason=bye", None, (4999, "bye")),
    ("/closes/1013", None, (1013, "")),
    ("/closes/1014", None, (1014, "")),
    ("/closes/3000?reason=" + "x" * 200, None, (3000, "x" * 123)),
    ("/closes/1006", None, (1011, "")),  # a ValueError in the view, which is a bug
    ("/rejects-late", None, (1008, "")),
]

# What happens before accept: path, HTTP status and body.
BEFORE_ACCEPT: list[tuple[str, int, bytes]] = [
    ("/nowhere", 404, b"not found\n"),
    ("/before/returns", 403, b""),
    ("/before/websocket-exception", 403, b""),
    ("/before/http/401", 401, b"what"),
    ("/before/http/404", 404, b"what"),
    ("/before/bug", 500, b"Internal Server Error\n"),
    ("/before/closes/403", 403, b""),
    ("/before/closes/1000", 403, b""),
    ("/before/rejects", 403, b""),
    ("/before/rejects/401", 401, b'{"why":"because"}'),
    ("/before/rejects/503", 503, b'{"why":"because"}'),
    (
        "/converts/one?limit=two",
        400,
        b'{"errors":['
        b'{"loc":["path","number"],"msg":"Input should be a valid integer, '
        b'unable to parse string as an integer","type":"int_parsing"},'
        b'{"loc":["query","limit"],"msg":"Input should be a valid integer, '
        b'unable to parse string as an integer","type":"int_parsing"}]}',
    ),
]

# The cells above that a server makes different, whatever the application does.
FALSIFIED: dict[tuple[str, str], Any] = {}


@ALL
@pytest.mark.parametrize(("path", "message", "ending"), AFTER_ACCEPT, ids=str)
def test_after_accept_the_client_sees_the_close_frame_of_the_table(
    servers: Servers, name: str, path: str, message: str | bytes | None, ending: tuple[int, str]
) -> None:
    """Left to themselves, servers end most of these with 1006."""
    server = servers(name)

    async def scenario() -> tuple[int, str]:
        async with server.connect(path) as ws:
            if message is not None:
                await ws.send(message)
            return await end_of(ws)

    assert run(scenario()) == FALSIFIED.get((name, path), ending)


@ALL
@pytest.mark.parametrize(("path", "status", "body"), BEFORE_ACCEPT, ids=str)
def test_before_accept_the_client_sees_the_http_answer_of_the_table(
    servers: Servers, name: str, path: str, status: int, body: bytes
) -> None:
    """A client that may not come in never sees an open socket."""
    answer = servers(name).handshake(path)

    assert (answer.status_code, answer.content) == FALSIFIED.get((name, path), (status, body))
    if path in ("/before/rejects/401", "/before/http/401"):
        assert answer.headers["x-why"] == "because"


@ALL
def test_a_websocket_client_is_told_the_refusal(servers: Servers, name: str) -> None:
    """The same answer through the `websockets` library."""
    server = servers(name)

    async def scenario() -> websockets.Response:
        with pytest.raises(websockets.InvalidStatus) as caught:
            await server.connect("/before/rejects/401")
        return caught.value.response

    response = run(scenario())

    assert response.status_code == 401
    assert bytes(response.body) == b'{"why":"because"}'


@ALL
def test_the_first_subprotocol_of_ours_that_the_client_offers_is_chosen(
    servers: Servers, name: str
) -> None:
    """The server's order counts, not the client's."""
    server = servers(name)

    async def scenario() -> str | None:
        async with server.connect("/subprotocol", subprotocols=["v0", "v1", "v2"]) as ws:
            return ws.subprotocol

    assert run(scenario()) == "v2"
