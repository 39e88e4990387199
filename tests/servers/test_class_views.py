"""Class views on every server: `on_disconnect` runs once, however the connection ends."""

import asyncio
import socket
import struct
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection

from tests.servers.conftest import Servers
from tests.servers.running import ALL, end_of, eventually, run

# How it ends, and the close code that `on_disconnect` is told.
ENDINGS: dict[str, int] = {
    "leaves": 4000,
    "dies": 1006,
    "closes": 4001,
    "raises": 1011,
    "sleeps": 4000,
}

# Servers that tell less than they know.
FALSIFIED: dict[tuple[str, str], int] = {
    ("hypercorn", "leaves"): 1006,
    ("hypercorn", "sleeps"): 1006,
    ("granian", "dies"): 1005,
}


def reset(ws: ClientConnection) -> None:
    """End a connection as a process that dies does: by RST."""
    raw: socket.socket = ws.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ws.transport.abort()


@ALL
@pytest.mark.parametrize("path", ["/ends", "/typed-ends"])
@pytest.mark.parametrize("how", ENDINGS)
def test_on_disconnect_runs_exactly_once_with_the_close_code(
    servers: Servers, name: str, path: str, how: str
) -> None:
    """What `on_connect` took is given back, whoever ended it and why."""
    server, key = servers(name), uuid4().hex
    code = FALSIFIED.get((name, how), ENDINGS[how])

    def steps() -> list[Any]:
        return list(server.get(f"/steps/{key}"))

    async def scenario() -> list[Any]:
        loop = asyncio.get_running_loop()
        async with server.connect(f"{path}/{how}/{key}") as ws:
            if how in ("closes", "raises"):
                assert (await end_of(ws))[0] == ENDINGS[how]
            elif how == "dies":
                await eventually(steps, lambda now: "connect" in now, 5)
                reset(ws)
            elif how == "sleeps":
                await eventually(steps, lambda now: "sleeping" in now, 5)
                for _ in range(3):
                    await ws.send("pending")
                await ws.close(4000)
            else:
                await ws.close(4000)
        began = loop.time()
        await eventually(steps, lambda now: code in now, 5)
        # Two seconds by the rule; the rest is for asking, on a busy machine.
        assert loop.time() - began < 2.5
        # Whatever the server had to say after it comes now.
        async with server.connect("/returns") as ws:
            await end_of(ws)
        return steps()

    began = ["connect", "sleeping"] if how == "sleeps" else ["connect"]
    assert run(scenario()) == [*began, code]
