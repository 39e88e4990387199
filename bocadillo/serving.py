"""Any ASGI application on uvicorn: a server that lives inside a running program.

    server = await serve(app, port=8000)
    async with serve(app, port=0) as server: ...

It takes no signal handlers and leaves the program's logging as it is; whatever goes
wrong is an exception where the server was started, never `SystemExit`.
"""

import asyncio
import contextlib
import difflib
import inspect
import os
import socket
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import uvicorn
from uvicorn.importer import ImportFromStringError, import_from_string

from bocadillo.server.steady import SteadyServer, make_steady

if TYPE_CHECKING:
    from bocadillo.server.limits import Limits

ASGIEvent = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[ASGIEvent]]
Send = Callable[[ASGIEvent], Awaitable[None]]
ASGIApp = Callable[[ASGIEvent, Receive, Send], Awaitable[None]]

# The protocols that a server speaks unless it is told otherwise; compression costs memory
# and time, and helps an attacker who can choose a part of what is sent.
PROTOCOLS: dict[str, Any] = {
    "ws": "bocadillo.server:WebSocketProtocol",
    "http": "bocadillo.server:HTTPProtocol",
    "ws_per_message_deflate": False,
}

# What uvicorn would do to the whole program, or by another socket than the server's own.
UNFIT = {
    "uds": "the server listens on host and port",
    "fd": "the server listens on host and port",
    "workers": "the server is part of this process",
    "reload": "the server is part of this process",
    "reload_delay": "the server is part of this process",
    "reload_dirs": "the server is part of this process",
    "reload_excludes": "the server is part of this process",
    "reload_includes": "the server is part of this process",
}

# Where a client on this machine finds a server that listens on every address.
_REACHABLE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


class StartupError(RuntimeError):
    """The application could not be loaded, or its start-up (lifespan) failed.

    `__cause__` is what the application raised, where that is known.
    """


def serve(
    app: ASGIApp | str,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    limits: "Limits | None" = None,
    **uvicorn_options: Any,
) -> "Server":
    """Return a server to be awaited, or entered by `async with`, which also stops it.

    Args:
        app: ASGI application, or where to import it from: "module:app".
        host: Name or address to listen on; "" for every IPv4 address.
        port: TCP port; 0 for a free one, which `Server.port` then tells.
        limits: Times and sizes of bocadillo's protocols, which serve unless `ws` and `http`
            say otherwise.
        uvicorn_options: As `uvicorn.Config` takes them. The program's logging is left
            alone unless `log_config` is given; `interface` is "asgi3".

    Raises:
        TypeError: uvicorn has no such option.
        ValueError: the option has no meaning inside a running program, or `limits` stands
            beside `ws` or `http`.
    """
    if "loop" in uvicorn_options:
        raise ValueError("option 'loop' has no meaning here: the server runs on the loop it is in")
    return Server(app, host, port, limits=limits, **uvicorn_options)


def protocols(limits: "Limits | None" = None) -> dict[str, Any]:
    """Return `PROTOCOLS`, with limits of one's own."""
    if limits is None:
        return PROTOCOLS
    from bocadillo.server import HTTPProtocol, WebSocketProtocol

    limited = {
        "ws": partial(WebSocketProtocol, limits=limits),
        "http": partial(HTTPProtocol, limits=limits),
    }
    return PROTOCOLS | limited


