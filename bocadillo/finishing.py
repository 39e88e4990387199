"""`finish`: what has begun is brought to its end, whoever cancels meanwhile."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what *coroutine* returns; a cancellation waits until it has ended.

    Raises:
        asyncio.CancelledError: somebody cancelled meanwhile; the coroutine has ended.
        Exception: the coroutine's own.
    """
    task = asyncio.ensure_future(coroutine)
    cancellation = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as exc:  # anyio does so again and again
            cancellation = exc
    if cancellation is not None:
        if not task.cancelled():
            task.exception()  # looked at: the cancellation is what counts
        raise cancellation
    return task.result()
