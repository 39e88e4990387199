"""A chat for the browser, in rooms. Run it: `bocadillo run examples.chat.app:app`.

The rooms are in the memory of one process: with several, two people in the same room
may be on different ones and not meet.
"""

import asyncio
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, StringConstraints
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from bocadillo import App, ConnectionStateError, InvalidMessage, WebSocket, WebSocketDisconnect

# Seconds a browser may take to accept one message before it is given up.
PATIENCE_S = 1.0

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=32)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class Say(BaseModel):
    """What a browser sends: something to be said in the room."""

    text: Text


class Welcome(BaseModel):
    """The first message of all: the name that one goes by, free in this room."""

    type: Literal["welcome"] = "welcome"
    name: str


class Moved(BaseModel):
    """Somebody came or left, and these are here now."""

    type: Literal["came", "left"]
    name: str
    here: list[str]


class Said(BaseModel):
    """Somebody said something."""

    type: Literal["said"] = "said"
    name: str
    text: str


class Refused(BaseModel):
    """Your last message was not passed on, and why."""

    type: Literal["refused"] = "refused"
    reason: str


News = Welcome | Moved | Said | Refused
Member = WebSocket[Say, News]
Room = dict[Member, str]  # who is here → by what name

rooms: defaultdict[str, Room] = defaultdict(dict)
closings: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected

page = StaticFiles(directory=Path(__file__).parent / "page", html=True)
app = App(routes=[Route("/{file:path}", page)])


@app.websocket_route("/chat/{room_name}")
async def chat(ws: Member, room_name: Name, name: Name = "Somebody") -> None:
    room = rooms[room_name]
    name = free_name(room, name)
    room[ws] = name
    try:
        await deliver(ws, Welcome(name=name))
        await tell(room, Moved(type="came", name=name, here=[*room.values()]))
        while ws.is_open:
            await pass_on(ws, room)
    finally:
        del room[ws]
        if not room:
            del rooms[room_name]
        await tell(room, Moved(type="left", name=name, here=[*room.values()]))


async def pass_on(ws: Member, room: Room) -> None:
    """Tell the room what a member says, up to a message that cannot be used."""
    try:
        async for message in ws:
            await tell(room, Said(name=room[ws], text=message.text))
    except InvalidMessage as exc:
        await deliver(ws, Refused(reason=exc.errors[0]["msg"]))


async def tell(room: Room, news: News) -> None:
    """Send *news* to everybody in the room at once, so that nobody waits for a slow one."""
    await asyncio.gather(*(deliver(ws, news) for ws in room))


async def deliver(ws: Member, news: News) -> None:
    """Send *news* to one member; whoever does not take it in time is closed."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await ws.send(news)
    except TimeoutError:
        # The close frame queues behind all that was not read, so nobody waits for it.
        closing = asyncio.create_task(ws.ensure_closed(1013, "too slow"))
        closings.add(closing)
        closing.add_done_callback(closings.discard)
    except (ConnectionStateError, WebSocketDisconnect):
        pass  # it has left, and its own view is about to tell the room


def free_name(room: Room, name: str) -> str:
    """Return *name*, or *name* with a number if somebody goes by it already."""
    taken = set(room.values())
    numbered = (f"{name} ({number})" for number in count(2))
    return name if name not in taken else next(n for n in numbered if n not in taken)
