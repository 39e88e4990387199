"""Messages: what `receive`, `send` and `async for` do for every value type."""

import asyncio
import dataclasses
import json
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
import ormsgpack
import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from bocadillo import (
    ConcurrencyError,
    ConfigurationError,
    ConnectionStateError,
    InvalidJson,
    InvalidMessage,
    Json,
    MessagePack,
    WebSocket,
    WebSocketDisconnect,
)
from tests.fakes import FakeServer, binary, left, run, settle, text

AnyWebSocket = WebSocket[Any, Any]


class Item(BaseModel):
    id: int
    name: str


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Pair(TypedDict):
    a: int
    b: str


class Struct(msgspec.Struct):
    id: int


class Colour(Enum):
    RED = "red"


class Reversing:
    """A user's codec: text reversed; upper case is refused in its own way."""

    def decode(self, payload: str | bytes) -> str:
        assert isinstance(payload, str)
        if payload.isupper():
            raise LookupError("no shouting")
        return payload[::-1]

    def encode(self, value: str) -> str:
        return value[::-1]


# Value types

ROUND_TRIPS: list[tuple[Any, Any, Any]] = [
    ("text", text("hé"), "hé"),
    (str, text(""), ""),
    ("bytes", binary(b"\0"), b"\0"),
    (bytes, binary(b""), b""),
    ("json", text('{"a":[1,null]}'), {"a": [1, None]}),
    (Any, text("[1]"), [1]),
    ("msgpack", binary(ormsgpack.packb({"a": 1})), {"a": 1}),
    (Item, text('{"id":1,"name":"x"}'), Item(id=1, name="x")),
    (Point, text('{"x":1,"y":2}'), Point(1, 2)),
    (Pair, text('{"a":1,"b":"x"}'), {"a": 1, "b": "x"}),
    (list[int], text("[1,2]"), [1, 2]),
    (int | None, text("null"), None),
    (Struct, text('{"id":1}'), Struct(1)),
    (Json(Item), text('{"id":1,"name":"x"}'), Item(id=1, name="x")),
    (Json(list[int], frame="binary"), binary(b"[1]"), [1]),
    (MessagePack(list[int]), binary(ormsgpack.packb([1])), [1]),
    (Reversing(), text("abc"), "cba"),
    ("event", text("raw"), text("raw")),
]


@pytest.mark.parametrize(("value_type", "event", "value"), ROUND_TRIPS)
def test_every_value_type_is_received_and_sent(value_type: Any, event: Any, value: Any) -> None:
    """What came in goes out the same, frame by frame."""

    async def scenario() -> None:
        server = FakeServer(event, event)
        ws = await server.accepted(value_type=value_type)

        first = await ws.receive()
        second = await anext(ws)
        sent = event if value_type == "event" else value
        await ws.send(sent | {"type": "websocket.send"} if value_type == "event" else sent)

        assert first == second == value
        assert server.sent == [event | {"type": "websocket.send"}]

    run(scenario)


def test_receive_and_send_types_are_independent() -> None:
    """The seed: each defaults to text, `value_type` overrides both."""

    async def scenario() -> None:
        server = FakeServer(binary(b"a"))
        ws = await server.accepted(receive_type="bytes")
        assert (ws.receive_type, ws.send_type) == ("bytes", "text")
        await ws.send((await ws.receive()).decode())
        assert server.sent == [{"type": "websocket.send", "text": "a"}]

        both = server.websocket(value_type="json", receive_type="bytes", send_type="text")
        assert (both.receive_type, both.send_type) == ("json", "json")
        assert server.websocket(value_type=Item).receive_type is Item
        codec = Reversing()
        assert server.websocket(send_type=codec).send_type is codec
        assert server.websocket().auto_accept is True
        assert server.websocket(auto_accept=False).auto_accept is False

    run(scenario)


@pytest.mark.parametrize("value_type", ["texts", "", 7, object(), lambda: None, Reversing])
def test_a_value_type_that_cannot_be_used_fails_at_once_and_lists_what_can(value_type: Any) -> None:
    """Not at the first message of the first client."""
    with pytest.raises(ConfigurationError, match="possible: 'text', 'bytes', 'json'"):
        FakeServer().websocket(value_type=value_type)


