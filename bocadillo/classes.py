"""A class → what the lifecycle calls: one fresh instance per connection."""

import inspect
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from bocadillo.classviews import WebSocketView
from bocadillo.endings import AnyWebSocket, awaited
from bocadillo.errors import ConfigurationError, ExpectedAsync
from bocadillo.lifecycle import Calls
from bocadillo.params import CallPlan


class ClassPlan:
    """How to serve connections by a class.

    `handle` is its body, or `on_message(session, message)`, for which the loop is ours.
    `process_request`, `on_connect` and `on_disconnect` are optional, and sync or async.

    Raises:
        ConfigurationError: the class has neither, is abstract, takes arguments, or a
            method asks for what nothing supplies.
        ExpectedAsync: `handle` or `on_message` is no `async def` method.
    """

    def __init__(self, cls: type, path_params: Collection[str]) -> None:
        self._class = cls
        _check_class(cls)
        plan = partial(_plan_method, cls, path_params)
        self._on_message = not hasattr(cls, "handle")
        self._handle = None if self._on_message else plan("handle")
        self._process_request = plan("process_request")
        self._on_connect = plan("on_connect")
        self._on_disconnect = plan("on_disconnect", has_ended=True)

    @property
    def body(self) -> Callable[..., Any]:
        """The method whose annotations may tell the value types."""
        body: Callable[..., Any] = getattr(
            self._class, "on_message" if self._on_message else "handle"
        )
        return body

    def bind(self, ws: AnyWebSocket) -> Calls:
        """Return what to call for one connection, on an instance of its own.

        Raises:
            InvalidParameters: what the client gave cannot be converted.
        """
        # A hook's bad parameters are answered as `handle`'s are, before accept.
        for plan in (self._process_request, self._on_connect, self._on_disconnect):
            if plan is not None:
                plan.bind(ws)
        instance = self._class()
        if isinstance(instance, WebSocketView):
            instance.ws = ws
        if self._handle is None:
            handle = partial(_pass_messages, instance, ws)
        else:
            args, kwargs = self._handle.bind(ws)
            handle = partial(self._handle.handler, instance, *args, **kwargs)
        calls = Calls(handle)
        if self._process_request is not None:
            name = f"{self._class.__name__}.process_request()"
            calls.hooks = ((name, partial(self._process_request.call, ws, instance)),)
        if self._on_connect is not None:
            calls.connect = partial(self._on_connect.call, ws, instance)
        if self._on_disconnect is not None:
            calls.disconnect = partial(self._on_disconnect.call, ws, instance)
        if isinstance(instance, WebSocketView):
            _join_audience(instance, calls)
        return calls


async def _pass_messages(instance: Any, ws: AnyWebSocket) -> None:
    async for message in ws:
        await instance.on_message(ws, message)


def _join_audience(instance: WebSocketView[Any, Any], calls: Calls) -> None:
    """Have broadcasts reach the instance from `on_connect` to `on_disconnect`."""
    connect, disconnect = calls.connect, calls.disconnect

    async def joined(call: Callable[[], Any]) -> None:
        instance._join()
        try:
            await awaited(call())
        finally:
            if not instance.ws.accepted:  # so there will be no `on_disconnect`
                await instance._leave()

    async def leave() -> None:
        try:
            if disconnect is not None:
                await awaited(disconnect())
        finally:
            await instance._leave()

    calls.handle = partial(joined, calls.handle)
    if connect is not None:
        calls.connect = partial(joined, connect)
    calls.disconnect = leave


def _check_class(cls: type) -> None:
    name = cls.__name__
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        raise ConfigurationError(f"view {name} is abstract; it lacks: {missing}")
    body = next((known for known in ("handle", "on_message") if hasattr(cls, known)), None)
    if body is None:
        raise ConfigurationError(
            f"view {name} has no `handle`; write `async def handle(self, ws)`, or "
            "`async def on_message(self, session, message)`"
        )
    if not inspect.iscoroutinefunction(getattr(cls, body)):
        raise ExpectedAsync(
            f"view {name}.{body}() must be async: write `async def {body}(self, …)`"
        )
    if body == "on_message":
        _check_on_message(cls)
    if issubclass(cls, WebSocketView):
        cls._make_outbox()  # which knows whether it can be made
    wanted = [p for p in _constructor_parameters(cls) if p.default is p.empty]
    if wanted:
        raise ConfigurationError(
            f"view {name} is made without arguments, one instance per connection, but its "
            f"__init__ asks for {wanted[0].name!r}"
        )


def _check_on_message(cls: type) -> None:
    signature = inspect.signature(_plain_method(cls, "on_message"))
    try:
        signature.bind("self", "session", "message")
    except TypeError as exc:
        raise ConfigurationError(
            f"view {cls.__name__}.on_message{signature} is called with a session and a message; "
            "write `async def on_message(self, session, message)`"
        ) from exc


def _constructor_parameters(cls: type) -> list[inspect.Parameter]:
    parameters = inspect.signature(cls).parameters.values()
    return [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _plain_method(cls: type, name: str) -> Any:
    """Return a method as the class has it, or None."""
    method = inspect.getattr_static(cls, name, None)
    if isinstance(method, staticmethod | classmethod):
        raise ConfigurationError(
            f"view {cls.__name__}.{name}() must be a plain method, with `self`"
        )
    return method


def _plan_method(
    cls: type, path_params: Collection[str], name: str, *, has_ended: bool = False
) -> CallPlan | None:
    method = _plain_method(cls, name)
    if method is None:
        return None
    return CallPlan(
        method,
        path_params,
        owner=f"view {cls.__name__}.{name}()",
        skip_first=True,
        has_ended=has_ended,
    )
