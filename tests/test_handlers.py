"""`@on_event` and `Handler`: what may be a handler, its name, its model, and calling it."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, TypeVar

import msgspec
import pytest
from dishka import FromDishka as Inject
from pydantic import BaseModel, Field

from bocadillo import ConfigurationError, EventView, Handler, WebSocket, on_event
from bocadillo.errors import InvalidResponse
from bocadillo.handling import Run

ItemT = TypeVar("ItemT")

INJECT: Any = Inject  # as a value, and not as an annotation


class Point(BaseModel):
    x: int = 0


class Reply(BaseModel):
    total: int
    note: str = "x"


async def echo(text: str) -> dict[str, str]:
    """Say it again."""
    return {"text": text}


def static(function: Callable[..., Any], event: str | None = "e", model: Any = None) -> Any:
    """Return the handler of a function that gets no `self`."""
    return Handler(event, function, model, is_static=True)


# Forms and names


def test_all_forms_of_the_decorator_give_a_handler() -> None:
    """Bare, called, with a name, with a model of the response, with both."""

    async def on_say(self: Any) -> None: ...

    handlers: list[Handler[..., Any]] = [
        on_event(on_say),
        on_event()(on_say),
        on_event("talk")(on_say),
        on_event("talk", response_model=Reply)(on_say),
        on_event("talk", Reply)(on_say),
        on_event(response_model=Reply)(on_say),
    ]

    assert [(handler.event, handler.response_model) for handler in handlers] == [
        *(("say", None), ("say", None), ("talk", None)),
        *(("talk", Reply), ("talk", Reply), ("say", Reply)),
    ]
    assert all(handler.method is on_say for handler in handlers)


@pytest.mark.parametrize(
    ("name", "event"),
    [
        *(("say", "say"), ("on_say", "say"), ("handle_say", "say"), ("say_on_x", "say_on_x")),
        *(("on_on_say", "on_say"), ("on_handle_say", "handle_say"), ("handler", "handler")),
        *(("onsay", "onsay"), ("_say", "_say")),
    ],
)
def test_an_event_is_named_after_its_function(name: str, event: str) -> None:
    """Without a leading `on_` or `handle_`, and only one of them."""

    async def function(self: Any) -> None: ...

    function.__name__ = name

    assert on_event(function).event == event


@pytest.mark.parametrize("name", ["on_", "handle_"])
def test_a_name_of_which_nothing_is_left_is_refused(name: str) -> None:
    """The message says how to give one."""

    async def function(self: Any) -> None: ...

    function.__name__ = name

    with pytest.raises(ConfigurationError, match=rf"{name}\(\) leaves no name .* @on_event\('name"):
        on_event(function)


def test_a_lambda_has_no_name() -> None:
    """It may be a handler all the same, of an event that is named."""
    with pytest.raises(ConfigurationError, match=r"<lambda>\(\) leaves no name for an event"):
        on_event(lambda self: None)

    assert on_event("say")(lambda self: None).event == "say"


@pytest.mark.parametrize("event", ["", 5, b"say"])
def test_a_name_is_a_string_that_is_not_empty(event: Any) -> None:
    """Nothing else can be in a message."""
    with pytest.raises(ConfigurationError, match="an event's name is a string, got "):
        Handler(event, echo)


@pytest.mark.parametrize("thing", [Point, 5, classmethod(echo), Handler("echo", echo)])  # type: ignore[arg-type]
def test_what_is_no_function_is_refused(thing: Any) -> None:
    """A class, a class method, a handler of something else."""
    with pytest.raises(ConfigurationError, match="on_event takes a name or a function, got "):
        on_event(thing)


def test_a_sync_generator_is_refused() -> None:
    """It would block the event loop between its values."""

    def numbers(self: Any) -> Iterator[int]:
        yield 1

    with pytest.raises(ConfigurationError, match=r"numbers\(\) is a generator; .* `async def`"):
        on_event(numbers)


# As an object


def test_a_handler_shows_what_it_is() -> None:
    """By its attributes, its text, its docstring."""
    handler = static(echo, "say", Reply)

    assert (handler.event, handler.method, handler.response_model) == ("say", echo, Reply)
    assert (handler.__name__, handler.__doc__) == ("echo", "Say it again.")
    assert repr(handler) == "<Handler 'say': echo()>"
    assert [*handler.model.model_fields] == ["type", "ref", "text"]
    assert handler.model is handler.model


def test_calling_a_handler_calls_the_function() -> None:
    """With any arguments, and without validation: as in a test of the function."""
    assert asyncio.run(static(echo)(text="hello")) == {"text": "hello"}


def test_a_handler_of_an_instance_is_a_bound_method() -> None:
    """One handler can call another by `self`."""

    class View(EventView):
        n = 5

        @on_event
        def add(self, to: int) -> int:
            return self.n + to

        @on_event
        @staticmethod
        def twice(n: int) -> int:
            return 2 * n

    view = View()

    assert (view.add(1), view.twice(2)) == (6, 4)
    assert isinstance(View.add, Handler)
    assert View.add(view, 2) == 7


def test_a_callable_object_may_be_a_handler() -> None:
    """Such as a partial function, or a class's instance with `__call__`."""

    class Greeter:
        async def __call__(self, name: str) -> dict[str, str]:
            return {"hello": name}

    assert call(static(Greeter(), "greet"), name="Ada") == {"hello": "Ada"}
    assert call(static(functools.partial(echo, text="x"), "echo")) == {"text": "x"}


