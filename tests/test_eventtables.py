"""Tables of events: what a payload is decoded to, and the words for what is none."""

import json
import math
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from bocadillo.errors import ConfigurationError, EventError, InvalidResponse
from bocadillo.eventmodels import MessageField, Shape, model_for
from bocadillo.eventtables import (
    InvalidEvent,
    Table,
    errors_of,
    is_validation_error,
    plain_object,
    response_validator,
)

LIBRARIES = pytest.mark.parametrize("msgspec_", [False, True], ids=["pydantic", "msgspec"])
EVENTS = {"move": (("x", int), ("y", int, 0)), "say": (("text", str),)}


def table_of(events: Any = EVENTS, *, by_msgspec: bool = False, context: Any = None) -> Table:
    models = {}
    for event, fields in events.items():
        shape = Shape(event, event, tuple(MessageField(*field) for field in fields))
        models[event] = model_for(shape, by_msgspec=by_msgspec)
    return Table(models, context)


def refusal(table: Table, message: Any) -> InvalidEvent:
    """Return what a table has to say about a payload, or a value to be written as JSON."""
    payload = message if isinstance(message, str | bytes) else json.dumps(message)
    with pytest.raises(InvalidEvent) as caught:
        table.decode(payload)
    return caught.value


@LIBRARIES
@pytest.mark.parametrize("events", [EVENTS, {"move": EVENTS["move"]}], ids=["two", "one"])
def test_an_event_is_decoded_to_its_model(msgspec_: bool, events: Any) -> None:
    """In one pass, from text or bytes, whatever the place of its type."""
    table = table_of(events, by_msgspec=msgspec_)

    for payload in ('{"type": "move", "x": 1}', b'{"x": 1, "type": "move", "ref": 5}'):
        message = table.decode(payload)
        assert (message.type, message.x, message.y) == ("move", 1, 0)


@LIBRARIES
@pytest.mark.parametrize("events", [EVENTS, {"move": EVENTS["move"]}], ids=["two", "one"])
def test_the_place_of_an_error_is_the_path_in_the_message(msgspec_: bool, events: Any) -> None:
    """The tag of the union, which pydantic puts before it, is nothing that a client knows."""
    error = refusal(table_of(events, by_msgspec=msgspec_), {"type": "move", "x": "far", "ref": 7})

    assert [detail["loc"] for detail in error.errors] == [["x"]]
    assert error.ref == 7


def test_pydantic_tells_all_errors_of_a_message() -> None:
    """A form can be marked in one go."""
    error = refusal(table_of(), {"type": "move", "y": "b", "z": 1})

    assert [(detail["loc"], detail["type"]) for detail in error.errors] == [
        (["x"], "missing"),
        (["y"], "int_parsing"),
        (["z"], "extra_forbidden"),
    ]


def test_msgspec_tells_the_first_error_in_the_same_words() -> None:
    """Clients need not know which library validates."""
    table = table_of(by_msgspec=True)

    missing, extra = (
        refusal(table, {"type": "move"}),
        refusal(table, {"type": "move", "x": 1, "z": 1}),
    )

    assert [(e["loc"], e["type"]) for e in missing.errors] == [(["x"], "missing")]
    assert [(e["loc"], e["type"]) for e in extra.errors] == [(["z"], "extra_forbidden")]


def known(given: Any) -> dict[str, Any]:
    return {"given": given, "permitted": ["move", "say"]}


@LIBRARIES
@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        ({"type": "fly"}, "unknown_event", "no such event; known events: move, say"),
        ({}, "missing", "a message must have a 'type'; known events: move, say"),
        ({"type": 5}, "string_type", "the type of a message must be a string, got a number"),
        ({"type": 5.5}, "string_type", "the type of a message must be a string, got a number"),
        ({"type": None}, "string_type", "the type of a message must be a string, got null"),
        ({"type": True}, "string_type", "the type of a message must be a string, got a boolean"),
        ({"type": ["move"]}, "string_type", "the type of a message must be a string, got an array"),
        ({"type": {}}, "string_type", "the type of a message must be a string, got an object"),
    ],
)
def test_what_is_no_known_event_is_told_what_was_given_and_what_is_permitted(
    msgspec_: bool, message: dict[str, Any], kind: str, text: str
) -> None:
    """A typing error in a client shows at once."""
    error = refusal(table_of(by_msgspec=msgspec_), message | {"ref": "r"})

    assert error.errors == [
        {"loc": ["type"], "msg": text, "type": kind, "ctx": known(message.get("type"))}
    ]
    assert error.ref == "r"


