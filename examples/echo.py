"""Echo: every message comes back. Run it: `bocadillo run examples.echo:app`."""

from bocadillo import App, WebSocket

app = App()


@app.websocket_route("/echo")
async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)
