"""Real servers in processes of their own, on free ports of the loopback interface."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import websockets
from websockets.asyncio.client import ClientConnection

from tests.ports import free_port

ROOT = Path(__file__).parent.parent.parent

SERVED = "tests.servers.app:app"
UVICORN = ["-m", "uvicorn", SERVED, "--port", "{port}", "--log-level", "info"]

PROTOCOLS = [
    "--ws",
    "bocadillo.server:WebSocketProtocol",
    "--http",
    "bocadillo.server:HTTPProtocol",
]

COMMANDS = {
    "bocadillo": [*UVICORN, *PROTOCOLS],
    "uvicorn": [*UVICORN, "--ws", "websockets-sansio"],
    "uvicorn-wsproto": [*UVICORN, "--ws", "wsproto"],
    "uvicorn-websockets": ["-W", "ignore", *UVICORN, "--ws", "websockets"],
    "hypercorn": ["-m", "hypercorn", SERVED, "--bind", "127.0.0.1:{port}"],
    "granian": [
        "-m",
        "granian",
        SERVED,
        "--interface",
        "asgi",
        "--port",
        "{port}",
    ],
}

ALL = pytest.mark.parametrize("name", COMMANDS)


class RunningServer:
    """One server's process, its addresses and what it has written to its log."""

    def __init__(self, name: str, log: Path, app: str = SERVED) -> None:
        self.name = name
        self.port = free_port()
        self._log = log
        parts = [app if part == SERVED else part for part in COMMANDS[name]]
        command = [sys.executable, *(part.format(port=self.port) for part in parts)]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
            )

    def wait_until_ready(self) -> None:
        """Return once the server listens; fail after twenty seconds, with its log."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        pytest.fail(f"{self.name} did not start:\n{self.log()}")

    def stop(self) -> None:
        """End the process, if need be by force."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def ws_url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def connect(self, path: str, **options: Any) -> websockets.connect:
        return websockets.connect(self.ws_url(path), compression=None, **options)

    def get(self, path: str) -> Any:
        return requests.get(self.url(path), timeout=10).json()

    def handshake(self, path: str) -> requests.Response:
        """Ask for an upgrade as a client does and return the plain HTTP answer."""
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        return requests.get(self.url(path), headers=headers, timeout=10)

    def log(self) -> str:
        return self._log.read_text()

    def tracebacks(self) -> int:
        return self.log().count("Traceback (most recent call last)")


@contextmanager
def running(name: str, directory: Path, app: str = SERVED) -> Iterator[RunningServer]:
    """Run one server for the time of a block."""
    server = RunningServer(name, directory / f"{name}.log", app)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


async def eventually(
    ask: Callable[[], Any], is_right: Callable[[Any], bool], timeout_s: float
) -> Any:
    """Ask again and again until the answer is right; return it or fail with the last one."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        answer = await asyncio.to_thread(ask)
        if is_right(answer):
            return answer
        if loop.time() > deadline:
            pytest.fail(f"after {timeout_s} s still {answer!r}")
        await asyncio.sleep(0.02)


async def end_of(ws: ClientConnection) -> tuple[int, str]:
    """Return the close code and reason that the server sends next."""
    try:
        async with asyncio.timeout(5):
            message = await ws.recv()
    except websockets.ConnectionClosed as exc:
        return (exc.rcvd.code, exc.rcvd.reason) if exc.rcvd else (1006, "")
    return pytest.fail(f"expected the end, got {message!r}")


def run(scenario: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(60):
            return await scenario

    return asyncio.run(bounded())
