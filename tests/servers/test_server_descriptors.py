"""The limit of open files: a server that has reached it serves on, and recovers."""

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.server.clients import close
from tests.servers.inside import Client, request, run, until
from tests.servers.running import ROOT

MAX_FILES = 64
CLIENTS = 150

# What may be logged in a second at the limit.
MOST_LINES = 20

MOST_CPU_S = 0.3  # in a second; a server that tries again without end takes all of it


ON_ASYNCIO = """
import asyncio, sys
from bocadillo.serving import serve
from examples.echo import app

async def main():
    server = await serve(app, port=int(sys.argv[1]))
    await server.wait_closed()

asyncio.run(main())
"""


class Served:
    """A server's process, with few files to open."""

    def __init__(self, log: Path, loop: str) -> None:
        self.port = free_port()
        self._log = log
        command = ["-m", "bocadillo", "run", "examples.echo:app", "--log-level", "warning"]
        command += ["--port", str(self.port)]
        if loop == "asyncio":
            command = ["-c", ON_ASYNCIO, str(self.port)]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_s(self) -> float:
        """Return the seconds that the process has computed, for itself and in the kernel."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def log(self) -> str:
        return self._log.read_text()

    async def connect(self) -> Client:
        """Open a connection, which the server may not have accepted yet."""
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    async def until_ready(self) -> Client:
        """Return the first client, once it is served."""
        while self.process.poll() is None:
            with contextlib.suppress(OSError):
                client = await self.connect()
                assert await client.answer(request("/echo")) == 101
                return client
            await asyncio.sleep(0.05)
        return pytest.fail(f"it did not start:\n{self.log()}")


@contextlib.contextmanager
def served(log: Path, loop: str) -> Iterator[Served]:
    server = Served(log, loop)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


async def echoed(client: Client, text: str) -> bool:
    client.send(text)
    return await client.text() == text


async def is_served(client: Client) -> bool:
    """Wait to be served, or refused."""
    try:
        return await client.answer(request("/echo")) == 101
    except (OSError, asyncio.IncompleteReadError):
        return False


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_out_of_descriptors_the_server_serves_on_and_recovers(tmp_path: Path, loop: str) -> None:
    """150 clients for 64 files; those who are in are served, nothing spins or floods."""

    async def scenario(server: Served) -> None:
        first = await server.until_ready()
        before = server.open_files()
        limits = (MAX_FILES, resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[1])
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
        clients: list[Client] = []
        waiting: list[asyncio.Task[bool]] = []
        for _ in range(CLIENTS):
            clients.append(await server.connect())
            waiting.append(asyncio.create_task(is_served(clients[-1])))
        inside = MAX_FILES - before - 2  # uvloop keeps a descriptor or two in reserve
        await until(lambda: sum(one.done() and one.result() for one in waiting) >= inside)

        lines, cpu_s, since = server.log().count("\n"), server.cpu_s(), time.monotonic()
        while time.monotonic() - since < 1:
            assert await echoed(first, "served")
            await asyncio.sleep(0.05)
        assert server.cpu_s() - cpu_s < MOST_CPU_S
        assert server.log().count("\n") - lines < MOST_LINES
        assert server.open_files() <= MAX_FILES

        for client, one in zip(clients, waiting, strict=True):
            if one.done() and one.result():
                assert await echoed(client, "in")
                client.write(close(1000))
            client.close()
        await asyncio.gather(*waiting)
        await until(lambda: server.open_files() <= before + 1)
        again = await server.connect()
        assert await again.answer(request("/echo")) == 101
        assert await echoed(again, "again")
        for client in (first, again):
            client.close()

    with served(tmp_path / "log", loop) as server:
        run(lambda: scenario(server))
