"""A function, class or controller's method → a view: an ASGI application of one route."""

import copy
import inspect
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import NoneType, UnionType
from typing import Any, Self, TypeAlias, TypeGuard, Union, get_args, get_origin

from starlette.types import Receive, Scope, Send
from typing_extensions import is_typeddict

from bocadillo import lifecycle
from bocadillo.channels import ChannelsByLoop
from bocadillo.classes import ClassPlan
from bocadillo.classviews import WebSocketView, log_of
from bocadillo.codecs import Codec, codec_for
from bocadillo.errors import ConfigurationError, ExpectedAsync
from bocadillo.hints import name_of, value_types_of
from bocadillo.injection import Ask, Session, Sessions, Supply
from bocadillo.leaving import Times
from bocadillo.lifecycle import Calls
from bocadillo.memberships import Memberships
from bocadillo.origins import Origins
from bocadillo.params import CallPlan
from bocadillo.shared import SharedMethod, SharedPlan
from bocadillo.websockets import Members, WebSocket
from bocadillo.wire import CaughtCloseCodes, check_caught_close_codes

ViewFunction: TypeAlias = Callable[..., Awaitable[Any]]
Handler: TypeAlias = ViewFunction | type | SharedMethod
Hook: TypeAlias = Callable[..., Any]

# Under this key of a scope, what the routers on the way to the view bring along.
ROUTERS_KEY = "bocadillo.routers"

# Supplies views that are in no router: nothing but the connection itself.
NOTHING = Supply()

