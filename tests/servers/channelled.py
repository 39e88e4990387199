"""The application of `test_channels.py`, in several processes; $BROKER is its broker."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from itertools import count
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse

from bocadillo import App, BrokerError, WebSocket, WebSocketView
from bocadillo.channels import HistoryLimits, Position

# Codes by which connections ended, as `on_disconnect` saw them.
ends: list[int | None] = []


@asynccontextmanager
async def lifespan(running: App) -> AsyncIterator[None]:
    running.state.loop = asyncio.get_running_loop()
    yield


app = App(
    broker=os.environ["BROKER"],
    history=HistoryLimits(max_count=1_000),
    lifespan=lifespan,
    shutdown_grace_s=1,
)


@app.websocket_route("/joins/{channel}")
class Joins:
    """Joins as the query says, says so, and publishes what it is sent."""

    async def handle(self, ws: WebSocket, channel: str, history: int = 0, fill: int = 0) -> None:
        query = ws.query_params
        since = None
        if "epoch" in query:
            since = Position(int(query["offset"]), query["epoch"])
        await ws.join(
            channel,
            history=history,
            since=since,
            presence=query.get("name"),
            when_full=query.get("when_full"),  # type: ignore[arg-type]
            on_gap=query.get("on_gap", "continue"),
        )
        if fill:
            await ws.send("x" * fill)
        elif "quiet" not in query:
            await ws.send(f"joined {ws.id}")
        async for message in ws:
            if message == "leave":
                await ws.leave(channel)
                await ws.send("left")
            else:
                exclude = ws if message.startswith("others") else None
                await ws.channels.publish(channel, message, exclude=exclude, codec="text")

    async def on_disconnect(self, ws: WebSocket) -> None:
        ends.append(ws.close_code)


@app.websocket_route("/ends/{channel}")
async def ends_somehow(ws: WebSocket, channel: str, how: str = "") -> None:
    await ws.join(channel, presence=how)
    if how == "bug":
        raise LookupError("on purpose")
    if how == "cancelled":
        raise asyncio.CancelledError
    if how == "closed":
        await ws.close(4000)
    await ws.receive()


@app.websocket_route("/refused/{channel}", auto_accept=False)
async def refused(ws: WebSocket, channel: str) -> None:
    await ws.channels.publish(channel, "knocked")
    await ws.reject(401)


@app.websocket_route("/broadcasts")
class Room(WebSocketView[str]):
    async def on_connect(self) -> None:
        await self.send("joined")

    async def handle(self) -> None:
        async for message in self.messages:
            await self.broadcast(message)


async def publish(request: Request) -> JSONResponse:
    """Publish a range of numbers, then another by a background task."""
    channel, query = request.path_params["channel"], request.query_params
    positions: list[Any] = []

    async def later() -> None:
        if "later" in query:
            await app.channels.publish(channel, query["later"])

    for number in range(int(query.get("first", 0)), int(query.get("last", 0))):
        position = (await app.channels.publish(channel, number)).position
        positions.append([position.offset, position.epoch])
    return JSONResponse(positions, background=BackgroundTask(later))


class Load:
    """Publishes `name 0`, `name 1`, … all the time, whatever fails, until it is over.

    Attributes:
        published: The numbers whose `publish` has returned.
    """

    def __init__(self, channel: str, name: str, per_second: float) -> None:
        self.published: list[int] = []
        self.is_over = False
        self.task = asyncio.create_task(self._publish(channel, name, per_second))

    async def _publish(self, channel: str, name: str, per_second: float) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        for number in count():
            await asyncio.sleep(max(0, began + number / per_second - clock()))
            if self.is_over:
                return
            try:
                await app.channels.publish(channel, f"{name} {number}", codec="text")
                self.published.append(number)
            except BrokerError:
                pass


loads: dict[str, Load] = {}


async def begin_load(request: Request) -> JSONResponse:
    channel, query = request.path_params["channel"], request.query_params
    loads[channel] = Load(channel, query["name"], float(query["per_second"]))
    return JSONResponse(None)


async def end_load(request: Request) -> JSONResponse:
    """End a load, and tell what it has published for certain."""
    load = loads.pop(request.path_params["channel"])
    load.is_over = True
    await load.task
    return JSONResponse(load.published)


async def show_history(request: Request) -> JSONResponse:
    kept = await app.channels.history(request.path_params["channel"])
    return JSONResponse([known.payload for known in kept])


async def show(request: Request) -> JSONResponse:
    channel = request.path_params["channel"]
    present = await app.channels.presence(channel)
    return JSONResponse(
        {
            "readers": app.channels.readers(channel),
            "present": [[known.id, known.info] for known in present],
        }
    )


async def show_process(request: Request) -> JSONResponse:
    channels = app.channels
    return JSONResponse(
        {
            "tasks": len(asyncio.all_tasks(request.app.state.loop)),
            "rooms": len(channels._rooms.by_name),
            "members": len(channels._rooms._channels_of),
            "ends": ends,
            "counters": asdict(channels.counters),
        }
    )


app.add_route("/publish/{channel}", publish)
app.add_route("/channels/{channel}", show)
app.add_route("/history/{channel}", show_history)
app.add_route("/load/{channel}", begin_load)
app.add_route("/unload/{channel}", end_load)
app.add_route("/process", show_process)
