"""Values of a Python type: what is validated, what is refused, what is sent."""

import dataclasses
import datetime
import decimal
import enum
import functools
import json
import sys
import tracemalloc
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Annotated, Any, ForwardRef, Generic, Literal, Never, NewType, TypeVar

import annotated_types
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    ValidationInfo,
)
from typing_extensions import TypedDict

from bocadillo.codecs import Json
from bocadillo.errors import MAX_TEXT, ConfigurationError, InvalidMessage
from bocadillo.schemas import (
    MAX_ERRORS,
    Schema,
    adapter_for,
    dumper_for,
    schema_for,
    validator_for,
)

T = TypeVar("T")


class Kind(enum.Enum):
    CAT = "cat"
    FIVE = 5


class Pet(BaseModel):
    name: str
    age: int = 1
    born: datetime.date | None = Field(default=None, alias="bornOn")


class Puppy(Pet):
    tricks: int = 0


class Lamp(BaseModel):
    watts: int


class Join(BaseModel):
    type: Literal["join"] = "join"
    room: str


class Leave(BaseModel):
    type: Literal["leave"] = "leave"


class Crate(BaseModel, Generic[T]):
    content: T


class Tree(BaseModel):
    inner: "Tree | None" = None


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    day: datetime.date


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None


class Person(TypedDict):
    name: str
    age: int


class Shape(msgspec.Struct):
    area: int
    sides: list[int] = []
    note: Any = None


class Circle(msgspec.Struct, tag="circle", forbid_unknown_fields=True):
    radius: dict[str, Shape]


class Box(msgspec.Struct, Generic[T]):
    content: T


class NewerRoute(BaseModel):
    later: "DefinedNowhere"  # type: ignore[name-defined]  # noqa: F821


@dataclasses.dataclass
class NewerPoint:
    later: "DefinedNowhere"  # type: ignore[name-defined]  # noqa: F821


class NewerShape(msgspec.Struct):
    later: "DefinedNowhere"  # type: ignore[name-defined]  # noqa: F821


class TwoShapes(msgspec.Struct):
    either: Shape | dict[str, int]


class Demanding:
    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
        raise KeyError("boom")


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def circle() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def kind(value: Any) -> str:
    """Return an id for pytest that is the same in every process."""
    return getattr(value, "__name__", type(value).__name__)


def bug(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(reason=f"a library's limit: {reason}", strict=True)


def refusal(schema: Schema, payload: str | bytes) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        schema.load(payload)
    return caught.value


Command = Annotated[Join | Leave, Field(discriminator="type")]
Positive = Annotated[int, annotated_types.Gt(0)]
UserId = NewType("UserId", int)


# Values that come and go

KINDS: list[tuple[Any, str, Any]] = [
    (Pet, '{"name":"Rex","age":2,"bornOn":"2020-01-02"}',
     Pet(name="Rex", age=2, bornOn=datetime.date(2020, 1, 2))),
    (Point, '{"x":1,"y":[null]}', Point(1, [None])),
    (Person, '{"name":"Ada","age":36}', {"name": "Ada", "age": 36}),
    (Pet | Lamp, '{"watts":60}', Lamp(watts=60)),
    (Pet | None, "null", None),
    (Command, '{"type":"leave"}', Leave()),
    (Command, '{"type":"join","room":"a"}', Join(room="a")),
    (list[int], "[1,2]", [1, 2]),
    (list[Pet], '[{"name":"Rex","age":1,"bornOn":null}]', [Pet(name="Rex")]),
    (dict[str, Any], '{"a":{"b":[1.5,true]}}', {"a": {"b": [1.5, True]}}),
    (dict[int, str], '{"1":"a"}', {1: "a"}),
    (tuple[int, str], '[1,"a"]', (1, "a")),
    (set[int], "[1]", {1}),
    (int, "123456789012345678901234567890", 123456789012345678901234567890),
    (str | int, '"a"', "a"),
    (bool, "true", True),
    (Positive, "1", 1),
    (UserId, "7", 7),
    (Kind, '"cat"', Kind.CAT),
    (Literal["a", 1], "1", 1),
    (uuid.UUID, f'"{uuid.UUID(int=1)}"', uuid.UUID(int=1)),
    (datetime.datetime, '"2020-01-02T03:04:05Z"',
     datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)),
    (decimal.Decimal, '"1.10"', decimal.Decimal("1.10")),
    (RootModel[list[int]], "[1]", RootModel[list[int]]([1])),
    (Tree, '{"inner":{"inner":null}}', Tree(inner=Tree())),
    (Strict, '{"day":"2020-01-02"}', Strict(day=datetime.date(2020, 1, 2))),
    (object, '{"a":1}', {"a": 1}),
    (None, "null", None),
    (Mapping[str, int], '{"a":1}', {"a": 1}),
    (Shape, '{"area":1,"sides":[2],"note":null}', Shape(1, [2])),
    (Circle, '{"type":"circle","radius":{"a":{"area":1,"sides":[],"note":null}}}',
     Circle({"a": Shape(1)})),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "payload", "value"), KINDS, ids=lambda part: str(part)[:30])
