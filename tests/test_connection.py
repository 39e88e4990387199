"""Opening, refusing and closing, in every state and on dead connections."""

import asyncio
import contextlib
from typing import Any

import pytest
from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocketDisconnect as StarletteDisconnect

from bocadillo import (
    ConnectionStateError,
    InvalidMessage,
    WebSocket,
    WebSocketDisconnect,
)
from tests.fakes import FakeServer, left, run, settle, text

AnyWebSocket = WebSocket[Any, Any]


def closed(code: int, reason: str = "") -> dict[str, Any]:
    return {"type": "websocket.close", "code": code, "reason": reason}


class ServersOwn(Exception):
    """What a server might raise: a class nobody else knows."""


# accept


def test_accept_opens() -> None:
    """The plain case: no subprotocol, no headers."""

    async def scenario() -> None:
        server = FakeServer()
        ws = server.websocket()
        assert not ws.accepted

        await ws.accept()

        assert ws.accepted
        assert ws.is_open
        assert server.sent == [{"type": "websocket.accept", "subprotocol": None, "headers": []}]

    run(scenario)


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "1"}, [("x-a", "1")], [(b"X-A", b"1")], (("x-a", b"1"),), {b"x-a": b"1"}],
)
def test_accept_takes_headers_as_mapping_or_pairs(headers: Any) -> None:
    """Whatever form people hold headers in."""

    async def scenario() -> None:
        server = FakeServer(subprotocols=["v1", "v2"])

        await server.websocket().accept("v2", headers)

        assert server.sent == [
            {"type": "websocket.accept", "subprotocol": "v2", "headers": [(b"x-a", b"1")]}
        ]

    run(scenario)


def test_accept_refuses_a_subprotocol_that_the_client_did_not_offer() -> None:
    """RFC 6455 §4.1: the client would fail the connection."""

    async def scenario() -> None:
        server = FakeServer(subprotocols=["v1"])
        with pytest.raises(ValueError, match="cannot accept subprotocol 'v9'.*offered: 'v1'"):
            await server.websocket().accept("v9")
        with pytest.raises(ValueError, match="offered: none"):
            await FakeServer().websocket().accept("v9")

        assert server.sent == []

    run(scenario)


@pytest.mark.parametrize("headers", [{"a": "b\r\nc: d"}, {"a\n": "b"}, {"a": "b\0"}])
def test_accept_refuses_headers_that_inject(headers: Any) -> None:
    """A line break in a value would write further headers."""

    async def scenario() -> None:
        server = FakeServer()

        with pytest.raises(ValueError, match="line break or NUL"):
            await server.websocket().accept(headers=headers)
        assert server.sent == []

    run(scenario)


def test_accept_on_an_open_connection_does_nothing() -> None:
    """`await ws.accept()` followed by `async with ws` is fine."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()

        await ws.accept()
        async with ws:
            pass

        assert server.sent == [closed(1000)]

    run(scenario)


def test_accept_on_an_open_connection_says_that_a_subprotocol_comes_too_late() -> None:
    """Silence would let people believe that it was sent."""

    async def scenario() -> None:
        ws = await FakeServer(subprotocols=["v1"]).accepted()

        with pytest.raises(ConnectionStateError, match="auto_accept=False"):
            await ws.accept("v1")
        with pytest.raises(ConnectionStateError, match="auto_accept=False"):
            await ws.accept(headers={"a": "b"})

    run(scenario)


def test_accept_after_a_refusal_is_an_error() -> None:
    """A client that was turned away stays away."""

    async def scenario() -> None:
        ws = FakeServer().websocket()
        await ws.reject()

        with pytest.raises(ConnectionStateError, match="allowed now: nothing"):
            await ws.accept()
        with pytest.raises(ConnectionStateError):
            await ws.__aenter__()

    run(scenario)


def test_accept_tells_of_a_client_that_left_during_the_handshake() -> None:
    """The client may hang up at any moment."""

    async def scenario() -> None:
        server = FakeServer()
        server.queue.get_nowait()
        server.queue.put_nowait(left(1006))
        ws = server.websocket()

        for _ in range(2):
            with pytest.raises(WebSocketDisconnect):
                await ws.accept()
        assert server.sent == []

    run(scenario)


def test_accept_that_the_server_cannot_send_is_a_leaving() -> None:
    """Servers say it by exceptions of their own."""

    async def scenario() -> None:
        server = FakeServer()
        ws = server.websocket()

        async def send(event: Any) -> None:
            raise OSError("gone")

        ws._raw_send = send
        with pytest.raises(WebSocketDisconnect) as caught:
            await ws.accept()

        assert caught.value.code == 1006
        assert not ws.accepted

    run(scenario)


def test_a_server_that_breaks_the_grammar_is_told() -> None:
    """ASGI: the first event is "websocket.connect"."""

    async def scenario() -> None:
        server = FakeServer()
        server.queue.get_nowait()
        server.queue.put_nowait(text("too early"))

        with pytest.raises(ConnectionStateError, match="sent 'websocket.receive' before"):
            await server.websocket().accept()

    run(scenario)


# reject


def test_reject_alone_is_close_403() -> None:
    """The seed's words; a client sees HTTP 403."""

    async def scenario() -> None:
        server = FakeServer()
        ws = server.websocket()

        await ws.reject()

        assert server.sent == [closed(403)]
        assert not ws.accepted

    run(scenario)


