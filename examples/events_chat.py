"""A chat with rooms, by events. Run it: `bocadillo run examples.events_chat:app`.

Be Ada in one terminal, and Bob in another, and type messages:

    python -m websockets "ws://127.0.0.1:8000/chat/Ada"
    {"type": "join", "room": "tea"}
    {"type": "say", "text": "hello"}
    {"type": "whisper", "to": "Bob", "text": "psst", "ref": 1}
    {"type": "history", "ref": 2}

Or from Python:

    from websockets.sync.client import connect

    with connect("ws://127.0.0.1:8000/chat/Ada") as ws:
        ws.send('{"type": "join", "room": "tea", "ref": 1}')
        print(ws.recv())

The rooms are in the memory of one process: with several, two people in the same room
may be on different ones and not meet.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from bocadillo import (
    App,
    ConnectionStateError,
    EventError,
    EventView,
    WebSocketDisconnect,
    on_event,
)

# Seconds a client may take to accept one message before it is given up.
PATIENCE_S = 1.0
MAX_REMEMBERED = 100  # of what was said, in each room

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=32)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class Here(BaseModel):
    """Who is in a room."""

    room: str
    here: list[str]


class Moved(BaseModel):
    """Somebody came or left, and these are here now."""

    type: Literal["came", "left"]
    name: str
    room: str
    here: list[str]


class Said(BaseModel):
    """Somebody said something, to everybody in the room or to one."""

    type: Literal["said", "whispered"] = "said"
    name: str
    text: str


@dataclass(eq=False)
class Room:
    """Those who are in a room, by name, and what was said in it, oldest first."""

    name: str
    members: dict[str, "Chat"] = field(default_factory=dict)
    said: deque[Said] = field(default_factory=lambda: deque(maxlen=MAX_REMEMBERED))


rooms: dict[str, Room] = {}  # those that somebody is in
closings: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected

app = App()


@app.websocket_route("/chat/{name}")
class Chat(EventView):
    room: Room | None = None

    def on_connect(self, name: Name) -> None:
        self.me = name

    async def on_disconnect(self) -> None:
        if self.room is not None:
            await self.go_from(self.room)

    @on_event
    async def join(self, room: Name) -> Here:
        joined = rooms.setdefault(room, Room(room))
        if self.me in joined.members:
            text = f"{self.me} is in {room} already"
            raise EventError(text, loc=["room"], code="name_taken")
        joined.members[self.me] = self
        left, self.room = self.room, joined
        if left is not None:
            await self.go_from(left)
        await self.tell_others(joined, self.moved("came", joined))
        return Here(room=room, here=[*joined.members])

    @on_event
    async def leave(self) -> Here:
        left, self.room = self.room_here(), None
        await self.go_from(left)
        return Here(room=left.name, here=[*left.members])

    @on_event
    async def say(self, text: Text) -> Said:
        room = self.room_here()
        said = Said(name=self.me, text=text)
        room.said.append(said)
        await self.tell_others(room, said)
        return said

    @on_event
    async def whisper(self, to: Name, text: Text) -> Said:
        recipient = self.room_here().members.get(to)
        if recipient is None:
            unknown = f"{to} is not in this room"
            raise EventError(unknown, loc=["to"], code="unknown_recipient", ctx={"given": to})
        said = Said(type="whispered", name=self.me, text=text)
        await recipient.deliver(said)
        return said

    @on_event
    async def who(self) -> Here:
        room = self.room_here()
        return Here(room=room.name, here=[*room.members])

    @on_event
    async def history(self, limit: Annotated[int, Field(ge=1)] = 20) -> AsyncIterator[Said]:
        for said in [*self.room_here().said][-limit:]:
            yield said

    def room_here(self) -> Room:
        if self.room is None:
            raise EventError("you are in no room; join one", code="not_in_a_room")
        return self.room

    def moved(self, how: Literal["came", "left"], room: Room) -> Moved:
        return Moved(type=how, name=self.me, room=room.name, here=[*room.members])

    async def go_from(self, room: Room) -> None:
        del room.members[self.me]
        if not room.members:
            del rooms[room.name]
        await self.tell_others(room, self.moved("left", room))

    async def tell_others(self, room: Room, news: Said | Moved) -> None:
        """Send *news* to the others at once, so that nobody waits for a slow one."""
        others = [member for member in room.members.values() if member is not self]
        await asyncio.gather(*(other.deliver(news) for other in others))

    async def deliver(self, news: Said | Moved) -> None:
        """Send *news* to this client; if it does not take it in time, it is closed."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.send_json(news)
        except TimeoutError:
            # The close frame queues behind all that was not read, so nobody waits for it.
            closing = asyncio.create_task(self.ws.ensure_closed(1013, "too slow"))
            closings.add(closing)
            closing.add_done_callback(closings.discard)
        except (ConnectionStateError, WebSocketDisconnect):
            pass  # it has left, and its own view is about to tell the room
