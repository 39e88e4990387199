"""An application that leaves a file for everything that it has brought to its end."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from bocadillo import App, WebSocket

GRACE_S = 2

# Longer than a `send` that waits for its turn; what takes longer waits for its client.
STUCK_S = 0.3

sending_since: dict[str, float] = {}


def note(name: str) -> None:
    (Path(os.environ["ENDED"]) / name).touch()


@asynccontextmanager
async def lifespan(_: App) -> AsyncIterator[None]:
    yield
    note(f"lifespan-{os.getpid()}")


app = App(broker=None, shutdown_grace_s=GRACE_S, lifespan=lifespan)


def show_stuck(request: Request) -> PlainTextResponse:
    """Answer with the number of clients that take nothing."""
    now = time.monotonic()
    return PlainTextResponse(str(sum(now - since > STUCK_S for since in sending_since.values())))


app.add_route("/stuck", show_stuck)


@app.websocket_route("/waits/{name}")
async def waits(ws: WebSocket, name: str) -> None:
    await ws.send(f"process {os.getpid()}")
    try:
        await ws.receive()
    finally:
        await asyncio.sleep(0.2)
        note(name)


@app.websocket_route("/floods/{name}")
async def floods(ws: WebSocket, name: str) -> None:
    try:
        while True:
            sending_since[name] = time.monotonic()
            await ws.send("x" * 100_000)
    finally:
        del sending_since[name]
        note(name)


class Unclosable(WebSocketsSansIOProtocol):
    """uvicorn's protocol, which fails to close some connections; releases of it did."""

    def shutdown(self) -> None:
        """Close with 1012, or fail (uvicorn)."""
        if self.scope["path"].startswith("/floods/"):
            raise RuntimeError("this connection cannot be closed")
        super().shutdown()
