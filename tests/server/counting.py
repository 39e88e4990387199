"""Costs that are the same in every run: calls made, and memory at its highest."""

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType


def calls(action: Callable[[], object], named: str | None = None) -> int:
    """Return how many functions, of Python or C, *action* calls: all, or only those *named*."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        if event == "call":
            count += named in (None, frame.f_code.co_name)
        elif event == "c_call":
            count += named in (None, getattr(argument, "__name__", ""))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(before)
    return count


def peak_bytes(action: Callable[[], object]) -> int:
    """Return the most memory that *action* held at once, beyond what was held before."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
