"""Where an asyncio task stands, in words for an error message."""

import asyncio
import inspect
import os
import sysconfig
import traceback
from types import FrameType
from typing import Any

import bocadillo

# Places told, the innermost: enough to find the line, without all that calls it.
MAX_PLACES = 3

# What waits in here waits for somebody else's sake; that one's line is worth telling.
_LIBRARIES = (
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib")),
    *(os.path.join(path, "") for path in bocadillo.__path__),
)


def doing(task: "asyncio.Task[Any]") -> str:
    """Return what *task* is doing: how it ended, or the lines at which it waits."""
    if task.cancelled():
        return "was cancelled"
    if task.done():
        exc = task.exception()
        return "has ended" if exc is None else f"has ended by {exc!r}"
    frames = _frames(task.get_coro())
    theirs = [frame for frame in frames if not frame.f_code.co_filename.startswith(_LIBRARIES)]
    places = [_place(frame) for frame in (theirs or frames)[-MAX_PLACES:]]
    return "waits in " + " > ".join(places) if places else "has not begun"


def _frames(awaited: Any) -> list[FrameType]:
    """Follow what awaits what, from the task's coroutine to the innermost one."""
    frames = []
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None and _has_begun(awaited):
            frames.append(frame)
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return frames


def _has_begun(awaited: Any) -> bool:
    if inspect.iscoroutine(awaited):
        return inspect.getcoroutinestate(awaited) != inspect.CORO_CREATED
    return not inspect.isgenerator(awaited) or (
        inspect.getgeneratorstate(awaited) != inspect.GEN_CREATED
    )


def _place(frame: FrameType) -> str:
    code = frame.f_code
    line = traceback.FrameSummary(code.co_filename, frame.f_lineno, code.co_name).line
    return f"{code.co_name}(), {os.path.basename(code.co_filename)}:{frame.f_lineno}: {line}"
