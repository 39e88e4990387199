"""Where a connection stands, how it is left, and the raw events of it."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bocadillo import (
    ConfigurationError,
    ConnectionStateError,
    WebSocket,
    WebSocketDisconnect,
)
from tests.fakes import FakeServer, left, run, settle, text

AnyWebSocket = WebSocket[Any, Any]


def closed(code: int, reason: str = "") -> dict[str, Any]:
    return {"type": "websocket.close", "code": code, "reason": reason}


class ServersOwn(Exception):
    """What a server might raise: a class nobody else knows."""


# What a connection is


def test_it_has_what_starlettes_connection_has() -> None:
    """`url`, `headers`, `query_params`, … read as in the seed's reference."""

    async def scenario() -> None:
        server = FakeServer(
            path="/room",
            query_string=b"a=1&a=2",
            headers=[(b"host", b"testserver:81"), (b"x-token", b"abc"), (b"cookie", b"c=d")],
            path_params={"id": 7},
            state={"pool": 1},
        )
        ws = server.websocket()

        assert ws.url == "ws://testserver:81/room?a=1&a=2"
        assert (ws.url.path, ws.url.port, ws.url.scheme) == ("/room", 81, "ws")
        assert (ws.url.hostname, ws.url.query, ws.url.is_secure) == ("testserver", "a=1&a=2", False)
        assert ws.headers["X-Token"] == "abc"
        assert ws.query_params["a"] == "2"
        assert ws.query_params.getlist("a") == ["1", "2"]
        assert ws.cookies == {"c": "d"}
        assert ws.path_params == {"id": 7}
        assert ws.state.pool == 1
        assert ws.client is not None
        assert ws.client.port == 4711
        assert ws["path"] == "/room"

    run(scenario)


def test_it_is_equal_to_itself_only_and_lives_in_weak_sets() -> None:
    """A `WeakSet` of clients is how people keep track of them."""

    async def scenario() -> None:
        server = FakeServer()
        one, other = server.websocket(), server.websocket()
        clients = weakref.WeakSet([one, other])
        one.nickname = "ann"  # type: ignore[attr-defined]

        assert one != other
        assert one in clients
        assert len({one, other, one}) == 2
        assert one.nickname == "ann"  # type: ignore[attr-defined]

    run(scenario)


def test_repr_tells_path_and_state_and_id_names_the_connection() -> None:
    """What a debugger or a log line shows."""

    async def scenario() -> None:
        server = FakeServer(path="/room")
        ws = server.websocket()
        assert repr(ws) == "<WebSocket '/room' connecting>"
        await ws.accept()

        assert repr(ws) == "<WebSocket '/room' open>"
        assert len(ws.id) == 16
        assert ws.id == ws.id
        assert ws.id != server.websocket().id

    run(scenario)


def test_a_scope_of_another_type_is_refused() -> None:
    """A HTTP scope would fail much later and much less clearly."""
    with pytest.raises(ConfigurationError, match="'websocket', got 'http'"):
        FakeServer(type="http").websocket()


@pytest.mark.parametrize("codes", [(1000, 1001), (), (4000,), [1000], frozenset({1001})])
def test_caught_close_codes_can_be_read(codes: Any) -> None:
    """The seed's attribute: what was given, as a tuple."""
    ws = FakeServer().websocket(caught_close_codes=codes)
    assert ws.caught_close_codes == tuple(codes)


def test_caught_close_codes_default_to_1000_and_1001() -> None:
    """The seed's default."""
    assert FakeServer().websocket().caught_close_codes == (1000, 1001)


@pytest.mark.parametrize("codes", [any, ("1000",), "1000", 1000])
def test_caught_close_codes_that_are_none_are_refused(codes: Any) -> None:
    """A string of digits or a single number is a slip, not a choice."""
    with pytest.raises(ConfigurationError, match="caught_close_codes takes codes"):
        FakeServer().websocket(caught_close_codes=codes)


# Leaving


@pytest.mark.parametrize(
    ("event", "code", "reason"),
    [
        (left(1000, "done"), 1000, "done"),
        (left(4000, ""), 4000, ""),
        (left(1005, ""), 1005, ""),
        (left(1005), 1006, ""),
        (left(), 1006, ""),
        (left(1006), 1006, ""),
        (left(1012), 1012, ""),
    ],
)
def test_the_leaving_tells_code_and_reason(event: Any, code: int, reason: str) -> None:
    """1005 without a reason key is how uvicorn reports a lost connection."""

    async def scenario() -> None:
        ws = await FakeServer(event).accepted()

        for _ in range(2):  # and tells them again to whoever asks again
            with pytest.raises(WebSocketDisconnect) as caught:
                await ws.receive()
            assert (caught.value.code, caught.value.reason) == (code, reason)
            assert type(caught.value.code) is int
        assert ws.close_code == code

    run(scenario)


