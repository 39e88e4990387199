"""What tests of an application need: clients, and a server for the length of a test.

Names are imported when they are first used. `connect` and `LiveServer` need nothing
more than bocadillo does; `create_client` needs the extra `test`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bocadillo.testing.client import create_client as create_client
    from bocadillo.testing.connection import Connection as Connection
    from bocadillo.testing.connection import ConnectionClosed as ConnectionClosed
    from bocadillo.testing.connection import HandshakeRefused as HandshakeRefused
    from bocadillo.testing.connection import connect as connect
    from bocadillo.testing.grammar import AsgiGrammarError as AsgiGrammarError
    from bocadillo.testing.live import LiveServer as LiveServer

_ROOMS = {
    "client": ("create_client",),
    "connection": ("Connection", "ConnectionClosed", "HandshakeRefused", "connect"),
    "grammar": ("AsgiGrammarError",),
    "live": ("LiveServer",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [*_ROOM_OF]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'bocadillo.testing' has no attribute {name!r}")
    value = getattr(import_module(f"bocadillo.testing.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF})
