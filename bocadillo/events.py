"""`EventView`: JSON objects dispatched by their `type`, to handlers with typed parameters."""

import types
from collections.abc import Callable
from typing import Any, ClassVar, ParamSpec, TypeVar, overload

from bocadillo.classviews import WebSocketView, log_of
from bocadillo.codecs import Codec, Payload, encode_json
from bocadillo.errors import (
    ConfigurationError,
    ErrorDetail,
    EventError,
    InvalidMessage,
    InvalidResponse,
    printable,
)
from bocadillo.eventmodels import REF, TYPE
from bocadillo.eventtables import InvalidEvent, Table, errors_of, is_validation_error, plain_object
from bocadillo.handlers import Handler, Validated
from bocadillo.handling import Run
from bocadillo.injection import Ask, Session

P = ParamSpec("P")
R = TypeVar("R")

# Why is for the log alone: the words of a user's serializer may be a secret.
UNSENDABLE: ErrorDetail = {"loc": [], "msg": "cannot be written as JSON", "type": "unsendable"}

# What the client is told of; everything else is a bug.
TOLD = (EventError, InvalidMessage, InvalidResponse)


class EventView(WebSocketView[Any, Any]):
    """A view of events: JSON objects `{"type": <event>, …}`, in and out.

    Methods with `@on_event` are its handlers; their parameters are the fields of the
    message, validated, and what they return is sent back, with `type` added. A `ref` in a
    message, a string or an integer, comes back in its answers and errors. Handlers of one
    connection run one after another.

    What is no event, or has wrong fields, is answered by
    `{"type": "error", "errors": [{"loc", "msg", "type", "ctx"?}]}`, and the connection
    stays open; so is `EventError`, raised by a handler, or a `ValidationError`.

    A subclass may override `on_connect`, `on_disconnect`, `on_receive`, `send_json` and
    `send_exception`.

    Attributes:
        handlers: The handler of each event, those of base classes among them.
        ref: The `ref` of the message that is handled, or None.

    Raises:
        ConfigurationError: when a subclass is made: two handlers for one event, or a
            handler named like an attribute of this class.
    """

    handlers: ClassVar[dict[str, Handler[..., Any]]] = {}

    ref: str | int | None = None

    _own: ClassVar[dict[str, Handler[..., Any]]] = {}  # those of the class itself
    _outside: ClassVar[dict[str, Handler[..., Any]]] = {}  # those of them that are no methods
    _table: ClassVar[Table | None] = None  # made when it is first needed
    # What runs for a message of a model; never loses one, as connections may be open.
    _routes: ClassVar[dict[type, tuple[Handler[..., Any], Run]]] = {}
    _session: Session
    # While an answer is sent: it, and the event and the `ref` that belong to it.
    _answering: tuple[Any, str, str | int | None] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._outside = {}
        cls.handlers, cls._own = _collect(cls)
        cls._table, cls._routes = None, {}

    @overload
    @classmethod
    def on_event(cls, event: Callable[P, R]) -> Handler[P, R]: ...
    @overload
    @classmethod
    def on_event(
        cls, event: str | None = None, response_model: Any = None
    ) -> Callable[[Callable[P, R]], Handler[P, R]]: ...
    @classmethod
    def on_event(cls, event: Any = None, response_model: Any = None) -> Any:
        """Make a function outside the class, which gets no `self`, a handler of it.

        Takes what `bocadillo.on_event` takes, and gives a `Handler`, too.

        Raises:
            ConfigurationError: as `bocadillo.on_event`; or the class has a handler for
                the event, or is `EventView` itself.
        """
        if event is None or isinstance(event, str):
            return lambda function: cls._attach(event, function, response_model)
        return cls._attach(None, event, response_model)

    @classmethod
    def _attach(cls, event: str | None, function: Any, response_model: Any) -> Handler[..., Any]:
        if cls is EventView:
            raise ConfigurationError("EventView has no handlers of its own; make a subclass")
        handler = Handler(event, function, response_model, is_static=True)
        _check_alone(cls, handler, cls._own)
        handlers = cls.handlers | {handler.event: handler}
        if cls._table is not None:  # it has a route already, so mistakes must show now
            cls._compile(handlers)
        cls.handlers = handlers
        cls._own[handler.event] = cls._outside[handler.event] = handler
        return handler

    @classmethod
    def table(cls) -> Table:
        """Return the decoder of all events of the class.

        Raises:
            ConfigurationError: a handler cannot work, or they need different libraries.
        """
        return cls._compile(cls.handlers) if cls._table is None else cls._table

    @classmethod
    def _compile(cls, handlers: dict[str, Handler[..., Any]]) -> Table:
        table, routes = _compiled(handlers, cls.validation_context)
        cls._routes.update(routes)
        cls._table = table
        return table

    @classmethod
    def codec_of(cls, type_: Any) -> Codec:
        """Return the codec of the class's events.

        Raises:
            ConfigurationError: another value type is wished for, or a handler cannot work.
        """
        if type_ is not Any:
            raise ConfigurationError(
                f"the messages of an EventView are JSON objects; leave out {type_!r}"
            )
        if cls.frame not in ("text", "bytes"):
            raise ConfigurationError(f"frame must be 'text' or 'bytes', got {cls.frame!r}")
        cls.table()
        return EventJson(cls)

    @classmethod
    def _message_asks(cls) -> tuple[Ask, ...]:
        return tuple(ask for handler in cls.handlers.values() for ask in handler.asks)

    async def handle(self) -> None:
        """Pass each message to `on_receive`, and what it raises for the client to it."""
        cls = type(self)
        is_plain = cls.on_receive is EventView.on_receive and cls.send_json is EventView.send_json
        serve = self._serve if is_plain else self._pass_on
        while True:
            try:
                await serve()
                return
            except Exception as exc:
                if not isinstance(exc, TOLD) and not is_validation_error(exc):
                    raise
                await self._tell(exc)

    async def _pass_on(self) -> None:
        async for message in self.ws:
            self.ref = message.ref
            await self.on_receive(message)

    async def _serve(self) -> None:
        # `on_receive` and `send_json`, where neither is overridden: to call them would cost a
        # tenth of the whole.
        ws, routes, send = self.ws, self._routes, self.ws.send
        async for message in ws:
            self.ref = ref = message.ref
            handler, run = routes[message.__class__]
            result = await run(self, message)
            if result.__class__ is dict and handler.response_model is None:
                carried = {TYPE: handler.event} if ref is None else {TYPE: handler.event, REF: ref}
                await send({**carried, **result})
            elif result is not None:
                await self._send_answer(handler, result)

    async def on_receive(self, message: Any) -> None:
        """Handle one valid message: call its handler, and send what that returns.

        Args:
            message: A model with the attributes `type`, `ref`, and the event's fields.
        """
        handler, run = self._routes[message.__class__]
        result = await run(self, message)
        if result is not None:
            await self._send_answer(handler, result)

    async def send_json(self, response: Any) -> None:
        """Send a response: a dict, model, Struct or dataclass.

        What answers a message gets `type` and `ref` where it lacks them: a dict before it
        comes here, anything else when it is written. So an override passes on what is no
        dict as it is; a changed copy of it needs a `type` of its own.

        Raises:
            InvalidResponse: it cannot be written as a JSON object.
        """
        if response.__class__ is not dict:
            response = self._written(response)
        await self.ws.send(response)

    async def send_exception(self, exc: Exception) -> None:
        """Send an error event for what is wrong with a message or its answer."""
        response: dict[str, Any] = {TYPE: "error", "errors": errors_of(exc)}
        if self.ref is not None:
            response[REF] = self.ref
        await self.send_json(response)

    async def on_invalid(self, error: InvalidMessage) -> None:
        """Answer what is no event, for those who iterate over `messages`."""
        await self._tell(error)

    async def _tell(self, exc: Exception) -> None:
        if isinstance(exc, InvalidEvent):
            self.ref = exc.ref
        elif isinstance(exc, InvalidResponse):
            why = printable(str(exc.__cause__ or exc))
            log_of(type(self)).warning("[%s] a response cannot be sent: %s", self.ws.id, why)
        try:
            await self.send_exception(exc)
        except InvalidResponse as failure:  # it has something in it that cannot be sent
            await self.send_exception(failure)

    async def _send_answer(self, handler: Handler[..., Any], result: Any) -> None:
        if result.__class__ is Validated:
            result, response = result
        else:
            response = handler.response(result, self.ref)
        if response.__class__ is dict:
            await self.send_json(response)
            return
        is_tagged = result.__class__ is dict and TYPE in result
        event = result[TYPE] if is_tagged else handler.event
        self._answering = (response, event, self.ref)
        try:
            await self.send_json(response)
        finally:
            self._answering = None

    def _written(self, response: Any) -> dict[str, Any]:
        """Return a response as plain values, with what its answer has to carry."""
        try:
            fields = plain_object(response, self.serializer_options)
        except Exception as exc:
            raise InvalidResponse([UNSENDABLE]) from exc
        if fields.__class__ is not dict:
            text = f"a response must be an object, got {type(response).__name__}"
            raise InvalidResponse([{"loc": [], "msg": text, "type": "object_type"}])
        if self._answering is None or self._answering[0] is not response:
            return fields
        _, event, ref = self._answering
        for key in (TYPE, REF):  # a message model that was returned has them, too
            if fields.get(key) is None:
                fields.pop(key, None)
        carried = {TYPE: event} if ref is None else {TYPE: event, REF: ref}
        return {**carried, **fields}


