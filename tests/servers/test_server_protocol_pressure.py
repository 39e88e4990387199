"""Backpressure of the server protocol, both ways: nothing grows without bound."""

import asyncio
import socket
import tracemalloc
from typing import Any

import pytest

from bocadillo.server.limits import Limits
from tests.server.clients import PING, TEXT, client_frame, close
from tests.servers.inside import (
    Client,
    Inside,
    echo,
    on_both_loops,
    open_files,
    request,
    run,
    serving,
    tracebacks,
    until,
)

KIB = 1024
MIB = 1024 * KIB

BUSY_S = 2  # for a machine that does other things, too


def connection_of(server: Inside) -> Any:
    [connection] = server.state.connections
    return connection


# In


@on_both_loops
def test_a_flooding_client_is_held_back_and_nothing_is_lost(loop: str) -> None:
    """Reading pauses at the high mark, in messages; all come in order to a slow application."""
    number = 20_000
    got: list[str] = []
    may_read = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await may_read.wait()
        while (event := await receive())["type"] == "websocket.receive":
            got.append(event["text"])
            if len(got) % 1000 == 0:
                await asyncio.sleep(0)

    async def scenario() -> None:
        async with serving(app, ws_max_queue=32) as server:
            client = await server.open()
            connection = connection_of(server)
            stream = b"".join(
                client_frame(TEXT, b"%d" % index + b"." * 1000) for index in range(number)
            )
            client.write(stream + close(1000))
            await until(lambda: not connection._is_reading)
            most = len(connection._queue)
            await asyncio.sleep(0.05)
            assert len(connection._queue) == most <= 32 + 270
            may_read.set()
            await client.close_code()
            client.close()
            await server.until_idle()

    run(scenario, loop)
    assert [int(text.partition(".")[0]) for text in got] == [*range(number)]


@on_both_loops
def test_waiting_messages_are_bounded_in_bytes_too(loop: str) -> None:
    """32 messages of 16 MiB would be no bound."""
    may_read = asyncio.Event()
    got: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await may_read.wait()
        while (event := await receive())["type"] == "websocket.receive":
            got.append(len(event["text"]))

    async def scenario() -> None:
        limits = Limits(max_queued_bytes=100 * KIB)
        async with serving(app, limits=limits) as server:
            client = await server.open()
            connection = connection_of(server)
            client.write(client_frame(TEXT, b"x" * 300 * KIB) * 10 + close(1000))
            await until(lambda: not connection._is_reading)
            assert len(connection._queue) <= 2
            may_read.set()
            await client.close_code()
            client.close()
            await server.until_idle()

    run(scenario, loop)
    assert got == [300 * KIB] * 10


def test_what_comes_before_accept_is_bounded() -> None:
    """A client that does not wait for the answer is held back."""
    may_accept = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await may_accept.wait()
        await echo(scope, receive, send)

    async def scenario() -> None:
        async with serving(app, limits=Limits(max_early_bytes=10 * KIB)) as server:
            client = await server.connect()
            client.write(request())
            await until(lambda: bool(server.state.tasks))
            [connection] = server.state.connections
            client.write(client_frame(TEXT, b"x" * 1000) * 2000)
            await until(lambda: not connection._is_reading)
            assert len(connection._early) < 300 * KIB
            may_accept.set()
            await client.read_head()
            for _ in range(2000):
                assert await client.text() == "x" * 1000

    run(scenario)


# Out


@on_both_loops
def test_a_deaf_peer_is_aborted_in_time_and_99_others_are_served_meanwhile(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`send` waits, then raises an OSError; memory is bounded, the file freed."""
    limits = Limits(send_timeout_s=1)
    sweep_s = 0.25
    ended: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/echo":
            await echo(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(100 * KIB)})
        except OSError as error:
            ended.append(error)

    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        async with serving(app, limits=limits) as server:
            others = [await server.open("/echo") for _ in range(99)]
            before, files = set(server.state.connections), open_files()
            deaf = await server.connect(limit=2)  # the stream reads no more than it must
            deaf.write(request("/deaf"))
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: len(server.state.tasks) == 100)
            [stuck] = server.state.connections - before
            await until(lambda: not stuck._is_writable)
            since = clock()
            rounds = most_unsent = 0
            while not ended:
                for other in others:
                    other.send("x")
                    assert await other.text() == "x"
                rounds += not ended
                most_unsent = max(most_unsent, stuck._transport.get_write_buffer_size())

            assert clock() - since < limits.send_timeout_s + sweep_s + BUSY_S
            assert rounds > 0
            assert 0 < most_unsent < 400 * KIB
            # The deaf client's own is still open; the server's is not.
            await until(lambda: open_files() == files + 1)
            assert set(server.state.connections) == before
            deaf.reset()

    run(scenario, loop)
    assert [type(error).__name__ for error in ended] == ["ClientDisconnected"]
    assert caplog.text.count("its peer took nothing for") == 1
    assert tracebacks(caplog) == 0


@on_both_loops
@pytest.mark.parametrize("size", [10, 1000, 100_000])
def test_who_sends_without_end_lets_others_have_their_turn(loop: str, size: int) -> None:
    """A peer that takes all as fast as it comes never makes `send` wait by itself."""
    is_over = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/echo":
            await echo(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        sent = 0
        while not is_over:
            sent += 1
            assert sent < 20_000_000 // size
            await send({"type": "websocket.send", "text": "x" * size})

    async def scenario() -> None:
        nonlocal is_over
        async with serving(app, limits=Limits()) as server:
            other = await server.open("/echo")
            greedy = await server.connect()
            greedy.write(request("/flood"))
            taking = asyncio.create_task(greedy.is_cut())
            await until(lambda: len(server.state.tasks) == 2)
            for _ in range(3):
                other.send("x")
                assert await other.text() == "x"
            is_over = True
            await until(lambda: len(server.state.tasks) == 1)
            greedy.reset()
            await taking

    run(scenario, loop)


@on_both_loops
def test_a_slow_peer_is_not_aborted(loop: str) -> None:
    """The time is for taking something; who takes a little at a time gets it all."""
    size = 3_000_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(5):
            await send({"type": "websocket.send", "bytes": bytes(size)})

    async def scenario() -> None:
        limits = Limits(send_timeout_s=0.6, close_timeout_s=60)
        async with serving(app, limits=limits) as server:
            client = await server.open()
            for _ in range(5 * (size + 10) // 200_000):
                await client.reader.readexactly(200_000)
                await asyncio.sleep(0.02)
            await client.reader.readexactly(5 * (size + 10) % 200_000)
            assert await client.close_code() == 1000

    run(scenario, loop)


@on_both_loops
def test_100_000_pings_whose_pongs_nobody_takes_cost_bounded_memory(loop: str) -> None:
    """Reading pauses until the pongs have gone, and goes on then."""
    number = 100_000
    stream = client_frame(PING, b"x" * 125) * number
    pongs = (b"\x8a\x7d" + b"x" * 125) * 1000

    async def write(client: Client) -> None:
        for start in range(0, len(stream), 65536):
            client.write(stream[start : start + 65536])
            await client.writer.drain()

    async def scenario() -> None:
        async with serving(echo, limits=Limits()) as server:
            client = await server.open()
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection = connection_of(server)
            tracemalloc.start()
            writing = asyncio.create_task(write(client))
            await until(lambda: not connection._is_reading)
            assert connection._transport.get_write_buffer_size() < 2 * MIB
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            for _ in range(number // 1000):
                assert await client.reader.readexactly(len(pongs)) == pongs
            await writing
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert most < 5 * MIB
            client.send("after")
            assert await client.text() == "after"

    run(scenario, loop)
