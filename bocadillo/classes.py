"""A class → what the lifecycle calls: one fresh instance per connection."""

import inspect
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from bocadillo.classviews import WebSocketView
from bocadillo.endings import AnyWebSocket
from bocadillo.errors import ConfigurationError, ExpectedAsync
from bocadillo.injection import Ask, Lifetime, Session
from bocadillo.lifecycle import Calls
from bocadillo.methods import Constructor, Instance, Methods, plain_method


class ClassPlan:
    """How to serve connections by a class.

    `handle` is its body, or `on_message(session, message)`, for which the loop is ours.
    `process_request`, `on_connect` and `on_disconnect` are optional, and sync or async.

    Raises:
        ConfigurationError: the class has neither, is abstract, or its constructor or a
            method asks for what nothing supplies.
        ExpectedAsync: `handle` or `on_message` is no `async def` method.
    """

    def __init__(self, cls: type, path_params: Collection[str]) -> None:
        self._class = cls
        _check_class(cls)
        self._constructor = Constructor(cls, "view", Lifetime.SESSION)
        self._on_message = not hasattr(cls, "handle")
        body = None if self._on_message else "handle"
        self._methods = Methods(cls, body, path_params, "view")

    @property
    def body(self) -> Callable[..., Any]:
        """The method whose annotations may tell the value types."""
        body: Callable[..., Any] = getattr(
            self._class, "on_message" if self._on_message else "handle"
        )
        return body

    @property
    def asks(self) -> tuple[Ask, ...]:
        """The parameters that are injected."""
        asks = (*self._constructor.asks, *self._methods.asks)
        if issubclass(self._class, WebSocketView):
            asks += self._class._message_asks()  # which may have got more of them
        return asks

    def bind(self, ws: AnyWebSocket, session: Session) -> Calls:
        """Return what to call for one connection, on an instance of its own.

        Raises:
            InvalidParameters: what the client gave cannot be converted.
        """
        instance = Instance()
        calls = self._methods.bind(ws, session, instance)
        if self._on_message:
            calls.handle = partial(_pass_messages, instance, ws)
        if self._constructor.asks:
            make = partial(self._inject, ws, session, instance)
            calls.hooks = [(f"{self._class.__name__}()", make), *calls.hooks]
        else:
            self._settle(ws, session, instance, self._constructor.make())
        if issubclass(self._class, WebSocketView):
            calls.enter = partial(_join_audience, instance)
        return calls

    async def _inject(self, ws: AnyWebSocket, session: Session, instance: Instance) -> None:
        self._settle(ws, session, instance, await self._constructor.inject(session))

    def _settle(
        self, ws: AnyWebSocket, session: Session, instance: Instance, value: object
    ) -> None:
        if isinstance(value, WebSocketView):
            value.ws, value._session = ws, session
        instance.value = value


async def _pass_messages(instance: Instance, ws: AnyWebSocket) -> None:
    on_message = instance.value.on_message
    async for message in ws:
        await on_message(ws, message)


async def _join_audience(instance: Instance) -> None:
    """Have broadcasts reach the instance, from before `on_connect` on."""
    await instance.value._join()


def _check_class(cls: type) -> None:
    name = cls.__name__
    if not hasattr(cls, "handle"):
        if not hasattr(cls, "on_message"):
            raise ConfigurationError(
                f"view {name} has no `handle`; write `async def handle(self, ws)`, or "
                "`async def on_message(self, session, message)`"
            )
        _check_on_message(cls)
    if issubclass(cls, WebSocketView):
        cls._make_outbox()  # which knows whether it can be made


def _check_on_message(cls: type) -> None:
    name = cls.__name__
    if not inspect.iscoroutinefunction(cls.on_message):  # type: ignore[attr-defined]
        raise ExpectedAsync(
            f"view {name}.on_message() must be async: write `async def on_message(self, …)`"
        )
    signature = inspect.signature(plain_method(cls, "on_message", "view"))
    try:
        signature.bind("self", "session", "message")
    except TypeError as exc:
        raise ConfigurationError(
            f"view {name}.on_message{signature} is called with a session and a message; "
            "write `async def on_message(self, session, message)`"
        ) from exc
