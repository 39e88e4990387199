"""uvicorn as `bocadillo run` wants it: its socket, its processes, its log lines."""

import contextlib
import copy
import gc
import logging
import socket
import sys
from typing import Any, cast

import click
import uvicorn
from uvicorn.config import LOGGING_CONFIG, STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload, Multiprocess, multiprocess

from bocadillo.cli.grace import RELOAD_GRACE_S, shorten_grace
from bocadillo.server.steady import SteadyServer

logger = logging.getLogger("bocadillo")


class AppConfig(uvicorn.Config):
    """uvicorn's configuration, which prepares the application in whatever process serves it.

    A process of its own (`--reload`, `--workers`) gets this object and imports the
    application anew; otherwise `app` is the application itself.
    """

    makes_app = False  # whether `app` names a factory; uvicorn's own flag stays off

    def load_app(self) -> Any:
        """Return the application."""
        app = super().load_app()
        if not isinstance(self.app, str):
            return app
        if self.makes_app:
            app = app()
        if self.reload:
            shorten_grace(app, RELOAD_GRACE_S)
        return app


class CommandServer(SteadyServer):
    """The server of a process that is there for nothing else."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and have the garbage collector leave out what lives as long as the process.

        Else a full collection, for which all connections wait, goes through all modules
        again: 48 ms at 1,000 connections, and 21 without.
        """
        await super().startup(sockets)
        gc.collect()
        gc.freeze()


class SteadyWorker(multiprocess.Process):
    """uvicorn's process of `--workers`, with our server in it."""

    @property
    def server(self) -> CommandServer:
        """The server; made in the process that it serves in."""
        if self._server is None:
            self._server = CommandServer(self.config)
        return cast(CommandServer, self._server)


class SteadyWorkers(Multiprocess):
    """uvicorn's parent of `--workers`, which holds no port while its processes end."""

    def terminate_all(self) -> None:
        """Tell all processes to end, and have whoever comes now refused, not kept waiting."""
        for sock in self.sockets:
            sock.close()
        super().terminate_all()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on *host* and *port*.

    Whoever connects before the application has started is kept waiting, not refused. A
    socket that did not listen yet would let a second server bind the same port, and of
    the two one would serve nobody, without a word.

    Args:
        host: Name or address; with a colon in it, of IPv6.
        port: Port; 0 for any that is free.

    Raises:
        click.ClickException: that cannot be had; the message is one line, the exit code 1.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # where it would let two servers share a port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen()
    except (OSError, UnicodeError) as exc:
        sock.close()
        reason = getattr(exc, "strerror", None) or str(exc)
        raise click.ClickException(
            f"cannot listen on {host}, port {port}: {reason}; "
            "choose another --port (0: any that is free) or --host"
        ) from exc
    return sock


def serve(config: AppConfig, app: Any, sock: socket.socket) -> None:
    """Serve *app* on *sock*, in as many processes as *config* says, until told to stop.

    Raises:
        SystemExit: the application could not be started (3).
    """
    with contextlib.suppress(KeyboardInterrupt):
        if config.should_reload:
            ChangeReload(config, target=CommandServer(config).run, sockets=[sock]).run()
        elif config.workers > 1:
            # uvicorn 0.54 has no other place to say of what class its processes are.
            vars(multiprocess)["Process"] = SteadyWorker
            workers = SteadyWorkers(config, sockets=[sock])
            workers.run()
            if any(worker.exitcode == STARTUP_FAILURE for worker in workers.processes):
                sys.exit(STARTUP_FAILURE)
        else:
            config.app = app
            CommandServer(config).run(sockets=[sock])


def log_config(level: str) -> dict[str, Any]:
    """Return uvicorn's configuration of logging, with bocadillo's lines beside uvicorn's.

    Where the application has chosen already what becomes of bocadillo's, it is left at that.
    """
    config = copy.deepcopy(LOGGING_CONFIG)
    if not logger.hasHandlers():
        ours = {"handlers": ["default"], "level": level.upper(), "propagate": False}
        config["loggers"][logger.name] = ours
    return config
