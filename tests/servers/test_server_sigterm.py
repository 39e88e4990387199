"""SIGTERM of real processes: everybody is told, everything ends, nobody deaf holds it up."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import websockets

from tests.ports import free_port
from tests.servers.ending import GRACE_S
from tests.servers.inside import request
from tests.servers.running import PROTOCOLS, ROOT, end_of, eventually, run

# A client that does not answer its close frame is cut after 2 s, and a sweep comes each second.
DEAF_S = 3

# For a machine that runs other tests at the same time.
SLACK_S = 3

APP = "tests.servers.ending:app"
RUN = ["-m", "bocadillo", "run", APP, "--port", "{port}"]

TLS = ["--ssl-certfile", "{certificate}/cert.pem", "--ssl-keyfile", "{certificate}/key.pem"]

SERVERS = {
    "bocadillo run": RUN,
    "bocadillo run, TLS": [*RUN, *TLS],
    "uvicorn": ["-m", "uvicorn", APP, "--port", "{port}", *PROTOCOLS],
    "uvicorn, h11": [
        *("-m", "uvicorn", APP, "--port", "{port}", "--loop", "asyncio"),
        *("--ws", PROTOCOLS[1], "--http", "bocadillo.server.http_h11:H11Guarded"),
    ],
}


class Started:
    """A server's processes, and what they leave behind."""

    def __init__(self, arguments: list[str], directory: Path, certificate: Path) -> None:
        self.port = free_port()
        is_secure = TLS[0] in arguments
        self.secure = "s" if is_secure else ""
        self.verify = str(certificate / "cert.pem")
        self.tls = ssl.create_default_context(cafile=self.verify) if is_secure else None
        places = {"port": self.port, "certificate": certificate}
        self.ended = directory / "ended"
        self.ended.mkdir()
        self._log = directory / "log"
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *(word.format(**places) for word in arguments)],
                cwd=ROOT,
                env={**os.environ, "ENDED": str(self.ended)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def terminate(self) -> float:
        """Send SIGTERM, and return when."""
        self.process.send_signal(signal.SIGTERM)
        return time.monotonic()

    def seconds_to_end(self, since: float) -> float:
        """Wait for the end, and return how long it took."""
        self.process.wait(30)
        return time.monotonic() - since

    def kill(self) -> None:
        """End what is left, with all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def log(self) -> str:
        return self._log.read_text()

    def left_behind(self, kind: str) -> int:
        return sum(path.name.startswith(kind) for path in self.ended.iterdir())

    def refuses(self) -> bool:
        """Tell whether somebody new finds no server."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=10).close()
        except ConnectionRefusedError:
            return True
        return False

    def stuck(self) -> int:
        """Return how many clients the server waits for."""
        url = f"http{self.secure}://localhost:{self.port}/stuck"
        return int(requests.get(url, timeout=10, verify=self.verify).text)

    def connect(self, path: str) -> websockets.connect:
        url = f"ws{self.secure}://localhost:{self.port}{path}"
        return websockets.connect(url, ssl=self.tls, compression=None, open_timeout=30)


@contextlib.contextmanager
def started(
    arguments: list[str], directory: Path, certificate: Path, processes: int = 1
) -> Iterator[Started]:
    server = Started(arguments, directory, certificate)
    try:
        deadline = time.monotonic() + 30
        # uvicorn says so before it listens.
        while server.log().count("startup complete") < processes or server.refuses():
            if server.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{arguments} did not start:\n{server.log()}")
            time.sleep(0.05)
        yield server
    finally:
        server.kill()


@contextlib.asynccontextmanager
async def waiting(server: Started, number: int) -> AsyncIterator[list[websockets.ClientConnection]]:
    """Connect so many clients that listen."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(server.connect(f"/waits/waits-{uuid4().hex}"))
            for _ in range(number)
        ]


@contextlib.contextmanager
def deaf(server: Started, path: str, number: int) -> Iterator[None]:
    """Connect so many clients that read nothing, not even the answer to their handshake."""
    with contextlib.ExitStack() as stack:
        for n in range(number):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            if server.tls is not None:
                client = server.tls.wrap_socket(client, server_hostname="localhost")
            stack.enter_context(client)
            client.sendall(request(path.format(n)))
        yield


@pytest.mark.parametrize("name", SERVERS)
def test_deaf_clients_do_not_hold_up_a_process(
    name: str, tmp_path: Path, certificate: Path
) -> None:
    """Whoever restarts a server waits for it; the others learn that they may come again.

    And while handlers end, nobody new is let in.
    """

    async def scenario(server: Started) -> list[tuple[int, str]]:
        half = socket.create_connection(("127.0.0.1", server.port))
        with half, deaf(server, "/floods/floods-{}", 5), deaf(server, "/waits/deaf-{}", 5):
            half.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            async with waiting(server, 10) as clients:
                for client in clients:
                    await client.recv()
                await eventually(server.stuck, lambda stuck: stuck == 5, 30)
                since = server.terminate()
                ends = await asyncio.gather(*(end_of(client) for client in clients))
                assert server.refuses()
                assert server.left_behind("floods") < 5  # some handlers are still at work
                took_s = await asyncio.to_thread(server.seconds_to_end, since)
        assert took_s < DEAF_S + GRACE_S + SLACK_S
        return ends

    with started(SERVERS[name], tmp_path, certificate) as server:
        assert run(scenario(server)) == [(1012, "")] * 10

    assert [server.left_behind(kind) for kind in ("waits", "deaf", "floods")] == [10, 5, 5]
    assert server.left_behind("lifespan") == 1
    assert server.process.returncode == -signal.SIGTERM
    assert "graceful shutdown exceeded" not in server.log()
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("ws", ["bocadillo", "tests.servers.ending:Unclosable"])
def test_workers_tell_their_clients_and_end_what_they_do(
    ws: str, tmp_path: Path, certificate: Path
) -> None:
    """A deployment with `--workers` loses nobody's clean-up, whatever a connection raises."""

    async def scenario(server: Started) -> list[tuple[int, str]]:
        async with contextlib.AsyncExitStack() as stack:
            clients: list[websockets.ClientConnection] = []
            processes: set[Any] = set()
            while len(clients) < 20 or len(processes) < 2:
                clients += await stack.enter_async_context(waiting(server, 1))
                processes.add(await clients[-1].recv())
            with deaf(server, "/floods/floods-{}", 8):
                await eventually(lambda: [server.stuck() for _ in range(20)], any, 30)
                since = server.terminate()
                ends = await asyncio.gather(*(end_of(client) for client in clients))
                assert server.refuses()
                assert server.process.poll() is None
                took_s = await asyncio.to_thread(server.seconds_to_end, since)
        assert took_s < GRACE_S + 5 + SLACK_S
        return ends

    arguments = [*RUN, "--workers", "2", "--ws", ws]
    with started(arguments, tmp_path, certificate, processes=2) as server:
        ends = run(scenario(server))

    assert set(ends) == {(1012, "")}
    assert [server.left_behind(kind) for kind in ("waits", "lifespan")] == [len(ends), 2]
    assert "Traceback" not in server.log(), server.log()