@pytest.mark.parametrize(
    ("body", "payload", "media_type"),
    [
        (None, b"", None),
        (b"raw", b"raw", b"text/plain; charset=utf-8"),
        ("tëxt", "tëxt".encode(), b"text/plain; charset=utf-8"),
        ({"a": [1]}, b'{"a":[1]}', b"application/json"),
    ],
)
def test_reject_answers_with_status_and_body(
    body: Any, payload: bytes, media_type: bytes | None
) -> None:
    """The WebSocket Denial Response extension carries any HTTP answer."""

    async def scenario() -> None:
        server = FakeServer()

        await server.websocket().reject(401, body, {"WWW-Authenticate": "Bearer"})

        start, last = server.sent
        headers = dict(start["headers"])
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
        assert headers[b"www-authenticate"] == b"Bearer"
        assert headers[b"content-length"] == str(len(payload)).encode()
        assert headers.get(b"content-type") == media_type
        assert last == {
            "type": "websocket.http.response.body",
            "body": payload,
            "more_body": False,
        }

    run(scenario)


def test_reject_keeps_the_headers_it_is_given() -> None:
    """Nothing is sent twice."""

    async def scenario() -> None:
        server = FakeServer()

        headers = [("Content-Type", "text/html"), ("Content-Length", "2")]
        await server.websocket().reject(418, "hi", headers)

        assert server.sent[0]["headers"] == [
            (b"content-type", b"text/html"),
            (b"content-length", b"2"),
        ]

    run(scenario)


def test_reject_falls_back_to_403_where_the_server_lacks_the_extension() -> None:
    """An older server, or a proxy of scopes, refuses all the same."""

    async def scenario() -> None:
        server = FakeServer(extensions={})

        await server.websocket().reject(401, "no")

        assert server.sent == [closed(401)]

    run(scenario)


@pytest.mark.parametrize("status", [101, 199, 600, 0, -1, "403", None])
def test_reject_refuses_a_status_that_is_none(status: Any) -> None:
    """101 would be an acceptance."""

    async def scenario() -> None:
        with pytest.raises(ValueError, match="from 200 to 599"):
            await FakeServer().websocket().reject(status)

    run(scenario)


def test_reject_after_accept_closes_with_1008() -> None:
    """HTTP is over by then; 1008 is "policy violation" (RFC 6455 §7.4.1)."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()

        await ws.reject(401, "no")

        assert server.sent == [closed(1008)]
        with pytest.raises(ConnectionStateError):
            await ws.reject()

    run(scenario)


def test_reject_on_a_dead_connection_never_raises() -> None:
    """Whether the client hears of its refusal is not the view's concern."""

    async def scenario() -> None:
        server = FakeServer()
        server.queue.get_nowait()
        server.queue.put_nowait(left(1006))
        ws = server.websocket()

        await ws.reject(401, "no")
        await ws.reject(401, "no")
        await ws.reject()

        assert server.sent == []

    run(scenario)


def test_a_refusal_that_the_server_cannot_send_never_raises() -> None:
    """The exception would be the server's own, of any class."""

    async def scenario() -> None:
        async def send(event: Any) -> None:
            raise ServersOwn

        ws = FakeServer().websocket()
        ws._raw_send = send
        await ws.reject(401, "no")

        with pytest.raises(ConnectionStateError):
            await ws.accept()

    run(scenario)


