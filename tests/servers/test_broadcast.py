"""A broadcast to hundreds of connections, some of which are dead or take nothing."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from tests.servers.conftest import Servers
from tests.servers.running import RunningServer, eventually, run
from tests.servers.test_class_views import reset

CONNECTIONS = 500
STOPPED = 5
KILLED = 5
MESSAGES = [f"{number:04}" + "x" * 1_000 for number in range(60)]

# More than the kernel takes for a socket that nobody reads.
FILL_BYTES = 8_000_000

UVICORN = pytest.mark.parametrize("name", ["uvicorn", "uvicorn-wsproto", "uvicorn-websockets"])


async def join(server: RunningServer, path: str) -> ClientConnection:
    return await server.connect(path, ping_interval=None, close_timeout=1, max_size=None)


async def join_and_stop_reading(server: RunningServer, path: str) -> ClientConnection:
    """Connect, and leave unread what fills every buffer on the way."""
    ws = await join(server, f"{path}?fill={FILL_BYTES}")
    ws.transport.pause_reading()
    return ws


async def join_all(
    server: RunningServer, path: str, stack: AsyncExitStack
) -> tuple[list[ClientConnection], list[ClientConnection], list[ClientConnection]]:
    """Return those that read, those that have stopped reading, and those that are killed."""
    clients: list[ClientConnection] = []
    for number in range(CONNECTIONS):
        ws = await (join_and_stop_reading if number < STOPPED else join)(server, path)
        stack.push_async_callback(ws.close)
        clients.append(ws)
    stopped, killed = clients[:STOPPED], clients[STOPPED : STOPPED + KILLED]
    return clients[STOPPED + KILLED :], stopped, killed


async def read(ws: ClientConnection, count: int) -> list[Any]:
    return [await ws.recv() for _ in range(count)]


async def read_to_the_end(ws: ClientConnection) -> tuple[list[Any], int | None]:
    """Return all that comes after what filled the buffers, and the close code."""
    ws.transport.resume_reading()
    assert len(await ws.recv()) == FILL_BYTES
    got = []
    try:
        while True:
            got.append(await ws.recv())
    except websockets.ConnectionClosed as exc:
        return got, exc.rcvd.code if exc.rcvd else None


@UVICORN
def test_the_others_get_every_message_in_order(servers: Servers, name: str) -> None:
    """Neither a dead peer nor one that takes nothing concerns anybody else."""
    server, key = servers(name), uuid4().hex
    tracebacks = server.tracebacks()

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            readers, stopped, killed = await join_all(server, f"/room/{key}", stack)
            reading = [asyncio.create_task(read(ws, len(MESSAGES))) for ws in readers]
            sender = readers[0]
            for number, message in enumerate(MESSAGES):
                await sender.send(message)
                if number < KILLED:
                    reset(killed[number])

            for got in await asyncio.gather(*reading):
                assert got == MESSAGES
            for got, code in await asyncio.gather(*map(read_to_the_end, stopped)):
                assert got == MESSAGES[: len(got)]
                assert (len(got) < len(MESSAGES), code) == (True, 1013)
        steps = await eventually(
            lambda: server.get(f"/steps/{key}"), lambda steps: len(steps) >= CONNECTIONS, 20
        )

        assert Counter(steps) == {1013: STOPPED, 1006: KILLED, 1000: len(readers)}

    run(scenario())
    assert server.tracebacks() == tracebacks


@UVICORN
def test_a_reader_that_comes_back_may_find_the_newest_messages(servers: Servers, name: str) -> None:
    """By "drop_oldest" it sees the present, with a gap behind it."""
    server, key = servers(name), uuid4().hex

    async def scenario() -> list[Any]:
        path = f"/dropping-room/{key}"
        async with (
            await join(server, path) as sender,
            await join_and_stop_reading(server, path) as reader,
        ):
            for message in MESSAGES:
                await sender.send(message)
                assert await sender.recv() == message
            reader.transport.resume_reading()
            await sender.send("last")
            assert len(await reader.recv()) == FILL_BYTES
            got: list[Any] = []
            while not got or got[-1] != "last":
                got.append(await reader.recv())
            return got

    got = run(scenario())

    assert len(got) < len(MESSAGES)
    assert got[:-1] == sorted(got[:-1])
    assert got[-2] == MESSAGES[-1]
