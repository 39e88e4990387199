"""The methods of a class that the lifecycle calls, on an instance that others make."""

import inspect
from collections.abc import Collection
from functools import partial
from typing import Any

from bocadillo.classviews import WebSocketView
from bocadillo.endings import AnyWebSocket
from bocadillo.errors import ConfigurationError, ExpectedAsync
from bocadillo.hints import resolve_hints
from bocadillo.injection import Lifetime, Session, ask_of
from bocadillo.lifecycle import Calls
from bocadillo.params import Call, CallPlan

HOOKS = ("process_request", "on_connect", "on_disconnect")

# Methods that are there for `super()` alone.
_NOTHING = (WebSocketView.on_connect, WebSocketView.on_disconnect)


class Instance:
    """The instance whose methods are called for one connection, once it is made."""

    __slots__ = ("value",)

    def __init__(self, value: Any = None) -> None:
        self.value = value


class Methods:
    """Plans of the methods of one class, for one route.

    Args:
        cls: The class.
        body: Name of the method that serves a connection, an `async def`; or None where
            that is nobody's signature.
        path_params: Names that the route's path has.
        kind: What error messages call the class: "view" or "controller".

    Raises:
        ConfigurationError: a method asks for what nothing supplies.
        ExpectedAsync: the body is no `async def` method.
    """

    def __init__(
        self, cls: type, body: str | None, path_params: Collection[str], kind: str
    ) -> None:
        self._class = cls
        self._kind = kind
        if body is not None and not inspect.iscoroutinefunction(getattr(cls, body)):
            raise ExpectedAsync(
                f"{kind} {cls.__name__}.{body}() must be async: write `async def {body}(self, …)`"
            )
        self._body = None if body is None else self._plan(body, path_params)
        self._process_request, self._on_connect, self._on_disconnect = (
            self._plan(name, path_params) for name in HOOKS
        )
        plans = (self._body, self._process_request, self._on_connect, self._on_disconnect)
        self.asks = tuple(ask for plan in plans if plan is not None for ask in plan.asks)

    def bind(self, ws: AnyWebSocket, session: Session, instance: Instance) -> Calls:
        """Return what to call for one connection, but for hooks that make the instance.

        Raises:
            InvalidParameters: what the client gave cannot be converted.
        """
        request, connect, body, disconnect = (
            None if plan is None else plan.bind(ws)
            for plan in (self._process_request, self._on_connect, self._body, self._on_disconnect)
        )
        calls = Calls(_nothing if body is None else partial(_call, body, instance))
        if request is not None:
            name = f"{self._class.__name__}.process_request()"
            calls.hooks = [(name, partial(_call_injected, request, session, instance))]
        if connect is not None:
            calls.connect = partial(_call, connect, instance)
        if disconnect is not None:
            calls.disconnect = partial(_call, disconnect, instance)
        if self.asks:
            later = [call for call in (connect, body, disconnect) if call is not None]
            calls.hooks = [*calls.hooks, ("injection", partial(_inject, later, session))]
        return calls

    def _plan(self, name: str, path_params: Collection[str]) -> CallPlan | None:
        method = plain_method(self._class, name, self._kind)
        if method is None or method in _NOTHING:
            return None
        return CallPlan(
            method,
            path_params,
            owner=f"{self._kind} {self._class.__name__}.{name}()",
            skip_first=True,
            has_ended=name == "on_disconnect",
        )


class Constructor:
    """How to make instances of a class: what its `__init__` asks for.

    Args:
        cls: The class.
        kind: What error messages call the class: "view" or "controller".
        lifetime: How long an instance lives, and so must what it gets.

    Raises:
        ConfigurationError: a parameter that is not injected and has no default, or the
            class is abstract.
    """

    def __init__(self, cls: type, kind: str, lifetime: Lifetime) -> None:
        self._class = cls
        if inspect.isabstract(cls):
            missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
            raise ConfigurationError(f"{kind} {cls.__name__} is abstract; it lacks: {missing}")
        owner = f"{kind} {cls.__name__}.__init__()"
        init = inspect.getattr_static(cls, "__init__")
        hints = resolve_hints(init, owner) if inspect.isfunction(init) else {}
        asks = []
        for parameter in _parameters(cls):
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            ask = ask_of(hints.get(parameter.name), owner, parameter.name, lifetime)
            if ask is not None and parameter.kind is not parameter.POSITIONAL_ONLY:
                asks.append(ask)
            elif parameter.default is parameter.empty:
                raise ConfigurationError(
                    f"{owner} asks for {parameter.name!r}, which nobody has; possible: "
                    f"`{parameter.name}: Inject[…]`, or a default"
                )
        self.asks = tuple(asks)

    def make(self) -> Any:
        """Return an instance of a class that asks for nothing."""
        return self._class()

    async def inject(self, session: Session) -> Any:
        """Return an instance that lives with one connection."""
        return self._class(**{ask.parameter: await session.get(ask) for ask in self.asks})

    async def share(self, key: object, session: Session) -> Any:
        """Return the instance of *key* that lives with the application."""
        return await session.live.build(key, self._class, self.asks)


def _parameters(cls: type) -> list[inspect.Parameter]:
    try:
        return [*inspect.signature(cls).parameters.values()]
    except ValueError:  # a subclass of `dict`, say: what tells nothing asks for nothing
        return []


def plain_method(cls: type, name: str, kind: str) -> Any:
    """Return a method as the class has it, or None.

    Raises:
        ConfigurationError: it is a static or class method.
    """
    method = inspect.getattr_static(cls, name, None)
    if isinstance(method, staticmethod | classmethod):
        raise ConfigurationError(
            f"{kind} {cls.__name__}.{name}() must be a plain method, with `self`"
        )
    return method


async def _nothing() -> None:
    """Stand for a body that others have yet to put in its place."""


def _call(call: Call, instance: Instance) -> Any:
    return call(instance.value)


async def _call_injected(call: Call, session: Session, instance: Instance) -> Any:
    return await call.injected(session, instance.value)


async def _inject(calls: list[Call], session: Session) -> None:
    for call in calls:
        await call.inject(session)
