"""Our programs: all who connect read one channel, and what any of them says is published there."""

from starlette.types import ASGIApp

CHANNEL = "news"


def join(broker: str) -> ASGIApp:
    """A view that joins, and publishes what it is told, as text."""
    from bocadillo import App, WebSocket

    app = App(broker=broker)

    @app.websocket_route("/")
    async def chat(ws: WebSocket) -> None:
        await ws.join(CHANNEL)
        async for text in ws:
            await app.channels.publish(CHANNEL, text, codec="text")

    return app


def view(broker: str) -> ASGIApp:
    """A class view that broadcasts what it is told."""
    from bocadillo import App, WebSocketView

    app = App(broker=broker)

    @app.websocket_route("/")
    class Chat(WebSocketView[str, str]):
        async def handle(self) -> None:
            async for text in self.messages:
                await self.broadcast(text)

    return app
