"""WebSockets for Python, complete.

Names are imported when they are first used, so that a program pays only for what it
needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bocadillo.applications import App as App
    from bocadillo.channels import Channels as Channels
    from bocadillo.channels import HistoryLimits as HistoryLimits
    from bocadillo.channels import Position as Position
    from bocadillo.channels import Present as Present
    from bocadillo.channels import Publication as Publication
    from bocadillo.channels import Published as Published
    from bocadillo.classviews import WebSocketView as WebSocketView
    from bocadillo.codecs import Json as Json
    from bocadillo.codecs import MessagePack as MessagePack
    from bocadillo.controllers import WebSocketHandler as WebSocketHandler
    from bocadillo.controllers import controller as controller
    from bocadillo.controllers import websocket_mapping as websocket_mapping
    from bocadillo.errors import BocadilloError as BocadilloError
    from bocadillo.errors import BrokerError as BrokerError
    from bocadillo.errors import ConcurrencyError as ConcurrencyError
    from bocadillo.errors import ConfigurationError as ConfigurationError
    from bocadillo.errors import ConnectionStateError as ConnectionStateError
    from bocadillo.errors import EventError as EventError
    from bocadillo.errors import ExpectedAsync as ExpectedAsync
    from bocadillo.errors import InvalidJson as InvalidJson
    from bocadillo.errors import InvalidMessage as InvalidMessage
    from bocadillo.errors import InvalidParameters as InvalidParameters
    from bocadillo.errors import InvalidResponse as InvalidResponse
    from bocadillo.errors import PositionLost as PositionLost
    from bocadillo.errors import WebSocketDisconnect as WebSocketDisconnect
    from bocadillo.events import EventView as EventView
    from bocadillo.handlers import Handler as Handler
    from bocadillo.handlers import on_event as on_event
    from bocadillo.injection import Inject as Inject
    from bocadillo.paths import RoutedPath as RoutedPath
    from bocadillo.routes import WebSocketRoute as WebSocketRoute
    from bocadillo.routing import Router as Router
    from bocadillo.websockets import WebSocket as WebSocket

__version__ = "1.0.0.dev0"

_ROOMS = {
    "applications": ("App",),
    "channels": (
        "Channels",
        "HistoryLimits",
        "Position",
        "Present",
        "Publication",
        "Published",
    ),
    "classviews": ("WebSocketView",),
    "codecs": ("Json", "MessagePack"),
    "controllers": ("WebSocketHandler", "controller", "websocket_mapping"),
    "errors": (
        "BocadilloError",
        "BrokerError",
        "ConcurrencyError",
        "ConfigurationError",
        "ConnectionStateError",
        "EventError",
        "ExpectedAsync",
        "InvalidJson",
        "InvalidMessage",
        "InvalidParameters",
        "InvalidResponse",
        "PositionLost",
        "WebSocketDisconnect",
    ),
    "events": ("EventView",),
    "handlers": ("Handler", "on_event"),
    "injection": ("Inject",),
    "paths": ("RoutedPath",),
    "routes": ("WebSocketRoute",),
    "routing": ("Router",),
    "websockets": ("WebSocket",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [*_ROOM_OF]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'bocadillo' has no attribute {name!r}")
    value = getattr(import_module(f"bocadillo.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF})
