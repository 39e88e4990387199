"""Numbers on the command line."""

import argparse
from collections.abc import Callable
from typing import TypeVar

NumberT = TypeVar("NumberT", int, float)


def at_least(least: NumberT, kind: Callable[[str], NumberT]) -> Callable[[str], NumberT]:
    """Return what reads a number of a *kind* for argparse, and refuses smaller ones."""

    def number(text: str) -> NumberT:
        value = kind(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {text}")
        return value

    return number
