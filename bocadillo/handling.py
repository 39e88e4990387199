"""How a handler's function is run: in a thread, value by value, with what is injected.

Each function here takes what calls a handler's function, and returns what does more.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias

from starlette.concurrency import run_in_threadpool

from bocadillo.eventtables import is_validation_error
from bocadillo.finishing import finish
from bocadillo.injection import Ask

# A view, a message, and what is injected → what the function returned.
Call: TypeAlias = Callable[..., Any]
Run: TypeAlias = Callable[..., Awaitable[Any]]


def in_thread(call: Call, *, to_its_end: bool) -> Run:
    """Return what runs a function in a worker thread.

    Args:
        call: Calls the function.
        to_its_end: Whether a cancellation waits for the thread, which works with things
            that are closed afterwards.
    """

    async def run(view: Any, message: Any, /, **injected: Any) -> Any:
        working = run_in_threadpool(partial(call, view, message, **injected))
        result = await (finish(working) if to_its_end else working)
        # A sync decorator of an async function returns what it has not awaited.
        return await result if inspect.isawaitable(result) else result

    return run


def streaming(call: Call, answer: Callable[[Any, Any], Awaitable[None]]) -> Run:
    """Return what answers with each value that an async generator yields, but None."""

    async def run(view: Any, message: Any, /, **injected: Any) -> None:
        async with aclosing(call(view, message, **injected)) as values:
            async for value in values:
                if value is not None:
                    await answer(view, value)
                # Neither a value nor a send need wait for anything; others do, and so
                # does the news that this client has left.
                await asyncio.sleep(0)

    return run


def injecting(call: Run, asks: tuple[Ask, ...], owner: str) -> Run:
    """Return what supplies a function with what lives with its message.

    It is closed before the answer is sent: nobody is told of what was not committed.
    """

    async def run(view: Any, message: Any) -> Any:
        async with view._session.message() as scope:
            try:
                injected = {ask.parameter: await scope.get(ask) for ask in asks}
            except Exception as exc:
                if not is_validation_error(exc):
                    raise
                # The client's message was valid; this is of a provider's own.
                raise RuntimeError(f"{owner}: what it asks for cannot be made") from exc
            return await call(view, message, **injected)

    return run