# The channels of such views.
ALONE = ChannelsByLoop()


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
    """What a router brings to its views; None means "as the router around it says".

    `bare` stands for the supply where no router has providers, `own_channels` for the
    channels where none has any.
    """

    hooks: Sequence["HookPlan"] = ()
    times: Times | None = None
    origins: Origins | None = None
    supply: Supply | None = None
    bare: Supply = field(default_factory=Supply)
    channels: ChannelsByLoop | None = None
    own_channels: ChannelsByLoop = field(default_factory=ChannelsByLoop)
    around: "RouterOptions | None" = None  # the first that took it in

    def enter(self, outer: "RouterOptions") -> None:
        """Note which router is around this one."""
        if self.around is None and outer is not self:
            self.around = outer


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
        self.asks = self._plan.asks

    def bind(self, ws: WebSocket[Any, Any], session: Session) -> tuple[str, Callable[[], Any]]:
        """Return the hook's name and its call for one connection."""
        if self.asks:
            return self.name, partial(self._call_injected, ws, session)
        return self.name, partial(self._call, ws)

    def _call(self, ws: WebSocket[Any, Any]) -> Any:
        return self._plan.bind(ws)()

    async def _call_injected(self, ws: WebSocket[Any, Any], session: Session) -> Any:
        return await self._plan.bind(ws).injected(session)


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
        self.routers: tuple[RouterOptions, ...] = (router,) if router is not None else ()
        self._checked: tuple[tuple[RouterOptions, ...], tuple[Ask, ...]] | None = None
        self._make_memberships = partial(_members, handler)
        self._settle()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await self.serving(scope, receive, send)

    def serving(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return the coroutine that serves one connection."""
        ws: WebSocket[Any, Any] = WebSocket(
            scope,
            receive,
            send,
            auto_accept=self.auto_accept,
            receive_type=self.receive_codec,
            send_type=self.send_codec,
            caught_close_codes=self.caught_close_codes,
        )
        return lifecycle.run(self, ws)

    def __repr__(self) -> str:
        return f"<View {self.name}>"

    def within(self, router: RouterOptions) -> Self:
        """Return the same view inside one router more, the outermost."""
        view = copy.copy(self)
        if self.routers:
            self.routers[0].enter(router)
        view.routers = (router, *self.routers)
        view._settle()
        return view

    def bind(self, ws: WebSocket[Any, Any]) -> Calls:
        """Return what to call for one connection.

        Raises:
            InvalidParameters: what the client gave cannot be converted.
            ConfigurationError: what it asks for is supplied by nobody.
        """
        passed: tuple[RouterOptions, ...] = ws.scope.get(ROUTERS_KEY, ())
        outer = tuple(router for router in passed if router not in self.routers)
        if self._checked != (outer, self._plan.asks):  # a class of events may get more
            self.check(outer)
        routers = (*outer, *self.routers)
        ws._channels = _channels(routers)
        ws._make_memberships = self._make_memberships
        sessions = Sessions(ws, self.times.disconnect_timeout)
        calls = self._plan.bind(ws, sessions.of(_supply(routers)))
        hooks = [*self._hooks_within(outer)]
        bound = [hook.bind(ws, sessions.of(supply)) for hook, supply in hooks]
        calls.hooks = (*bound, *calls.hooks)
        if self._plan.asks or any(hook.asks for hook, _ in hooks):
            calls.release = sessions.close
        if not any(router.origins for router in self.routers):  # a mount keeps to what is around
            calls.origins = next((r.origins for r in reversed(outer) if r.origins), None)
        return calls

    def check(self, outer: Sequence[RouterOptions] = ()) -> None:
        """Refuse what nobody supplies, *outer* being routers around the view's own.

        Raises:
            ConfigurationError: with handler, parameter and type.
        """
        for supply, asks in self._asks_within(outer):
            supply.check(asks)
        self._checked = (tuple(outer), self._plan.asks)

    def _asks_within(
        self, outer: Sequence[RouterOptions]
    ) -> Iterator[tuple[Supply, tuple[Ask, ...]]]:
        yield _supply((*outer, *self.routers)), self._plan.asks
        for hook, supply in self._hooks_within(outer):
            yield supply, hook.asks

    def _hooks_within(self, outer: Sequence[RouterOptions]) -> Iterator[tuple[HookPlan, Supply]]:
        """Yield all hooks, the outermost first, each with what supplies it."""
        routers = (*outer, *self.routers)
        for count, router in enumerate(routers, start=1):
            for hook in router.hooks:
                yield hook, _supply(routers[:count])
        for hook in self._hooks:
            yield hook, _supply(routers)

    def _settle(self) -> None:
        """Work out what the routers around the view say, the innermost first."""
        inside_out = self.routers[::-1]
        times = next((router.times for router in inside_out if router.times), Times())
        if self._disconnect_timeout is not None:
            times = replace(times, disconnect_timeout=self._disconnect_timeout)
        self.times = times
        origins = (router.origins for router in inside_out if router.origins)
        self.origins = next(origins, None) or Origins()
        self._checked = None
        supplies = {router.supply for router in self.routers}
        for supply, asks in self._asks_within(()):
            if supply in supplies:  # else a router around it may yet have what is asked for
                supply.check(asks)


def _supply(routers: Sequence[RouterOptions]) -> Supply:
    """Return what supplies a view inside routers: the innermost that has providers."""
    fallback = routers[0].bare if routers else NOTHING
    return next((r.supply for r in reversed(routers) if r.supply is not None), fallback)


def _channels(routers: Sequence[RouterOptions]) -> ChannelsByLoop:
    """Return the channels of a view inside routers: those of the innermost that has some."""
    fallback = routers[0].own_channels if routers else ALONE
    return next((r.channels for r in reversed(routers) if r.channels is not None), fallback)


def _members(handler: Any, ws: WebSocket[Any, Any]) -> Members:
    make_outbox = handler._make_outbox if _is_typed_view(handler) else None
    return Memberships(ws, ws.channels, make_outbox)


class FunctionPlan:
    """How to serve connections by a function."""

    def __init__(self, handler: ViewFunction, path_params: Collection[str]) -> None:
        self._plan = CallPlan(handler, path_params)
        self.body = handler
        self.asks = self._plan.asks

    def bind(self, ws: WebSocket[Any, Any], session: Session) -> Calls:
        """Return what to call for one connection."""
        call = self._plan.bind(ws)
        calls = Calls(call)
        if self.asks:
            calls.hooks = [("injection", partial(call.inject, session))]
        return calls


Plan: TypeAlias = FunctionPlan | ClassPlan | SharedPlan


class _Declared:
    """What a handler says of itself, where its route does not."""

    def __init__(self, handler: Handler, plan: Plan) -> None:
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


def _plan_of(handler: Any, path_params: Collection[str]) -> Plan:
    if isinstance(handler, SharedMethod):
        return handler.plan(path_params)
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
