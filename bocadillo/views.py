"""A function or a class → a view: an ASGI application that owns one route's lifecycle."""

import copy
import inspect
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import NoneType, UnionType
from typing import Any, Self, TypeAlias, TypeGuard, Union, get_args, get_origin

from starlette.types import Receive, Scope, Send
from typing_extensions import is_typeddict

from bocadillo import lifecycle
from bocadillo.classes import ClassPlan
from bocadillo.classviews import WebSocketView, log_of
from bocadillo.codecs import Codec, codec_for
from bocadillo.errors import ConfigurationError, ExpectedAsync
from bocadillo.leaving import Times
from bocadillo.lifecycle import Calls
from bocadillo.origins import Origins
from bocadillo.params import CallPlan, name_of, value_types_of
from bocadillo.websockets import WebSocket
from bocadillo.wire import CaughtCloseCodes, check_caught_close_codes

ViewFunction: TypeAlias = Callable[..., Awaitable[Any]]
Handler: TypeAlias = ViewFunction | type
Hook: TypeAlias = Callable[..., Any]

# Under this key of a scope, what the routers on the way to the view bring along.
ROUTERS_KEY = "bocadillo.routers"


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """The options of a route that concern its view; None means "as the view says"."""

    auto_accept: bool | None = None
    subprotocols: Sequence[str] | None = None
    value_type: Any = None
    receive_type: Any = None
    send_type: Any = None
    caught_close_codes: CaughtCloseCodes | None = None
    process_request: Hook | Sequence[Hook] | None = None


@dataclass(eq=False)
class RouterOptions:
    """What a router brings to its views; None means "as the router around it says"."""

    hooks: Sequence["HookPlan"] = ()
    times: Times | None = None
    origins: Origins | None = None


class HookPlan:
    """How to call one `process_request` hook.

    Raises:
        ConfigurationError: it is no function, or asks for what nothing supplies.
    """

    def __init__(self, hook: Hook, path_params: Collection[str] = ()) -> None:
        if not callable(hook) or inspect.isclass(hook):
            raise ConfigurationError(f"process_request takes functions, got {hook!r}")
        self.name = f"process_request hook {name_of(hook)}()"
        self._plan = CallPlan(hook, path_params, owner=self.name)

    def bind(self, ws: WebSocket[Any, Any]) -> tuple[str, Callable[[], Any]]:
        """Return the hook's name and its call for one connection."""
        return self.name, partial(self._plan.call, ws)


def plan_hooks(
    hooks: Hook | Sequence[Hook] | None, path_params: Collection[str] = ()
) -> tuple[HookPlan, ...]:
    """Return the plans of one hook or several, in their order."""
    if hooks is None:
        return ()
    listed = hooks if isinstance(hooks, Sequence) else [hooks]
    return tuple(HookPlan(hook, path_params) for hook in listed)