def test_an_async_function_may_have_a_sync_decorator() -> None:
    """Which looks sync, and returns a coroutine."""

    @functools.wraps(echo)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return echo(*args, **kwargs)

    assert call(static(decorated, "echo"), text="x") == {"text": "x"}


# Parameters


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda *args: None, r"event 'e': <lambda>\(\): \*args is no field of a message"),
        (lambda **rest: None, r"\*\*rest is no field of a message; name each parameter"),
        (lambda ref: None, "a parameter cannot be called 'ref', .* in a method it is `self.ref`"),
    ],
)
def test_a_parameter_that_cannot_be_a_field_is_refused(function: Any, text: str) -> None:
    """Where the model is first made: when the view is registered."""
    with pytest.raises(ConfigurationError, match=text):
        _ = static(function).model


@pytest.mark.parametrize("function", [lambda: None, lambda *, text: None])
def test_a_method_without_self_is_refused(function: Any) -> None:
    """It would fail at the first message."""
    with pytest.raises(ConfigurationError, match="must take `self`, or be a static method"):
        _ = Handler("e", function).model


def test_an_annotation_that_nobody_knows_is_refused() -> None:
    """A string of it, too, since it is resolved."""

    async def say(text: "Unheard") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ConfigurationError, match=r"event 'e': say\(\).*Unheard"):
        _ = static(say).model


class Said:
    """Stands for a view, and for its connection."""

    is_open = True

    def __init__(self) -> None:
        self.ws = self
        self.sent: list[Any] = []

    async def _send_answer(self, handler: Any, result: Any) -> None:
        self.sent.append(handler.response(result, None))

    async def send_json(self, response: Any) -> None:
        self.sent.append(response)


def message_of(handler: Any, **fields: Any) -> Any:
    """Return a message as it would come in."""
    if handler.shape.has_structs:
        return msgspec.convert({"type": handler.event, **fields}, handler.model)
    return handler.model.model_validate({"type": handler.event, **fields})


def call(handler: Any, view: Any = None, **fields: Any) -> Any:
    """Return what a handler returns for a message with these fields."""
    message = message_of(handler, **fields)
    run: Run = handler.run_by(msgspec=handler.shape.has_structs)
    return asyncio.run(run(view, message))  # type: ignore[arg-type]


async def default(n: int = 5) -> Any:
    return n


async def positional(a: int, b: int = 2, /, c: int = 3) -> Any:
    return a, b, c


async def keyword(a: int, *, b: int, copy: int = 3) -> Any:
    return a, b, copy


async def strings(point: "Point", n: "int | None" = None) -> Any:
    return point.x, n


async def constrained(n: Annotated[int, Field(gt=1)], tag: str = Field("a", max_length=2)) -> Any:
    return n, tag


async def plain(anything, message: str) -> Any:  # type: ignore[no-untyped-def]
    return anything, message


async def whole(message: Point) -> Any:
    return message.x


async def whole_by_name(*, message: Point) -> Any:
    return message.x


async def none() -> Any:
    return "nothing"


async def many(a: int, b: int, c: int) -> Any:
    return a, b, c


@pytest.mark.parametrize(
    ("function", "fields", "result"),
    [
        (none, {}, "nothing"),
        (default, {}, 5),
        (default, {"n": 6}, 6),
        (positional, {"a": 1, "c": 9}, (1, 2, 9)),
        (keyword, {"a": 1, "b": 2}, (1, 2, 3)),
        (keyword, {"a": 1, "b": 2, "copy": 4}, (1, 2, 4)),
        (strings, {"point": {"x": 1}}, (1, None)),
        (constrained, {"n": 2}, (2, "a")),
        (plain, {"anything": [1], "message": "a"}, ([1], "a")),
        (whole, {"x": 1}, 1),
        (whole_by_name, {"x": 1}, 1),
        (many, {"c": 3, "b": 2, "a": 1}, (1, 2, 3)),
    ],
)
def test_a_function_gets_its_parameters_however_it_takes_them(
    function: Any, fields: dict[str, Any], result: Any
) -> None:
    """By position or by name, with its defaults; as a message, or its fields."""
    assert call(static(function), **fields) == result


def test_a_method_gets_the_view_first() -> None:
    """However the other parameters are passed."""

    async def one(self: Any, a: int) -> Any:
        return self, a

    async def named(self: Any, *, a: int) -> Any:
        return self, a

    async def message(self: Any, message: Point) -> Any:
        return self, message.x

    async def message_named(self: Any, *, message: Point) -> Any:
        return self, message.x

    results = [
        call(Handler("e", one), "view", a=1),
        call(Handler("e", named), "view", a=1),
        call(Handler("e", message), "view", x=1),
        call(Handler("e", message_named), "view", x=1),
    ]

    assert results == [("view", 1)] * 4