# Input that is not as expected


@pytest.mark.parametrize(
    ("receive", "event", "message"),
    [
        (lambda ws: ws.receive_text(), binary(b"x"), "expected a text frame, got a binary frame"),
        (lambda ws: ws.receive_bytes(), text("x"), "expected a binary frame, got a text frame"),
        (lambda ws: ws.receive_json(), binary(b"{}"), "expected a text frame"),
        (lambda ws: ws.receive_json("binary"), text("{}"), "expected a binary frame"),
        (lambda ws: ws.receive(), binary(b"x"), "expected a text frame"),
        (lambda ws: anext(ws), binary(b"x"), "expected a text frame"),
    ],
)
def test_a_frame_of_the_other_kind_is_an_invalid_message(
    receive: Callable[[AnyWebSocket], Any], event: Any, message: str
) -> None:
    """Never a `KeyError`; the connection goes on."""

    async def scenario() -> None:
        ws = await FakeServer(event, text("next")).accepted()

        with pytest.raises(InvalidMessage, match=message) as caught:
            await receive(ws)

        assert caught.value.code == 1003
        assert await ws.receive() == "next"

    run(scenario)


@pytest.mark.parametrize(
    "receive", [lambda ws: ws.receive_json(), lambda ws: ws.receive(), lambda ws: anext(ws)]
)
def test_malformed_json_is_both_errors_people_expect(receive: Any) -> None:
    """`except json.JSONDecodeError` of the seed works, and so does `InvalidMessage`."""

    async def scenario() -> None:
        ws = await FakeServer(text('{"a": ')).accepted(value_type="json")

        with pytest.raises(json.JSONDecodeError) as caught:
            await receive(ws)

        assert isinstance(caught.value, InvalidMessage)
        assert isinstance(caught.value, InvalidJson)
        assert caught.value.code == 1007
        assert caught.value.doc == '{"a": '

    run(scenario)


@pytest.mark.parametrize("value_type", [Item, MessagePack(Item)])
def test_a_typed_receive_tells_all_errors(value_type: Any) -> None:
    """A client's author sees everything that is wrong at once."""

    async def scenario() -> None:
        bad = {"id": "x", "name": 5}
        event = text(json.dumps(bad)) if value_type is Item else binary(ormsgpack.packb(bad))
        ws = await FakeServer(event).accepted(value_type=value_type)

        with pytest.raises(InvalidMessage) as caught:
            await ws.receive()

        assert [error["loc"] for error in caught.value.errors] == [["id"], ["name"]]
        assert all(set(error) == {"loc", "msg", "type"} for error in caught.value.errors)
        assert "id: " in str(caught.value)
        assert "name: " in str(caught.value)

    run(scenario)


def test_whatever_a_users_codec_raises_is_the_verdict_on_the_message() -> None:
    """A codec need not know of bocadillo's exceptions."""

    async def scenario() -> None:
        ws = await FakeServer(text("ABC")).accepted(value_type=Reversing())

        with pytest.raises(InvalidMessage, match="LookupError: no shouting") as caught:
            await ws.receive()

        assert isinstance(caught.value.__cause__, LookupError)

    run(scenario)


def test_json_is_read_from_either_frame() -> None:
    """Browsers send text, others bytes; both are JSON."""

    async def scenario() -> None:
        ws = await FakeServer(binary(b'{"id":1,"name":"x"}')).accepted(value_type=Item)

        assert await ws.receive() == Item(id=1, name="x")

    run(scenario)


def test_events_with_keys_of_none_are_read() -> None:
    """ASGI lets a server send both keys, one of them None."""

    async def scenario() -> None:
        events = [{**text(""), "bytes": None}, {**binary(b""), "text": None}]
        ws = await FakeServer(*events).accepted()

        assert await ws.receive_text() == ""
        assert await ws.receive_bytes() == b""

    run(scenario)


