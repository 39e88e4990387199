"""A chat for the browser, in rooms. Run it: `bocadillo run examples.chat.app:app`.

A room is a channel: it has a history, for those who come late or come back, and knows who
is present. With `BROKER=redis://…` both are shared by any number of processes.
"""

import asyncio
import contextlib
import json
import logging
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from bocadillo import (
    App,
    BrokerError,
    HistoryLimits,
    InvalidMessage,
    WebSocket,
    WebSocketDisconnect,
)
from bocadillo.channels import Publications, presence_channel

logger = logging.getLogger(__name__)

SHOWN = 50  # of what was said before, to who comes in

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
    """Somebody said something; `at` is in seconds since 1970."""

    type: Literal["said"] = "said"
    name: str
    text: str
    at: float = Field(default_factory=time.time)


class Refused(BaseModel):
    """Your last message was not passed on, and why."""

    type: Literal["refused"] = "refused"
    reason: str


News = Welcome | Moved | Said | Refused
Member = WebSocket[Say, News]

names: defaultdict[str, set[str]] = defaultdict(set)  # room → members in this process

page = StaticFiles(directory=Path(__file__).parent / "page", html=True)
app = App(
    routes=[Route("/{file:path}", page)],
    broker=os.environ.get("BROKER", "memory://"),
    history=HistoryLimits(max_count=SHOWN, max_age_s=24 * 3600),
)


@app.websocket_route("/chat/{room_name}")
async def chat(ws: Member, room_name: Name, name: Name = "Somebody") -> None:
    room = f"room:{room_name}"
    async with (
        app.channels.subscribe(presence_channel(room), on_gap="continue") as moves,
        free_name(room, name) as free,
    ):
        await ws.send(Welcome(name=free))
        # Who has missed anything is closed; its page comes back, and gets the history.
        await ws.join(room, history=SHOWN, presence=free, on_gap="close")
        telling = asyncio.create_task(tell_moves(ws, room, moves))
        try:
            while ws.is_open:
                await pass_on(ws, room, free)
        finally:
            telling.cancel()


async def pass_on(ws: Member, room: str, name: str) -> None:
    """Tell the room what a member says, up to a message that cannot be used."""
    try:
        async for message in ws:
            await app.channels.publish(room, Said(name=name, text=message.text))
    except InvalidMessage as exc:
        await ws.send(Refused(reason=exc.errors[0]["msg"]))


async def tell_moves(ws: Member, room: str, moves: Publications) -> None:
    """Tell a member who comes and who leaves, and who is here then."""
    try:
        async for move in moves:
            moved = json.loads(move.payload)
            here = [present.info for present in await app.channels.presence(room)]
            kind: Literal["came", "left"] = "came" if moved["event"] == "join" else "left"
            await ws.send(Moved(type=kind, name=moved["info"], here=here))
    except WebSocketDisconnect:
        pass  # its view is told, too
    except BrokerError as exc:
        logger.warning("%s is closed, and may come again: %s", ws.id, exc)
        await ws.ensure_closed(1013, "try again later")


@contextlib.asynccontextmanager
async def free_name(room: str, name: str) -> AsyncIterator[str]:
    """Give *name*, or *name* with a number if somebody goes by it already; keep it meanwhile."""
    present = await app.channels.presence(room)
    # Others of this process may have a name, but not be present yet.
    taken = names[room].union(known.info for known in present)
    numbered = (f"{name} ({number})" for number in count(2))
    free = name if name not in taken else next(n for n in numbered if n not in taken)
    names[room].add(free)
    try:
        yield free
    finally:
        names[room].discard(free)
        if not names[room]:
            del names[room]