class EventJson:
    """The codec of a class's events, those among them that it is yet to get."""

    value_type = "json"
    raises_invalid_message = True

    def __init__(self, view: type[EventView]) -> None:
        self._view = view
        self.encode: Callable[[Any], Payload] = _write
        if view.frame == "bytes":
            self.encode = lambda value: _write(value).encode()

    @property
    def decode(self) -> Callable[[Payload], Any]:
        """What turns a payload into a model; asked for once per connection."""
        return self._view.table().decode


def _write(value: Any) -> str:
    """Return any value as JSON text.

    Raises:
        InvalidResponse: it cannot be written.
    """
    try:
        return encode_json(value)
    except Exception as exc:  # of a serializer of the user's, too
        raise InvalidResponse([UNSENDABLE]) from exc


def _compiled(
    handlers: dict[str, Handler[..., Any]], context: Any
) -> tuple[Table, dict[type, tuple[Handler[..., Any], Run]]]:
    """Return a table of handlers, and what runs for a message of each model."""
    by_msgspec = any(handler.shape.has_structs for handler in handlers.values())
    models = {}
    routes = {}
    for event, handler in handlers.items():
        if by_msgspec and handler.shape.has_pydantic:
            raise ConfigurationError(
                f"{handler.owner} needs pydantic, and another handler of the class has Structs, "
                "which need msgspec; one library validates all events of a class"
            )
        model = models[event] = handler.model_by(msgspec=by_msgspec)
        routes[model.cls] = (handler, handler.run_by(msgspec=by_msgspec))
    return Table(models, context), routes