# close


def test_close_sends_code_and_reason_once() -> None:
    """A second close is a slip in the program, and told as one."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()

        await ws.close(4000, "bye")

        assert server.sent == [closed(4000, "bye")]
        assert ws.close_code == 4000
        assert ws.accepted
        with pytest.raises(ConnectionStateError, match="while closed; allowed now: nothing"):
            await ws.close()

    run(scenario)


@pytest.mark.parametrize("code", [0, 403, 999, 1004, 1005, 1006, 1015, 2000, 5000, True, "1000"])
def test_a_code_that_may_not_be_sent_is_refused_where_it_is_written(code: Any) -> None:
    """The server would break the connection, or the client would."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()

        with pytest.raises(ValueError, match="may not be sent"):
            await ws.close(code)
        with pytest.raises(ValueError, match="may not be sent"):
            await ws.ensure_closed(code)
        assert ws.is_open
        assert server.sent == []

    run(scenario)


def test_a_long_reason_is_cut_on_a_character_boundary() -> None:
    """RFC 6455 §5.5: 125 bytes, 2 of them the code."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()

        await ws.close(1000, "é" * 100)

        assert server.sent == [closed(1000, "é" * 61)]

    run(scenario)


@pytest.mark.parametrize("code", [403, 1000, 4040])
def test_close_before_accept_is_a_refusal_with_any_code(code: int) -> None:
    """No code reaches a client then; it sees HTTP 403."""

    async def scenario() -> None:
        server = FakeServer()
        ws = server.websocket()

        await ws.close(code)

        assert server.sent == [closed(code)]
        with pytest.raises(ConnectionStateError):
            await ws.close()

    run(scenario)


@pytest.mark.parametrize("error", [RuntimeError("closed"), OSError("gone"), ServersOwn()])
@pytest.mark.parametrize("is_accepted", [True, False])
def test_closing_never_raises_what_the_server_raises(error: Exception, is_accepted: bool) -> None:
    """A client that has gone is no error of the one who closes."""

    async def scenario() -> None:
        server = FakeServer(send_error=error)
        ws = await server.accepted() if is_accepted else server.websocket()

        await ws.close()

        await ws.ensure_closed()
        assert not ws.is_open

    run(scenario)


def test_closing_waits_for_a_deaf_client_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers queue the close frame behind what the client does not take."""
    monkeypatch.setattr("bocadillo.connection.CLOSE_TIMEOUT_S", 0.01)

    async def scenario() -> None:
        ws = await FakeServer().accepted()
        ws._raw_send = lambda event: asyncio.sleep(60)

        await ws.close(4000)

        assert ws.close_code == 4000

    run(scenario)


def test_closing_a_connection_that_the_client_has_left_does_nothing() -> None:
    """Both sides may close at the same moment."""

    async def scenario() -> None:
        server = FakeServer(left(1001, ""))
        ws = await server.accepted()
        with pytest.raises(WebSocketDisconnect):
            await ws.receive()

        await ws.close()
        await ws.close(4000)
        await ws.ensure_closed()

        assert server.sent == []
        assert ws.close_code == 1001

    run(scenario)


def test_ensure_closed_closes_once_and_then_does_nothing() -> None:
    """For clean-up code that does not know how far things went."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()

        await ws.ensure_closed(1011, "why")
        await ws.ensure_closed()

        assert server.sent == [closed(1011, "why")]

    run(scenario)


def test_ensure_closed_before_accept_refuses() -> None:
    """A handshake must not stay open either."""

    async def scenario() -> None:
        server = FakeServer()
        ws = server.websocket()

        await ws.ensure_closed()

        assert server.sent == [closed(1000)]

    run(scenario)


def test_ensure_closed_ends_a_refusal_that_has_begun() -> None:
    """Half of a HTTP answer would keep the client waiting."""

    async def scenario() -> None:
        server = FakeServer()
        ws = server.websocket()
        await ws.send_event({"type": "websocket.http.response.start", "status": 401, "headers": []})

        await ws.ensure_closed()
        await ws.ensure_closed()

        assert [event["type"] for event in server.sent] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]

    run(scenario)


# async with


def test_async_with_accepts_and_closes() -> None:
    """The seed: an `async with` block accepts."""

    async def scenario() -> None:
        server = FakeServer()

        async with server.websocket() as ws:
            assert ws.is_open

        assert [event["type"] for event in server.sent] == ["websocket.accept", "websocket.close"]
        assert server.sent[-1] == closed(1000)

    run(scenario)


def test_async_with_lets_the_view_close_by_itself() -> None:
    """One close frame, the view's."""

    async def scenario() -> None:
        server = FakeServer()

        async with await server.accepted() as ws:
            await ws.close(4000)

        assert server.sent == [closed(4000)]

    run(scenario)


