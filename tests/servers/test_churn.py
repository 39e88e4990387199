"""Thousands of clients that come and go leave nothing behind."""

import asyncio
import socket
import struct
from typing import Any

from tests.servers.conftest import Servers
from tests.servers.running import RunningServer, eventually, run

CYCLES = 2000
MOST_BYTES = 1_000_000


async def come_and_go(server: RunningServer, cycles: int) -> None:
    """Connect and leave, every other time by a reset."""
    at_once = asyncio.Semaphore(20)

    async def one(number: int) -> None:
        async with at_once, server.connect("/echo") as ws:
            await ws.send("x")
            await ws.recv()
            if number % 2:
                raw: socket.socket = ws.transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                ws.transport.abort()

    await asyncio.gather(*(one(number) for number in range(cycles)))


def test_two_thousand_cycles_leave_no_task_no_descriptor_and_no_memory(servers: Servers) -> None:
    """A leak of one object per connection ends a process within days."""
    server = servers("uvicorn")

    async def scenario() -> tuple[dict[str, Any], dict[str, Any]]:
        await come_and_go(server, CYCLES)  # to fill every cache and pool
        before = server.get("/process")
        await come_and_go(server, CYCLES)
        after = await eventually(
            lambda: server.get("/process"),
            lambda now: (
                now["tasks"] <= before["tasks"] and now["descriptors"] <= before["descriptors"]
            ),
            5,
        )
        return before, after

    before, after = run(scenario())

    assert after["bytes"] - before["bytes"] <= MOST_BYTES
