"""How an application is served: one function per server.

Each takes the factory of an application and returns `serve(listener)`, which serves it on a
listening socket until the process is ended.
"""

import socket
from collections.abc import Callable

from starlette.types import ASGIApp

Serve = Callable[[socket.socket], None]


def on_uvicorn(make_app: Callable[[], ASGIApp], ws: str = "auto") -> Serve:
    """Serve on uvicorn; *ws* is its option of that name: which WebSocket protocol."""

    def serve(listener: socket.socket) -> None:
        import uvicorn

        config = uvicorn.Config(make_app(), ws=ws, log_level="warning")
        uvicorn.Server(config).run(sockets=[listener])

    return serve