def test_values_of_a_type_come_and_go(type_: Any, payload: str, value: Any) -> None:
    """Whatever pydantic or msgspec can validate may be a route's value type."""
    schema = schema_for(type_)

    assert schema.load(payload) == value
    assert schema.load(payload.encode()) == value
    assert type(schema.load(payload)) is type(value)
    assert schema.dump(value) == payload


STRUCTS: list[tuple[Any, str, Any]] = [
    (list[Shape], '[{"area":1,"sides":[],"note":null}]', [Shape(1)]),
    (dict[str, Shape], '{"a":{"area":1,"sides":[],"note":null}}', {"a": Shape(1)}),
    (Shape | None, "null", None),
    (Annotated[Shape, "a note"], '{"area":1,"sides":[],"note":null}', Shape(1)),
    (Box[int], '{"content":1}', Box(1)),
]


@pytest.mark.parametrize(("type_", "payload", "value"), STRUCTS, ids=lambda part: str(part)[:30])
def test_structs_may_stand_inside_another_type(type_: Any, payload: str, value: Any) -> None:
    """Lists and unions of Structs are as common as Structs."""
    schema = schema_for(type_)

    assert schema.load(payload) == value
    assert schema.dump(value) == payload


# What comes in and is refused


def test_all_errors_of_a_message_are_listed() -> None:
    """A form shows every wrong field at once."""
    exc = refusal(schema_for(Pet), '{"age":"x","bornOn":"2020-13-01"}')

    assert [error["loc"] for error in exc.errors] == [["name"], ["age"], ["bornOn"]]
    assert [error["type"] for error in exc.errors][:2] == ["missing", "int_parsing"]
    assert all(set(error) == {"loc", "msg", "type"} for error in exc.errors)
    assert str(exc).startswith("name: Field required; age: Input should be a valid integer")
    assert exc.code == 1007
    assert exc.__suppress_context__


@pytest.mark.parametrize(
    ("type_", "payload", "loc", "kind"),
    [
        (list[Pet], '[{"name":"a"},{}]', [1, "name"], "missing"),
        (dict[str, int], '{"a":"x"}', ["a"], "int_parsing"),
        (dict[int, int], '{"a":1}', ["a", "[key]"], "int_parsing"),
        (Command, '{"type":"nope"}', [], "union_tag_invalid"),
        (Command, '{"type":"join"}', ["join", "room"], "missing"),
        (Strict, '{"day":"2020-01-02","x":1}', ["x"], "extra_forbidden"),
        (Positive, "0", [], "greater_than"),
        (Kind, '"dog"', [], "enum"),
        (int, '"x"', [], "int_parsing"),
    ],
)
def test_an_error_says_where_and_of_what_kind(
    type_: Any, payload: str, loc: list[Any], kind: str
) -> None:
    """Clients react to `loc` and `type`; `msg` is for people."""
    exc = refusal(schema_for(type_), payload)

    assert [(error["loc"], error["type"]) for error in exc.errors] == [(loc, kind)]


def test_errors_can_be_sent() -> None:
    """They are answered as JSON, so they hold nothing but JSON: no input, no exceptions."""

    def refuse(value: int) -> int:
        raise ValueError("too odd")

    exc = refusal(schema_for(Annotated[int, AfterValidator(refuse)]), "1")

    assert json.loads(json.dumps(exc.errors)) == [
        {"loc": [], "msg": "Value error, too odd", "type": "value_error"}
    ]


