"""The application that the tests of injection serve: its views end as the client says."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from dishka import Provider, Scope
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from bocadillo import App, Inject, WebSocket

logger = logging.getLogger("uvicorn.error")

# What connections went through, by the key that the client chose.
steps: dict[str, list[Any]] = defaultdict(list)


class Pool:
    """Lives with the application."""


class Lease:
    """Lives with one connection."""


class Ticket:
    """What only some get."""


async def pool() -> AsyncIterator[Pool]:
    logger.info("pool opened")
    yield Pool()
    logger.info("pool closed")


async def lease(ws: WebSocket, pool: Pool) -> AsyncIterator[Lease]:
    key = ws.path_params["key"]
    steps[key].append("lease opened")
    failure = yield Lease()
    await asyncio.sleep(0.05)  # long enough for a cancellation to come in between
    steps[key].append(f"lease closed by {type(failure).__name__}" if failure else "lease closed")
    logger.info("lease closed")


def ticket(ws: WebSocket, lease: Lease) -> Ticket:
    assert ws.is_connecting
    raise HTTPException(401, "no ticket\n")


provider = Provider()
provider.provide(pool, scope=Scope.APP)
provider.provide(lease, scope=Scope.SESSION)
provider.provide(ticket, scope=Scope.SESSION)

app = App(providers=[provider], leave_grace_s=0.5, shutdown_grace_s=1)


def guard(how: str, lease: Inject[Lease]) -> Any:
    return (403, {}, b"refused\n") if how == "refused" else None


@app.websocket_route("/ends/{how}/{key}", process_request=guard)
class Ends:
    """Ends in the way that the client chose."""

    def __init__(self, lease: Inject[Lease]) -> None:
        self.lease = lease

    async def on_connect(self, key: str) -> None:
        steps[key].append("connected")

    async def handle(self, ws: WebSocket, key: str, how: str) -> None:
        if how == "closes":
            await ws.close(4001)
        elif how == "raises":
            raise LookupError("a secret")
        elif how == "sleeps":
            steps[key].append("sleeping")
            await asyncio.sleep(60)
        elif how != "returns":
            await ws.receive()

    async def on_disconnect(self, key: str, close_code: int, lease: Inject[Lease]) -> None:
        assert lease is self.lease
        steps[key].append(close_code)


@app.websocket_route("/ticket/{key}")
async def needs_ticket(key: str, ticket: Inject[Ticket]) -> None:
    steps[key].append("let in")


async def show_steps(request: Request) -> JSONResponse:
    return JSONResponse(steps[request.path_params["key"]])


app.add_route("/steps/{key}", show_steps)