def test_structs_of_msgspec_are_messages_and_fields() -> None:
    """With plain types beside them."""

    class Spot(msgspec.Struct):
        x: int = 0

    async def whole(message: Spot) -> Any:
        return type(message).__name__, message.x

    async def field(at: Spot, label: str = "here") -> Any:
        return at, label

    assert call(static(whole), x=1) == ("Spot", 1)
    assert call(static(field), at={"x": 1}) == (Spot(1), "here")


def test_injected_parameters_are_no_fields() -> None:
    """A client could send them otherwise."""

    async def say(thing: Inject[int], text: str) -> None: ...

    handler = static(say)

    assert [ask.parameter for ask in handler.asks] == ["thing"]
    assert [*handler.model.model_fields] == ["type", "ref", "text"]


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        (INJECT[int] | None, "injected as a whole, or not at all"),
        (list[INJECT[int]], "injected as a whole, or not at all"),
        (WebSocket, "the connection is `self.ws`"),
        (ItemT, "of a type that is not known"),
    ],
    ids=str,
)
def test_what_would_be_a_field_by_mistake_is_refused(hint: Any, told: str) -> None:
    """A client could forge it, or send anything there."""

    async def say(thing: Any) -> None: ...

    say.__annotations__["thing"] = hint
    with pytest.raises(ConfigurationError, match=told):
        static(say).shape  # noqa: B018


def test_an_injected_parameter_is_not_positional_only() -> None:
    """It is passed by its name; a client must not be able to send it instead."""

    async def say(thing: Inject[int], /) -> None: ...

    with pytest.raises(ConfigurationError, match="asks for int, which must not be positional-only"):
        static(say).shape  # noqa: B018


def test_what_a_partial_has_bound_is_no_field() -> None:
    """A client must not be able to overwrite it."""

    async def say(text: str, admin: bool) -> Any:
        return text, admin

    handler = static(functools.partial(say, admin=False), "say")

    assert [field.name for field in handler.shape.fields] == ["text"]
    assert call(handler, text="a") == ("a", False)


def test_an_async_generator_may_be_decorated() -> None:
    """By a function that calls it; and an object may be one by its `__call__`."""

    async def count(n: int) -> AsyncIterator[dict[str, int]]:
        for i in range(n):
            yield {"i": i}

    @functools.wraps(count)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return count(*args, **kwargs)

    class Counting:
        async def __call__(self, n: int) -> AsyncIterator[dict[str, int]]:
            async for value in count(n):
                yield value

    for stream in (decorated, Counting()):
        view = Said()
        call(static(stream, "count"), view, n=1)
        assert view.sent == [{"type": "count", "i": 0}]


# Results


def test_a_dict_is_completed_with_type_and_ref() -> None:
    """Unless it has its own, which win."""
    handler = static(echo, "say")

    assert handler.response({"a": 1}, None) == {"type": "say", "a": 1}
    assert handler.response({"a": 1}, 0) == {"type": "say", "ref": 0, "a": 1}
    assert handler.response({"type": "t", "ref": "r"}, 5) == {"type": "t", "ref": "r"}


def validating(model: Any) -> Any:
    handler = static(echo, "say", model)
    handler.run_by(msgspec=False)
    return handler


def test_a_response_model_fills_in_what_a_dict_lacks() -> None:
    """And drops what it does not know."""
    assert validating(Reply).response({"total": "1", "zz": 2}, None) == Reply(total=1)


def test_what_is_not_of_the_response_model_is_an_invalid_response() -> None:
    """With the place of each error behind `response`."""
    with pytest.raises(InvalidResponse) as caught:
        validating(Reply).response({"total": "many"}, None)

    assert caught.value.errors[0]["loc"] == ["response", "total"]


def test_an_exception_of_a_response_model_itself_is_a_bug() -> None:
    """It says nothing of the result, so that nobody is told of it."""

    class Broken(BaseModel):
        def __init__(self, **fields: Any) -> None:
            raise LookupError("a secret")

    with pytest.raises(LookupError):
        validating(Broken).response({}, None)


def test_each_value_of_an_async_generator_is_sent() -> None:
    """And no value for None; the end is told to those who gave a ref."""

    async def count(n: int) -> AsyncIterator[dict[str, int] | None]:
        for i in range(n):
            yield {"i": i}
            yield None

    sent = []
    for ref in (None, 7):
        view = Said()
        call(static(count, "count"), view, n=2, ref=ref)
        sent.append(view.sent)

    values = [{"type": "count", "i": i} for i in range(2)]
    assert sent == [values, [*values, {"type": "count", "ref": 7, "end": True}]]


def test_an_override_keeps_event_and_response_model() -> None:
    """The function is all that is new."""
    handler = static(echo, "say", Reply).replaced_by(default)

    assert (handler.event, handler.response_model, handler.method) == ("say", Reply, default)
    assert handler.is_static
