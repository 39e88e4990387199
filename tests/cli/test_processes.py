"""`python -m bocadillo run` as a user starts it: real processes, sockets and signals."""

import contextlib
import os
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.cli.certificate import CERTIFICATE, KEY
from tests.cli.conftest import ECHO, Project
from tests.ports import free_port

# A machine that runs other tests at the same time takes its time to start processes.
PATIENCE_S = 60

STARTED = "Application startup complete"

# What answers with a text, and keeps the connection open without listening to it.
STUBBORN = """
import asyncio
from bocadillo import App

app = App(broker=None)

@app.websocket_route("/")
async def view(ws):
    await ws.send({answer!r})
    await asyncio.sleep(3600)  # which the event loop holds on to
"""


def environment() -> dict[str, str]:
    """Return the environment of the tests, without what would change the commands' ways."""
    left_out = ("FORCE_COLOR", "WEB_CONCURRENCY", "COVERAGE_PROCESS_START")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    # A file that is written twice in a second must not be read from its cache.
    return kept | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bocadillo", *arguments]


class Server:
    """`bocadillo run` in a process group of its own, on a port that it found free."""

    def __init__(self, *arguments: str) -> None:
        self.output = ""
        self._lines: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(
            command("run", *arguments, "--port", "0"),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)

    def wait_for(self, text: str) -> str:
        """Return the next line of the output with *text* in it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{text!r} did not come; output:\n{self.output}") from None
            self.output += line
            if text in line:
                return line

    def authority(self) -> str:
        """Return host and port, which can be connected to."""
        return self.wait_for("  http").strip().partition("://")[2]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started."""
        self._process.send_signal(number)

    def press_ctrl_c(self) -> None:
        """Send SIGINT to the processes of the terminal, as Ctrl+C does."""
        os.killpg(self._process.pid, signal.SIGINT)

    def wait(self) -> int:
        """Return the exit code; `output` is then whole."""
        code = self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        while not self._lines.empty():
            self.output += self._lines.get()
        return code

    def kill(self) -> None:
        """End all processes that are left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[Server]:
    server = Server(*arguments)
    try:
        yield server
    finally:
        server.kill()


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command that ends by itself."""
    return subprocess.run(
        command(*arguments),
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def opened(url: str, tls: ssl.SSLContext | None = None) -> ClientConnection:
    """Return a connection; a server that has not started yet keeps it waiting."""
    return connect(url, ssl=tls, open_timeout=PATIENCE_S)


def echoed(url: str, message: str) -> str | bytes:
    with opened(url) as ws:
        ws.send(message)
        return ws.recv(PATIENCE_S)


def test_an_application_is_served_and_ctrl_c_stops_it_quietly(project: Project) -> None:
    """The first thing that anybody tries works, and ends without a traceback."""
    project.write("chat.py", ECHO)

    with running("chat:app") as server:
        authority = server.authority()
        answer = echoed(f"ws://{authority}/echo", "hello")
        server.press_ctrl_c()
        code = server.wait()

    assert answer == "hello"
    assert code == 0
    assert f"  ws://{authority}/echo\n" in server.output
    assert "Traceback" not in server.output


def test_sigterm_stops_the_server_with_open_connections(project: Project) -> None:
    """A supervisor's signal closes connections properly; the process ends by that signal."""
    project.write("chat.py", ECHO)

    with running("chat:app") as server, opened(f"ws://{server.authority()}/echo") as ws:
        ws.send("hello")
        ws.recv(PATIENCE_S)
        server.signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(PATIENCE_S)
        code = server.wait()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert code == -signal.SIGTERM
    assert "Finished server process" in server.output
    assert "Traceback" not in server.output


def test_a_plain_starlette_application_is_served(project: Project) -> None:
    """The command is of use to those who have not changed over."""
    project.write(
        "site_app.py",
        """
        from starlette.applications import Starlette
        from starlette.routing import WebSocketRoute

        async def echo(websocket):
            await websocket.accept()
            await websocket.send_text(await websocket.receive_text())
            await websocket.close()

        app = Starlette(routes=[WebSocketRoute("/echo", echo)])
        """,
    )

    with running("site_app:app") as server:
        answer = echoed(f"ws://{server.authority()}/echo", "hello")

    assert answer == "hello"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_broker_that_is_not_there_is_told_in_one_line(project: Project, workers: str) -> None:
    """Whoever forgot to start Redis reads what to do, and no traceback."""
    port = free_port()
    broker = f"redis://:secret@127.0.0.1:{port}/0"
    project.write("chat.py", ECHO.replace("broker=None", f"broker={broker!r}"))

    with running("chat:app", "--workers", workers) as server:
        code = server.wait()

    told = [line for line in server.output.splitlines() if "cannot reach" in line]
    assert code == 3
    assert f"cannot start: cannot reach redis://127.0.0.1:{port}/0: " in told[0]
    assert told[0].endswith("; start the server there, or give another URL")
    assert "Traceback" not in server.output
    assert "secret" not in server.output


def test_tls_is_served(project: Project) -> None:
    """The wss:// URL that is printed is one to connect to."""
    project.write("chat.py", ECHO)
    project.write("both.pem", KEY + CERTIFICATE)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE

    with running("chat:app", "--ssl-certfile", "both.pem") as server:
        url = f"wss://{server.authority()}/echo"
        with opened(url, trusting) as ws:
            ws.send("hello")
            answer = ws.recv(PATIENCE_S)
        server.press_ctrl_c()
        server.wait()

    assert answer == "hello"
    assert f"  {url}\n" in server.output


def test_workers_serve_and_stop_together(project: Project) -> None:
    """Two processes share the port; Ctrl+C ends them all, quietly."""
    project.write("chat.py", ECHO)

    with running("chat:app", "--workers", "2") as server:
        authority = server.authority()
        answer = echoed(f"ws://{authority}/echo", "hello")
        for _ in range(2 - server.output.count(STARTED)):
            server.wait_for(STARTED)
        server.press_ctrl_c()
        code = server.wait()

    assert answer == "hello"
    assert code == 0
    assert server.output.count("Finished server process") == 2
    assert "Traceback" not in server.output


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_application_that_fails_to_start_ends_the_command(
    project: Project, workers: str
) -> None:
    """Whatever started the command learns of it by the exit code, with several workers too."""
    project.write(
        "chat.py",
        """
        from bocadillo import App

        async def lifespan(app):
            raise OSError("no database")
            yield

        import contextlib
        app = App(broker=None, lifespan=contextlib.asynccontextmanager(lifespan))
        """,
    )

    with running("chat:app", "--workers", workers) as server:
        code = server.wait()

    assert code == 3
    assert "OSError: no database" in server.output


def test_a_changed_file_is_served_with_connections_open(project: Project) -> None:
    """With --reload nobody waits for a handler that does not end by itself."""
    file = project.write("chat.py", STUBBORN.format(answer="old"))

    with running("chat:app", "--reload") as server:
        url = f"ws://{server.authority()}/"
        with opened(url) as ws:
            first = ws.recv(PATIENCE_S)
            file.write_text(STUBBORN.format(answer="changed"))
            answer = answer_after_reload(url, file)
        server.press_ctrl_c()
        code = server.wait()

    assert first == "old"
    assert answer == "changed"
    assert code == 0


def answer_after_reload(url: str, file: Path) -> str | bytes:
    """Return the first answer that is not the old one.

    The reloader takes a file as new when its time has grown since it first looked, and
    nobody is told when that was; so the time is set on until the change is seen.
    """
    deadline = time.monotonic() + PATIENCE_S
    for seconds in range(1, 1000):
        now = file.stat().st_mtime + seconds
        os.utime(file, (now, now))
        with contextlib.suppress(OSError, ConnectionClosed), opened(url) as ws:
            answer = ws.recv(PATIENCE_S)
            if answer != "old":
                return answer
            with contextlib.suppress(TimeoutError):
                ws.recv(2)  # ends early when the server closes it, to reload
        if time.monotonic() > deadline:
            break
    raise AssertionError("the changed file was not served")


def test_a_port_in_use_is_one_line_and_exit_code_1(project: Project) -> None:
    """No half-started server, and no traceback."""
    project.write("chat.py", ECHO)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])

        ended = run("run", "chat:app", "--port", port)

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1, port {port}: " in ended.stderr


