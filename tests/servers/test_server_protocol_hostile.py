"""Hostile frames on a real uvicorn: a close frame with a code, bounded memory, a quiet log."""

import asyncio
import random
import time
import tracemalloc
import zlib
from typing import Any

import pytest

from bocadillo.server.limits import Limits
from tests.server.clients import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    client_frame,
    close,
    fragments,
)
from tests.servers.inside import (
    Client,
    echo,
    lines,
    on_both_loops,
    request,
    run,
    said,
    serving,
    tracebacks,
    until,
)

DEFLATE = {"Sec-WebSocket-Extensions": b"permessage-deflate"}

MIB = 1024 * 1024

BROKEN = {
    "25 unmasked": (client_frame(TEXT, b"x", mask=None), 1002),
    "26 length of 2^63": (client_frame(BINARY, announced=2**63), 1002),
    "26 length of 2^40": (client_frame(BINARY, announced=2**40), 1009),
    "26b not the fewest bytes": (client_frame(TEXT, b"xx", length_bits=16), 1002),
    "27 RSV1": (client_frame(TEXT, b"x", rsv=4), 1002),
    "27 RSV2": (client_frame(TEXT, b"x", rsv=2), 1002),
    "27 RSV1 on ping": (client_frame(PING, b"x", rsv=4), 1002),
    "30 fragments over the limit": (
        fragments(BINARY, *[bytes(100_000)] * 11),
        1009,
    ),
    "36 UTF-8 in text": (client_frame(TEXT, b"\xff"), 1007),
    "36 UTF-8 over fragments": (fragments(TEXT, b"\xc3", b"\xff"), 1007),
    "36 UTF-8 in a reason": (close(1000, b"\xff"), 1007),
    "37 code 0": (close(0), 1002),
    "37 code 999": (close(999), 1002),
    "37 code 1004": (close(1004), 1002),
    "37 code 1005": (close(1005), 1002),
    "37 code 1006": (close(1006), 1002),
    "37 code 1015": (close(1015), 1002),
    "37 code 5000": (close(5000), 1002),
    "37 half a code": (client_frame(CLOSE, b"x"), 1002),
    "37 ping of 126 bytes": (client_frame(PING, bytes(126)), 1002),
    "37 fragmented ping": (client_frame(PING, fin=False), 1002),
    "continuation of nothing": (client_frame(CONTINUATION, b"x"), 1002),
    "reserved opcode": (client_frame(3, b"x"), 1002),
}

BROKEN_DEFLATE = {
    "27 RSV1 on continuation": (
        client_frame(TEXT, b"x", fin=False) + client_frame(CONTINUATION, b"x", rsv=4),
        1002,
    ),
    "27 RSV1 on ping": (client_frame(PING, b"x", rsv=4), 1002),
    "28 no deflate": (client_frame(TEXT, b"\xff\xff\xff\xff\xff", rsv=4), 1007),
}


