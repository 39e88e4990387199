"""`@on_event`: a function that answers the messages of one event.

A handler knows its event, the model of its messages, and how to call its function with what
a message has in it. `events` calls `run` per message, which was put together when the
table of handlers was made.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Generic, NamedTuple, ParamSpec, Protocol, TypeVar, overload

from bocadillo.errors import ConfigurationError, InvalidResponse
from bocadillo.eventmodels import REF, TYPE, MessageField, Model, Shape, is_whole, model_for
from bocadillo.eventtables import errors_of, is_validation_error, response_validator
from bocadillo.handling import Run, in_thread, injecting, streaming
from bocadillo.hints import has_type_variable, is_connection, name_of, resolve_hints
from bocadillo.injection import Ask, Lifetime, Session, ask_of
from bocadillo.websockets import WebSocket

P = ParamSpec("P")
R = TypeVar("R")


class Validated(NamedTuple):
    """What a handler returned, and the response that was made of it already."""

    result: Any
    response: Any


class Answering(Protocol):
    """What a handler needs of the view whose message it answers."""

    ws: WebSocket[Any, Any]
    _session: Session

    async def _send_answer(self, handler: "Handler[..., Any]", result: Any) -> None:
        """Send what a handler returned, or yielded."""

    async def send_json(self, response: Any) -> None:
        """Send a response as it is."""


class Handler(Generic[P, R]):
    """A function that answers one event; calling it calls the function.

    Args:
        event: The event's name; None for the function's own, without a leading `on_` or
            `handle_`.
        method: The function: a method of a view, or a static method or function, which
            gets no `self`; `async`, or sync, which runs in a worker thread; or an async
            generator function, each value of which is sent.
        response_model: What a result is validated against, and filled in by.

    Attributes:
        event: The event's name.
        method: The function.
        model: The model of its messages, pydantic's or msgspec's.
        response_model: As given.

    Raises:
        ConfigurationError: it is no function, or has no name.
    """

    def __init__(
        self,
        event: str | None,
        method: "Callable[P, R] | staticmethod[P, R]",
        response_model: Any = None,
        *,
        is_static: bool = False,
    ) -> None:
        self.is_static = is_static or isinstance(method, staticmethod)
        function: Any = method.__func__ if isinstance(method, staticmethod) else method
        if not callable(function) or isinstance(function, type | Handler):
            raise ConfigurationError(
                f"on_event takes a name or a function, got {function!r}; a model of what is sent "
                "is response_model=…"
            )
        if inspect.isgeneratorfunction(function):
            raise ConfigurationError(
                f"{name_of(function)}() is a generator; what is to be sent value by value is "
                "an `async def` with `yield`"
            )
        self.method: Callable[P, R] = function
        self.event = _event_of(function) if event is None else event
        if not isinstance(self.event, str) or not self.event:
            raise ConfigurationError(f"an event's name is a string, got {self.event!r}")
        self.response_model = response_model
        self.__isabstractmethod__: bool = getattr(function, "__isabstractmethod__", False)
        self.__doc__ = function.__doc__
        self.__name__ = name_of(function)
        self._shape: Shape | None = None
        self._models: dict[bool, Model] = {}
        self._asks: tuple[Ask, ...] = ()
        self._validate: Callable[[Any], Any] | None = None

    def __repr__(self) -> str:
        return f"<Handler {self.event!r}: {self.__name__}()>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.method(*args, **kwargs)

    @overload
    def __get__(self, instance: None, owner: type) -> "Handler[P, R]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[..., R]: ...
    def __get__(self, instance: object | None, owner: type) -> Any:
        """Return the function bound to an instance, as methods are."""
        if instance is None:
            return self
        return self.method if self.is_static else self.method.__get__(instance, owner)

    @property
    def model(self) -> Any:
        """The model of its messages, with the fields `type` and `ref`."""
        return self.model_by(msgspec=self.shape.has_structs).cls

    @property
    def asks(self) -> tuple[Ask, ...]:
        """The parameters that are injected."""
        self.shape  # noqa: B018
        return self._asks

    @property
    def owner(self) -> str:
        """How error messages name it."""
        return f"event {self.event!r}: {self.__name__}()"

    @property
    def shape(self) -> Shape:
        """What its messages have in them.

        Raises:
            ConfigurationError: a parameter cannot be one of a message.
        """
        if self._shape is None:
            self._shape = self._make_shape()
        return self._shape

    def model_by(self, *, msgspec: bool) -> Model:
        """Return the model that one of the libraries makes."""
        if msgspec not in self._models:
            self._models[msgspec] = model_for(self.shape, by_msgspec=msgspec)
        return self._models[msgspec]

    def replaced_by(self, method: Any) -> "Handler[..., Any]":
        """Return the same handler with another function: what an override makes of it."""
        return Handler(self.event, method, self.response_model, is_static=self.is_static)

    def response(self, result: Any, ref: str | int | None) -> Any:
        """Return what is to be sent for a result.

        A dict is completed with `type` and `ref`; anything else is as it was, or as the
        response model made it.

        Raises:
            InvalidResponse: it is not of the response model.
        """
        if self._validate is not None:
            given = result
            try:
                result = self._validate(result)
            except Exception as exc:
                if not is_validation_error(exc):
                    raise
                raise InvalidResponse(errors_of(exc)) from None
            if isinstance(given, dict) and TYPE in given and isinstance(result, dict):
                result = {TYPE: given[TYPE], **result}
        if result.__class__ is dict:
            if ref is not None:
                return {TYPE: self.event, REF: ref, **result}
            return {TYPE: self.event, **result}
        return result

    def run_by(self, *, msgspec: bool) -> Run:
        """Return what calls the function for a message of the model that a library makes."""
        if self.response_model is not None and self._validate is None:
            self._validate = response_validator(self.response_model, self.owner)
        call = self._caller(self.model_by(msgspec=msgspec))
        if _is_stream(self.method):
            stream = streaming(call, self._send)
            return self._ending(self._injecting(stream) if self.asks else stream)
        if not _is_async(self.method):
            call = in_thread(call, to_its_end=bool(self.asks))
        if self.asks:
            return self._injecting(call if self._validate is None else self._validating(call))
        # Nothing between the view and the function: a coroutine more costs 0.1 µs.
        return call

    # Calling

    def _caller(self, model: Model) -> Callable[..., Any]:
        """Return what calls the function with a view, a message, and what is injected."""
        method: Callable[..., Any] = self.method
        by_position, by_name = self._split()
        if self.shape.whole is not None:
            if by_position and not self.asks:
                return _only(method) if self.is_static else method
            get = _itself if by_position else _getter([])
            readers: dict[str, Callable[[Any], Any]] = dict.fromkeys(by_name, _same)
        else:
            get = _getter([model.attributes[name] for name in by_position])
            readers = {name: attrgetter(model.attributes[name]) for name in by_name}
        if not by_name and not self.asks:
            if self.is_static:
                return lambda view, message: method(*get(message))
            return lambda view, message: method(view, *get(message))
        is_static = self.is_static

        def call(view: Any, message: Any, /, **injected: Any) -> Any:
            named = {name: read(message) for name, read in readers.items()}
            first = () if is_static else (view,)
            return method(*first, *get(message), **named, **injected)

        return call

    def _split(self) -> tuple[list[str], list[str]]:
        """Return the fields that are passed by position, and those by name."""
        by_position: list[str] = []
        by_name: list[str] = []
        asked = {ask.parameter for ask in self._asks}
        for parameter in self._parameters():
            if parameter.name in asked:
                continue
            # Behind an injected parameter everything is passed by name.
            is_free = parameter.kind is not parameter.KEYWORD_ONLY and not asked
            is_free = is_free or parameter.kind is parameter.POSITIONAL_ONLY
            (by_position if is_free else by_name).append(parameter.name)
        return by_position, by_name

    def _injecting(self, run: Run) -> Run:
        return injecting(run, self.asks, self.owner)

    async def _send(self, view: Answering, value: Any) -> None:
        await view._send_answer(self, value)

    def _ending(self, run: Callable[..., Awaitable[None]]) -> Run:
        """Return what tells a client that waits for answers that there are no more."""

        async def end(view: Answering, message: Any) -> None:
            await run(view, message)
            if message.ref is not None and view.ws.is_open:
                await view.send_json({TYPE: self.event, REF: message.ref, "end": True})

        return end

    def _validating(self, call: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """Return *call* with its result validated while what was injected is still open."""

        async def validated(view: Any, message: Any, /, **injected: Any) -> Any:
            result = await call(view, message, **injected)
            if result is None:
                return None
            return Validated(result, self.response(result, message.ref))

        return validated

    # What its messages have in them

    def _make_shape(self) -> Shape:
        hints = resolve_hints(self.method, self.owner)
        fields = []
        asks = []
        for parameter in self._parameters():
            hint = hints.get(parameter.name, Any)
            ask = ask_of(hint, self.owner, parameter.name, Lifetime.REQUEST)
            self._check_parameter(parameter, hint, ask)
            if ask is not None:
                asks.append(ask)
                continue
            fields.append(MessageField(parameter.name, hint, parameter.default))
        self._asks = tuple(asks)
        if len(fields) == 1 and fields[0].name == "message" and is_whole(fields[0].hint):
            return Shape(self.owner, self.event, whole=fields[0].hint)
        return Shape(self.owner, self.event, tuple(fields))

    def _check_parameter(self, parameter: inspect.Parameter, hint: Any, ask: Ask | None) -> None:
        if ask is not None and parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigurationError(f"{ask}, which must not be positional-only; leave out the `/`")
        if ask is None and is_connection(hint):
            raise ConfigurationError(
                f"{self.owner}: parameter {parameter.name!r} would be a field of the message; the "
                "connection is `self.ws`, or Inject[WebSocket]"
            )
        if has_type_variable(hint):
            raise ConfigurationError(
                f"{self.owner}: parameter {parameter.name!r} is of a type that is not known, "
                f"{hint!r}; write the handler in a class where it is"
            )
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise ConfigurationError(
                f"{self.owner}: {stars}{parameter.name} is no field of a message; name each "
                "parameter (in a decorator, functools.wraps keeps the names)"
            )
        if parameter.name == REF and ask is None:
            raise ConfigurationError(
                f"{self.owner}: a parameter cannot be called 'ref', which is the key that a "
                "client matches answers by; in a method it is `self.ref`"
            )

    def _parameters(self) -> Sequence[inspect.Parameter]:
        bound = self.method.keywords if isinstance(self.method, partial) else {}
        listed = inspect.signature(self.method).parameters.values()
        # What a partial has bound is nothing that a client may say.
        parameters = [parameter for parameter in listed if parameter.name not in bound]
        if self.is_static:
            return parameters
        if not parameters or parameters[0].kind is parameters[0].KEYWORD_ONLY:
            raise ConfigurationError(f"{self.owner} must take `self`, or be a static method")
        return parameters[1:]


@overload
def on_event(event: Callable[P, R]) -> Handler[P, R]: ...
@overload
def on_event(
    event: str | None = None, response_model: Any = None
) -> Callable[[Callable[P, R]], Handler[P, R]]: ...
def on_event(event: Any = None, response_model: Any = None) -> Any:
    """Make the decorated function the handler of an event.

    Args:
        event: The event's name; by default the function's, without a leading `on_` or
            `handle_`.
        response_model: What a result is validated against, and filled in by.

    Raises:
        ConfigurationError: it is no function, or the name is none.
    """
    if event is None or isinstance(event, str):
        return lambda function: Handler(event, function, response_model)
    return Handler(None, event, response_model)


def _event_of(function: Any) -> str:
    name = name_of(function)
    for prefix in ("on_", "handle_"):
        if name.startswith(prefix):
            name = name.removeprefix(prefix)
            break
    if not name or name == "<lambda>":
        raise ConfigurationError(
            f"{name_of(function)}() leaves no name for an event; write @on_event('name')"
        )
    return name


def _is_stream(function: Any) -> bool:
    """Tell whether calling it gives an async generator, be it by a sync decorator."""
    called = getattr(function, "__call__", None)  # noqa: B004
    is_stream = any(inspect.isasyncgenfunction(f) for f in (inspect.unwrap(function), called))
    return is_stream and not _is_async(function)


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )


def _only(method: Callable[..., Any]) -> Callable[..., Any]:
    return lambda view, message: method(message)


def _itself(message: Any) -> tuple[Any, ...]:
    return (message,)


def _same(message: Any) -> Any:
    return message


def _getter(attributes: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gets attributes of a message, as a tuple whatever their number."""
    if not attributes:
        return lambda message: ()
    if len(attributes) == 1:
        attribute = attributes[0]
        return lambda message: (getattr(message, attribute),)
    return attrgetter(*attributes)
