"""`LiveServer`: a real server for the length of a `with` block."""

import asyncio
import contextlib
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from starlette.types import Receive, Scope, Send
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_by_network

from bocadillo.serving import StartupError
from bocadillo.testing import LiveServer, live
from tests.test_serving import has_ipv6

HERE = __name__


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send messages back over WebSockets; answer HTTP by the process's id."""
    if scope["type"] == "http":
        await answer(send, str(os.getpid()))
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] != "websocket.disconnect":
            await send({**event, "type": "websocket.send"})


async def answer(send: Send, body: str) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})


async def fails_to_start(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.failed", "message": ""})
        raise LookupError("no database")


async def never_starts(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await asyncio.sleep(3600)  # which the event loop holds on to


async def never_stops(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
        await asyncio.sleep(3600)  # which the event loop holds on to


async def dies(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        os._exit(7)


class DiesWhenUnpickled:
    """An application whose process does not get as far as the application."""

    def __reduce__(self) -> Any:
        return os._exit, (9,)


def client_of(server: LiveServer) -> Any:
    return connect_by_network(server.ws_url("/"), proxy=None)


def said_back(server: LiveServer) -> str | bytes:
    with client_of(server) as ws:
        ws.send("hello")
        echoed: str | bytes = ws.recv(timeout=5)
    return echoed


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "LiveServer" in thread.name]


@contextlib.contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Check that threads and processes of servers end with the block."""
    yield
    assert threads() == []
    assert multiprocessing.active_children() == []


def assert_port_is_free(port: int) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen()


def app_of(name: str, process: bool) -> Any:
    """Return an application of this file, for another process by its name."""
    return f"{HERE}:{name}" if process else globals()[name]


both = pytest.mark.parametrize("process", [False, True], ids=["thread", "process"])


# What it is


@both
def test_server_serves_while_the_block_runs(process: bool) -> None:
    """WebSockets and HTTP, on a port of its own, and afterwards nothing is left."""
    with nothing_left_behind():
        with LiveServer(app_of("echo", process), process=process) as server:
            assert said_back(server) == "hello"
            pid = int(requests.get(server.url("/"), timeout=5).text)

        assert (pid != os.getpid()) == process
        assert_port_is_free(server.port)


def test_application_itself_can_go_to_another_process() -> None:
    """What can be pickled needs no name."""
    with nothing_left_behind(), LiveServer(echo, process=True) as server:
        assert said_back(server) == "hello"


def test_urls_and_port_name_the_server() -> None:
    """No test needs to put an address together."""
    with LiveServer(echo) as server:
        assert server.port > 0
        assert server.url("/a") == f"http://127.0.0.1:{server.port}/a"
        assert server.url() == f"http://127.0.0.1:{server.port}/"
        assert server.ws_url("/a?b") == f"ws://127.0.0.1:{server.port}/a?b"


def test_port_can_be_chosen() -> None:
    """For clients whose address is fixed."""
    with LiveServer(echo) as server:
        port = server.port

    with LiveServer(echo, port=port) as server:
        assert server.port == port
        assert said_back(server) == "hello"


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6_can_be_served() -> None:
    """The address stands in brackets, as clients want it."""
    with LiveServer(echo, host="::1") as server:
        assert server.ws_url().startswith("ws://[::1]:")
        assert said_back(server) == "hello"


@pytest.mark.parametrize("ws", ["wsproto", "websockets-sansio"])
def test_options_are_uvicorns(ws: str) -> None:
    """A test can be run on each of its implementations."""
    with LiveServer(echo, ws=ws, headers=[("x-room", "blue")]) as server:
        assert said_back(server) == "hello"
        assert requests.get(server.url(), timeout=5).headers["x-room"] == "blue"


def test_unknown_option_is_refused_at_once() -> None:
    """Before anything is started."""
    with pytest.raises(TypeError, match="did you mean 'log_level'"):
        LiveServer(echo, log_levl="info")


def test_requests_are_not_logged_unless_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    """The output of a test run is the tests'."""
    with LiveServer(echo) as server:
        said_back(server)
        requests.get(server.url(), timeout=5)

    assert capfd.readouterr() == ("", "")


def test_open_connections_do_not_keep_the_server() -> None:
    """A client that stays is told 1012."""
    with nothing_left_behind(), contextlib.ExitStack() as stack:
        with LiveServer(echo) as server:
            ws = stack.enter_context(client_of(server))
        with pytest.raises(ConnectionClosed) as info:
            ws.recv(timeout=5)

    assert info.value.rcvd is not None
    assert info.value.rcvd.code == 1012


def test_server_is_used_once() -> None:
    """A second `with` would find its port closed."""
    with LiveServer(echo) as server:
        pass

    with pytest.raises(RuntimeError, match="used once; make a new one"), server:
        pass


def test_exception_of_the_block_passes() -> None:
    """The server stops, and the test's failure is what is told."""
    with nothing_left_behind(), pytest.raises(KeyError, match="of the test"), LiveServer(echo):
        raise KeyError("of the test")


# What goes wrong


@both
def test_port_in_use_is_an_os_error(process: bool) -> None:
    """In the caller, not in some log."""
    with nothing_left_behind(), socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = LiveServer(app_of("echo", process), port=port, process=process)
        with pytest.raises(OSError, match=f"port {port}: Address already in use"), server:
            pass


@both
def test_failing_start_up_is_told_with_its_reason(process: bool) -> None:
    """The test sees what the application raised, from another process too."""
    server = LiveServer(app_of("fails_to_start", process), process=process, log_level="critical")

    with nothing_left_behind(), pytest.raises(StartupError, match="no database") as info, server:
        pass

    if process:
        assert "In the server's process:" in str(info.value)
    else:
        assert isinstance(info.value.__cause__, LookupError)
    assert_port_is_free(server.port)


@both
def test_application_that_cannot_be_imported_is_told(process: bool) -> None:
    """A mistyped name is found where it is written."""
    server = LiveServer("no_such_module:app", process=process)

    with nothing_left_behind(), pytest.raises(StartupError, match="no_such_module"), server:
        pass


@both
def test_start_up_that_takes_too_long_is_an_error(process: bool) -> None:
    """No test hangs."""
    server = LiveServer(
        app_of("never_starts", process), process=process, ready_timeout_s=0.2, lifespan="on"
    )

    with (
        nothing_left_behind(),
        pytest.raises(TimeoutError, match="was not ready within 0.2 s: .* ready_timeout_s"),
        server,
    ):
        pass

    assert_port_is_free(server.port)


@both
def test_shutdown_that_takes_too_long_is_an_error(process: bool) -> None:
    """What is still running is cut off all the same."""
    server = LiveServer(app_of("never_stops", process), process=process, stop_timeout_s=0.3)

    with (
        nothing_left_behind(),
        pytest.raises(TimeoutError, match="did not stop within 0.3 s: its shutdown has not ended"),
        server,
    ):
        pass

    assert_port_is_free(server.port)


def test_handler_that_does_not_end_is_named() -> None:
    """One sees which view hangs, and at which line."""

    async def stays(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(3600)  # which the event loop holds on to

    def leave_at_once() -> None:
        with LiveServer(stays, lifespan="off", stop_timeout_s=0.5) as server, client_of(server):
            pass

    with nothing_left_behind(), pytest.raises(TimeoutError) as info:
        leave_at_once()

    assert "a handler waits in " in str(info.value)
    assert "stays(), test_live.py:" in str(info.value)


def test_handler_that_blocks_its_thread_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can end such a thread, but the test is not held up by it."""
    monkeypatch.setattr(live, "FORCE_S", 0.1)
    may_end = threading.Event()

    async def blocks(scope: Scope, receive: Receive, send: Send) -> None:
        may_end.wait(10)

    with nothing_left_behind():
        with (
            pytest.raises(TimeoutError, match="was not ready"),
            LiveServer(blocks, ready_timeout_s=0.1),
        ):
            pass
        [thread] = threads()
        may_end.set()
        thread.join(10)


def test_error_of_the_server_while_it_runs_is_raised_at_the_end() -> None:
    """A server that died is not silently taken for one that was stopped."""
    dies_now = threading.Event()

    async def fail() -> None:
        if dies_now.is_set():
            raise LookupError("notified in vain")

    def let_it_die() -> None:
        with LiveServer(echo, callback_notify=fail, timeout_notify=0) as server:
            dies_now.set()
            [thread] = threads()
            thread.join(10)
            assert_port_is_free(server.port)

    with nothing_left_behind(), pytest.raises(LookupError, match="notified in vain"):
        let_it_die()


def test_interrupted_start_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl+C while a server starts."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(live, "wait_futures", interrupt)

    with nothing_left_behind(), pytest.raises(KeyboardInterrupt), LiveServer(never_starts):
        pass


def test_thread_that_has_not_begun_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interruption may come before the thread has begun."""
    may_begin = threading.Event()
    run = live._Thread._run

    def run_late(thread: live._Thread) -> None:
        may_begin.wait(10)
        run(thread)

    def interrupt(*_: object) -> None:
        threading.Timer(0.05, may_begin.set).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(live._Thread, "_run", run_late)
    monkeypatch.setattr(live, "wait_futures", interrupt)

    with nothing_left_behind(), pytest.raises(KeyboardInterrupt), LiveServer(never_starts):
        pass


# In a process of its own


def test_application_that_cannot_be_pickled_is_told() -> None:
    """The message shows the way."""

    async def local(scope: Scope, receive: Receive, send: Send) -> None: ...

    server = LiveServer(local, process=True)

    with nothing_left_behind(), pytest.raises(TypeError, match="give it as 'module:app'"), server:
        pass

    assert_port_is_free(server.port)


def test_process_that_dies_at_its_start_is_told() -> None:
    """Rather than waited for."""
    app: Any = DiesWhenUnpickled()
    server = LiveServer(app, process=True)

    with (
        nothing_left_behind(),
        pytest.raises(StartupError, match="exit code 9 before the server was ready"),
        server,
    ):
        pass


def test_process_that_dies_later_is_told_at_the_end() -> None:
    """A crash is a failure, even of a test that did not look."""

    def let_it_die() -> None:
        with (
            LiveServer(f"{HERE}:dies", process=True) as server,
            pytest.raises(requests.ConnectionError),
        ):
            requests.get(server.url(), timeout=5)

    with nothing_left_behind(), pytest.raises(RuntimeError, match="died with exit code 7"):
        let_it_die()


def test_process_that_ignores_signals_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last resort."""
    monkeypatch.setattr(live, "FORCE_S", 0.1)

    def leave_at_once() -> None:
        with LiveServer(f"{HERE}:ignores_sigterm", process=True, stop_timeout_s=0.3) as server:
            requests.get(server.url(), timeout=5)

    started = time.monotonic()
    with nothing_left_behind(), pytest.raises(TimeoutError, match="did not stop within 0.3 s"):
        leave_at_once()
    assert time.monotonic() - started < 10


async def ignores_sigterm(scope: Scope, receive: Receive, send: Send) -> None:
    import signal

    if scope["type"] == "http":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        await answer(send, "ignored")
    else:
        await never_stops(scope, receive, send)