@pytest.mark.parametrize(
    ("payload", "loc", "message", "kind"),
    [
        ('{"area":"x"}', ["area"], "Expected `int`, got `str`", "ValidationError"),
        (
            '{"area":1,"sides":[1,"x"]}',
            ["sides", 1],
            "Expected `int`, got `str`",
            "ValidationError",
        ),
        ("{}", ["area"], "Object missing required field `area`", "missing"),
        ("[]", [], "Expected `object`, got `array`", "ValidationError"),
    ],
)
def test_an_error_of_msgspec_says_where_too(
    payload: str, loc: list[Any], message: str, kind: str
) -> None:
    """The shape of errors does not depend on the library that found them."""
    exc = refusal(schema_for(Shape), payload)

    assert exc.errors == [{"loc": loc, "msg": message, "type": kind}]
    assert str(exc).startswith(message)
    assert exc.code == 1007


MALFORMED: dict[str, str | bytes] = {
    "nothing": "",
    "truncated": '{"area":1',
    "truncated bytes": b'{"area":1',
    "comment": "// c\n1",
    "single quotes": "{'area':1}",
    "trailing": '{"area":1} x',
    "BOM": '\ufeff{"area":1}',
    "BOM in bytes": b'\xef\xbb\xbf{"area":1}',
    "invalid UTF-8": b'{"area":"\xff"}',
    "invalid UTF-8 beside": b'{"area":1,"name":"\xff","note":"\xff"}',
    "UTF-16": '{"area":1}'.encode("utf-16"),
    "surrogate in bytes": b'{"area":"\xed\xa0\x80"}',
    "half an escape": '{"area":"\\ud800"}',
    "control character": '{"area":"\x00"}',
    "10 000 deep": '{"area":' * 10_000 + "1" + "}" * 10_000,
    "100 000 lists deep": "[" * 100_000,
    "10 000 deep beside": '{"area":1,"name":"a","note":' + "[" * 10_000 + "]" * 10_000 + "}",
    "huge int": '{"area":' + "1" * 10_000 + "}",
    "huge int beside": '{"area":1,"name":"a","age":' + "1" * 10_000 + "}",
    "huge float": '{"area":1e999999999}',
    "NaN": '{"area":NaN}',
}


# A Struct does not read the numbers of fields that it does not have.
MALFORMED_FOR = [
    (type_, case)
    for type_ in (Pet, Lamp, Shape, list[int])
    for case in MALFORMED
    if (type_, case) != (Shape, "huge int beside")
]


@pytest.mark.parametrize(("type_", "case"), MALFORMED_FOR, ids=str)
def test_malformed_payloads_are_refused(type_: Any, case: str) -> None:
    """Nothing but `InvalidMessage`, however deep, long or broken the payload is."""
    exc = refusal(schema_for(type_), MALFORMED[case])

    assert exc.code == 1007
    assert exc.errors


@pytest.mark.parametrize(
    "type_",
    [Pet, list[int], Shape],
    ids=str,
)
def test_half_a_surrogate_pair_is_refused(type_: Any) -> None:
    """No server hands it over, but tests and proxies do."""
    assert refusal(schema_for(type_), '{"name":"\ud800","area":1}').code == 1007


@pytest.mark.parametrize("type_", [Pet, Shape, list[Any], dict[str, Point], Command], ids=str)
@settings(max_examples=60, deadline=None)
@given(payload=st.text() | st.binary())
def test_arbitrary_payloads_are_read_or_refused(type_: Any, payload: str | bytes) -> None:
    """The handler has one kind of exception to catch."""
    schema = _schema(type_)

    try:
        value = schema.load(payload)
    except InvalidMessage:
        return

    assert schema.load(schema.dump(value)) == value


@functools.cache
def _schema(type_: Any) -> Schema:
    return schema_for(type_)


@pytest.mark.parametrize("payload", ["NaN", "Infinity", "-Infinity", "1e400"])
@bug("Json(T) leaves it to pydantic, which reads NaN and Infinity unless the type forbids them")
def test_what_is_no_json_number_is_refused(payload: str) -> None:
    """A price of NaN passes every `price > limit` check."""
    assert refusal(schema_for(list[float]), f"[{payload}]").errors


@pytest.mark.parametrize(
    "type_",
    [Iterable[int], Iterable[int] | None, dict[str, Iterable[int]], Generator[int, None, None]],
    ids=str,
)
def test_a_type_that_is_validated_too_late_is_refused(type_: Any) -> None:
    """The handler would meet pydantic's error in the middle of a loop."""
    with pytest.raises(ConfigurationError, match=r"write list\[…\] instead"):
        schema_for(type_)


