"""The life of an application: what is checked and started before it, and closed after it."""

import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from starlette.routing import BaseRoute
from starlette.types import Message, Send

from bocadillo.errors import BrokerError
from bocadillo.routes import views_of
from bocadillo.views import RouterOptions

logger = logging.getLogger("bocadillo")


@contextlib.asynccontextmanager
async def life(
    routes: Sequence[BaseRoute], options: RouterOptions, users: AbstractAsyncContextManager[Any]
) -> AsyncIterator[Any]:
    """Check what the views ask for, run the user's lifespan, close what was supplied.

    Args:
        routes: Those of a router, in which there may be others.
        options: What the router brings to its views.
        users: The user's own lifespan.

    Raises:
        ConfigurationError: nobody supplies what a view asks for.
        BrokerError: the broker of one of the routers is not there.
    """
    routers = {options: None}
    for view, outer in views_of(routes, (options,)):
        view.check(outer)
        routers |= dict.fromkeys((*outer, *view.routers))
    try:
        for router in routers:
            if router.channels is not None:
                await router.channels.start()
        async with users as state:
            yield state
    finally:
        async with contextlib.AsyncExitStack() as closing:
            for router in routers:
                closing.push_async_callback((router.channels or router.own_channels).close)
                closing.push_async_callback((router.supply or router.bare).close)


def in_short(send: Send) -> Send:
    """Return a `send` of the lifespan that says in one line that the broker is not there.

    Servers log what they are told, which is a traceback otherwise.
    """

    async def send_in_short(event: Message) -> None:
        exc = sys.exception()
        if event["type"] == "lifespan.startup.failed" and isinstance(exc, BrokerError):
            logger.debug("the application cannot start", exc_info=exc)
            event = {**event, "message": f"the application cannot start: {exc}"}
        await send(event)

    return send_in_short
