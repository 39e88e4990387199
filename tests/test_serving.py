"""Any ASGI application on uvicorn, inside a running program."""

import asyncio
import errno
import signal
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import HANDLED_SIGNALS

from bocadillo.server import HTTPProtocol, Limits, WebSocketProtocol
from bocadillo.serving import UNFIT, Server, StartupError, serve

Startup = Callable[[Receive, Send], Awaitable[bool]]


class Hello:
    """Answers every request by "hello"; its lifespan is counted, and may fail."""

    def __init__(self, startup: Startup | None = None) -> None:
        self.startup = startup
        self.lifespan: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})

    async def live(self, receive: Receive, send: Send) -> None:
        await receive()
        self.lifespan.append("startup")
        if self.startup is not None and not await self.startup(receive, send):
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.lifespan.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})


async def raise_value_error(_: Receive, send: Send) -> bool:
    await send({"type": "lifespan.startup.failed", "message": "no database"})
    raise ValueError("no database at all")


async def say_failed(_: Receive, send: Send) -> bool:
    await send({"type": "lifespan.startup.failed", "message": "no database"})
    return False


async def fail_in_silence(_: Receive, send: Send) -> bool:
    await send({"type": "lifespan.startup.failed"})
    return False


async def hang(*_: object) -> bool:
    return await asyncio.sleep(3600, True)  # which the event loop holds on to