def test_too_many_errors_are_counted_only() -> None:
    """A frame of wrong items costs its sender's bandwidth, not our seconds and gigabytes."""
    payload = json.dumps(["x"] * 500_000)

    tracemalloc.start()
    try:
        exc = refusal(schema_for(list[int]), payload)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    text = "500000 errors, more than can be told"
    assert exc.errors == [{"loc": [], "msg": text, "type": "too_many_errors"}]
    assert str(exc) == text
    assert peak_bytes < 5_000_000


def test_the_most_errors_that_are_listed_are_all_listed() -> None:
    """One more, and there is but one."""
    schema = schema_for(list[int])

    at_the_limit = refusal(schema, json.dumps(["x"] * MAX_ERRORS))
    beyond = refusal(schema, json.dumps(["x"] * (MAX_ERRORS + 1)))

    assert [error["loc"] for error in at_the_limit.errors] == [[at] for at in range(MAX_ERRORS)]
    assert str(at_the_limit).endswith("…")
    assert [error["type"] for error in beyond.errors] == ["too_many_errors"]


@pytest.mark.parametrize(
    ("type_", "payload"),
    [
        (dict[str, int], json.dumps({"\x1b[2J\n" * 1000: "x"})),
        (Literal["a"], json.dumps("\n" * 100_000)),
        (dict[Literal["a"], Shape], json.dumps({"\n" * 1000: 1})),
    ],
    ids=["key", "value", "key for msgspec"],
)
def test_the_text_of_an_error_is_bounded_and_printable(type_: Any, payload: str) -> None:
    """It goes into a log line."""
    text = str(refusal(schema_for(type_), payload))

    assert text.isprintable()
    assert len(text) <= MAX_TEXT + 1


# What goes out


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (int, "1"),
        (int, 1.5),
        (str, 1),
        (list[int], ["x"]),
        (list[int], (1,)),
        (list[int], "ab"),
        (Pet, {"name": "Rex"}),
        (Pet, None),
        (Pet, Lamp(watts=60)),
        (list[Pet], [Pet.model_construct(name=5)]),
        (Pet | None, "Rex"),
        (Pet | Lamp, Join(room="a")),
        (list[Pet], Pet(name="Rex")),
        (Point, {"x": 1}),
        (Point, Point("x")),  # type: ignore[arg-type]
        (Person, {"name": "Ada", "age": "36"}),
        (Person, []),
        (Command, Pet(name="Rex")),
        (Kind, "cat"),
        (uuid.UUID, "x"),
        (datetime.date, "2020-01-02"),
        (tuple[int, str], (1,)),
        (dict[str, int], {1: 1}),
        (None, 1),
        (Shape, {"area": 1}),
        (Shape, Box(1)),
        (Shape, None),
        (list[Shape], [{"area": "x"}]),
        (list[Shape], Shape(1)),
        (Shape | None, 1),
        (list[int], None),
        (int, None),
        (Pet | None, Lamp(watts=60)),
        (list[Pet], [Lamp(watts=60), None]),
        (Literal["a"], "b"),
        (Person, {"name": "Ada"}),
        (RootModel[list[int]], [1]),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_not_sent(type_: Any, value: Any) -> None:
    """What a client reads is what the route promises."""
    with pytest.raises(TypeError, match="cannot send"):
        schema_for(type_).dump(value)


@bug("pydantic writes half a surrogate pair in a key as three U+FFFD; in a value it refuses it")
def test_a_key_that_no_text_frame_can_carry_is_not_sent() -> None:
    """Silently another key is worse than an error."""
    with pytest.raises(TypeError):
        schema_for(dict[str, Any]).dump({"\ud800": 1})


def test_what_the_type_does_not_have_is_not_sent() -> None:
    """A key too many in a `TypedDict` shows nothing to the client."""
    ada = {"name": "Ada", "age": 36, "secret": 1}

    assert schema_for(Person).dump(ada) == '{"name":"Ada","age":36}'


# The three ways of sending


REX = '{"name":"Rex","age":1,"bornOn":null}'
SHAPE = '{"area":1,"sides":[],"note":null}'


