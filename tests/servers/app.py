"""The application that the tests serve on real servers; each view shows one rule."""

import asyncio
import gc
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import Request
from starlette.responses import JSONResponse

from bocadillo import App, WebSocket, WebSocketDisconnect, WebSocketView

# What views went through, by the key that the client chose.
steps: dict[str, list[Any]] = defaultdict(list)


@asynccontextmanager
async def lifespan(running: App) -> AsyncIterator[None]:
    running.state.loop = asyncio.get_running_loop()
    yield


app = App(lifespan=lifespan, shutdown_grace_s=1)


async def show_steps(request: Request) -> JSONResponse:
    return JSONResponse(steps[request.path_params["key"]])


def show_process(request: Request) -> JSONResponse:
    loop = request.app.state.loop
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return JSONResponse(
        {
            "tasks": len(asyncio.all_tasks(loop)),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "bytes": pages * os.sysconf("SC_PAGE_SIZE"),
        }
    )


app.add_route("/steps/{key}", show_steps)
app.add_route("/process", show_process)


# How a connection ends


@app.websocket_route("/returns")
async def returns(ws: WebSocket) -> None:
    pass


@app.websocket_route("/raises/websocket-exception")
async def raises_websocket_exception(ws: WebSocket) -> None:
    raise WebSocketException(4001, "why")


@app.websocket_route("/raises/http/{status:int}")
async def raises_http(ws: WebSocket, status: int) -> None:
    raise HTTPException(status, "what")


@app.websocket_route("/raises/bug")
async def raises_bug(ws: WebSocket) -> None:
    raise LookupError("a secret")


@app.websocket_route("/invalid/payload", value_type="json")
async def invalid_payload(ws: WebSocket) -> None:
    await ws.receive()


@app.websocket_route("/invalid/frame", value_type="text")
async def invalid_frame(ws: WebSocket) -> None:
    await ws.receive()


@app.websocket_route("/closes/{code:int}")
async def closes(ws: WebSocket, code: int, reason: str = "") -> None:
    await ws.close(code, reason)
    await ws.ensure_closed()


@app.websocket_route("/rejects-late")
async def rejects_late(ws: WebSocket) -> None:
    await ws.reject(401)


@app.websocket_route("/before/returns", auto_accept=False)
async def before_returns(ws: WebSocket) -> None:
    pass


@app.websocket_route("/before/websocket-exception", auto_accept=False)
async def before_websocket_exception(ws: WebSocket) -> None:
    raise WebSocketException(4001, "why")


@app.websocket_route("/before/http/{status:int}", auto_accept=False)
async def before_http(ws: WebSocket, status: int) -> None:
    raise HTTPException(status, "what", headers={"x-why": "because"})


@app.websocket_route("/before/bug", auto_accept=False)
async def before_bug(ws: WebSocket) -> None:
    raise LookupError("a secret")


@app.websocket_route("/before/closes/{code:int}", auto_accept=False)
async def before_closes(ws: WebSocket, code: int) -> None:
    await ws.close(code)


@app.websocket_route("/before/rejects/{status:int}", auto_accept=False)
async def before_rejects(ws: WebSocket, status: int) -> None:
    await ws.reject(status, {"why": "because"}, {"x-why": "because"})


@app.websocket_route("/before/rejects", auto_accept=False)
async def before_rejects_plainly(ws: WebSocket) -> None:
    await ws.reject()


@app.websocket_route("/converts/{number}")
async def converts(ws: WebSocket, number: int, limit: int = 5) -> None:
    await ws.send_json([number, limit])


# Messages, and how a handler learns of the leaving


@app.websocket_route("/echo")
async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


@app.websocket_route("/subprotocol", subprotocols=("v2", "v1"))
async def subprotocol(ws: WebSocket) -> None:
    pass


@app.websocket_route("/tells/{key}", caught_close_codes=())
async def tells(ws: WebSocket, key: str) -> None:
    try:
        await ws.receive()
    except WebSocketDisconnect as exc:
        steps[key] += [exc.code, exc.reason]


@app.websocket_route("/works/{key}")
async def works(ws: WebSocket, key: str) -> None:
    async for message in ws:
        await asyncio.sleep(0.05)
        steps[key].append(message)
    steps[key].append("after the loop")


@app.websocket_route("/takes-its-time/{key}")
async def takes_its_time(ws: WebSocket, key: str) -> None:
    try:
        await ws.receive()
    except WebSocketDisconnect:
        await asyncio.sleep(5)
        steps[key].append("five seconds later")


@app.websocket_route("/sleeps/{key}")
async def sleeps(ws: WebSocket, key: str, after: int = 0) -> None:
    for _ in range(after):
        await ws.receive()
    steps[key].append("sleeping")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        steps[key].append("cancelled")
        raise


@app.websocket_route("/ticks/{key}", caught_close_codes=())
async def ticks(ws: WebSocket, key: str) -> None:
    try:
        while True:
            await ws.send("tick")
            await asyncio.sleep(0.02)
    except WebSocketDisconnect:
        steps[key].append("told")


@app.websocket_route("/polls")
async def polls(ws: WebSocket) -> None:
    while True:
        try:
            async with asyncio.timeout(0.002):
                message = await ws.receive()
        except TimeoutError:
            continue
        await ws.send(message)


@app.websocket_route("/shutdown/{key}", caught_close_codes=())
async def shutdown(ws: WebSocket, key: str) -> None:
    await ws.send("ready")
    await ws.receive()


# Classes


class Room(WebSocketView[str]):
    """Broadcasts what it gets; a reader may be behind by eight messages."""

    max_waiting = 8

    async def on_connect(self, fill: int = 0) -> None:
        if fill:
            await self.send("x" * fill)

    async def handle(self, key: str) -> None:
        async for message in self.messages:
            try:
                await self.broadcast(message)
            except Exception as exc:
                steps[key].append(repr(exc))
                raise

    def on_disconnect(self, key: str, close_code: int) -> None:
        steps[key].append(close_code)


class DroppingRoom(Room):
    """A reader that falls behind loses the oldest messages."""

    when_full = "drop_oldest"


class Ends:
    """Ends in the way that the client chose."""

    async def on_connect(self, key: str) -> None:
        steps[key].append("connect")

    async def handle(self, ws: WebSocket, key: str, how: str) -> None:
        if how == "closes":
            await ws.close(4001)
        elif how == "raises":
            raise LookupError("a secret")
        elif how == "sleeps":
            steps[key].append("sleeping")
            await asyncio.sleep(60)
        else:
            await ws.receive()

    async def on_disconnect(self, key: str, close_code: int) -> None:
        await asyncio.sleep(0.05)
        steps[key].append(close_code)


class TypedEnds(WebSocketView[str]):
    """The same, as a typed view."""

    on_connect = Ends.on_connect
    handle = Ends.handle
    on_disconnect = Ends.on_disconnect


app.websocket_route("/room/{key}")(Room)
app.websocket_route("/dropping-room/{key}")(DroppingRoom)
app.websocket_route("/ends/{how}/{key}")(Ends)
app.websocket_route("/typed-ends/{how}/{key}")(TypedEnds)
