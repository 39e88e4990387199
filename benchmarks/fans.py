"""Broadcasts: what any connection says goes to all, its sender among them."""

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send


def loop() -> ASGIApp:
    """Nothing but ASGI: one `send` after the other."""
    sends: dict[int, Send] = {}

    async def fan(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":  # lifespan
            return
        await receive()
        await send({"type": "websocket.accept"})
        sends[id(send)] = send
        while (event := await receive())["type"] == "websocket.receive":
            told = {"type": "websocket.send", "text": event["text"]}
            for each in list(sends.values()):
                await each(told)
        del sends[id(send)]

    return fan


def extension() -> ASGIApp:
    """bocadillo's ASGI extension: all at once, and by `send` to those who are congested."""
    sends: dict[Any, Send] = {}

    async def fan(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":  # lifespan
            return
        broadcast = scope["extensions"]["bocadillo.broadcast"]["broadcast"]
        await receive()
        await send({"type": "websocket.accept"})
        peer = scope["bocadillo.peer"]
        sends[peer] = send
        while (event := await receive())["type"] == "websocket.receive":
            for congested in broadcast(sends, text=event["text"]):
                await sends[congested]({"type": "websocket.send", "text": event["text"]})
        del sends[peer]

    return fan


def publish() -> ASGIApp:
    """A bocadillo view that joins a channel, and publishes there what it is told."""
    from bocadillo import App, WebSocket

    app = App()

    @app.websocket_route("/")
    async def fan(ws: WebSocket[str]) -> None:
        await ws.join("fan")
        async for text in ws:
            await ws.channels.publish("fan", text, codec="text")

    return app


def view() -> ASGIApp:
    """A bocadillo class view that broadcasts what it is told."""
    from bocadillo import App, WebSocketView

    app = App()

    @app.websocket_route("/")
    class Fan(WebSocketView[str, str]):
        async def handle(self) -> None:
            async for text in self.messages:
                await self.broadcast(text)

    return app
