"""How long `broadcast` holds up its sender: `python -m benchmarks.broadcast`.

A view broadcasts at a steady rate to many connections of a client in another process,
once with all of them reading, and once with some that never read. What is timed is the
call; that the others get everything is for the tests to show.
"""

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from benchmarks import machine
from benchmarks.options import at_least
from bocadillo import App, WebSocketView
from bocadillo.serving import serve

PAYLOAD = "x" * 1024
RATE_PER_S = 20

# So small that a connection which is not read is noticed within a few messages.
BUFFER_BYTES = 4096

app = App()
durations_us: list[float] = []


@app.websocket_route("/")
class Feed(WebSocketView[str, str]):
    """Everybody listens; who says "go" has the payload broadcast."""

    async def handle(self) -> None:
        async for message in self.messages:
            for _ in range(int(message)):
                began = time.perf_counter()
                await self.broadcast(PAYLOAD)
                durations_us.append((time.perf_counter() - began) * 1e6)
                await asyncio.sleep(1 / RATE_PER_S)
            await self.send("done")
            break


def main() -> None:
    options = _options()
    if options.client is not None:
        asyncio.run(listen(options.client, options.connections, options.deaf, options.messages))
        return
    results = [
        asyncio.run(measure(options.connections, deaf, options.messages))
        for deaf in (0, options.deaf)
    ]
    print(_markdown(results), end="")
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine.machine(), "results": results}))


async def measure(connections: int, deaf: int, messages: int) -> dict[str, Any]:
    """Serve one run of the client and return the percentiles of the call's duration."""
    durations_us.clear()
    async with serve(app, port=0, ws_ping_interval=None, timeout_graceful_shutdown=1) as server:
        command = [sys.executable, "-m", "benchmarks.broadcast", "--client", server.ws_url("/")]
        numbers = ("--connections", connections, "--deaf", deaf, "--messages", messages)
        client = await asyncio.create_subprocess_exec(*command, *map(str, numbers))
        async with asyncio.timeout(60 + 2 * messages / RATE_PER_S):
            code = await client.wait()
    if code:
        raise subprocess.CalledProcessError(code, command)
    ordered = sorted(durations_us)
    return {
        "connections": connections,
        "deaf": deaf,
        "calls": len(ordered),
        "p50_us": _percentile(ordered, 0.5),
        "p99_us": _percentile(ordered, 0.99),
        "max_us": ordered[-1],
    }


async def listen(url: str, connections: int, deaf: int, messages: int) -> None:
    """Hold connections, some of which never read, and have the feed begin."""
    deaf_ones = [_connect_deaf(url) for _ in range(deaf)]
    readers = [await websockets.connect(url, compression=None) for _ in range(connections - deaf)]
    reading = [asyncio.create_task(_read(reader)) for reader in readers[1:]]
    await readers[0].send(str(messages))
    while await readers[0].recv() != "done":
        pass
    for task in reading:
        task.cancel()
    for raw in deaf_ones:
        raw.close()


async def _read(reader: ClientConnection) -> None:
    async for _ in reader:
        pass


def _connect_deaf(url: str) -> socket.socket:
    """Open a connection that will never read what is sent to it."""
    host, _, port = url.removeprefix("ws://").rstrip("/").partition(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    raw.connect((host, int(port)))
    request = (
        f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    raw.sendall(request.encode())
    if b" 101 " not in raw.recv(64):
        sys.exit("the server did not let a deaf client in")
    return raw


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _markdown(results: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"`broadcast` of {len(PAYLOAD)} bytes, {RATE_PER_S} a second",
        "",
        "| connections | of them deaf | calls | p50 µs | p99 µs | longest µs |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for one in results:
        times = " | ".join(f"{one[key]:,.0f}" for key in ("p50_us", "p99_us", "max_us"))
        lines.append(f"| {one['connections']} | {one['deaf']} | {one['calls']} | {times} |")
    return "\n".join(lines) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broadcast")
    parser.add_argument("--connections", type=at_least(2, int), default=500)
    parser.add_argument("--deaf", type=at_least(0, int), default=5)
    parser.add_argument("--messages", type=at_least(1, int), default=400)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