@pytest.mark.parametrize(
    ("error", "closing"),
    [
        (LookupError("secret"), closed(1011)),
        (InvalidMessage("bad"), closed(1007, "bad")),
        (InvalidMessage("bad", code=1003), closed(1003, "bad")),
        (WebSocketException(4001, "why"), closed(4001, "why")),
        (HTTPException(401, "who?"), closed(1008, "who?")),
        (HTTPException(404, "what?"), closed(1011, "what?")),
        (asyncio.CancelledError(), closed(1011)),
    ],
    ids=repr,
)
def test_async_with_closes_as_the_exception_says_and_raises_it(
    error: BaseException, closing: dict[str, Any]
) -> None:
    """No exception is silenced, and nothing of an unexpected one is told."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()

        with pytest.raises(type(error)) as caught:
            async with ws:
                raise error

        assert caught.value is error
        assert server.sent == [closing]

    run(scenario)


@pytest.mark.parametrize(
    ("event", "codes", "is_quiet"),
    [
        (left(1000, ""), (1000, 1001), True),
        (left(1001, ""), (1000, 1001), True),
        (left(1005, ""), (1000, 1001), True),
        (left(1005), (1000, 1001), False),
        (left(1006), (1000, 1001), False),
        (left(4000, ""), (1000, 1001), False),
        (left(4000, ""), (4000,), True),
        (left(1000, ""), (), False),
        (left(1012), all, True),
        (left(4999, ""), all, True),
        (left(1006), all, True),
    ],
)
def test_async_with_is_quiet_for_caught_codes_only(event: Any, codes: Any, is_quiet: bool) -> None:
    """A browser's plain `close()` (1005 with a reason key) counts as 1000."""

    async def scenario() -> None:
        ws = await FakeServer(event).accepted(caught_close_codes=codes)
        expected: Any = contextlib.nullcontext() if is_quiet else pytest.raises(WebSocketDisconnect)

        with expected:
            async with ws:
                await ws.receive()

    run(scenario)


def test_async_with_catches_starlettes_exception_and_subclasses() -> None:
    """Code shared with Starlette views raises Starlette's class."""

    class Own(StarletteDisconnect):
        pass

    async def scenario() -> None:
        for error in (StarletteDisconnect(1000), Own(1001)):
            server = FakeServer(left(1000, ""))
            async with await server.accepted() as ws:
                _ = [message async for message in ws]
                raise error
            assert server.sent == []

    run(scenario)


def test_async_with_does_not_take_anothers_leaving_for_its_own() -> None:
    """A view that sends to a peer who left must not skip the rest of its block in silence."""

    async def scenario() -> None:
        server = FakeServer()

        with pytest.raises(WebSocketDisconnect):
            async with await server.accepted():
                raise WebSocketDisconnect(1000)

        assert server.sent == [closed(1011)]

    run(scenario)


def test_a_reader_is_told_when_a_deaf_client_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server would wake it: the close frame waits behind what the client does not take."""
    monkeypatch.setattr("bocadillo.connection.CLOSE_TIMEOUT_S", 0.01)

    async def scenario() -> None:
        ws = await FakeServer().accepted()
        ws._raw_send = lambda event: asyncio.sleep(60)

        async def read() -> list[str]:
            return [message async for message in ws]

        reader = asyncio.create_task(read())
        await settle()
        await ws.close(1013)

        assert await reader == []
        assert ws.close_code == 1013

    run(scenario)


def test_async_with_on_a_connection_that_ended_after_accept_can_be_entered() -> None:
    """The body then learns of it by its first receive."""

    async def scenario() -> None:
        ws = await FakeServer(left(1000, "")).accepted()
        with pytest.raises(WebSocketDisconnect):
            await ws.receive()

        async with ws:
            await ws.receive()

    run(scenario)
