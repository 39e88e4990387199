"""The extension `bocadillo.broadcast` on a real uvicorn: one message to many connections."""

import asyncio
import zlib
from typing import Any

import pytest

from bocadillo.server import broadcasting, deflate
from bocadillo.server.deflate import DeflateOptions
from bocadillo.server.limits import Limits
from tests.server.clients import close
from tests.servers.inside import on_both_loops, request, run, serving, until

DEFLATE = {"Sec-WebSocket-Extensions": b"permessage-deflate; client_max_window_bits"}
NARROW = {"Sec-WebSocket-Extensions": b"permessage-deflate; server_max_window_bits=10"}


class Room:
    """An application whose connections are peers of broadcasts."""

    def __init__(self) -> None:
        self.peers: dict[str, Any] = {}
        self.sends: dict[str, Any] = {}
        self.broadcast: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.peers[scope["path"]] = scope["bocadillo.peer"]
        self.sends[scope["path"]] = send
        self.broadcast = scope["extensions"]["bocadillo.broadcast"]["broadcast"]
        while (await receive())["type"] != "websocket.disconnect":
            pass


def inflate(payload: bytes) -> bytes:
    return zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")


@on_both_loops
def test_everybody_gets_it_in_order_with_what_the_connection_sends(loop: str) -> None:
    """A reply before a broadcast arrives before it, and one after it arrives after it."""

    async def scenario() -> None:
        room = Room()
        async with serving(room) as server:
            clients = [await server.open(f"/{number}") for number in range(3)]
            await until(lambda: len(room.peers) == 3)
            send = room.sends["/0"]

            await send({"type": "websocket.send", "text": "1"})
            assert room.broadcast(room.peers.values(), text="2") == []
            await send({"type": "websocket.send", "text": "3"})
            room.broadcast(room.peers.values(), bytes=b"4")
            room.broadcast(room.peers.values(), text="x" * 70_000)

            assert [(await clients[0].frame())[1] for _ in range(4)] == [b"1", b"2", b"3", b"4"]
            assert await clients[0].text() == "x" * 70_000
            assert await clients[1].frame() == (0x81, b"2")
            assert await clients[1].frame() == (0x82, b"4")

    run(scenario, loop)


def test_those_who_left_are_passed_over() -> None:
    """Nothing is raised, and they are not among the congested."""

    async def scenario() -> None:
        room = Room()
        async with serving(room) as server:
            first, second = await server.open("/1"), await server.open("/2")
            await until(lambda: len(room.peers) == 2)
            first.write(close(1000))
            await first.close_code()

            assert room.broadcast(room.peers.values(), text="x") == []

            assert await second.text() == "x"
            assert await first.end() == b""

    run(scenario)


@on_both_loops
def test_a_congested_peer_gets_nothing_and_is_named(loop: str) -> None:
    """Nobody waits for a deaf peer, and its memory is bounded; the others get all."""

    async def scenario() -> None:
        room = Room()
        async with serving(room, limits=Limits()) as server:
            client = await server.open("/good")
            deaf = await server.connect(limit=2)
            deaf.write(request("/deaf"))
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: len(room.peers) == 2)
            congested: list[Any] = []
            number = 0
            while not congested:
                number += 1
                congested = room.broadcast(room.peers.values(), bytes=bytes(100_000))
                await client.frame()

            assert congested == [room.peers["/deaf"]]
            unsent = room.peers["/deaf"]._transport.get_write_buffer_size()
            assert unsent < 400_000
            await room.sends["/good"]({"type": "bocadillo.abort"})
            deaf.reset()

    run(scenario, loop)


def test_compression_is_done_once_for_all_who_agreed_on_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And for each with takeover, whose payloads depend on those before."""
    calls: list[Any] = []

    def counting(payload: bytes, *agreed: int) -> bytes:
        calls.append(agreed)
        return compress_once(payload, *agreed)

    compress_once = deflate.compress_once
    monkeypatch.setattr(broadcasting, "compress_once", counting)
    text = "some text " * 100

    async def scenario() -> None:
        room = Room()
        async with serving(room, ws_per_message_deflate=True) as server:
            headers = [DEFLATE, DEFLATE, DEFLATE, NARROW, NARROW, None]
            clients = [await server.open(f"/{i}", asked) for i, asked in enumerate(headers)]
            await until(lambda: len(room.peers) == 6)

            room.broadcast(room.peers.values(), text=text)
            room.broadcast(room.peers.values(), text="small")

            for client, asked in zip(clients, headers, strict=True):
                first, payload = await client.frame()
                assert first == (0x81 if asked is None else 0xC1)
                assert (payload if asked is None else inflate(payload)).decode() == text
                assert await client.text() == "small"
        assert sorted(calls) == [(10, 1), (12, 1)]

    run(scenario)


def test_compression_with_takeover_stays_right() -> None:
    """Broadcasts and own messages go through one window, in their order."""

    async def scenario() -> None:
        room = Room()
        limits = Limits(deflate=DeflateOptions(server_takeover=True), compress_from_bytes=1)
        async with serving(room, ws_per_message_deflate=True, limits=limits) as server:
            client = await server.open("/1", DEFLATE)
            await until(lambda: len(room.peers) == 1)

            for number in range(5):
                room.broadcast(room.peers.values(), text=f"number {number}")
                own = {"type": "websocket.send", "text": f"own {number}"}
                await room.sends["/1"](own)

            window = zlib.decompressobj(-15)
            for number in range(5):
                for expected in (f"number {number}", f"own {number}"):
                    _, payload = await client.frame()
                    assert window.decompress(payload + b"\x00\x00\xff\xff") == expected.encode()

    run(scenario)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ({}, ValueError),
        ({"text": "x", "bytes": b"x"}, ValueError),
        ({"bytes": "x"}, TypeError),
        ({"text": "\ud800"}, UnicodeEncodeError),
    ],
)
def test_a_broadcast_of_what_is_no_message_is_refused(
    payload: dict[str, Any], error: type[Exception]
) -> None:
    """Before anybody gets anything."""
    with pytest.raises(error):
        broadcasting.broadcast([object()], **payload)


def test_peers_of_two_servers_may_be_mixed() -> None:
    """A process may serve on two ports; who is where does not matter."""

    async def scenario() -> None:
        room = Room()
        async with serving(room) as one, serving(room) as two:
            clients = [await one.open("/1"), await two.open("/2")]
            await until(lambda: len(room.peers) == 2)
            room.broadcast(room.peers.values(), text="x")
            assert [await client.text() for client in clients] == ["x", "x"]
            await asyncio.sleep(0)

    run(scenario)