@pytest.mark.parametrize(
    ("type_", "value", "payload"),
    [
        (list[Pet], [{"name": "Rex"}], f"[{REX}]"),
        (Pet | None, {"name": "Rex"}, REX),
        (list[Shape], [{"area": 1}], f"[{SHAPE}]"),
        (Shape | None, {"area": 1}, SHAPE),
        (Annotated[Shape, "a note"], {"area": 1}, SHAPE),
    ],
    ids=str,
)
def test_inside_another_type_a_dict_becomes_a_model_even_when_checked(
    type_: Any, value: Any, payload: str
) -> None:
    """Neither library tells them apart there; what is sent is valid all the same."""
    assert schema_for(type_, on_send="check").dump(value) == payload


@pytest.mark.parametrize(
    ("type_", "value", "payload"),
    [
        (Pet, {"name": "Rex", "age": "1"}, REX),
        (Pet, Pet(name="Rex"), REX),
        (list[Pet], [{"name": "Rex"}], f"[{REX}]"),
        (list[int], ["1"], "[1]"),
        (list[int], (1,), "[1]"),
        (int, "1", "1"),
        (Point, {"x": "1"}, '{"x":1,"y":null}'),
        (datetime.date, "2020-01-02", '"2020-01-02"'),
        (RootModel[list[int]], [1], "[1]"),
        (Shape, {"area": 1}, SHAPE),
        (Shape, Shape(1), SHAPE),
        (list[Shape], [{"area": 1}], f"[{SHAPE}]"),
    ],
    ids=str,
)
def test_what_is_converted_is_validated_as_if_it_were_received(
    type_: Any, value: Any, payload: str
) -> None:
    """`on_send="convert"` lets a view send what it has at hand."""
    assert schema_for(type_, on_send="convert").dump(value) == payload


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Pet, {"age": 1}),
        (Pet, Lamp(watts=60)),
        (list[int], ["x"]),
        (Point, {"x": "x"}),
        (Shape, {"area": "x"}),
        (Shape, 5),
        (list[Shape], [{}]),
    ],
    ids=str,
)
def test_what_cannot_be_converted_is_not_sent(type_: Any, value: Any) -> None:
    """What a client reads is what the route promises, however it came to be."""
    with pytest.raises(TypeError, match="cannot send"):
        schema_for(type_, on_send="convert").dump(value)


@pytest.mark.parametrize(
    ("type_", "value", "payload"),
    [
        (Pet, {"name": 5}, '{"name":5}'),
        (list[int], ["x"], '["x"]'),
        (int, None, "null"),
        (Point, {"x": 1}, '{"x":1}'),
        (Shape, {"area": "x"}, '{"area":"x"}'),
        (list[Shape], 5, "5"),
    ],
    ids=str,
)
def test_what_is_trusted_is_written_as_it_is(type_: Any, value: Any, payload: str) -> None:
    """`on_send="trust"` is for those who measure, and know what they hold."""
    assert schema_for(type_, on_send="trust").dump(value) == payload


@pytest.mark.parametrize("type_", [int, Shape], ids=str)
def test_what_is_trusted_and_cannot_be_written_is_a_type_error(type_: Any) -> None:
    """Trust makes no JSON of an object."""
    with pytest.raises(TypeError, match="cannot send object"):
        schema_for(type_, on_send="trust").dump(object())


def test_a_dict_in_place_of_a_model_is_told_the_way_out() -> None:
    """The likeliest slip, and its option."""
    with pytest.raises(TypeError, match="cannot send dict: .*on_send='convert' makes one"):
        schema_for(Pet).dump({"name": "Rex"})


def test_a_generic_model_may_be_sent_without_its_parameter() -> None:
    """`Crate(content=1)` is what people write, and pydantic checks it."""
    schema = schema_for(Crate[int])

    assert schema.dump(Crate(content=1)) == '{"content":1}'
    with pytest.raises(TypeError):
        schema.dump(Crate(content="x"))


def test_options_are_those_of_dump_json() -> None:
    """Aliases are on unless they say otherwise."""
    pet = Pet(name="Rex")

    assert schema_for(Pet, options={"by_alias": False}).dump(pet) == REX.replace("bornOn", "born")
    assert schema_for(Pet, options={"exclude_defaults": True}).dump(pet) == '{"name":"Rex"}'
    assert schema_for(list[int], options={"indent": 1}).dump([1]) == "[\n 1\n]"


