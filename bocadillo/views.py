"""A function → a view: an ASGI application that owns one route's lifecycle."""

import inspect
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from starlette.types import Receive, Scope, Send
from typing_extensions import is_typeddict

from bocadillo import lifecycle
from bocadillo.codecs import Codec, codec_for
from bocadillo.connection import CaughtCloseCodes, check_caught_close_codes
from bocadillo.errors import ConfigurationError, ExpectedAsync
from bocadillo.leaving import Times
from bocadillo.origins import Origins
from bocadillo.params import CallPlan, name_of, value_types_of
from bocadillo.websockets import WebSocket

ViewFunction = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """The options of a route that concern its view; None means "as the view says"."""

    auto_accept: bool = True
    subprotocols: Sequence[str] | None = None
    value_type: Any = None
    receive_type: Any = None
    send_type: Any = None
    caught_close_codes: CaughtCloseCodes | None = None


class View:
    """One route's handler as an ASGI application.

    Frameworks copy routes as (path, endpoint, name); the endpoint is this, so a copy
    keeps everything: conversion, handshake, value types, closing.

    Args:
        handler: An `async def` function.
        path_params: Names of the parameters in the route's path.
        name: The name of the route, for log lines.
        options: The route's options.
        times: How long the lifecycle waits for what.
        origins: Which web pages may connect.

    Raises:
        ExpectedAsync: the handler is no `async def` function.
        ConfigurationError: its parameters or the options cannot work.
    """

    def __init__(
        self,
        handler: ViewFunction,
        path_params: Collection[str] = (),
        *,
        name: str | None = None,
        options: ViewOptions | None = None,
        times: Times | None = None,
        origins: Origins | None = None,
    ) -> None:
        if not inspect.iscoroutinefunction(handler):
            raise ExpectedAsync(_not_async(handler))
        options = options or ViewOptions()
        self.handler = handler
        self.name = name or name_of(handler)
        self.__name__ = self.name  # what frameworks name a copied route by
        self.times = times or Times()
        self.origins = origins or Origins()
        self.subprotocols = _subprotocols(options.subprotocols)
        self.auto_accept = options.auto_accept
        self.caught_close_codes = check_caught_close_codes(options.caught_close_codes)
        self._plan = CallPlan(handler, path_params)
        self.receive_codec, self.send_codec = self._codecs(options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        ws: WebSocket[Any, Any] = WebSocket(
            scope,
            receive,
            send,
            auto_accept=self.auto_accept,
            receive_type=self.receive_codec,
            send_type=self.send_codec,
            caught_close_codes=self.caught_close_codes,
        )
        await lifecycle.run(self, ws)

    def __repr__(self) -> str:
        return f"<View {self.name}>"

    def bind(self, ws: WebSocket[Any, Any]) -> Callable[[], Awaitable[object]]:
        """Return the call of the handler for one connection.

        Raises:
            InvalidParameters: what the client gave cannot be converted.
        """
        args, kwargs = self._plan.bind(ws)
        return partial(self.handler, *args, **kwargs)

    def _codecs(self, options: ViewOptions) -> tuple[Codec, Codec]:
        owner = f"view {self.name}()"
        annotated = value_types_of(self.handler, owner)
        receive = _given(options.value_type, options.receive_type)
        send = _given(options.value_type, options.send_type)
        if annotated is not None:
            _check_agreement(owner, (receive, send), annotated)
            receive = annotated[0] if receive is None else receive
            send = annotated[1] if send is None else send
        try:
            return (
                codec_for("text" if receive is None else receive),
                codec_for("text" if send is None else send),
            )
        except ConfigurationError as exc:
            raise ConfigurationError(f"{owner}: {exc}") from exc


def _not_async(handler: Any) -> str:
    name = name_of(handler)
    if callable(handler) and not inspect.isclass(handler):
        return f"view {name}() must be async: write `async def {name}(ws)`"
    return f"a view must be an `async def` function, got {handler!r}"


def _given(first: Any, second: Any) -> Any:
    return second if first is None else first


# The classes of what the names give, for those whose name promises no more.
_GIVEN_BY_NAME: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "bytes": (bytes,),
    "json": (dict, list, str, int, float, NoneType),
    "msgpack": (dict, list, str, bytes, int, float, NoneType),
    "event": (dict,),
}


def _check_agreement(owner: str, options: tuple[Any, Any], annotated: tuple[Any, Any]) -> None:
    """Refuse a name that cannot give what the annotation promises."""
    for option, hint in zip(options, annotated, strict=True):
        if isinstance(option, str) and option in _GIVEN_BY_NAME and not _gives(option, hint):
            raise ConfigurationError(
                f"{owner}: value type {option!r} does not give {hint!r}, which the annotation "
                "of the connection says; leave one of them out"
            )


def _gives(name: str, hint: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return all(_gives(name, arg) for arg in get_args(hint))
    cls = get_origin(hint) or hint
    if (
        hint is Any
        or not isinstance(cls, type)
        or is_typeddict(cls)
        or cls.__module__ == "collections.abc"
    ):
        return True
    return issubclass(cls, _GIVEN_BY_NAME[name])


def _subprotocols(names: Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names or ()):
        raise ConfigurationError(f"subprotocols takes names, such as ('v2', 'v1'); got {names!r}")
    return tuple(names or ())
