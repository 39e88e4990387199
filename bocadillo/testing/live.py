"""`LiveServer`: a real server on a free port for the length of a `with` block."""

import asyncio
import contextlib
import multiprocessing
import pickle
import signal
import socket
import threading
import traceback
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_futures
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait as wait_pipes
from types import TracebackType
from typing import Any, Protocol, Self

from bocadillo.serving import ASGIApp, Server, StartupError
from bocadillo.testing.tasks import doing

# How long a server gets that did not stop when told to, and is now being cut off.
FORCE_S = 2.0


class LiveServer:
    """A uvicorn server that runs while the `with` block does.

    Args:
        app: ASGI application; in a process of its own "module:app", or an application
            that can be pickled.
        host: Name or address to listen on.
        port: TCP port; 0 for a free one.
        process: Whether the server runs in a process of its own, not in a thread.
        ready_timeout_s: Longest time for the application to start.
        stop_timeout_s: Longest time for everything to end, handlers among it.
        uvicorn_options: As `uvicorn.Config` takes them: `ws="wsproto"`, `log_level`, …;
            and `limits`, a `bocadillo.server.Limits`.
            Warnings are logged by default, and requests are not.

    Entering the block raises:
        OSError: the port is in use.
        StartupError: the application cannot be loaded, or its start-up failed.
        TimeoutError: the application did not start in time.
        TypeError: `process` is true, and the application cannot be pickled.

    Leaving it raises `TimeoutError` when something did not end in time, with what it
    is doing, and `RuntimeError` when the server's process died.
    """

    def __init__(
        self,
        app: ASGIApp | str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        process: bool = False,
        ready_timeout_s: float = 10,
        stop_timeout_s: float = 10,
        **uvicorn_options: Any,
    ) -> None:
        options = {"log_level": "warning", "access_log": False, **uvicorn_options}
        self._server = Server(app, host, port, **options)
        self._ready_timeout_s = ready_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._runner: _Runner = (
            _Process(self._server, options) if process else _Thread(self._server)
        )
        self._is_used = False

    @property
    def port(self) -> int:
        """The TCP port that the server listens on."""
        return self._server.port

    def url(self, path: str = "/") -> str:
        """Return the address of *path* for HTTP."""
        return self._server.url(path)

    def ws_url(self, path: str = "/") -> str:
        """Return the address of *path* for WebSockets."""
        return self._server.ws_url(path)

    def __enter__(self) -> Self:
        if self._is_used:
            raise RuntimeError("a LiveServer is used once; make a new one")
        self._is_used = True
        listener = self._server.bind()
        try:
            self._runner.start(listener, self._ready_timeout_s)
        except BaseException:
            listener.close()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._runner.stop(self._stop_timeout_s)


class _Runner(Protocol):
    """Where the server runs: each raises what `LiveServer` promises."""

    def start(self, listener: socket.socket, timeout_s: float) -> None:
        """Start the server on a socket that listens, and return once it is ready."""

    def stop(self, timeout_s: float) -> None:
        """Stop the server, and return once nothing of it is left."""


# In a thread


class _Thread:
    """The server on an event loop of its own, in a thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ready: Future[None] = Future()
        self._ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._main: asyncio.Task[Any] | None = None

    def start(self, listener: socket.socket, timeout_s: float) -> None:
        """Start the thread and wait until the server listens."""
        self._thread.name = f"LiveServer {self._server.url()}"
        self._thread.start()
        try:
            done = wait_futures({self._ready, self._ended}, timeout_s, FIRST_COMPLETED).done
        except BaseException:  # Ctrl+C
            self._cut_off()
            raise
        if self._ended in done:
            self._thread.join()
            self._ended.result()
        elif not done:
            self._cut_off()
            raise _not_ready(self._server, timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Stop the server and wait for the thread."""
        self._server.close()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            busy = [doing(task) for task in list(self._server.server_state.tasks)]
            self._cut_off()
            raise _not_stopped(self._server, timeout_s, busy)
        self._ended.result()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
                runner.run(self._live())
        except BaseException as exc:
            self._ended.set_exception(exc)
        else:
            self._ended.set_result(None)

    async def _live(self) -> None:
        self._main = asyncio.current_task()
        if self._server.force_exit:  # cut off before there was a task to cancel
            return
        await self._server.start()
        self._ready.set_result(None)
        await self._server.wait_closed()

    def _cut_off(self) -> None:
        """Cancel everything in the thread, and give it a last moment to end."""
        self._server.force_exit = True
        if self._main is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._main.get_loop().call_soon_threadsafe(self._main.cancel)
        self._thread.join(FORCE_S)