def test_a_server_of_asgi_2_3_knows_no_reasons() -> None:
    """A plain close on granian is no lost connection."""

    async def scenario() -> None:
        ws = await FakeServer(left(1005), asgi={"spec_version": "2.3"}).accepted()

        assert [message async for message in ws] == []
        assert ws.close_code == 1005

    run(scenario)


Sending = Callable[[AnyWebSocket], Awaitable[None]]
SENDINGS: list[Sending] = [
    lambda ws: ws.send("x"),
    lambda ws: ws.send_text("x"),
    lambda ws: ws.send_bytes(b"x"),
    lambda ws: ws.send_json({}),
    lambda ws: ws.send_event({"type": "websocket.send", "text": "x"}),
]


@pytest.mark.parametrize("sending", SENDINGS)
@pytest.mark.parametrize("error", [RuntimeError("closed"), OSError("gone"), ServersOwn()])
def test_sending_to_a_client_that_has_gone_is_a_disconnect(
    sending: Sending, error: Exception
) -> None:
    """Never the server's own exception, and with the client's code."""

    async def scenario() -> None:
        server = FakeServer(text("unread"), left(4001, "tired"), send_error=error)
        ws = await server.accepted()

        for _ in range(2):
            with pytest.raises(WebSocketDisconnect) as caught:
                await sending(ws)
            assert (caught.value.code, caught.value.reason) == (4001, "tired")
        assert await ws.receive() == "unread"
        with pytest.raises(WebSocketDisconnect, match="4001"):
            await ws.receive()
        with pytest.raises(WebSocketDisconnect, match="4001"):
            await ws.send_event({"type": "websocket.close"})

    run(scenario)


