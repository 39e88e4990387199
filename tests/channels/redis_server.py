"""A Redis server for the length of a test, which can be killed, paused and started again."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

READY_S = 20


class RedisServer:
    """`redis-server` on a free port of loopback, with nothing written to disk.

    Args:
        directory: Where it may write, which it does only when asked to.
        options: Options of the command line, without their dashes.
    """

    def __init__(self, directory: Path, **options: str) -> None:
        self._directory = directory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, **options: str) -> None:
        """Start it, and return when it answers."""
        defaults = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": str(self._directory),
            "loglevel": "warning",
        }
        command = ["redis-server"]
        for name, value in (defaults | self._options | options).items():
            command += [f"--{name.replace('_', '-')}", value]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + READY_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command} is not ready; exit code {self._process.poll()}")
            time.sleep(0.005)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Have it answer nothing, while its connections stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *command: str, password: str = "") -> Any:
        """Return what the server answers to a command, by a connection of its own."""
        import redis

        with redis.Redis(port=self.port, password=password or None) as client:
            return client.execute_command(*command)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return bool(connection.recv(1))
        except OSError:
            return False


def require_redis() -> None:
    """Skip a test where there is no Redis, but never where all tests have to run."""
    if shutil.which("redis-server") is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is not installed, and CI has to run these tests")
        pytest.skip("redis-server is not installed: NOTHING OF REDIS IS TESTED")
