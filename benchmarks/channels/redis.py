"""A Redis server for the length of a measurement, on a free port of loopback; nothing is kept."""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.load import LoadError

PROGRAM = "redis-server"
START_TIMEOUT_S = 20
END_TIMEOUT_S = 10
PAUSE_S = 0.01
PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A Redis server that answers."""

    pid: int
    url: str


def is_installed() -> bool:
    """Say whether there is a Redis server to start."""
    return shutil.which(PROGRAM) is not None


@contextlib.contextmanager
def redis_server(core: int) -> Iterator[RedisServer]:
    """Run a Redis server on *core* for as long as the context lasts.

    Raises:
        LoadError: it does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="bocadillo-redis-") as directory:
        port = _free_port()
        options = f"--port {port} --bind 127.0.0.1 --save  --appendonly no --loglevel warning"
        process = subprocess.Popen(
            [PROGRAM, *options.split(" "), "--dir", directory],
            stdout=subprocess.DEVNULL,
            preexec_fn=_end_with_parent,
        )
        try:
            os.sched_setaffinity(process.pid, {core})
            _await(process, port)
            yield RedisServer(process.pid, f"redis://127.0.0.1:{port}/0")
        finally:
            process.terminate()
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _end_with_parent() -> None:
    """Have the kernel end this process with the one that started it, even if that is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > until:
            raise LoadError(f"{PROGRAM} does not answer on port {port}; why is above, if it said")
        time.sleep(PAUSE_S)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
    except OSError:
        return False
