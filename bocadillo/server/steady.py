"""`SteadyServer`: uvicorn's server, which no single connection can hold up or break."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from bocadillo.server.limits import Limits

logger = logging.getLogger("bocadillo")

# asyncio's own loop (CPython 3.11 to 3.13) accepts `backlog` connections in a turn, and goes
# on where that fails for want of files: with uvicorn's 2,048 it logged 38,700 tracebacks in
# 4 s. uvloop has a way of its own.
ACCEPTS_PER_TURN = 1


class SteadyServer(uvicorn.Server):
    """uvicorn's server, whose shutdown no single connection can break.

    uvicorn 0.54 lets the first connection that cannot be closed politely (its peer takes
    nothing, or its request was too long) end the whole shutdown: no lifespan, no grace.
    With `HTTPProtocol`, a TLS handshake has the time of any other. And where no file is left
    for a client, asyncio's own loop tries again once a second, and not thousands of times.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections."""
        # On Windows uvicorn shares the sockets of its workers in a way of its own.
        if not sockets or os.name == "nt":
            await super().startup(sockets)
            return
        await super().startup([])
        options: dict[str, Any] = {"ssl": self.config.ssl}
        timeout_s = _tls_handshake_timeout_s(self.config)
        if timeout_s is not None:  # asyncio would wait for 60 s, and uvicorn has no option
            options["ssl_handshake_timeout"] = timeout_s
        for sock in sockets:
            server = await asyncio.get_running_loop().create_server(
                self._protocol, sock=sock, backlog=ACCEPTS_PER_TURN, **options
            )
            sock.listen(self.config.backlog)  # what the kernel keeps is another matter
            self.servers.append(server)

    def _protocol(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down, and abort what cannot be closed."""
        for connection in self.server_state.connections:
            make_steady(connection)
        await super().shutdown(sockets)


def _tls_handshake_timeout_s(config: uvicorn.Config) -> float | None:
    """Return the time of a handshake where `HTTPProtocol` serves by TLS, else None."""
    if config.ssl is None:
        return None
    from bocadillo.server.http_guard import Guard
    from bocadillo.server.limits import DEFAULT_LIMITS

    made_by: Any = config.http_protocol_class
    of_class, options = getattr(made_by, "func", made_by), getattr(made_by, "keywords", {})
    if not (isinstance(of_class, type) and issubclass(of_class, Guard)):
        return None
    limits: Limits = options.get("limits", DEFAULT_LIMITS)
    return limits.handshake_timeout_s


def make_steady(connection: Any) -> None:
    """Have a connection of uvicorn's aborted where its `shutdown` raises."""
    close = connection.shutdown

    def close_or_abort() -> None:
        try:
            close()
        except Exception as exc:
            logger.warning("aborted a connection that could not be closed: %r", exc)
            connection.transport.abort()

    # bocadillo's own have slots, and a shutdown that does not raise.
    with contextlib.suppress(AttributeError):
        connection.shutdown = close_or_abort