def test_a_table_without_events_refuses_all_in_the_same_words() -> None:
    """A view whose handlers are yet to be written answers, too."""
    error = refusal(Table({}), {"type": "move"})

    assert error.errors[0]["msg"] == "no such event; known events: none"
    assert error.errors[0]["ctx"] == {"given": "move", "permitted": []}


@LIBRARIES
@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ("[1]", "a message must be a JSON object, got an array"),
        ('"move"', "a message must be a JSON object, got a string"),
        ("null", "a message must be a JSON object, got null"),
        ("1", "a message must be a JSON object, got a number"),
        ("true", "a message must be a JSON object, got a boolean"),
    ],
)
def test_json_that_is_no_object_is_told_so(msgspec_: bool, payload: str, text: str) -> None:
    """B-g2: it ended the connection of the original."""
    error = refusal(table_of(by_msgspec=msgspec_), payload)

    assert error.errors == [{"loc": [], "msg": text, "type": "object_type"}]


@LIBRARIES
@pytest.mark.parametrize(
    "payload",
    [
        *("", " ", "{", "{'type': 'move'}", '{"type": "move", "x": 01}', "nope", b"\xff\xfe"),
        *(b'{"type": "\xff"}', '{"type": "say", "text": "\\ud800"}', '{"type": NaN}'),
        *("[" * 10_000, '{"type":' * 10_000, '{"type": ' + "9" * 5000 + "}"),
        *('{"type":' + "[" * 300 + "]" * 300 + "}", '{"type": "say", "text": "\ud800"}'),
    ],
)
def test_what_is_no_json_is_told_so(msgspec_: bool, payload: str | bytes) -> None:
    """Malformed, undecodable, or too deep to be written again."""
    error = refusal(table_of(by_msgspec=msgspec_), payload)

    assert [(e["loc"], e["type"]) for e in error.errors] == [([], "json_invalid")]
    assert error.errors[0]["msg"]


@pytest.mark.parametrize("msgspec_", [False, True])
@pytest.mark.parametrize("ref", [2**63, -(2**63) - 1, 10**30, True, [1], {"a": 1}, 1.5])
def test_a_ref_that_cannot_be_copied_is_one_error_of_its_own(msgspec_: bool, ref: Any) -> None:
    """The answer has no ref, so its error has to say why."""
    table = table_of(by_msgspec=msgspec_)

    error = refusal(table, {"type": "move", "x": 1, "ref": ref})

    assert [(e["loc"], e["type"]) for e in error.errors] == [(["ref"], "ref_type")]
    assert error.ref is None


def test_a_wrong_ref_does_not_hide_the_other_errors() -> None:
    """They are told in one answer."""
    error = refusal(table_of(), {"type": "move", "x": "far", "ref": []})

    assert [e["loc"] for e in error.errors] == [["x"], ["ref"]]


@LIBRARIES
def test_the_last_of_two_equal_keys_counts(msgspec_: bool) -> None:
    """For the table and for its words alike."""
    table = table_of(by_msgspec=msgspec_)

    assert refusal(table, '{"type": "move", "x": 1, "type": 5}').errors[0]["ctx"]["given"] == 5
    assert refusal(table, '{"type": "move", "x": 1, "ref": 1, "ref": []}').ref is None