class Server(SteadyServer):
    """One uvicorn server on the running event loop; used once.

    `await server` (or `start`) returns it once it listens, `close` tells it to stop,
    `wait_closed` returns once it has. Arguments are those of `serve`, and uvicorn's
    `loop` for who makes the loop.
    """

    def __init__(
        self,
        app: ASGIApp | str,
        host: str = "127.0.0.1",
        port: int = 8000,
        *,
        limits: "Limits | None" = None,
        **uvicorn_options: Any,
    ) -> None:
        super().__init__(_config(app, host, port, limits, uvicorn_options))
        self._port = port
        self._listener: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()  # it listens, or has failed to
        self._failure: Exception | None = None

    # Where it is

    @property
    def port(self) -> int:
        """The TCP port, once bound the one that a 0 became."""
        return self._port

    def url(self, path: str = "/") -> str:
        """Return the address of *path* for HTTP."""
        return self._address("https" if self.config.is_ssl else "http", path)

    def ws_url(self, path: str = "/") -> str:
        """Return the address of *path* for WebSockets."""
        return self._address("wss" if self.config.is_ssl else "ws", path)

    def _address(self, scheme: str, path: str) -> str:
        host = _REACHABLE.get(self.config.host, self.config.host)
        if ":" in host:
            host = f"[{host.replace('%', '%25')}]"  # RFC 6874: a zone is percent-encoded
        return f"{scheme}://{host}:{self.port}{'' if path.startswith('/') else '/'}{path}"

    # Starting and stopping

    def bind(self, listener: socket.socket | None = None) -> socket.socket:
        """Take the address, or a socket that listens already; done by `start`.

        From now on the port is held, and clients that come before the application has
        started wait for it.

        Raises:
            OSError: the port is in use, or the host is none of this machine's.
        """
        if self._listener is None:
            self._listener = listener or _listener(self.config)
            self._port = self._listener.getsockname()[1]
        return self._listener

    async def start(self) -> Self:
        """Start, unless started already, and return once the server listens.

        Raises:
            OSError: the port is in use, or the host is none of this machine's.
            StartupError: the application cannot be loaded, or its start-up failed.
            RuntimeError: the server was stopped before.
        """
        if self._task is None:
            listener = self.bind()
            self._task = asyncio.create_task(self._run(listener), name=f"server on {self.url()}")
        elif self._task.done() and self._failure is None:
            raise RuntimeError("cannot start a server that was stopped; make a new one")
        try:
            await self._settled.wait()
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait({self._task})
            raise
        if self._failure is not None:
            raise self._failure
        return self

    def close(self) -> None:
        """Tell the server to stop; from any thread, returning at once.

        Clients are told 1012; their handlers may take the `timeout_graceful_shutdown`
        of the uvicorn options, which by default is as long as they like.
        """
        self.should_exit = True

    async def wait_closed(self) -> None:
        """Return once the server has stopped; raise what ended it before it was told to.

        Cancelling this does not stop the server.
        """
        if self._task is not None:
            await asyncio.wait({self._task})
        if self._failure is not None:
            raise self._failure

    def __await__(self) -> Generator[Any, None, Self]:
        return self.start().__await__()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        await self.wait_closed()

    # What differs from uvicorn's own

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to the program."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections."""
        await super().startup(sockets)
        self._settled.set()

    async def _run(self, listener: socket.socket) -> None:
        watch = _StartupWatch()
        try:
            _load(self.config)
            watch.app = self.config.loaded_app
            self.config.loaded_app = watch
            await self.serve(sockets=[listener])
        except SystemExit:
            self._failure = watch.failure()
            self._failure.__cause__ = watch.error
        except Exception as exc:
            self._failure = exc
        finally:
            self._abandon(listener)
            self._settled.set()

    def _abandon(self, listener: socket.socket) -> None:
        """Let go of what uvicorn leaves open when it fails or is cancelled."""
        for server in getattr(self, "servers", ()):
            server.close()
        for connection in list(self.server_state.connections):
            make_steady(connection)
            connection.shutdown()
        listener.close()


class _StartupWatch:
    """The application, watched while it starts: uvicorn only logs why that failed."""

    def __init__(self) -> None:
        self.app: Any = None
        self.error: BaseException | None = None
        self.message = ""

    def __call__(self, scope: ASGIEvent, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._live(scope, receive, send)
        answer: Awaitable[None] = self.app(scope, receive, send)
        return answer

    def failure(self) -> StartupError:
        """Return what to raise when the start-up has failed."""
        why = repr(self.error) if self.error is not None else self.message or "it did not say why"
        return StartupError(f"the application's start-up (lifespan) failed: {why}")

    async def _live(self, scope: ASGIEvent, receive: Receive, send: Send) -> None:
        async def send_and_listen(event: ASGIEvent) -> None:
            if event["type"] == "lifespan.startup.failed":
                self.message = event.get("message", "")
            await send(event)

        try:
            await self.app(scope, receive, send_and_listen)
        except BaseException as exc:
            self.error = exc
            raise


def _load(config: uvicorn.Config) -> None:
    """Load the application, by an exception where uvicorn would exit."""
    try:
        if isinstance(config.app, str):
            import_from_string(config.app)
        config.load()
    except ImportFromStringError as exc:
        raise StartupError(f"cannot load the application {config.app!r}: {exc}") from exc
    except SystemExit as exc:
        raise StartupError(
            f"cannot load the application {config.app!r}: {exc.__context__}"
        ) from exc.__context__


def _config(
    app: ASGIApp | str,
    host: str,
    port: int,
    limits: "Limits | None",
    options: dict[str, Any],
) -> uvicorn.Config:
    known = set(inspect.signature(uvicorn.Config).parameters) - {"app", "host", "port", *UNFIT}
    for name in options:
        if name in UNFIT:
            raise ValueError(f"option {name!r} has no meaning here: {UNFIT[name]}")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise TypeError(f"uvicorn has no option {name!r}; {hint}")
    others = {"ws", "http"} & options.keys()
    if limits is not None and others:
        raise ValueError(
            f"limits are of bocadillo's own protocols, and {' and '.join(sorted(others))} "
            "may name others; leave out either, or give limits to each by functools.partial"
        )
    defaults = {**protocols(limits), "log_config": None, "interface": "asgi3"}
    return uvicorn.Config(app, host=host, port=port, **{**defaults, **options})


def _listener(config: uvicorn.Config) -> socket.socket:
    """Return a socket that listens on the first address of the host."""
    found = socket.getaddrinfo(
        config.host or "0.0.0.0", config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        # On Windows the option would let two servers share a port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
        listener.bind(address)
        # Two sockets may be bound to a port, but only one can listen; when another came
        # first, uvloop would log the error and go on (0.23).
        listener.listen(config.backlog)
    except OSError as exc:
        listener.close()
        # OSError makes the subclass that belongs to the number.
        raise OSError(
            exc.errno, f"cannot listen on {config.host!r}, port {config.port}: {exc.strerror}"
        ) from exc
    return listener
