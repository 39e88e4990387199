"""The programs that are compared: one factory per row, each an echo as its users write it.

Imports are inside the factories, so that a server process holds only what it measures.
"""

from starlette.types import ASGIApp, Receive, Scope, Send


def raw() -> ASGIApp:
    """Nothing but ASGI: what any framework's cost is counted from."""

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":  # lifespan
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"]})

    return echo


def starlette() -> ASGIApp:
    """Starlette's text methods, in the loop that costs least."""
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    async def echo(ws: WebSocket) -> None:
        await ws.accept()
        try:
            while True:
                await ws.send_text(await ws.receive_text())
        except WebSocketDisconnect:
            pass

    return Starlette(routes=[WebSocketRoute("/", echo)])


def fastapi() -> ASGIApp:
    """FastAPI: Starlette's methods behind its own route."""
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect

    app = FastAPI()

    @app.websocket("/")
    async def echo(ws: WebSocket) -> None:
        await ws.accept()
        try:
            while True:
                await ws.send_text(await ws.receive_text())
        except WebSocketDisconnect:
            pass

    return app


def litestar() -> ASGIApp:
    """Litestar's text methods in a websocket handler."""
    from typing import Any, cast

    from litestar import Litestar, WebSocket, websocket
    from litestar.exceptions import WebSocketDisconnect

    async def echo(socket: Any) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text(await socket.receive_text())
        except WebSocketDisconnect:
            pass

    # The annotations of the function are looked up by name.
    echo.__annotations__ = {"socket": WebSocket, "return": None}
    return cast(ASGIApp, Litestar([websocket("/")(echo)]))


def bocadillo_text() -> ASGIApp:
    """A bocadillo view as one writes it first."""
    from bocadillo import App, WebSocket

    app = App()

    @app.websocket_route("/")
    async def echo(ws: WebSocket) -> None:
        async for text in ws:
            await ws.send(text)

    return app


def bocadillo_receive() -> ASGIApp:
    """A bocadillo view that calls `receive` and `send`."""
    from bocadillo import App, WebSocket

    app = App()

    @app.websocket_route("/")
    async def echo(ws: WebSocket) -> None:
        while True:
            await ws.send(await ws.receive())

    return app


def bocadillo_receive_text() -> ASGIApp:
    """A bocadillo view that calls the methods that Starlette has, too."""
    from bocadillo import App, WebSocket

    app = App()

    @app.websocket_route("/")
    async def echo(ws: WebSocket) -> None:
        while True:
            await ws.send_text(await ws.receive_text())

    return app


def bocadillo_json() -> ASGIApp:
    """A bocadillo view that parses and writes any JSON value."""
    from bocadillo import App, WebSocket

    app = App()

    @app.websocket_route("/", value_type="json")
    async def echo(ws: WebSocket) -> None:
        async for value in ws:
            await ws.send(value)

    return app


def bocadillo_typed() -> ASGIApp:
    """A bocadillo view that validates each message against a pydantic model of two fields."""
    from pydantic import BaseModel

    from bocadillo import App, WebSocket

    class Line(BaseModel):
        id: int
        text: str

    app = App()

    @app.websocket_route("/", value_type=Line)
    async def echo(ws: WebSocket) -> None:
        async for line in ws:
            await ws.send(line)

    return app