async def get(server: Server, host: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection(host, server.port)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that applications can be imported from."""
    module = ModuleType("importable")
    monkeypatch.setitem(sys.modules, "importable", module)
    return module


# Starting and stopping


def test_awaited_server_listens_and_runs_until_it_is_closed() -> None:
    """`server = await serve(...)` is ready for the first client at once."""
    app = Hello()

    async def scenario() -> bytes:
        server = await serve(app, port=0)
        answer = await get(server)
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await get(server)
        return answer

    answer = asyncio.run(scenario())

    assert answer.endswith(b"hello")
    assert app.lifespan == ["startup", "shutdown"]


def test_async_with_stops_the_server_at_its_end() -> None:
    """Nothing listens on after the block."""
    app = Hello()

    async def scenario() -> bytes:
        async with serve(app, port=0) as server:
            answer = await get(server)
        with pytest.raises(ConnectionRefusedError):
            await get(server)
        return answer

    assert asyncio.run(scenario()).endswith(b"hello")
    assert app.lifespan == ["startup", "shutdown"]


def test_awaited_server_can_be_entered() -> None:
    """Both ways to use a server go together; the second start does nothing."""
    app = Hello()

    async def scenario() -> None:
        server = await serve(app, port=0)
        async with server as same:
            assert same is server

    asyncio.run(scenario())

    assert app.lifespan == ["startup", "shutdown"]


def test_stopped_server_cannot_be_started_again() -> None:
    """One is told so, rather than given a server that does not listen."""

    async def scenario() -> None:
        async with serve(Hello(), port=0) as server:
            pass
        with pytest.raises(RuntimeError, match="make a new one"):
            await server

    asyncio.run(scenario())


def test_server_that_never_started_is_closed_already() -> None:
    """Cleaning up needs no question whether there is something to clean up."""
    server = serve(Hello(), port=0)

    server.close()

    asyncio.run(server.wait_closed())


def test_waiting_for_the_end_can_be_given_up() -> None:
    """A time-out around `wait_closed` leaves the server running."""

    async def scenario() -> bytes:
        async with serve(Hello(), port=0) as server:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 0.01)
            return await get(server)

    assert asyncio.run(scenario()).endswith(b"hello")


def test_error_while_running_reaches_who_waits() -> None:
    """A server that dies says why."""

    async def fail() -> None:
        raise ValueError("notified in vain")

    async def scenario() -> None:
        server = await serve(Hello(), port=0, callback_notify=fail, timeout_notify=0)
        await server.wait_closed()

    with pytest.raises(ValueError, match="notified in vain"):
        asyncio.run(scenario())


def test_end_of_the_program_closes_all_sockets() -> None:
    """A forgotten server leaves no warnings of unclosed sockets behind."""

    async def scenario() -> Server:
        server = await serve(Hello(), port=0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"hello")
        writer.close()
        return server

    server = asyncio.run(scenario())

    assert server.bind().fileno() == -1
    assert not any(listener.is_serving() for listener in server.servers)


def test_signals_stay_with_the_program() -> None:
    """Ctrl+C means what it meant before the server started."""

    async def scenario() -> None:
        before = [signal.getsignal(number) for number in HANDLED_SIGNALS]
        async with serve(Hello(), port=0):
            assert [signal.getsignal(number) for number in HANDLED_SIGNALS] == before

    asyncio.run(scenario())


# What goes wrong


def test_port_in_use_is_an_os_error(taken_port: int) -> None:
    """No `SystemExit`, and the message names the port."""
    app = Hello()

    async def scenario() -> None:
        with pytest.raises(OSError, match=f"port {taken_port}: Address already in use") as info:
            await serve(app, port=taken_port)
        assert info.value.errno == errno.EADDRINUSE

    asyncio.run(scenario())

    assert app.lifespan == []


def test_port_on_which_another_socket_comes_to_listen_is_an_os_error() -> None:
    """Two may be bound to a port, and only one of them can listen."""

    async def scenario() -> None:
        with socket.socket() as rival:
            rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            rival.bind(("127.0.0.1", 0))
            port = rival.getsockname()[1]
            async with serve(Hello(), port=port):
                with pytest.raises(OSError, match="Address already in use"):
                    rival.listen()
            rival.listen()
            with pytest.raises(OSError, match=f"cannot listen on '127.0.0.1', port {port}"):
                await serve(Hello(), port=port)

    asyncio.run(scenario())


def test_client_that_comes_early_waits_for_the_application() -> None:
    """It is not refused while the application starts."""
    may_start = asyncio.Event()

    async def wait(*_: object) -> bool:
        return await may_start.wait()

    async def scenario() -> bytes:
        server = serve(Hello(wait), port=0)
        server.bind()
        starting = asyncio.create_task(server.start())
        answer = asyncio.create_task(get(server))
        await asyncio.wait({answer}, timeout=0.05)
        assert not answer.done()
        may_start.set()
        async with await starting:
            return await answer

    assert asyncio.run(scenario()).endswith(b"hello")


@pytest.mark.parametrize(
    ("startup", "words"),
    [
        (raise_value_error, r"failed: ValueError\('no database at all'\)"),
        (say_failed, "failed: no database"),
        (fail_in_silence, "failed: it did not say why"),
    ],
)
def test_failing_start_up_is_an_error_that_says_why(startup: Startup, words: str) -> None:
    """uvicorn alone would log it and exit."""

    async def scenario() -> BaseException | None:
        server = serve(Hello(startup), port=0)
        with pytest.raises(StartupError, match=words) as info:
            await server
        with pytest.raises(StartupError):
            await server.wait_closed()
        assert server.bind().fileno() == -1
        return info.value.__cause__

    cause = asyncio.run(scenario())

    assert isinstance(cause, ValueError) == (startup is raise_value_error)


def test_application_without_a_lifespan_is_served() -> None:
    """The lifespan is optional in ASGI; what raises at it has none."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await Hello()(scope, receive, send)

    async def scenario() -> bytes:
        async with serve(app, port=0) as server:
            return await get(server)

    assert asyncio.run(scenario()).endswith(b"hello")


def test_start_can_be_given_up() -> None:
    """A time-out around `await serve(...)` leaves nothing behind."""

    async def scenario() -> None:
        server = serve(Hello(hang), port=0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.start(), 0.05)
        assert server.bind().fileno() == -1

    asyncio.run(scenario())


def test_application_can_be_named(importable: ModuleType) -> None:
    """ "module:app" is imported when the server starts."""
    importable.app = Hello()  # type: ignore[attr-defined]

    async def scenario() -> bytes:
        async with serve("importable:app", port=0) as server:
            return await get(server)

    assert asyncio.run(scenario()).endswith(b"hello")


@pytest.mark.parametrize("name", ["importable:nothing", "no_such_module:app", "importable"])
def test_application_that_cannot_be_imported_is_an_error(name: str, importable: ModuleType) -> None:
    """A mistyped name is no `SystemExit` either."""

    async def scenario() -> None:
        with pytest.raises(StartupError, match=f"cannot load the application '{name}'"):
            await serve(name, port=0)

    asyncio.run(scenario())


def test_factory_that_fails_is_an_error(importable: ModuleType) -> None:
    """What uvicorn would exit for is told with its cause."""

    def make(argument: str) -> Hello:
        raise AssertionError(argument)

    importable.make = make  # type: ignore[attr-defined]

    async def scenario() -> None:
        with pytest.raises(StartupError, match="missing 1 required positional argument"):
            await serve("importable:make", port=0, factory=True)

    asyncio.run(scenario())


# Options


def test_unknown_option_is_an_error_that_names_the_nearest() -> None:
    """A mistyped option is not silently without effect."""
    with pytest.raises(TypeError, match="no option 'log_levl'; did you mean 'log_level'"):
        serve(Hello(), log_levl="info")


def test_option_that_is_like_none_is_answered_by_all() -> None:
    """One sees what there is."""
    with pytest.raises(TypeError, match="no option 'zzz'; known: access_log, backlog, "):
        serve(Hello(), zzz=1)


@pytest.mark.parametrize("name", [*UNFIT, "loop"])
def test_option_for_a_program_of_its_own_is_refused(name: str) -> None:
    """An option that could have no effect, or one on the whole program, is an error."""
    options: dict[str, Any] = {name: None}

    with pytest.raises(ValueError, match=f"option '{name}' has no meaning here"):
        serve(Hello(), **options)


def test_options_are_uvicorns() -> None:
    """Headers given as an option stand in the answer."""

    async def scenario() -> bytes:
        async with serve(Hello(), port=0, headers=[("x-room", "blue")]) as server:
            return await get(server)

    assert b"x-room: blue" in asyncio.run(scenario())


def test_limits_are_given_to_both_protocols() -> None:
    """One argument, and a request, a frame and a close have their times and sizes."""
    limits = Limits(handshake_timeout_s=3, max_queued_bytes=1000)

    config = serve(Hello(), limits=limits).config

    assert config.ws_per_message_deflate is False
    protocols: list[Any] = [config.ws, config.http]
    assert [made.func for made in protocols] == [WebSocketProtocol, HTTPProtocol]
    assert [made.keywords for made in protocols] == [{"limits": limits}] * 2


@pytest.mark.parametrize("name", ["ws", "http"])
def test_limits_beside_another_protocol_are_refused(name: str) -> None:
    """It may have none, and nobody should believe that it has."""
    options: dict[str, Any] = {name: "auto"}

    with pytest.raises(ValueError, match=f"limits are of bocadillo's own protocols, and {name}"):
        serve(Hello(), limits=Limits(), **options)


def test_a_limit_of_a_request_is_kept() -> None:
    """What was given to `serve` is what a client meets."""

    async def scenario() -> bytes:
        async with serve(Hello(), port=0, limits=Limits(max_headers=1)) as server:
            return await get(server)

    assert asyncio.run(scenario()).startswith(b"HTTP/1.1 431 ")


# Where it is


def test_urls_name_host_port_and_path() -> None:
    """A client can be given the address as it is."""
    server = serve(Hello(), "example.org", 81)

    assert server.url() == "http://example.org:81/"
    assert server.url("/a?b=c") == "http://example.org:81/a?b=c"
    assert server.ws_url("a") == "ws://example.org:81/a"


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("::1", "[::1]"),
        ("fe80::1%eth0", "[fe80::1%25eth0]"),
        ("::", "[::1]"),
        ("0.0.0.0", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_urls_can_be_connected_to(host: str, shown: str) -> None:
    """IPv6 stands in brackets, and "every address" is no address to connect to."""
    assert serve(Hello(), host, 81).ws_url("/x") == f"ws://{shown}:81/x"


def test_urls_tell_of_tls() -> None:
    """A server with a certificate has secure addresses."""

    def context(*_: object) -> ssl.SSLContext:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    server = serve(Hello(), port=81, ssl_context_factory=context)

    assert server.url("/x") == "https://127.0.0.1:81/x"
    assert server.ws_url("/x") == "wss://127.0.0.1:81/x"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "",
        pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")),
    ],
)
def test_hosts_of_all_kinds_can_be_listened_on(host: str) -> None:
    """IPv6, names, and all addresses at once."""

    async def scenario() -> bytes:
        async with serve(Hello(), host, 0) as server:
            assert server.port != 0
            return await get(server, host or "127.0.0.1")

    assert asyncio.run(scenario()).endswith(b"hello")


def test_unknown_host_is_an_os_error() -> None:
    """An address of another machine cannot be listened on."""

    async def scenario() -> None:
        with pytest.raises(OSError, match=r"cannot listen on '192\.0\.2\.1'"):
            await serve(Hello(), "192.0.2.1", 0)

    asyncio.run(scenario())


class Stuck:
    """A connection that uvicorn cannot close, as one whose peer takes nothing."""

    def __init__(self) -> None:
        self.transport = self
        self.is_aborted = False

    def shutdown(self) -> None:
        raise RuntimeError("connection is closing")

    def abort(self) -> None:
        self.is_aborted = True


def test_a_connection_that_cannot_be_closed_does_not_break_the_shutdown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One hostile client would keep the lifespan of the application from ending."""
    ended = []
    stuck = Stuck()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        ended.append(True)
        await send({"type": "lifespan.shutdown.complete"})

    async def scenario() -> None:
        async with serve(app, port=0) as server:
            connections: set[Any] = server.server_state.connections
            connections.add(stuck)
            asyncio.get_running_loop().call_later(0.3, connections.discard, stuck)

    asyncio.run(scenario())

    assert ended
    assert stuck.is_aborted
    assert "connection is closing" in caplog.text
