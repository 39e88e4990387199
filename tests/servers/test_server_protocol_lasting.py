"""Keepalive, shutdown and churn of the server protocol: what comes and goes leaves nothing."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from uvicorn.protocols.utils import ClientDisconnected

from bocadillo.server.limits import Limits
from tests.server.clients import client_frame, close
from tests.servers.inside import (
    Client,
    Inside,
    echo,
    lines,
    on_both_loops,
    open_files,
    request,
    run,
    serving,
    until,
)

KIB = 1024


def connection_of(server: Inside) -> Any:
    [connection] = server.state.connections
    return connection


# Keepalive


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A TCP proxy; while the event is set, it forwards nothing: a black hole."""
    hole = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                if not hole.is_set():
                    writer.write(chunk)
        except ConnectionError:
            pass
        finally:
            if not hole.is_set():
                writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        pumps = {asyncio.create_task(pump(reader, back)), asyncio.create_task(pump(there, writer))}
        tasks.update(pumps)
        await asyncio.wait(pumps)
        back.close()
        writer.close()

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], hole
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@on_both_loops
def test_a_peer_behind_a_black_hole_is_found(loop: str) -> None:
    """Within interval and time-out; 1006, and the descriptor is freed."""
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        told.append(await receive())
        told.append(asyncio.get_running_loop().time())

    async def scenario() -> None:
        async with (
            serving(app, ws_ping_interval=0.3, ws_ping_timeout=0.3) as server,
            proxy(server.port) as (port, hole),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            client = Client(reader, writer)
            assert await client.answer(request()) == 101
            started = asyncio.get_running_loop().time()
            hole.set()
            await server.until_idle()
            assert told[0] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
            assert told[1] - started < 0.3 + 0.3 + 0.5
            client.close()

    run(scenario, loop)


@on_both_loops
def test_a_peer_that_answers_pings_stays(loop: str) -> None:
    """And one that sends by itself is not pinged at all."""

    async def scenario() -> None:
        async with serving(echo, ws_ping_interval=0.1, ws_ping_timeout=0.3) as server:
            quiet, busy = await server.open(), await server.open()

            async def chat() -> None:
                while True:
                    busy.send("x")
                    assert await busy.text() == "x"
                    await asyncio.sleep(0.01)

            chatting = asyncio.create_task(chat())
            for _ in range(5):
                assert await quiet.frame() == (0x89, b"")
                quiet.write(client_frame(10))
            assert not chatting.done()
            chatting.cancel()
            assert len(server.state.connections) == 2

    run(scenario, loop)


@pytest.mark.parametrize("interval", [None, 0])
def test_without_a_ping_interval_nobody_is_pinged(interval: int | None) -> None:
    """`--ws-ping-interval 0`, which is None where `bocadillo run` has it."""

    async def scenario() -> None:
        async with serving(echo, ws_ping_interval=interval, ws_ping_timeout=0.05) as server:
            client = await server.open()
            await asyncio.sleep(0.4)
            client.send("x")
            assert await client.text() == "x"

    run(scenario)


# Shutdown


@on_both_loops
@pytest.mark.parametrize("deaf", [False, True])
def test_a_shutdown_tells_everybody_1012_and_ends_within_the_grace(loop: str, deaf: bool) -> None:
    """Deaf peers do not hold it up."""
    told: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while deaf and scope["path"] == "/deaf":
                await send({"type": "websocket.send", "bytes": bytes(100 * KIB)})
        except OSError:
            pass
        told.append((await receive())["code"])
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "late"})

    async def scenario() -> None:
        limits = Limits(send_timeout_s=60, linger_timeout_s=0.5)
        async with serving(app, limits=limits, timeout_graceful_shutdown=3) as server:
            clients = [await server.open() for _ in range(20)]
            for _ in range(5 if deaf else 0):
                one = await server.connect(limit=2)
                one.write(request("/deaf"))
                one.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: len(server.state.tasks) == (25 if deaf else 20))
            await asyncio.sleep(0.1)
            started = asyncio.get_running_loop().time()

            async def leave(client: Client) -> int:
                code = await client.close_code()
                client.write(close(code))
                client.close()
                return code

            stopping = asyncio.create_task(server.server.shutdown(sockets=[]))
            codes = await asyncio.gather(*(leave(client) for client in clients))
            await stopping

            assert codes == [1012] * 20
            assert asyncio.get_running_loop().time() - started < 3
            assert not server.state.tasks

    run(scenario, loop)
    assert set(told) == {1012}


def test_a_handler_that_is_cancelled_closes_with_1012() -> None:
    """After the grace uvicorn cancels; the client learns that it may come again."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(60)

    async def scenario() -> None:
        async with serving(app) as server:
            client = await server.open()
            for task in server.state.tasks:
                task.cancel()
            assert await client.close_code() == 1012

    run(scenario)


def test_a_shutdown_before_the_answer_is_503() -> None:
    """Who has not come in learns by HTTP that he will not."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()

    async def scenario() -> None:
        async with serving(app) as server:
            client = await server.connect()
            client.write(request())
            await until(lambda: bool(server.state.tasks))
            connection_of(server).shutdown()
            await client.read_head()
            assert client.status == 503

    run(scenario)


# Churn


@on_both_loops
@pytest.mark.parametrize("end", ["close", "reset", "fin"])
def test_nothing_is_left_of_2000_connections(
    loop: str, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No task, no descriptor, no memory."""

    async def cycle(server: Inside) -> None:
        client = await server.open()
        client.send("x")
        await client.text()
        if end == "close":
            client.write(close(1000))
            await client.close_code()
            await client.end()
        if end == "reset":
            client.reset()
        client.close()
        server._clients.remove(client)

    async def cycles(server: Inside, number: int) -> None:
        for _ in range(number // 20):
            await asyncio.gather(*(cycle(server) for _ in range(20)))
        await server.until_idle()

    async def scenario() -> None:
        async with serving(echo, log_level="warning") as server:
            await cycles(server, 400)
            gc.collect()
            files, objects = open_files(), len(gc.get_objects())
            await cycles(server, 2000)
            gc.collect()
            await until(lambda: open_files() <= files)
            # A connection that was kept would be 2,000 objects and more.
            assert len(gc.get_objects()) - objects < 500
            assert len(asyncio.all_tasks()) == 1
            [shared] = {id(one): one for one in server.state.__dict__["bocadillo"]}.values()
            assert not shared._watched
            assert not shared._deadlines

    run(scenario, loop)
    assert not lines(caplog)


def test_an_ended_connection_is_collected_without_the_collector() -> None:
    """No cycles: memory goes with the connection, not some time later."""

    async def scenario() -> None:
        async with serving(echo) as server:
            await server.open()
            seen = weakref.ref(connection_of(server))
            gc.disable()
            try:
                server.close_clients()
                await server.until_idle()
                await until(lambda: seen() is None)
            finally:
                gc.enable()

    run(scenario)


def test_connections_over_a_unix_socket_are_served(tmp_path: Any) -> None:
    """`--uds`: there is no address, and nothing needs one."""

    async def scenario() -> None:
        path = str(tmp_path / "server")
        async with serving(echo) as server:
            config = server.server.config
            protocol = config.http_protocol_class
            loop = asyncio.get_running_loop()
            made = await loop.create_unix_server(
                lambda: protocol(  # type: ignore[call-arg]
                    config=config, server_state=server.state, app_state={}
                ),
                path,
            )
            client = Client(*await asyncio.open_unix_connection(path))
            assert await client.answer(request()) == 101
            client.send("x")
            assert await client.text() == "x"
            client.close()
            made.close()

    run(scenario)
