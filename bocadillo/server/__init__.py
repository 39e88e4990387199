"""Faces of the server: protocols that plug into uvicorn, and serve any ASGI application."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bocadillo.server.deflate import DeflateOptions as DeflateOptions
    from bocadillo.server.http import HTTPProtocol as HTTPProtocol
    from bocadillo.server.limits import Limits as Limits
    from bocadillo.server.protocol import WebSocketProtocol as WebSocketProtocol

_ROOM_OF = {
    "DeflateOptions": "deflate",
    "HTTPProtocol": "http",
    "Limits": "limits",
    "WebSocketProtocol": "protocol",
}

__all__ = [*_ROOM_OF]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'bocadillo.server' has no attribute {name!r}")
    return getattr(import_module(f"bocadillo.server.{_ROOM_OF[name]}"), name)
