"""Payloads from elsewhere and the view's own messages on one connection, in call order."""

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import NoReturn

from starlette.types import Message

from bocadillo.channels.outbox import Outbox, Payload
from bocadillo.connection import CLOSE_TIMEOUT_S, Connection
from bocadillo.states import CLOSE, DISCONNECT, SEND

# IANA registry "WebSocket Close Code Number": "try again later".
TRY_AGAIN_LATER = 1013

# How often to look whether a message that the view was sending has gone.
POLL_INTERVAL_S = 0.02


class Delivery:
    """Delivers payloads to one connection, without ever waiting for it.

    Args:
        connection: Who gets them.
        outbox: Where they wait, and what happens when there are too many.
        behind: The deliveries for which something waits: where this is to be noted.

    A task writes them, and exists only while there is something to write. While it
    does, what the view sends waits for all that was delivered before, so that a client
    sees what one task sends and publishes in that task's order. Nor do the two ever wait
    in the server's `send` at once, which uvicorn's "websockets" implementation forbids.

    Attributes:
        outbox: Where they wait.
    """

    def __init__(
        self,
        connection: Connection,
        outbox: Outbox,
        behind: "set[Delivery] | None" = None,
    ) -> None:
        self._connection = connection
        self._behind = set() if behind is None else behind
        self.outbox = outbox
        self._raw_send = connection._raw_send
        self._writer: asyncio.Task[None] | None = None
        self._farewell: asyncio.Task[None] | None = None
        self._turns: deque[tuple[int, asyncio.Future[None]]] | None = None
        self._lock = asyncio.Lock()  # held by who is sending

    def deliver(self, payload: Payload, key: Hashable = None) -> None:
        """Queue one payload; a reader that is too slow for its outbox is closed with 1013.

        Args:
            payload: What to send, text or binary.
            key: What it is the newest of, where the outbox keeps the latest; see `Outbox`.
        """
        connection = self._connection
        # Open means that `accept` was called, accepted that it has been sent.
        if not (connection.is_open and connection.accepted):
            return
        if not self.outbox.offer(payload, key):
            self.give_up("too slow")
            return
        if self._writer is None or self._writer.done():
            earlier = connection._begun
            connection._raw_send = self._send_in_turn
            self._behind.add(self)
            self._writer = asyncio.get_running_loop().create_task(self._write(earlier))

    async def caught_up(self) -> None:
        """Wait until what came at once, and was more than the outbox holds, has been sent."""
        while self.outbox.is_wide and self._writer is not None and not self._writer.done():
            await self._turn()

    async def close(self) -> None:
        """Stop delivering for good.

        A reader that was too slow may take its close frame first, for ten seconds.
        """
        try:
            if self._farewell is not None:
                await asyncio.wait({self._farewell})
        finally:
            for task in (self._writer, self._farewell):
                if task is not None:
                    task.cancel()
            self._give_back()
            self._behind.discard(self)

    # Too slow

    def give_up(self, reason: str) -> None:
        """Count the reader as left with 1013; its view is told so, or cancelled.

        Without effect on a connection that is closed, or has been given up before.
        """
        connection = self._connection
        if not connection.is_open:
            return
        self.outbox.clear()
        self._behind.add(self)  # for good: its close frame is the next that it gets
        connection._hear_leaving({"type": DISCONNECT, "code": TRY_AGAIN_LATER, "reason": reason})
        connection._inbox.refuse(self._tell)
        self._farewell = asyncio.get_running_loop().create_task(self._say_farewell(reason))

    def _tell(self, _: None) -> NoReturn:
        raise self._connection._disconnect()

    async def _say_farewell(self, reason: str) -> None:
        event = {"type": CLOSE, "code": TRY_AGAIN_LATER, "reason": reason}
        try:
            # It waits behind what the peer does not take.
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._connection._raw_send(event)
        except TimeoutError:
            # Or the server would say 1000 for the view, behind all that waits.
            await self._connection._abort()
        except Exception:
            pass

    # Writing

    async def _write(self, earlier: int) -> None:
        connection = self._connection
        try:
            # What the view had begun to send before; its sends since then wait for turns. An
            # event would have to be set by every `send` there is.
            while connection._done < earlier:  # noqa: ASYNC110
                await asyncio.sleep(POLL_INTERVAL_S)
            while (payload := self.outbox.take()) is not None:
                kind = "text" if isinstance(payload, str) else "bytes"
                connection._begun += 1
                try:
                    await self._send_alone({"type": SEND, kind: payload})
                finally:
                    connection._done += 1
                self._give_turns()
        except Exception:
            await self._lose()
        finally:
            self._give_back()

    async def _send_alone(self, event: Message) -> None:
        async with self._lock:
            await self._raw_send(event)

    async def _lose(self) -> None:
        """Take note that the client is gone; whoever serves it has yet to be told."""
        connection = self._connection
        await connection._search_leaving()
        if connection.is_open:
            connection._hear_leaving({"type": DISCONNECT, "code": 1006, "reason": ""})

    # Taking turns with the view

    async def _send_in_turn(self, event: Message) -> None:
        """Send an event of the view's own behind all that was delivered before it."""
        await self._turn()
        await self._send_alone(event)

    async def _turn(self) -> None:
        """Wait until all that was delivered before has been sent."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._turns is None:
            self._turns = deque()
        self._turns.append((self.outbox.placed, turn))
        await turn

    def _give_turns(self) -> None:
        done = self.outbox.placed - len(self.outbox)
        turns = self._turns
        while turns and turns[0][0] <= done:
            turn = turns.popleft()[1]
            if not turn.done():
                turn.set_result(None)

    def _give_back(self) -> None:
        """Let the view send by itself again."""
        self._connection._raw_send = self._raw_send
        self.outbox.clear()
        if self._farewell is None:
            self._behind.discard(self)
        self._give_turns()