def test_the_context_reaches_the_validators_of_both_directions() -> None:
    """A validator may ask for limits that the route knows."""

    def check(value: int, info: ValidationInfo[dict[str, int]]) -> int:
        if value > info.context["most"]:
            raise ValueError("too many")
        return value

    schema = schema_for(Annotated[int, AfterValidator(check)], context={"most": 5})

    assert schema.load("5") == 5
    assert schema.dump(5) == "5"
    assert refusal(schema, "6").errors[0]["type"] == "value_error"
    with pytest.raises(TypeError, match="too many"):
        schema.dump(6)


def test_a_model_is_sent_by_its_class_alone() -> None:
    """It was validated when it was made; checking it again would cost ten times as much."""
    pet = Pet(name="Rex")
    pet.age = "old"  # type: ignore[assignment]

    assert schema_for(Pet).dump(pet) == '{"name":"Rex","age":"old","bornOn":null}'


UNWRITABLE: dict[str, tuple[Any, Callable[[], Any]]] = {
    "object": (dict[str, Any], lambda: {"a": object()}),
    "object key": (dict[Any, int], lambda: {object(): 1}),
    "circle": (Point, lambda: Point(1, circle())),
    "100 000 deep": (Point, lambda: Point(1, nested(100_000))),
    "surrogate": (Pet, lambda: Pet(name="\ud800")),
    "bytes": (Point, lambda: Point(1, b"\xff")),
    "Struct: object": (Shape, lambda: Shape(1, note=object())),
    "Struct: object key": (Shape, lambda: Shape(1, note={object(): 1})),
}


@pytest.mark.parametrize("case", UNWRITABLE)
def test_what_cannot_be_written_is_a_type_error(case: str) -> None:
    """Nothing else has to be caught around a `send`."""
    type_, make = UNWRITABLE[case]
    value = make()

    with pytest.raises(TypeError):
        schema_for(type_).dump(value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Shape(1, note=circle()),
        lambda: Shape(1, note=nested(100_000)),
        lambda: Shape(1, note="\ud800"),
        lambda: Shape(1, note={"\ud800": 1}),
    ],
    ids=["circle", "100 000 deep", "surrogate", "surrogate key"],
)
def test_what_cannot_be_written_of_a_struct_is_a_type_error(make: Callable[[], Any]) -> None:
    """The library that encodes makes no difference."""
    value = make()

    with pytest.raises(TypeError):
        schema_for(Shape).dump(value)


@pytest.mark.parametrize(
    ("type_", "value", "payload"),
    [
        (float, float("nan"), "null"),
        (list[float], [float("inf"), 1], "[null,1.0]"),
        (Shape, Shape(1, note=float("nan")), '{"area":1,"sides":[],"note":null}'),
        (Pet, Puppy(name="Rex", tricks=3), '{"name":"Rex","age":1,"bornOn":null}'),
        (Point, Point(1, Pet(name="é")), '{"x":1,"y":{"name":"é","age":1,"bornOn":null}}'),
    ],
    ids=str,
)
def test_what_goes_out_follows_the_type(type_: Any, value: Any, payload: str) -> None:
    """NaN is null, names are aliases, and a subclass shows what its base class has."""
    assert schema_for(type_).dump(value) == payload


# Types that cannot be used


@pytest.mark.parametrize(
    "make", [schema_for, adapter_for, validator_for, Json], ids=lambda make: make.__name__
)
@pytest.mark.parametrize(
    "type_", [object(), 5, Shape(1), len, ForwardRef, slice, Never, TypeVar], ids=kind
)
def test_an_unusable_type_is_refused_when_the_route_is_made(
    make: Callable[[Any], Any], type_: Any
) -> None:
    """Never at the first message, when nobody is watching."""
    with pytest.raises(ConfigurationError, match=r"cannot be used as a type of data|no.? a type"):
        make(type_)


@pytest.mark.parametrize(
    "type_",
    [
        pytest.param(Demanding, id="KeyError"),
        pytest.param(Annotated[str, Field(pattern="(")], id="SchemaError: pattern"),
        pytest.param(Annotated[int, Field(ge="x")], id="SchemaError: bound"),
        pytest.param(NewerShape, id="NameError of msgspec"),
        pytest.param(TwoShapes, id="TypeError of msgspec"),
        pytest.param("list[", id="SyntaxError"),
        pytest.param("Shapee", id="unknown name alone"),
        pytest.param(NewerRoute, id="model not fully defined"),
        pytest.param(NewerPoint, id="dataclass not fully defined"),
        pytest.param(list["DefinedNowhere"], id="unknown name"),  # type: ignore[name-defined]  # noqa: F821
    ],
)
def test_an_unusable_type_of_another_sort_is_refused_too(type_: Any) -> None:
    """Whatever the library raises, the developer reads one kind of error."""
    with pytest.raises(ConfigurationError):
        schema_for(type_)


