"""What happens in process is what happens on a real server."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_by_network
from websockets.exceptions import ConnectionClosed as NetworkConnectionClosed
from websockets.exceptions import InvalidStatus

from bocadillo.testing import Connection, ConnectionClosed, HandshakeRefused, LiveServer, connect
from tests.testing.apps import (
    ACCEPT,
    CLOSE,
    Stage,
    Steps,
    Told,
    deny,
    echo,
    fail,
    fail_after_accept,
    listen,
    visit,
)

# What the clients of tests behave like: the server that most applications run on.
UVICORN: dict[str, Any] = {
    "ws": "websockets-sansio",
    "http": "auto",
    "ws_per_message_deflate": True,
}


async def close(receive: Receive, send: Send, told: Told) -> None:
    await send(ACCEPT)
    await send(CLOSE)
    told += [await receive(), await receive()]


async def close_without_reason(receive: Receive, send: Send, told: Told) -> None:
    await send(ACCEPT)
    await send({"type": "websocket.close"})
    told.append(await receive())


async def end_after_accept(receive: Receive, send: Send, told: Told) -> None:
    await send(ACCEPT)


async def end(receive: Receive, send: Send, told: Told) -> None:
    pass


async def forbid(receive: Receive, send: Send, told: Told) -> None:
    await send({"type": "websocket.close"})
    told += [await receive(), await receive()]


async def talk_and_end(receive: Receive, send: Send, told: Told) -> None:
    await send(ACCEPT)
    await send({"type": "websocket.send", "text": "a"})
    await send({"type": "websocket.send", "bytes": b"b", "text": None})
    await send(CLOSE)


async def nothing(ws: Any) -> None:
    pass


async def close_with_reason(ws: Any) -> None:
    await ws.send("a")
    await ws.send(b"b")
    await ws.close(3001, "bye")


async def lose(ws: Connection | ClientConnection) -> None:
    if isinstance(ws, Connection):
        await ws.drop()
    else:
        ws.transport.abort()


async def seen_in_process(app: ASGIApp, act: Callable[[Any], Awaitable[None]]) -> Any:
    """Return what the client of `connect` sees of the application."""
    seen: Any = None
    with contextlib.suppress(ValueError):  # what the application raises
        try:
            async with connect(app, "/") as ws:
                await act(ws)
                seen = await seen_until_closed(ws.receive, ConnectionClosed)
                seen += (ws.close_code, ws.close_reason)
        except HandshakeRefused as exc:
            seen = exc.status, exc.headers.get("x-room"), exc.body
    return seen


async def seen_until_closed(
    receive: Callable[[], Awaitable[str | bytes]], closed: type[Exception]
) -> tuple[Any, ...]:
    payloads = []
    try:
        while True:
            payloads.append(await receive())
    except closed:
        return (payloads,)


async def seen_by_network(url: str, act: Callable[[Any], Awaitable[None]]) -> Any:
    """Return what the client of a real server sees of the application."""
    try:
        async with connect_by_network(url, proxy=None) as ws:
            await act(ws)
            seen = await seen_until_closed(ws.recv, NetworkConnectionClosed)
            return (*seen, ws.close_code, ws.close_reason)
    except InvalidStatus as exc:
        answer = exc.response
        return answer.status_code, answer.headers.get("x-room"), answer.body


@pytest.mark.parametrize(
    ("steps", "act"),
    [
        (close, nothing),
        (close_without_reason, nothing),
        (end_after_accept, nothing),
        (fail_after_accept, nothing),
        (end, nothing),
        (fail, nothing),
        (forbid, nothing),
        (deny, nothing),
        (talk_and_end, nothing),
        (listen, close_with_reason),
        (listen, lose),
    ],
)
def test_both_sides_see_what_they_see_with_uvicorn(
    steps: Steps, act: Callable[[Any], Awaitable[None]]
) -> None:
    """A test that passes in process tells the truth about production."""
    played, real = Stage(steps), Stage(steps)

    seen = asyncio.run(seen_in_process(played, act))

    with LiveServer(real, lifespan="off", log_level="critical", **UVICORN) as server:
        assert seen == asyncio.run(seen_by_network(server.ws_url(), act))
    assert played.told == real.told


@pytest.mark.parametrize("path", ["/", "/rooms/caf%C3%A9%2Fbar?q=a%20b&c", "/x?"])
def test_scope_is_uvicorns(path: str) -> None:
    """An application cannot tell the difference but by the addresses."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(dict(scope))
        await echo(scope, receive, send)

    async def by_network(url: str) -> None:
        options: Any = {"additional_headers": {"X-Room": "blue"}, "subprotocols": ["v2", "v1"]}
        async with connect_by_network(url, compression=None, proxy=None, **options):
            pass

    asyncio.run(visit(app, path, headers={"X-Room": "blue"}, subprotocols=("v2", "v1")))
    with LiveServer(app, lifespan="off", **UVICORN) as server:
        asyncio.run(by_network(server.ws_url(path)))

    ours, theirs = scopes
    assert {"bocadillo.bugs"} == ours.keys() - theirs.keys()
    assert not theirs.keys() - ours.keys()
    names = [{name.lower() for name, _ in scope["headers"]} for scope in scopes]
    assert names[0] == names[1] - {b"user-agent"}
    for key in theirs.keys() - {"headers", "client", "server"}:
        assert ours[key] == theirs[key], key
    for key in ("client", "server"):
        assert [type(part) for part in ours[key]] == [type(part) for part in theirs[key]]