def test_a_wrong_target_is_one_line_and_exit_code_2(project: Project) -> None:
    """What was looked for, and where, is all that stands on the screen."""
    project.write("chat.py", ECHO)

    ended = run("run", "chatt:app")

    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        f"Error: no module 'chatt' in {project.directory}, nor among the installed packages; "
        "there is chat.py\n"
    )


def test_routes_are_listed_by_python_m_bocadillo(project: Project) -> None:
    """The current directory is importable for it, too."""
    project.write("chat.py", ECHO)

    ended = run("routes", "chat:app")

    assert ended.returncode == 0
    assert ended.stderr == ""
    assert "/echo" in ended.stdout


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_lives_as_long_as_the_process_is_not_collected_again(
    project: Project, workers: str
) -> None:
    """A full collection stops all connections, for as long as there is something to look at."""
    project.write(
        "frozen.py",
        """
        import gc
        from bocadillo import App

        app = App(broker=None)

        @app.websocket_route("/")
        async def view(ws):
            await ws.send(str(gc.get_freeze_count()))
        """,
    )

    with (
        running("frozen:app", "--workers", workers) as server,
        opened(f"ws://{server.authority()}/") as ws,
    ):
        frozen = int(ws.recv(PATIENCE_S))

    assert frozen > 10_000