# Sending


def test_send_json_sends_what_people_hold() -> None:
    """Models, dataclasses, dates, UUIDs, enums, Decimals, without a hook."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()
        number = uuid.UUID(int=1)

        await ws.send_json(
            {
                "model": Item(id=1, name="x"),
                "dataclass": Point(1, 2),
                "struct": Struct(3),
                "date": date(2026, 1, 2),
                "datetime": datetime(2026, 1, 2, tzinfo=UTC),
                "uuid": number,
                "enum": Colour.RED,
                "decimal": Decimal("1.50"),
                "set": {1},
                7: "key",
            }
        )

        assert json.loads(server.sent[0]["text"]) == {
            "model": {"id": 1, "name": "x"},
            "dataclass": {"x": 1, "y": 2},
            "struct": {"id": 3},
            "date": "2026-01-02",
            "datetime": "2026-01-02T00:00:00+00:00",
            "uuid": str(number),
            "enum": "red",
            "decimal": "1.50",
            "set": [1],
            "7": "key",
        }

    run(scenario)


def test_send_json_takes_a_mode_as_starlettes_does() -> None:
    """Text frames by default, binary by choice; anything else is a slip."""

    async def scenario() -> None:
        server = FakeServer(binary(b"[1]"))
        ws = await server.accepted()

        await ws.send_json([1])
        await ws.send_json([1], mode="binary")
        assert await ws.receive_json(mode="binary") == [1]

        assert server.sent == [
            {"type": "websocket.send", "text": "[1]"},
            {"type": "websocket.send", "bytes": b"[1]"},
        ]
        with pytest.raises(ValueError, match="'text' or 'binary', got 'bytes'"):
            await ws.send_json([1], mode="bytes")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="'text' or 'binary', got 'bytes'"):
            await ws.receive_json(mode="bytes")  # type: ignore[arg-type]

    run(scenario)


@pytest.mark.parametrize(
    ("send", "value"),
    [
        (lambda ws, value: ws.send_json(value), object()),
        (lambda ws, value: ws.send_json(value), {"a": "\ud800"}),
        (lambda ws, value: ws.send_text(value), b"bytes"),
        (lambda ws, value: ws.send_bytes(value), "text"),
        (lambda ws, value: ws.send(value), 7),
    ],
)
def test_what_cannot_be_sent_is_a_type_error_before_anything_is_sent(
    send: Callable[[AnyWebSocket, Any], Any], value: Any
) -> None:
    """The connection stays as it was."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()

        with pytest.raises(TypeError):
            await send(ws, value)

        assert server.sent == []
        assert ws.is_open

    run(scenario)


def test_a_value_that_is_not_of_the_type_is_not_sent() -> None:
    """The other side was promised the type."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted(value_type=Item)

        with pytest.raises(TypeError):
            await ws.send({"id": "x"})

        assert server.sent == []

    run(scenario)


def test_bytes_like_values_are_sent_as_bytes() -> None:
    """Servers expect `bytes`; people hold views and arrays, too."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted(value_type="bytes")

        await ws.send(bytearray(b"a"))
        await ws.send(memoryview(b"b"))

        assert [event["bytes"] for event in server.sent] == [b"a", b"b"]
        assert all(type(event["bytes"]) is bytes for event in server.sent)

    run(scenario)


def test_subclasses_of_str_are_text() -> None:
    """Enums of `str` and safe strings are text frames."""

    class Safe(str):
        pass

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()

        await ws.send(Safe("a"))

        assert server.sent == [{"type": "websocket.send", "text": "a"}]

    run(scenario)


# async for


def test_async_for_ends_normally_for_a_caught_code() -> None:
    """Code after the loop runs; in the original it did not."""

    async def scenario() -> None:
        ws = await FakeServer(text("a"), text("b"), left(1000, "")).accepted()

        assert [message async for message in ws] == ["a", "b"]
        assert [message async for message in ws] == []

    run(scenario)


