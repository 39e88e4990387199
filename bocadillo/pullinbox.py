"""The inbox of a connection whose server lets itself be asked, and need not be awaited.

A server with the ASGI extension "bocadillo.pull" hands out an event by a plain call, or a
future that may be cancelled and loses nothing. So nothing of what `inbox` does to keep a
`receive` from being cancelled is needed: no generator, no shield, and no coroutine for each
message and each connection that waits.
"""

import asyncio
from collections.abc import Callable, Coroutine
from types import MethodType
from typing import Any

from starlette.types import Message, Receive, Scope

from bocadillo.extensions import PEER, PULL
from bocadillo.inbox import Failure, Inbox, Step, busy


class PullInbox(Inbox):
    """The events of one connection, oldest first, as the server hands them out.

    Args:
        pull: Returns the next event, or a future to await before it is asked again.
        on_disconnect: Called with a disconnect event that was read ahead.
    """

    __slots__ = ("_awaited",)

    def __init__(
        self, pull: Callable[[None], Step], on_disconnect: Callable[[Message], object]
    ) -> None:
        super().__init__(pull, _nothing, on_disconnect)
        self._awaited: asyncio.Future[None] | None = None

    def lose(self, event: Message) -> None:
        """Hand *event*, a disconnect that the server does not tell of, to who is waiting."""
        if self._awaited is not None:
            self._lost = event
            if not self._awaited.done():
                self._awaited.set_result(None)

    def wait(self, step: Step) -> Coroutine[Any, Any, Message]:
        """Return the event that *step*, which `pull` returned, is waiting for."""
        self._waiting = True
        self.pull = busy
        return self._next(step, is_reader=True)

    async def _next(self, step: Step, is_reader: bool = False) -> Message:
        awaited = None
        try:
            while step.__class__ is not dict:
                if step.__class__ is Failure:
                    raise step.error
                awaited = self._awaited = step
                await step
                if self._lost is not None:
                    return self._lost
                step = self._step(None)
            event: Message = step
            return event
        finally:
            if self._awaited is awaited:  # and not what the next reader awaits
                self._awaited = None
            if is_reader:
                self._waiting = False
                self._settle()


def inbox_for(scope: Scope, receive: Receive, on_disconnect: Callable[[Message], object]) -> Inbox:
    """Return the inbox of a connection, by what its server offers."""
    extension, peer = scope.get("extensions", {}).get(PULL), scope.get(PEER)
    # Where a middleware has replaced `receive`, it is to see what is received.
    is_own = peer is not None and getattr(receive, "__self__", None) is peer
    if extension is None or not is_own:
        return Inbox.awaiting(receive, on_disconnect)
    return PullInbox(MethodType(extension["pull"], peer), on_disconnect)


def _nothing() -> None:
    pass
