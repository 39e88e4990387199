"""What dishka's providers supply, to whom, and for how long.

| scope   | an object lives with   | who may ask for it                                |
|---------|------------------------|---------------------------------------------------|
| APP     | the application        | everyone                                          |
| SESSION | one connection         | everyone but the constructors of controllers      |
| REQUEST | one message            | event handlers                                    |

A *supply* is what a router's providers make, an *ask* one parameter that wants something
of it. dishka is imported when a supply first has something to do.
"""

from typing import TYPE_CHECKING, Any

from bocadillo.injection.asks import Ask, Lifetime, ask_of
from bocadillo.injection.sessions import Message, Session, Sessions
from bocadillo.injection.supplies import Live, Supply

if TYPE_CHECKING:
    from dishka import FromDishka as Inject

__all__ = [
    "Ask",
    "Inject",
    "Lifetime",
    "Live",
    "Message",
    "Session",
    "Sessions",
    "Supply",
    "ask_of",
]


def __getattr__(name: str) -> Any:
    if name != "Inject":
        raise AttributeError(f"module 'bocadillo.injection' has no attribute {name!r}")
    from dishka import FromDishka

    return FromDishka
