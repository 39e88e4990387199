"""Other frameworks' own WebSocket routes over our protocol: messages both ways, close codes."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from tests.server.clients import BINARY, TEXT, client_frame, close
from tests.servers.inside import on_both_loops, run, said, serving

# Each has two routes: `/echo` sends back what comes, until its client leaves, and keeps the
# client's code; `/refuse` says "no" and closes with 4001.


def starlette(left: list[int]) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(await websocket.receive_text())
                await websocket.send_bytes(await websocket.receive_bytes())
        except WebSocketDisconnect as ended:
            left.append(ended.code)

    async def refuse(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("no")
        await websocket.close(4001, "not today")

    return Starlette(routes=[WebSocketRoute("/echo", echo), WebSocketRoute("/refuse", refuse)])


def fastapi(left: list[int]) -> Any:
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect

    app = FastAPI()

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(await websocket.receive_text())
                await websocket.send_bytes(await websocket.receive_bytes())
        except WebSocketDisconnect as ended:
            left.append(ended.code)

    @app.websocket("/refuse")
    async def refuse(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("no")
        await websocket.close(4001, "not today")

    return app


def litestar(left: list[int]) -> Any:
    if find_spec("litestar") is None:
        lack = "litestar is not installed: WHETHER OUR SERVER SERVES IT IS NOT TESTED"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lack)
    from litestar import Litestar, WebSocket, websocket
    from litestar.exceptions import WebSocketDisconnect

    async def echo(socket: Any) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text(await socket.receive_text())
                await socket.send_bytes(await socket.receive_bytes())
        except WebSocketDisconnect as ended:
            left.append(ended.code)

    async def refuse(socket: Any) -> None:
        await socket.accept()
        await socket.send_text("no")
        await socket.close(4001, "not today")

    for handler in (echo, refuse):  # litestar looks annotations up by name, in the module
        handler.__annotations__ = {"socket": WebSocket, "return": None}
    routes: list[Any] = [websocket("/echo")(echo), websocket("/refuse")(refuse)]
    return Litestar(routes, logging_config=None)  # it would take the root logger over


FRAMEWORKS: dict[str, Callable[[list[int]], Any]] = {
    "starlette": starlette,
    "fastapi": fastapi,
    "litestar": litestar,
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
@on_both_loops
def test_a_route_of_another_framework_echoes_and_closes_by_its_code(
    loop: str, framework: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`uvicorn any_app:app --ws bocadillo.server:WebSocketProtocol`: nothing is to be changed."""
    left: list[int] = []
    app = FRAMEWORKS[framework](left)

    async def scenario() -> None:
        async with serving(app) as server:
            client = await server.open("/echo")
            client.write(client_frame(TEXT, "é".encode()) + client_frame(BINARY, b"\xff" * 200))
            assert await client.frame() == (0x80 | TEXT, "é".encode())
            assert await client.frame() == (0x80 | BINARY, b"\xff" * 200)
            client.write(close(4002))
            assert await client.close_code() == 4002

            refused = await server.open("/refuse")
            assert await refused.text() == "no"
            first, payload = await refused.frame()
            assert (first, payload) == (0x88, (4001).to_bytes(2) + b"not today")
            refused.write(close(4001))
            assert await refused.end() == b""

    run(scenario, loop)
    assert left == [4002]
    assert len(said(caplog)) == 2, said(caplog)  # both accepted
