"""Small ASGI applications, and a visit to one."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bocadillo.testing import Connection, connect

ACCEPT: Message = {"type": "websocket.accept"}
CLOSE: Message = {"type": "websocket.close", "code": 4001, "reason": "enough"}


def sending(*events: Any) -> ASGIApp:
    """Return an application that sends these events and ends."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for event in events:
            await send(event)

    return app


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send every message back, until the client leaves."""
    await receive()
    await send(ACCEPT)
    while (event := await receive())["type"] != "websocket.disconnect":
        await send({**event, "type": "websocket.send"})


async def visit(app: ASGIApp, path: str = "/", **options: Any) -> Connection:
    """Enter and leave at once."""
    async with connect(app, path, **options) as ws:
        return ws


# Applications that play steps, and note what they are told

Told = list[Any]
Steps = Callable[[Receive, Send, Told], Awaitable[None]]


async def fail_after_accept(receive: Receive, send: Send, told: Told) -> None:
    await send(ACCEPT)
    raise ValueError("oops")


async def fail(receive: Receive, send: Send, told: Told) -> None:
    raise ValueError("oops")


async def deny(receive: Receive, send: Send, told: Told) -> None:
    headers = [(b"x-room", b"full"), (b"content-length", b"4")]
    await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"no", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"t\n"})
    told += [await receive(), await receive()]


async def listen(receive: Receive, send: Send, told: Told) -> None:
    await send(ACCEPT)
    while not told or told[-1]["type"] != "websocket.disconnect":
        told.append(await receive())
    if "reason" in told[-1]:  # and so the loss of the connection comes after it
        told.append(await receive())
    for event in ({"type": "websocket.send", "text": "late"}, CLOSE):
        try:
            await send(event)
        except OSError as exc:
            told.append(type(exc).__name__)


class Stage:
    """An application that plays *steps*, and notes what it is told."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.told: Told = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.told.append(await receive())
        await self.steps(receive, send, self.told)