@pytest.mark.parametrize("what", [*BROKEN, *(f"deflate: {name}" for name in BROKEN_DEFLATE)])
@on_both_loops
def test_a_broken_frame_is_answered_by_its_code(
    what: str, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A close frame, the application told, and one line in the log."""
    told: list[Any] = []
    is_deflate = what.startswith("deflate: ")
    sent, code = BROKEN_DEFLATE[what[9:]] if is_deflate else BROKEN[what]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        told.extend([await receive(), await receive()])

    async def scenario() -> None:
        async with serving(app, ws_max_size=MIB, ws_per_message_deflate=is_deflate) as server:
            client = await server.open(headers=DEFLATE if is_deflate else None)
            client.write(client_frame(TEXT, b"before") + sent + client_frame(TEXT, b"after"))
            assert await client.close_code() == code
            assert await client.end() == b""
            client.close()
            await server.until_idle()

    run(scenario, loop)
    assert told[0]["text"] == "before"
    assert (told[1]["type"], told[1]["code"]) == ("websocket.disconnect", code)
    assert len(said(caplog)) == 2, said(caplog)  # accepted, failed
    assert tracebacks(caplog) == 0


def test_a_huge_length_costs_nothing_before_it_comes() -> None:
    """Refused by the header, at once."""

    async def scenario() -> None:
        async with serving(echo) as server:
            client = await server.open()
            tracemalloc.start()
            client.write(client_frame(BINARY, announced=2**40)[:10])
            assert await client.close_code() == 1009
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 200_000

    run(scenario)


@on_both_loops
def test_a_deflate_bomb_is_stopped_at_the_limit(loop: str) -> None:
    """256 MiB in 256 KiB; the limit is on what it inflates to."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(compressor.compress(bytes(MIB)) for _ in range(256))
    packed += compressor.flush(zlib.Z_SYNC_FLUSH)

    async def scenario() -> None:
        async with serving(echo, ws_per_message_deflate=True, ws_max_size=4 * MIB) as server:
            client = await server.open(headers=DEFLATE)
            frame = client_frame(BINARY, packed[:-4], rsv=4)
            tracemalloc.start()
            started = time.process_time()
            client.write(frame)
            assert await client.close_code() == 1009
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 2.5 * 4 * MIB
            assert time.process_time() - started < 1

    run(scenario, loop)


@pytest.mark.parametrize(
    ("payload", "number"), [(b"x", 200_000), (b"", 100_000)], ids=["one byte", "empty"]
)
def test_fragments_without_end_cost_what_they_hold(payload: bytes, number: int) -> None:
    """No object is kept for a fragment."""

    async def scenario() -> None:
        async with serving(echo) as server:
            client = await server.open()
            piece = client_frame(CONTINUATION, payload, fin=False)
            client.write(client_frame(TEXT, payload, fin=False) + client_frame(PING, b"0"))
            assert await client.frame() == (0x8A, b"0")
            stream = piece * number + client_frame(PING, b"1")
            tracemalloc.start()
            for start in range(0, len(stream), 65536):
                client.write(stream[start : start + 65536])
                await client.writer.drain()
            assert await client.frame() == (0x8A, b"1")
            kept = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            assert kept < 5 * MIB

    run(scenario)


def test_fragments_cost_time_in_proportion() -> None:
    """Twice as many take twice as long."""
    taken: list[float] = []

    async def scenario() -> None:
        async with serving(echo) as server:
            client = await server.open()
            for number in (1_000, 40_000, 80_000):
                pieces = client_frame(TEXT, b"x", fin=False)
                pieces += client_frame(CONTINUATION, b"x", fin=False) * (number - 2)
                stream = pieces + client_frame(CONTINUATION, b"x")
                started = time.process_time()
                client.write(stream)
                assert len(await client.text()) == number
                taken.append(time.process_time() - started)

    run(scenario)
    assert taken[2] / taken[1] < 3.5


def test_an_unfinished_message_costs_what_came() -> None:
    """9 MiB in pieces of 1 KiB."""

    async def scenario() -> None:
        async with serving(echo) as server:
            client = await server.open()
            header = client_frame(BINARY, announced=10 * MIB)[:14]
            client.write(header)
            piece = bytes(1024)
            tracemalloc.start()
            for _ in range(9 * 1024):
                client.write(piece)
                await client.writer.drain()
                await asyncio.sleep(0)
            connection = next(iter(server.state.connections))
            await until(lambda: connection._parser.buffered >= 9 * MIB)
            kept = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            assert kept < 1.25 * 9 * MIB

    run(scenario)


def test_a_message_that_does_not_end_is_cut() -> None:
    """What of it is here is not kept for ever, whatever still trickles in."""

    async def scenario() -> None:
        async with serving(echo, limits=Limits(message_timeout_s=0.2)) as server:
            other, client = await server.open(), await server.open()
            client.write(client_frame(TEXT, b"x", fin=False))

            async def trickle() -> None:
                while True:
                    client.write(client_frame(CONTINUATION, b"x", fin=False))
                    await asyncio.sleep(0.01)

            trickling = asyncio.create_task(trickle())
            assert await client.close_code() == 1008
            trickling.cancel()
            other.send("still here")
            assert await other.text() == "still here"

    run(scenario)


@on_both_loops
def test_random_bytes_hurt_nobody(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    """600 connections, half of them with compression; each ends, nothing is logged."""
    rng = random.Random(7)

    async def attack(client: Client, deflated: bool) -> int:
        client.write(request(headers=DEFLATE if deflated else None))
        await client.read_head()
        for _ in range(3):
            client.write(rng.randbytes(rng.randrange(1, 2000)))
        client.writer.write_eof()
        try:
            rest = await client.end()
        except ConnectionError:
            return 0
        finally:
            client.close()
        at = rest.rfind(b"\x88")
        return int.from_bytes(rest[at + 2 : at + 4]) if 0 <= at < len(rest) - 3 else 0

    async def scenario() -> None:
        codes: list[int] = []
        async with serving(echo, ws_per_message_deflate=True) as server:
            for _ in range(12):
                clients = [await server.connect() for _ in range(50)]
                attacks = [attack(one, number % 2 == 0) for number, one in enumerate(clients)]
                codes += await asyncio.gather(*attacks)
            await server.until_idle()
            survivor = await server.open()
            survivor.send("alive")
            assert await survivor.text() == "alive"
        assert {1002, 1009} & set(codes)

    run(scenario, loop)
    assert tracebacks(caplog) == 0
    assert len(lines(caplog)) <= 2 * 601


@on_both_loops
def test_messages_in_one_byte_segments_come_whole(loop: str) -> None:
    """TCP is a stream."""

    async def scenario() -> None:
        async with serving(echo) as server:
            client = await server.open()
            for byte in client_frame(TEXT, b"x" * 200) + fragments(TEXT, b"one", b" two"):
                client.write(bytes([byte]))
                await asyncio.sleep(0)
            assert await client.text() == "x" * 200
            assert await client.text() == "one two"

    run(scenario, loop)