@pytest.mark.parametrize("error", [RuntimeError("closed"), OSError("gone")])
def test_sending_where_the_server_does_not_say_why_is_1006(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search for the code has an end."""
    monkeypatch.setattr("bocadillo.wire.LEAVING_SEARCH_S", 0.01)

    async def scenario() -> None:
        ws = await FakeServer(send_error=error).accepted()

        with pytest.raises(WebSocketDisconnect) as caught:
            await ws.send("x")

        assert caught.value.code == 1006
        with pytest.raises(WebSocketDisconnect):
            await ws.receive()

    run(scenario)


def test_an_exception_that_is_no_leaving_is_raised_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bug in middleware must not pass for a client's leaving."""
    monkeypatch.setattr("bocadillo.wire.LEAVING_SEARCH_S", 0.01)

    async def scenario() -> None:
        for error in (ServersOwn(), UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates")):
            ws = await FakeServer(send_error=error).accepted()

            with pytest.raises(type(error)):
                await ws.send("x")
            assert ws.is_open

    run(scenario)


def test_a_sender_learns_the_code_that_another_task_receives() -> None:
    """One task receives, another sends: both see the same end."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()
        reader = asyncio.create_task(ws.receive())
        await settle()
        server.send_error = OSError("gone")
        server.queue.put_nowait(left(4002, ""))

        with pytest.raises(WebSocketDisconnect, match="4002"):
            await ws.send("x")
        with pytest.raises(WebSocketDisconnect, match="4002"):
            await reader

    run(scenario)


def test_a_sender_does_not_wait_for_a_receiver_that_hears_nothing() -> None:
    """The server may be slower with its event than with its exception."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()
        reader = asyncio.create_task(ws.receive())
        await settle()
        server.send_error = OSError("gone")

        with pytest.raises(WebSocketDisconnect, match="1006"):
            await ws.send("x")
        server.queue.put_nowait(left(4002, ""))
        with pytest.raises(WebSocketDisconnect, match="1006"):
            await reader

    run(scenario)


@pytest.mark.parametrize("sending", SENDINGS)
def test_sending_before_accept_and_after_close_says_what_is_allowed(sending: Sending) -> None:
    """The message names the state and the choices."""

    async def scenario() -> None:
        ws = FakeServer().websocket()
        with pytest.raises(ConnectionStateError, match="while connecting; allowed now: .*accept"):
            await sending(ws)
        await ws.accept()
        await ws.close()

        with pytest.raises(ConnectionStateError, match="while closed; allowed now: nothing"):
            await sending(ws)

    run(scenario)


def test_a_close_during_the_handshake_of_a_client_that_left_does_nothing() -> None:
    """The refusal has nobody to go to."""

    async def scenario() -> None:
        server = FakeServer()
        server.queue.get_nowait()
        server.queue.put_nowait(left(1006))
        ws = server.websocket()

        await ws.close()

        assert server.sent == []

    run(scenario)


# Raw events


def test_raw_events_can_do_a_whole_connection() -> None:
    """For those who want to see everything ASGI has."""

    async def scenario() -> None:
        server = FakeServer(text("a"), left(1000, ""))
        ws = server.websocket()

        assert await ws.receive_event() == {"type": "websocket.connect"}
        await ws.send_event({"type": "websocket.accept"})
        assert await ws.receive_event() == text("a")
        await ws.send_event({"type": "websocket.send", "text": "b"})
        assert await ws.receive_event() == left(1000, "")
        with pytest.raises(WebSocketDisconnect):
            await ws.receive_event()
        with pytest.raises(WebSocketDisconnect):
            await ws.send_event({"type": "websocket.send", "text": "c"})
        assert [event["type"] for event in server.sent] == ["websocket.accept", "websocket.send"]

    run(scenario)


def test_a_raw_close_is_a_close() -> None:
    """The state follows the events, whoever sends them."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()

        await ws.send_event({"type": "websocket.close", "code": 4000})

        assert ws.close_code == 4000
        with pytest.raises(ConnectionStateError):
            await ws.close()

    run(scenario)


def test_a_raw_close_keeps_to_the_rules_of_close() -> None:
    """Otherwise the client would see 1006."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()

        with pytest.raises(ValueError, match="may not be sent"):
            await ws.send_event({"type": "websocket.close", "code": 1006})
        with pytest.raises(ConnectionStateError, match="cannot send ''"):
            await ws.send_event({})
        await ws.send_event({"type": "websocket.close", "code": 4000, "reason": "x" * 200})

        assert server.sent == [closed(4000, "x" * 123)]

    run(scenario)


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_without_a_body_is_refused_one(status: int) -> None:
    """RFC 9110 §6.4.1: the client would take it for the next answer."""

    async def scenario() -> None:
        server = FakeServer()
        with pytest.raises(ValueError, match=f"status {status} has no body"):
            await server.websocket().reject(status, "x")

        await server.websocket().reject(status)

    run(scenario)


def test_a_raw_denial_is_a_refusal() -> None:
    """The extension's events, one by one."""

    async def scenario() -> None:
        server = FakeServer()
        ws = server.websocket()
        await ws.send_event({"type": "websocket.http.response.start", "status": 401, "headers": []})
        body = {"type": "websocket.http.response.body", "body": b"x"}
        await ws.send_event(body | {"more_body": True})

        await ws.send_event(body)

        with pytest.raises(ConnectionStateError, match="allowed now: nothing"):
            await ws.send_event(body)

    run(scenario)


def test_a_failing_raw_event_is_explained() -> None:
    """Closing by hand on a connection that is gone tells so."""

    async def scenario() -> None:
        server = FakeServer(left(1001, ""), send_error=OSError())
        ws = await server.accepted()

        with pytest.raises(WebSocketDisconnect):
            await ws.send_event({"type": "websocket.close", "code": 1000})

    run(scenario)


def test_an_accept_that_was_not_sent_leaves_the_connection_unanswered() -> None:
    """The view may still refuse, and the lifecycle answers HTTP 500 where it does not."""

    async def scenario() -> None:
        async def send(event: Any) -> None:
            raise ValueError("no headers here")

        ws = FakeServer().websocket()
        ws._raw_send = send
        with pytest.raises(ValueError, match="no headers here"):
            await ws.accept(headers={"a": "b"})

        assert ws.is_connecting
        assert not ws.accepted

    run(scenario)


def test_a_raw_accept_by_send_is_an_accept() -> None:
    """`send` of the type "event" takes every event that ASGI has."""

    async def scenario() -> None:
        server = FakeServer()
        ws = server.websocket(value_type="event")

        await ws.send({"type": "websocket.accept"})

        assert ws.accepted

    run(scenario)
