"""How an ASGI application is served: one function per server.

Each takes the factory of an application and returns `serve(listener)`, which serves it on a
listening socket until the process is ended. Compression is off unless a row is about it.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp

from benchmarks import tls

Serve = Callable[[socket.socket], None]
MakeApp = Callable[[], ASGIApp]


def on_uvicorn(
    make_app: MakeApp,
    ws: str = "auto",
    http: Any = "auto",
    loop: Any = "auto",
    compress: bool = False,
    with_tls: bool = False,
) -> Serve:
    """Serve on uvicorn; *ws*, *http* and *loop* are its options of those names."""

    def serve(listener: socket.socket) -> None:
        import uvicorn

        config = uvicorn.Config(
            make_app(),
            ws=ws,
            http=http,
            loop=loop,
            ws_per_message_deflate=compress,
            ssl_context_factory=(lambda *_: tls.context()) if with_tls else None,
            log_level="warning",
        )
        uvicorn.Server(config).run(sockets=[listener])

    return serve


def on_bocadillo(
    make_app: MakeApp, loop: Any = "auto", compress: bool = False, with_tls: bool = False
) -> Serve:
    """Serve on uvicorn with bocadillo's protocols."""
    ws, http = "bocadillo.server:WebSocketProtocol", "bocadillo.server:HTTPProtocol"
    return on_uvicorn(make_app, ws, http, loop, compress, with_tls)


def on_hypercorn(make_app: MakeApp) -> Serve:
    """Serve on hypercorn, on uvloop."""

    def serve(listener: socket.socket) -> None:
        import uvloop
        from hypercorn.asyncio import serve as serve_app
        from hypercorn.config import Config

        app: Any = make_app()  # hypercorn has narrower types for it
        config = Config()
        config.bind = [f"fd://{listener.detach()}"]
        config.loglevel = "WARNING"
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_app(app, config))

    return serve


def on_granian(make_app: MakeApp) -> Serve:
    """Serve on granian, on uvloop, with one worker; it opens the listener's port by itself."""

    def serve(listener: socket.socket) -> None:
        from granian import Granian
        from granian.constants import Interfaces, Loops

        port = listener.getsockname()[1]
        listener.close()
        server = Granian(
            "benchmarks",
            port=port,
            interface=Interfaces.ASGI,
            loop=Loops.uvloop,
            log_enabled=False,
        )

        def load(_target: str) -> ASGIApp:
            return make_app()

        server.serve(target_loader=load)

    return serve
