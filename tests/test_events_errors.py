"""The errors of events, word for word: what clients get who match them, or show them."""

from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, ValidationError, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from bocadillo import EventError, EventView, InvalidMessage, on_event
from tests.talking import answers, app_of


class Item(BaseModel):
    a: int


class Chat(EventView):
    """Validated by pydantic."""

    @on_event
    async def echo(self, text: str, n: int = 0) -> Any:
        return {"text": text, "n": n}

    @on_event
    async def nested(self, item: Item, items: list[Item] = []) -> Any:  # noqa: B006
        return {"a": item.a}

    @on_event
    async def whisper(self, to: str) -> Any:
        raise EventError("recipient not found", loc=["to"], code="unknown", ctx={"to": to})

    @on_event
    async def plain(self) -> Any:
        raise EventError("not now")

    @on_event
    async def invalid(self) -> Any:
        return Item.model_validate({"a": "x"})

    @on_event
    async def custom(self) -> Any:
        error = PydanticCustomError("gone", "recipient {name} not found", {"name": "Bob"})
        raise ValidationError.from_exception_data(
            "Whisper", [InitErrorDetails(type=error, loc=("to",), input="Bob")]
        )

    @on_event
    async def struct(self) -> Any:
        return msgspec.convert({"a": "x"}, dict[str, int])

    @on_event
    async def message(self) -> Any:
        raise InvalidMessage("cannot be used")


PERMITTED = [*Chat.handlers]
KNOWN = ", ".join(PERMITTED)


def context(given: Any) -> dict[str, Any]:
    return {"given": given, "permitted": PERMITTED}