def test_without_msgspec_all_types_are_pydantics(monkeypatch: pytest.MonkeyPatch) -> None:
    """msgspec is an extra; nothing asks for it."""
    monkeypatch.setitem(sys.modules, "msgspec", None)

    assert schema_for(list[int]).load("[1]") == [1]


def test_a_refusal_of_a_type_is_one_line() -> None:
    """pydantic's second line is a link for its own users."""
    union: Any = Annotated[Join | Lamp, Field(discriminator="type")]

    with pytest.raises(ConfigurationError, match="needs a discriminator field") as caught:
        schema_for(union)

    assert "\n" not in str(caught.value)
    assert "errors.pydantic.dev" not in str(caught.value)


@bug("pydantic notices at the first value: TypeError, so 1011 in a view")
@pytest.mark.parametrize(
    "type_",
    [Annotated[int, Field(pattern="a")], Annotated[str, Field(ge=1)]],
    ids=["pattern of int", "bound of str"],
)
def test_a_constraint_that_the_type_cannot_have_is_refused(type_: Any) -> None:
    """A mistake of the route is told when the route is made."""
    with pytest.raises(ConfigurationError):
        schema_for(type_)


# Validators of decoded values


def test_a_validator_lists_all_errors_of_a_decoded_value() -> None:
    """MessagePack and parameters are checked by the same rules as JSON."""
    validate = validator_for(list[int])

    assert validate(["1", 2]) == [1, 2]
    with pytest.raises(InvalidMessage) as caught:
        validate(["x", 1, "y"])
    assert [error["loc"] for error in caught.value.errors] == [[0], [2]]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", " Infinity ", "-NaN"])
@pytest.mark.parametrize("type_", [float, float | None, decimal.Decimal], ids=str)
def test_what_is_no_number_is_refused_in_a_text(type_: Any, text: str) -> None:
    """`?limit=nan` is a mistake, whatever IEEE 754 says."""
    validate = validator_for(type_, is_text=True)

    with pytest.raises(InvalidMessage, match="finite number"):
        validate(text)


def test_a_decoded_value_may_be_infinite() -> None:
    """MessagePack has such numbers; only texts from a URL are held to more."""
    validate = validator_for(float)

    assert validate(float("inf")) == float("inf")


def test_what_is_no_number_is_refused_inside_a_list_too() -> None:
    """`?price=1&price=1e999` is no way around."""
    validate = validator_for(list[float], is_text=True)

    with pytest.raises(InvalidMessage, match="^1: Input should be a finite number$"):
        validate(["1", "1e999"])


def test_what_a_validator_of_ones_own_raises_is_the_verdict_on_the_value() -> None:
    """A look-up that fails is a wrong parameter, not a crash."""
    validate = validator_for(Annotated[str, AfterValidator({"a": 1}.__getitem__)])

    assert validate("a") == 1
    with pytest.raises(InvalidMessage, match="^KeyError: 'b'$") as caught:
        validate("b")
    assert isinstance(caught.value.__cause__, KeyError)


# Dumpers of plain values


def test_a_dumper_validates_and_gives_plain_values() -> None:
    """MessagePack packs what JSON would write, but keeps bytes."""
    dump = dumper_for(dict[str, Pet | bytes])

    assert dump({"a": {"name": "Rex"}, "b": b"\xff"}) == {
        "a": {"name": "Rex", "age": 1, "bornOn": None},
        "b": b"\xff",
    }
    with pytest.raises(TypeError, match="^cannot send dict: "):
        dump({"a": None})


def test_a_dumper_has_one_kind_of_error() -> None:
    """A serializer that fails is no ValueError of pydantic's."""

    def fail(value: int) -> int:
        raise ZeroDivisionError(value)

    with pytest.raises(TypeError, match="^cannot send int: .*ZeroDivisionError"):
        dumper_for(Annotated[int, PlainSerializer(fail)])(1)


def test_a_type_with_a_configuration_of_its_own_keeps_it() -> None:
    """pydantic refuses a second configuration; that is no reason to refuse the type."""
    validate = validator_for(Lamp, is_text=True)

    assert validate({"watts": "60"}) == Lamp(watts=60)