def test_the_context_of_the_view_reaches_validators() -> None:
    """As in other class views."""

    class Short(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def cut(cls, text: str, info: ValidationInfo) -> str:
            return text[: info.context]

    models = {"say": model_for(Shape("", "say", whole=Short), by_msgspec=False)}

    assert Table(models, 2).decode('{"type": "say", "text": "hello"}').text == "he"


# Errors


def test_the_errors_of_each_library_have_one_form() -> None:
    """`loc`, `msg` and `type`, and `ctx` where there is more to say."""

    class Limited(BaseModel):
        n: Annotated[int, Field(gt=0)]

    with pytest.raises(ValidationError) as pydantics:
        Limited(n=0)
    with pytest.raises(msgspec.ValidationError) as msgspecs:
        msgspec.convert({"n": ["a"]}, dict[str, list[int]])

    assert errors_of(pydantics.value) == [
        {
            "loc": ["n"],
            "msg": "Input should be greater than 0",
            "type": "greater_than",
            "ctx": {"gt": 0},
        }
    ]
    assert [(e["msg"], e["type"]) for e in errors_of(msgspecs.value)] == [
        ("Expected `int`, got `str`", "ValidationError")
    ]
    assert errors_of(EventError("no", loc="to", ctx={1})) == [
        {"loc": ["to"], "msg": "no", "type": "event_error", "ctx": [1]}
    ]


def nested(depth: int) -> list[Any]:
    """Return lists in one another."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def ring() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "ctx", [nested(252), nested(260), 10**30, b"\xff", "\ud800", ring()], ids=lambda ctx: "ctx"
)
def test_an_error_loses_a_context_that_cannot_be_written(ctx: Any) -> None:
    """A client could end the connection by what it has repeated to it."""
    assert errors_of(EventError("no", ctx=ctx)) == [{"loc": [], "msg": "no", "type": "event_error"}]


def test_so_does_an_error_of_a_validator() -> None:
    """Its context may have the client's value in it."""

    class Picky(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def refuse(cls, n: int) -> int:
            raise PydanticCustomError("picky", "not {n}", {"n": n})

    with pytest.raises(ValidationError) as caught:
        Picky(n=10**30)

    assert [[*error] for error in errors_of(caught.value)] == [["loc", "msg", "type"]]


def test_what_nothing_can_write_is_told_as_text() -> None:
    """A word is better than no error at all."""
    (error,) = errors_of(EventError("no", ctx=LookupError("why")))

    assert error["ctx"] == "why"


def test_the_place_of_a_bad_response_begins_with_response() -> None:
    """A client sees that it is none of its doing."""
    error = InvalidResponse([{"loc": ["a"], "msg": "b", "type": "c"}])

    assert errors_of(error) == [{"loc": ["response", "a"], "msg": "b", "type": "c"}]


def test_validation_errors_are_known_from_others() -> None:
    """Those that are the client's to hear of."""
    with pytest.raises(ValidationError) as caught:
        Reply.model_validate(5)

    assert is_validation_error(caught.value)
    assert is_validation_error(msgspec.ValidationError("no"))
    assert not is_validation_error(ValueError("no"))


# Responses


class Reply(BaseModel):
    total: int
    note: str = "x"


class ReplyStruct(msgspec.Struct):
    total: int
    note: str = "x"


class ReplyDict(TypedDict):
    total: int


@dataclass
class Sum:
    total: int


@pytest.mark.parametrize(
    ("type_", "value", "made"),
    [
        (Reply, {"total": "1", "zz": 1}, Reply(total=1)),
        (Reply, Sum(1), Reply(total=1)),
        (ReplyStruct, {"total": 1, "zz": 1}, ReplyStruct(1)),
        (ReplyStruct, Sum(1), ReplyStruct(1)),
        (ReplyDict, {"total": 1, "zz": 1}, {"total": 1}),
    ],
)
def test_a_response_is_validated_and_filled_in(type_: Any, value: Any, made: Any) -> None:
    """From a dict, or from the attributes of an object; unknown keys are dropped."""
    assert response_validator(type_, "owner")(value) == made


@pytest.mark.parametrize("type_", [Reply, ReplyStruct, ReplyDict])
def test_a_response_that_is_not_of_its_type_is_a_validation_error(type_: Any) -> None:
    """Of the library whose type it is."""
    with pytest.raises((ValidationError, msgspec.ValidationError)):
        response_validator(type_, "owner")({"total": "many"})


def test_a_response_model_that_cannot_be_used_is_refused_by_name() -> None:
    """Where the view is registered."""
    with pytest.raises(ConfigurationError, match="owner: response_model: 5 cannot be used"):
        response_validator(5, "owner")


def test_a_model_is_made_plain_by_the_options_of_its_view() -> None:
    """Anything else as JSON is always written."""

    class Aliased(BaseModel):
        model_config = ConfigDict(serialize_by_alias=True)
        total: Annotated[int, Field(serialization_alias="sum")] = 1
        ratio: float = math.nan

    options = {"by_alias": False, "include": {"total"}}

    assert plain_object(Aliased(), options) == {"total": 1}
    assert plain_object(ReplyStruct(1), options) == {"total": 1, "note": "x"}
    assert plain_object(Sum(1), options) == {"total": 1}


def test_a_validator_of_a_response_may_be_a_function() -> None:
    """`Annotated` types are types, too."""
    type_ = Annotated[ReplyDict, BeforeValidator(lambda value: {"total": value})]

    assert response_validator(type_, "owner")(5) == {"total": 5}