ERRORS: list[tuple[Any, list[dict[str, Any]]]] = [
    ({"type": "echo"}, [{"loc": ["text"], "msg": "Field required", "type": "missing"}]),
    (
        {"type": "echo", "text": "a", "foo": 1},
        [{"loc": ["foo"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}],
    ),
    (
        {"type": "echo", "text": "a", "self": 1},
        [{"loc": ["self"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}],
    ),
    (
        {"type": "echo", "text": None},
        [{"loc": ["text"], "msg": "Input should be a valid string", "type": "string_type"}],
    ),
    (
        {"type": "nested", "item": {"a": "x"}, "items": [{"a": 1}, {}]},
        [
            {
                "loc": ["item", "a"],
                "msg": "Input should be a valid integer, unable to parse string as an integer",
                "type": "int_parsing",
            },
            {"loc": ["items", 1, "a"], "msg": "Field required", "type": "missing"},
        ],
    ),
    (
        {"type": "nope"},
        [
            {
                "loc": ["type"],
                "msg": f"no such event; known events: {KNOWN}",
                "type": "unknown_event",
                "ctx": context("nope"),
            }
        ],
    ),
    (
        {"text": "a"},
        [
            {
                "loc": ["type"],
                "msg": f"a message must have a 'type'; known events: {KNOWN}",
                "type": "missing",
                "ctx": context(None),
            }
        ],
    ),
    (
        {"type": ["echo"]},
        [
            {
                "loc": ["type"],
                "msg": "the type of a message must be a string, got an array",
                "type": "string_type",
                "ctx": context(["echo"]),
            }
        ],
    ),
    (
        [1],
        [
            {
                "loc": [],
                "msg": "a message must be a JSON object, got an array",
                "type": "object_type",
            }
        ],
    ),
    (
        "{nope",
        [
            {
                "loc": [],
                "msg": "unexpected character, expected a string key: line 1 column 2 (char 1)",
                "type": "json_invalid",
            }
        ],
    ),
    (
        b"\xff\xfe",
        [
            {
                "loc": [],
                "msg": "str is not valid UTF-8: surrogates not allowed: line 1 column 1 (char 0)",
                "type": "json_invalid",
            }
        ],
    ),
    (
        {"type": "whisper", "to": "Bob"},
        [
            {
                "loc": ["to"],
                "msg": "recipient not found",
                "type": "unknown",
                "ctx": {"to": "Bob"},
            }
        ],
    ),
    ({"type": "plain"}, [{"loc": [], "msg": "not now", "type": "event_error"}]),
    (
        {"type": "invalid"},
        [
            {
                "loc": ["a"],
                "msg": "Input should be a valid integer, unable to parse string as an integer",
                "type": "int_parsing",
            }
        ],
    ),
    (
        {"type": "custom"},
        [
            {
                "loc": ["to"],
                "msg": "recipient Bob not found",
                "type": "gone",
                "ctx": {"name": "Bob"},
            }
        ],
    ),
]


@pytest.mark.parametrize(("message", "errors"), ERRORS, ids=lambda value: str(value)[:40])
def test_an_error_is_sent_in_these_words_and_the_connection_stays_open(
    message: Any, errors: list[dict[str, Any]]
) -> None:
    """A type of its own, all errors, and the ref where there is one."""
    heard = answers(Chat, message, {"type": "echo", "text": "still here"})

    assert heard == [
        {"type": "error", "errors": errors},
        {"type": "echo", "text": "still here", "n": 0},
    ]
    if isinstance(message, dict):
        assert answers(Chat, message | {"ref": 5}) == [
            {"type": "error", "errors": errors, "ref": 5}
        ]


@pytest.mark.parametrize("event", ["struct", "message"])
def test_other_validation_errors_of_a_handler_are_told_too(event: str) -> None:
    """msgspec's, and bocadillo's own."""
    (heard,) = answers(Chat, {"type": event, "ref": 1})

    assert (heard["type"], heard["ref"]) == ("error", 1)
    assert heard["errors"][0]["msg"]


def test_binary_frames_are_read_as_json() -> None:
    """B-g3: they ended the connection of the original."""
    assert answers(Chat, b'{"type": "echo", "text": "a"}') == [
        {"type": "echo", "text": "a", "n": 0}
    ]


def test_an_error_says_only_what_can_be_written() -> None:
    """A client that chooses what is repeated to it cannot end the connection by it."""
    deep = "[" * 251 + "]" * 251
    huge = 10**30

    class Checked(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def check(cls, n: int) -> int:
            raise PydanticCustomError("no", "no", {"n": n})

    class View(EventView):
        @on_event
        async def find(self, n: int) -> Any:
            raise EventError("not found", loc=["n"], ctx={"n": n})

        @on_event
        async def checked(self, message: Checked) -> Any: ...

    heard = answers(
        View,
        f'{{"type": {deep}}}',
        f'{{"type": "find", "n": {huge}}}',
        f'{{"type": "checked", "n": {huge}}}',
    )

    assert [h["errors"][0]["type"] for h in heard] == ["string_type", "event_error", "no"]


def test_an_error_that_cannot_be_written_at_all_is_a_response_error() -> None:
    """Not the end of the connection."""

    class View(EventView):
        @on_event
        async def say(self) -> Any:
            raise EventError("half a pair: \ud800")

    (heard,) = answers(View, {"type": "say", "ref": 1})

    assert (heard["errors"][0]["loc"], heard["ref"]) == (["response"], 1)


def test_a_thousand_errors_are_one() -> None:
    """A client cannot make the server write megabytes by sending kilobytes."""
    message = {"type": "echo", "text": "a"} | {f"key {n}": n for n in range(2000)}

    (heard,) = answers(Chat, message)

    assert heard["errors"] == [
        {"loc": [], "msg": "2000 errors, more than can be told", "type": "too_many_errors"}
    ]


# msgspec


class Spot(msgspec.Struct):
    a: int


class Structs(EventView):
    """Validated by msgspec."""

    @on_event
    async def echo(self, text: str, n: int = 0) -> Any:
        return {"text": text, "n": n}

    @on_event
    async def nested(self, item: Spot, items: list[Spot] = []) -> Any:  # noqa: B006
        return {"a": item.a}


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (
            {"type": "echo"},
            {
                "loc": ["text"],
                "msg": "Object missing required field `text`",
                "type": "missing",
            },
        ),
        (
            {"type": "echo", "text": "a", "foo": 1},
            {
                "loc": ["foo"],
                "msg": "Object contains unknown field `foo`",
                "type": "extra_forbidden",
            },
        ),
        (
            {"type": "nested", "item": {"a": "x"}},
            {"loc": ["item", "a"], "msg": "Expected `int`, got `str`", "type": "ValidationError"},
        ),
        (
            {"type": "nested", "item": {"a": 1}, "items": [{"a": 1}, {}]},
            {
                "loc": ["items", 1, "a"],
                "msg": "Object missing required field `a`",
                "type": "missing",
            },
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_msgspec_tells_one_error_at_the_same_place(message: Any, error: dict[str, Any]) -> None:
    """In a form that is the same, and words that are its own."""
    assert answers(Structs, message | {"ref": "r"}) == [
        {"type": "error", "errors": [error], "ref": "r"}
    ]


def test_plain_types_stand_beside_structs() -> None:
    """All of them are validated by msgspec, whose events are called as any other."""
    heard = answers(
        Structs,
        {"type": "echo", "text": "a", "ref": 1},
        {"type": "nested", "item": {"a": 1}},
    )

    assert heard == [
        {"type": "echo", "ref": 1, "text": "a", "n": 0},
        {"type": "nested", "a": 1},
    ]


def test_models_of_both_libraries_in_one_view_are_refused() -> None:
    """One of them validates all events of a class in one pass."""

    class Mixed(Structs):
        @on_event
        async def other(self, item: Item) -> None: ...

    with pytest.raises(
        Exception, match=r"event 'other': other\(\) needs pydantic, and another handler .* Structs"
    ):
        app_of(Mixed)


def test_a_subclass_may_need_another_library_than_its_base() -> None:
    """Each class has a table of its own."""

    class Base(EventView):
        @on_event
        async def echo(self, text: str) -> Any:
            return {"text": text}

    class Sub(Base):
        @on_event
        async def at(self, spot: Spot) -> Any:
            return spot

    message = {"type": "echo", "text": 5}

    by_base, by_sub = answers(Base, message), answers(Sub, message)

    assert by_base[0]["errors"][0]["type"] == "string_type"
    assert by_sub[0]["errors"][0]["msg"] == "Expected `str`, got `int`"
    assert answers(Sub, {"type": "at", "spot": {"a": 1}}) == [{"type": "at", "a": 1}]