class View:
    """One route's handler as an ASGI application.

    Frameworks copy routes as (path, endpoint, name); the endpoint is this, so a copy
    keeps everything: conversion, hooks, value types, closing.

    Args:
        handler: An `async def` function, or a class with `handle`.
        path_params: Names of the parameters in the route's path.
        name: The name of the route, for log lines.
        options: The route's options.
        router: What the route's router brings along.

    Raises:
        ExpectedAsync: the handler is neither.
        ConfigurationError: its parameters or the options cannot work.
    """

    def __init__(
        self,
        handler: Handler,
        path_params: Collection[str] = (),
        *,
        name: str | None = None,
        options: ViewOptions | None = None,
        router: RouterOptions | None = None,
    ) -> None:
        options = options or ViewOptions()
        self.handler = handler
        self.path_params = tuple(path_params)
        self._plan = _plan_of(handler, path_params)
        declared = _Declared(handler, self._plan)
        self.name = name or declared.name
        self.__name__ = self.name  # what frameworks name a copied route by
        self.logger = declared.logger
        self.subprotocols = _subprotocols(options.subprotocols)
        accepts = options.auto_accept
        self.auto_accept: bool = declared.auto_accept if accepts is None else accepts
        self.caught_close_codes = check_caught_close_codes(
            _given(options.caught_close_codes, declared.caught_close_codes)
        )
        self._hooks = plan_hooks(options.process_request, path_params)
        self.receive_codec, self.send_codec = declared.codecs(f"view {self.name}()", options)
        self._disconnect_timeout = declared.disconnect_timeout
        self._routers: tuple[RouterOptions, ...] = (router,) if router is not None else ()
        self._settle()

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

    def within(self, router: RouterOptions) -> Self:
        """Return the same view inside one router more, the outermost."""
        view = copy.copy(self)
        view._routers = (router, *self._routers)
        view._settle()
        return view

    def bind(self, ws: WebSocket[Any, Any]) -> Calls:
        """Return what to call for one connection.

        Raises:
            InvalidParameters: what the client gave cannot be converted.
        """
        calls = self._plan.bind(ws)
        passed: tuple[RouterOptions, ...] = ws.scope.get(ROUTERS_KEY, ())
        outer = [router for router in passed if router not in self._routers]
        plans = [hook for router in (*outer, *self._routers) for hook in router.hooks]
        bound = [hook.bind(ws) for hook in (*plans, *self._hooks)]
        calls.hooks = (*bound, *calls.hooks)
        if not any(router.origins for router in self._routers):  # a mount keeps to what is around
            calls.origins = next((r.origins for r in reversed(outer) if r.origins), None)
        return calls

    def _settle(self) -> None:
        """Work out what the routers around the view say, the innermost first."""
        inside_out = self._routers[::-1]
        times = next((router.times for router in inside_out if router.times), Times())
        if self._disconnect_timeout is not None:
            times = replace(times, disconnect_timeout=self._disconnect_timeout)
        self.times = times
        origins = (router.origins for router in inside_out if router.origins)
        self.origins = next(origins, None) or Origins()


class FunctionPlan:
    """How to serve connections by a function."""

    def __init__(self, handler: ViewFunction, path_params: Collection[str]) -> None:
        self._plan = CallPlan(handler, path_params)
        self.body = handler

    def bind(self, ws: WebSocket[Any, Any]) -> Calls:
        """Return what to call for one connection."""
        args, kwargs = self._plan.bind(ws)
        return Calls(partial(self.body, *args, **kwargs))


class _Declared:
    """What a handler says of itself, where its route does not."""

    def __init__(self, handler: Handler, plan: FunctionPlan | ClassPlan) -> None:
        self._body = plan.body
        view = handler if _is_typed_view(handler) else None
        self._view = view
        self.name: str = view.name if view else name_of(handler)
        self.logger = log_of(view) if view else logging.getLogger("bocadillo")
        self.auto_accept = view.auto_accept if view else True
        self.caught_close_codes = view.caught_close_codes if view else None
        self.disconnect_timeout = view.disconnect_timeout if view else None

    def codecs(self, owner: str, options: ViewOptions) -> tuple[Codec, Codec]:
        """Return the codecs of what is received and sent: options, attributes, annotation."""
        given = (
            _given(options.value_type, options.receive_type),
            _given(options.value_type, options.send_type),
        )
        view = self._view
        if view is not None:
            given = (
                _given(given[0], _given(view.value_type, view.receive_type)),
                _given(given[1], _given(view.value_type, view.send_type)),
            )
        annotated = view._type_arguments if view else value_types_of(self._body, owner)
        if annotated is not None:
            _check_agreement(owner, given, annotated)
        receive, send = (_given(g, a) for g, a in zip(given, annotated or (str, str), strict=True))
        make = view.codec_of if view else codec_for
        try:
            return make(receive), make(send)
        except ConfigurationError as exc:
            raise ConfigurationError(f"{owner}: {exc}") from exc


def _is_typed_view(handler: Any) -> TypeGuard[type[WebSocketView[Any, Any]]]:
    return inspect.isclass(handler) and issubclass(handler, WebSocketView)


def _plan_of(handler: Any, path_params: Collection[str]) -> FunctionPlan | ClassPlan:
    if inspect.isclass(handler):
        return ClassPlan(handler, path_params)
    if not inspect.iscoroutinefunction(handler):
        raise ExpectedAsync(_not_async(handler))
    return FunctionPlan(handler, path_params)


def _not_async(handler: Any) -> str:
    name = name_of(handler)
    if callable(handler):
        return f"view {name}() must be async: write `async def {name}(ws)`"
    return f"a view must be an `async def` function or a class with `handle`, got {handler!r}"


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