def test_async_for_raises_for_any_other_code() -> None:
    """A lost connection is not a normal end."""

    async def scenario() -> None:
        ws = await FakeServer(left(1006)).accepted()

        with pytest.raises(WebSocketDisconnect, match="1006"):
            _ = [message async for message in ws]

    run(scenario)


def test_async_for_goes_on_after_an_invalid_message() -> None:
    """A view may answer a bad message and read the next."""

    async def scenario() -> None:
        events = [text("{"), text("1"), binary(b"x"), text("2"), left(1001)]
        ws = await FakeServer(*events).accepted(value_type="json")
        got: list[Any] = []
        while True:
            try:
                async for message in ws:
                    got.append(message)
                break
            except InvalidMessage:
                got.append("bad")

        assert got == ["bad", 1, "bad", 2]

    run(scenario)


def test_async_for_ends_when_the_view_closes_by_itself() -> None:
    """In its own body, or from another task."""

    async def scenario() -> None:
        server = FakeServer(text("a"))
        ws = await server.accepted()
        got = []
        async for message in ws:
            got.append(message)
            await ws.close(4000)
        assert got == ["a"]

        other = await FakeServer().accepted()

        async def read() -> list[str]:
            return [message async for message in other]

        reader = asyncio.create_task(read())
        await settle()
        await other.close(4000)
        fake: Any = other._raw_send
        fake.__self__.queue.put_nowait(left(4000, ""))
        assert await reader == []

    run(scenario)


def test_async_for_before_accept_says_what_to_do() -> None:
    """It must not look like a client that has left."""

    async def scenario() -> None:
        with pytest.raises(ConnectionStateError, match="call `await ws.accept"):
            _ = [message async for message in FakeServer().websocket()]

    run(scenario)


def test_async_for_over_raw_events_shows_the_disconnect() -> None:
    """The seed's `receive_event` does not raise for it."""

    async def scenario() -> None:
        ws = await FakeServer(text("a"), left(1000, "")).accepted(value_type="event")

        assert [event async for event in ws] == [text("a"), left(1000, "")]

    run(scenario)


# Receiving at the wrong time


RECEIVINGS: list[Callable[[AnyWebSocket], Any]] = [
    lambda ws: ws.receive(),
    lambda ws: ws.receive_text(),
    lambda ws: ws.receive_bytes(),
    lambda ws: ws.receive_json(),
]


@pytest.mark.parametrize("receiving", RECEIVINGS)
def test_receiving_before_accept_and_after_close_is_a_clear_error(
    receiving: Callable[[AnyWebSocket], Any],
) -> None:
    """Not an `AssertionError`, and not a wait for ever."""

    async def scenario() -> None:
        ws = FakeServer().websocket()
        with pytest.raises(ConnectionStateError, match="call `await ws.accept"):
            await receiving(ws)
        await ws.accept()
        await ws.close()

        with pytest.raises(ConnectionStateError, match="this side has closed"):
            await receiving(ws)

    run(scenario)


@pytest.mark.parametrize("receiving", [*RECEIVINGS, lambda ws: ws.receive_event()])
def test_two_tasks_that_receive_get_a_clear_error(
    receiving: Callable[[AnyWebSocket], Any],
) -> None:
    """And the first of them its message."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()
        first = asyncio.create_task(ws.receive())
        await settle()

        with pytest.raises(ConcurrencyError):
            await receiving(ws)
        server.queue.put_nowait(text("mine"))

        assert await first == "mine"

    run(scenario)


def test_two_tasks_may_send() -> None:
    """A reader that answers and a ticker share one connection."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()

        await asyncio.gather(*(ws.send(str(number)) for number in range(10)))

        assert sorted(event["text"] for event in server.sent) == [str(n) for n in range(10)]

    run(scenario)


def test_a_timeout_around_receive_loses_no_message() -> None:
    """The usual way to wait for a message or a tick."""

    async def scenario() -> None:
        server = FakeServer()
        ws = await server.accepted()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.receive(), 0.001)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await ws.receive()
        server.queue.put_nowait(text("late"))

        assert await ws.receive() == "late"

    run(scenario)
