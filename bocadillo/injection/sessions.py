"""What lives with one connection, and with one message."""

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from bocadillo.channels import Channels
from bocadillo.finishing import finish
from bocadillo.injection.asks import Ask
from bocadillo.injection.containers import close, close_each, get
from bocadillo.injection.supplies import Supply
from bocadillo.websockets import WebSocket

if TYPE_CHECKING:
    from dishka import AsyncContainer

logger = logging.getLogger("bocadillo")


class Session:
    """What lives with one connection, by one supply; made when it is first asked for.

    Attributes:
        live: What lives with the application.
    """

    __slots__ = ("_close_timeout_s", "_container", "_ws", "live")

    def __init__(
        self, supply: Supply, ws: WebSocket[Any, Any], close_timeout_s: float = 30
    ) -> None:
        self._close_timeout_s = close_timeout_s
        # Whatever overrides come or end while the connection is open.
        self.live = supply.here()
        self._ws = ws
        self._container: AsyncContainer | None = None

    @property
    def container(self) -> "AsyncContainer":
        """The container of scope SESSION."""
        if self._container is None:
            from dishka import Scope

            app = self.live.container
            # Tasks of one connection may ask at the same time.
            self._container = app({WebSocket: self._ws}, asyncio.Lock, Scope.SESSION)
        return self._container

    async def get(self, ask: Ask) -> Any:
        """Return what was asked for."""
        if ask.key.type_hint is Channels and not self.live.replaces_channels:
            return self._ws.channels  # the router of the view may have its own
        if self.live.has(ask):  # what is slow to make is then made once, whoever leaves
            return await self.live.get(ask)
        return await get(self.container, ask)

    def message(self) -> "Message":
        """Return what lives with one message, to be entered by `async with`."""
        return Message(self, self.container, self._close_timeout_s)

    async def close(self, failure: BaseException | None) -> None:
        """Close what lives with the connection; *failure* is what the view ended by."""
        if self._container is not None:
            await close(self._container, failure, self._close_timeout_s)


class Sessions:
    """The sessions of one connection: one for each supply that is asked.

    Args:
        ws: The connection.
        close_timeout_s: Seconds for each object to be closed in.
    """

    __slots__ = ("_by_supply", "_close_timeout_s", "_ws")

    def __init__(self, ws: WebSocket[Any, Any], close_timeout_s: float = 30) -> None:
        self._ws = ws
        self._close_timeout_s = close_timeout_s
        self._by_supply: dict[Supply, Session] = {}

    def of(self, supply: Supply) -> Session:
        """Return the session of one supply."""
        session = self._by_supply.get(supply)
        if session is None:
            session = Session(supply, self._ws, self._close_timeout_s)
            self._by_supply[supply] = session
        return session

    async def close(self, failure: BaseException | None) -> None:
        """Close all of them.

        Raises:
            Exception: what a provider raised while it was closed; the others were closed.
        """
        sessions = reversed(self._by_supply.values())
        await close_each(partial(session.close, failure) for session in sessions)


class Message:
    """What lives with one message: a container of scope REQUEST.

    When it is left, its objects are closed, and know the exception if there was one; a
    cancellation waits for that.
    """

    __slots__ = ("_close_timeout_s", "_container", "_session")

    def __init__(
        self, session: Session, container: "AsyncContainer", close_timeout_s: float
    ) -> None:
        from dishka import Scope

        self._session = session
        # A handler may ask in several tasks at the same time.
        self._container = container(lock_factory=asyncio.Lock, scope=Scope.REQUEST)
        self._close_timeout_s = close_timeout_s

    async def get(self, ask: Ask) -> Any:
        """Return what was asked for."""
        if ask.key.type_hint is Channels:
            return await self._session.get(ask)
        return await get(self._container, ask)

    async def __aenter__(self) -> "Message":
        return self

    async def __aexit__(self, _: Any, failure: BaseException | None, __: Any) -> None:
        try:
            await finish(close(self._container, failure, self._close_timeout_s))
        except Exception:
            if failure is None:
                raise
            # The first error is the one that counts.
            logger.exception("closing the objects of a message failed, too")