def _collect(
    cls: type[EventView],
) -> tuple[dict[str, Handler[..., Any]], dict[str, Handler[..., Any]]]:
    """Return all handlers of a class by event, and those that are its own.

    A method that overrides a handler takes its place: another handler, a plain function,
    which answers the same event, or None, which answers nothing.
    """
    table: dict[str, Handler[..., Any]] = {}
    by_name: dict[str, Handler[..., Any]] = {}
    own: dict[str, Handler[..., Any]] = {}
    made: dict[str, Handler[..., Any]] = {}  # of what stands in the class, or a mixin
    for base in reversed(cls.__mro__):
        own = {}
        for name, value in [*vars(base).items()]:
            overridden = by_name.pop(name, None)
            if overridden is not None and table.get(overridden.event) is overridden:
                del table[overridden.event]
            handler = _handler_in(value, overridden)
            if handler is None and overridden is not None and value is not None:
                raise ConfigurationError(
                    f"{cls.__name__}.{name} overrides the {overridden.owner} by {value!r}; "
                    "possible: a function, another handler, or None, for no answer any more"
                )
            if handler is None:
                continue
            if handler is not value:
                made[name] = handler
            _check_name(name, handler)
            _check_alone(cls, handler, own)
            by_name[name] = own[handler.event] = handler
        own |= vars(base).get("_outside", {})
        table |= own
    for name, handler in made.items():
        if by_name.get(name) is handler:
            setattr(cls, name, handler)  # and not a mixin, which others may have as well
    return table, own


def _handler_in(value: Any, overridden: Handler[..., Any] | None) -> Handler[..., Any] | None:
    if isinstance(value, staticmethod) and isinstance(value.__func__, Handler):
        inner = value.__func__
        return Handler(inner.event, inner.method, inner.response_model, is_static=True)
    if isinstance(value, classmethod) and isinstance(value.__func__, Handler):
        raise ConfigurationError(
            f"{value.__func__.owner} is a class method; a handler is a method or a static method"
        )
    if isinstance(value, Handler):
        return value
    if overridden is not None and isinstance(value, types.FunctionType | staticmethod):
        return overridden.replaced_by(value)
    return None


def _check_name(name: str, handler: Handler[..., Any]) -> None:
    if hasattr(EventView, name) or name in (*EventView.__annotations__, "ws", "process_request"):
        raise ConfigurationError(
            f"{handler.owner} is named like EventView.{name}, which it would hide; rename the "
            f"method, and write @on_event({handler.event!r})"
        )


def _check_alone(cls: type, handler: Handler[..., Any], own: dict[str, Handler[..., Any]]) -> None:
    other = own.get(handler.event)
    if other is not None:
        raise ConfigurationError(
            f"{cls.__name__} has two handlers for the event {handler.event!r}: "
            f"{other.__name__}() and {handler.__name__}()"
        )
