"""`connect`: a client of one WebSocket on the test's own event loop."""

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from bocadillo.testing import ConnectionClosed, connect
from tests.testing.apps import ACCEPT, CLOSE, Stage, echo, listen, sending, visit


async def scope_of(path: str, **options: Any) -> Scope:
    """Return the scope that an application gets."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(dict(scope))
        await echo(scope, receive, send)

    await visit(app, path, **options)
    return scopes[0]


# The request


def test_path_and_query_are_told_apart_and_decoded() -> None:
    """A route sees the text, and what was sent stays at hand."""
    scope = asyncio.run(scope_of("/caf%C3%A9/a%2Fb?q=%20x"))

    assert scope["path"] == "/café/a/b"
    assert scope["raw_path"] == b"/caf%C3%A9/a%2Fb"
    assert scope["query_string"] == b"q=%20x"


def test_text_in_a_path_is_encoded_as_clients_do() -> None:
    """A test may write what it means."""
    scope = asyncio.run(scope_of("/café au lait?q=é#"))

    assert scope["path"] == "/café au lait"
    assert scope["raw_path"] == b"/caf%C3%A9%20au%20lait"
    assert scope["query_string"] == b"q=%C3%A9%23"


def test_path_must_begin_with_a_slash() -> None:
    """A full URL given by mistake is said to be one."""
    with pytest.raises(ValueError, match="must begin with '/', got 'ws://x/y'"):
        connect(echo, "ws://x/y")


def test_headers_are_lower_case_bytes_and_may_replace_the_usual() -> None:
    """A test can come from any host and origin."""
    scope = asyncio.run(scope_of("/", headers=[("Host", "b.example"), ("Cookie", "a=1")]))

    assert [value for name, value in scope["headers"] if name == b"host"] == [b"b.example"]
    assert (b"cookie", b"a=1") in scope["headers"]


def test_subprotocols_are_offered_in_order_and_the_choice_is_told() -> None:
    """A client knows what it speaks from now on."""
    events = {**ACCEPT, "subprotocol": "v1", "headers": [(b"x-room", b"blue")]}, CLOSE
    offered = asyncio.run(scope_of("/", subprotocols=("v2", "v1")))["subprotocols"]

    ws = asyncio.run(visit(sending(*events), subprotocols=("v2", "v1")))

    assert offered == ["v2", "v1"]
    assert ws.subprotocol == "v1"
    assert ws.response_headers["X-Room"] == "blue"


def test_subprotocols_in_a_header_count_too() -> None:
    """As on a server, which knows only headers."""
    headers = {"Sec-WebSocket-Protocol": "a, b"}

    assert asyncio.run(scope_of("/", headers=headers))["subprotocols"] == ["a", "b"]


# Messages


def test_messages_keep_their_kind_and_order() -> None:
    """Text stays text, and bytes stay bytes."""

    async def scenario() -> None:
        async with connect(echo, "/") as ws:
            await ws.send("a")
            await ws.send(b"b")
            await ws.send_text("c")
            await ws.send_bytes(b"d")

            assert await ws.receive() == "a"
            assert await ws.receive() == b"b"
            assert await ws.receive_text() == "c"
            assert await ws.receive_bytes() == b"d"

    asyncio.run(scenario())


@pytest.mark.parametrize(("mode", "kind"), [("text", str), ("binary", bytes)])
def test_json_comes_in_a_frame_of_either_kind(mode: Any, kind: type) -> None:
    """The kind of frame is part of what a test says."""

    async def scenario() -> None:
        async with connect(echo, "/") as ws:
            await ws.send_json({"a": [1]}, mode)
            assert isinstance(await ws.receive(), kind)
            await ws.send_json({"a": [1]}, mode)
            assert await ws.receive_json(mode) == {"a": [1]}

    asyncio.run(scenario())


def test_wrong_kind_of_frame_fails_the_test() -> None:
    """What came instead stands in the message."""

    async def scenario() -> None:
        async with connect(echo, "/") as ws:
            await ws.send("a")
            with pytest.raises(
                AssertionError, match="expected a binary frame, got a text one: 'a'"
            ):
                await ws.receive_bytes()
            await ws.send(b"a")
            with pytest.raises(AssertionError, match="expected a text frame, got a binary one"):
                await ws.receive_json()

    asyncio.run(scenario())


def test_only_text_and_bytes_can_be_sent() -> None:
    """A value sent by mistake is not turned into something else."""

    async def scenario() -> None:
        async with connect(echo, "/") as ws:
            wrong: Any = 5
            with pytest.raises(TypeError, match="a message is str or bytes, got int"):
                await ws.send(wrong)
            with pytest.raises(TypeError, match="expected str to send, got bytes"):
                await ws.send_text(b"a")  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="expected bytes to send, got str"):
                await ws.send_bytes("a")  # type: ignore[arg-type]

    asyncio.run(scenario())


@pytest.mark.parametrize("code", [1000, 1001])
def test_iteration_ends_when_the_server_closes_normally(code: int) -> None:
    """`async for` reads what there is."""
    messages = [{"type": "websocket.send", "text": text} for text in "ab"]
    app = sending(ACCEPT, *messages, {"type": "websocket.close", "code": code})

    async def scenario() -> list[str | bytes]:
        async with connect(app, "/") as ws:
            return [payload async for payload in ws]

    assert asyncio.run(scenario()) == ["a", "b"]


def test_iteration_raises_when_the_server_closes_otherwise() -> None:
    """An error is not taken for the end of the messages."""

    async def scenario() -> None:
        async with connect(sending(ACCEPT, CLOSE), "/") as ws:
            with pytest.raises(ConnectionClosed, match="4001 .*: enough"):
                async for _ in ws:
                    pass

    asyncio.run(scenario())


# Closing


def test_client_sees_the_servers_code_and_reason() -> None:
    """They stay on the connection after its end."""

    async def scenario() -> None:
        async with connect(sending(ACCEPT, CLOSE), "/x") as ws:
            with pytest.raises(ConnectionClosed) as info:
                await ws.receive()
            assert (info.value.code, info.value.reason) == (4001, "enough")
            assert (ws.close_code, ws.close_reason) == (4001, "enough")
            assert repr(ws) == "<Connection '/x' closed with 4001>"

    asyncio.run(scenario())


def test_open_connection_has_no_close_code() -> None:
    """None, rather than a number that could be taken for one."""

    async def scenario() -> None:
        async with connect(echo, "/x") as ws:
            assert (ws.close_code, ws.close_reason) == (None, "")
            assert (ws.subprotocol, len(ws.response_headers)) == (None, 0)
            assert repr(ws) == "<Connection '/x' open>"

    asyncio.run(scenario())


def test_nothing_can_be_sent_after_the_end() -> None:
    """Closing again does nothing, as a connection may be closed by both sides."""

    async def scenario() -> None:
        async with connect(echo, "/") as ws:
            await ws.close(4000, "mine")
            await ws.close(4001)
            with pytest.raises(ConnectionClosed, match="closed with 4000"):
                await ws.send("a")
            assert (ws.close_code, ws.close_reason) == (4000, "mine")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("code", "told"),
    [(1000, 1000), (None, 1005)],
)
def test_close_without_a_code_is_told_as_browsers_are(code: int | None, told: int) -> None:
    """`websocket.close()` in a browser sends no code, and that is 1005 with a reason key."""
    stage = Stage(listen)

    async def scenario() -> None:
        async with connect(stage, "/") as ws:
            await ws.close(code)

    asyncio.run(scenario())

    assert stage.told[1] == {"type": "websocket.disconnect", "code": told, "reason": ""}


def test_lost_connection_is_told_as_uvicorn_does() -> None:
    """1005 without a reason, on which bocadillo's 1006 rests."""
    stage = Stage(listen)

    async def scenario() -> None:
        async with connect(stage, "/") as ws:
            await ws.drop()
            await ws.drop()
            assert ws.close_code == 1006

    asyncio.run(scenario())

    leaving = {"type": "websocket.disconnect", "code": 1005}
    assert stage.told[1:] == [leaving, "ClientDisconnected", "ClientDisconnected"]


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [(1006, "", "close code 1006 may not be sent"), (1000, "é" * 62, "at most 123 bytes, got 124")],
)
def test_what_cannot_be_in_a_close_frame_is_refused(code: int, reason: str, words: str) -> None:
    """The mistake is the test's, and shows where it is made."""

    async def scenario() -> None:
        async with connect(echo, "/") as ws:
            with pytest.raises(ValueError, match=words):
                await ws.close(code, reason)

    asyncio.run(scenario())


def test_view_sees_the_leaving_and_its_end_is_waited_for() -> None:
    """After the block, all that the view does has been done."""
    codes = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        event = await receive()
        await asyncio.sleep(0.01)
        codes.append(event["code"])

    asyncio.run(visit(app))

    assert codes == [1000]