# In a process of its own


class _Process:
    """The server in a fresh Python process, which is told to stop through a pipe."""

    def __init__(self, server: Server, options: dict[str, Any]) -> None:
        self._server = server
        self._options = options

    def start(self, listener: socket.socket, timeout_s: float) -> None:
        """Start the process and wait until the server listens."""
        config = self._server.config
        # "fork" would copy the locks of this process's threads in whatever state they are.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve_in_process,
            args=(theirs, listener, config.app, config.host, self._server.port, self._options),
            name=f"LiveServer {self._server.url()}",
            daemon=True,
        )
        try:
            self._launch(config.app)
            theirs.close()
            # The child has its own: left open here, the port would outlive it.
            listener.close()
            self._wait_ready(timeout_s)
        except BaseException:
            theirs.close()
            self._cut_off()
            raise

    def stop(self, timeout_s: float) -> None:
        """Stop the server and wait for the process."""
        with contextlib.suppress(OSError):  # it has died
            self._pipe.send(None)
        self._process.join(timeout_s)
        exit_code = self._process.exitcode
        self._cut_off()
        if exit_code is None:
            raise _not_stopped(self._server, timeout_s, [])
        if exit_code != 0:
            raise RuntimeError(
                f"the process of the server on {self._server.url()} died with exit code "
                f"{exit_code}; what it had to say is on standard error"
            )

    def _launch(self, app: Any) -> None:
        try:
            self._process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as exc:
            raise TypeError(
                f"process=True hands the application to another process, and {app!r} cannot be "
                f"pickled ({exc}); give it as 'module:app'"
            ) from exc

    def _wait_ready(self, timeout_s: float) -> None:
        if not wait_pipes([self._pipe, self._process.sentinel], timeout_s):
            raise _not_ready(self._server, timeout_s)
        try:
            failure = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise StartupError(
                f"the server's process ended with exit code {self._process.exitcode} before the "
                "server was ready; what it had to say is on standard error"
            ) from None
        if failure is not None:
            raise failure

    def _cut_off(self) -> None:
        """End the process, if it has not ended, and let go of all that was its."""
        self._pipe.close()
        if self._process.pid is None:  # it was never started
            return
        self._process.terminate()
        self._process.join(FORCE_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self._process.close()


def _serve_in_process(
    pipe: "Pipe[Any, Any]",
    listener: socket.socket,
    app: ASGIApp | str,
    host: str,
    port: int,
    options: dict[str, Any],
) -> None:
    """Serve until the pipe says so; the parent's death does, too."""
    # Ctrl+C reaches every process of the terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = Server(app, host, port, **options)
    server.bind(listener)
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(_live_in_process(pipe, server))


async def _live_in_process(pipe: "Pipe[Any, Any]", server: Server) -> None:
    try:
        await server.start()
    except Exception as exc:
        # The traceback is no part of a pickled exception, nor can every one be pickled.
        pipe.send(StartupError(f"{exc}\n\nIn the server's process:\n{traceback.format_exc()}"))
    else:
        pipe.send(None)
        threading.Thread(target=_close_when_told, args=(pipe, server), daemon=True).start()
        await server.wait_closed()


def _close_when_told(pipe: "Pipe[Any, Any]", server: Server) -> None:
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    server.close()


# What went wrong


def _not_ready(server: Server, timeout_s: float) -> TimeoutError:
    return TimeoutError(
        f"the server on {server.url()} was not ready within {timeout_s} s: the application's "
        "start-up (lifespan) has not ended; shorten it or raise ready_timeout_s"
    )


def _not_stopped(server: Server, timeout_s: float, busy: list[str]) -> TimeoutError:
    still = "; ".join(f"a handler {place}" for place in busy) or "its shutdown has not ended"
    return TimeoutError(
        f"the server on {server.url()} did not stop within {timeout_s} s: {still}; "
        "end it when the client leaves, or raise stop_timeout_s"
    )
