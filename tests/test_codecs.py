"""Codecs: names and objects, text, bytes, JSON and MessagePack of any value."""

import contextlib
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import sys
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
import ormsgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_serializer

from bocadillo.codecs import (
    BYTES,
    EVENT,
    JSON,
    TEXT,
    Codec,
    Json,
    MessagePack,
    codec_for,
    decode_json,
    encode_json,
)
from bocadillo.errors import ConfigurationError, InvalidJson, InvalidMessage

PACK: Codec = MessagePack()

# Machines of a CI pause at times; an example may take long without being wrong.
patient = settings(max_examples=60, deadline=None)

any_text = st.text(st.characters())
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
pack_values = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 99), inner),
    max_leaves=20,
)


class Color(enum.Enum):
    RED = "red"
    FIVE = 5


class Level(enum.IntEnum):
    HIGH = 3


class Pet(BaseModel):
    name: str = "Rex"
    born: datetime.date = Field(default=datetime.date(2020, 1, 2), alias="bornOn")
    toy: Any = None


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = None


class Shape(msgspec.Struct):
    area: Any
    note: Any = None


class Broken(BaseModel):
    x: int = 1

    @field_serializer("x")
    def fail(self, value: int) -> int:
        raise ZeroDivisionError(value)


class Evasive:
    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError(name)


class Reversed:
    """A user's codec: text, backwards."""

    def decode(self, payload: str | bytes) -> str:
        if not isinstance(payload, str):
            raise InvalidMessage("text only", code=1003)
        if payload == "bad":
            raise LookupError("no such word")
        return payload[::-1]

    def encode(self, value: str) -> str:
        return value[::-1]


@dataclasses.dataclass
class Padded(Reversed):
    """A codec with a setting."""

    width: int = 8


def nested(depth: int, wrap: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    value: Any = []
    for _ in range(depth):
        value = wrap(value)
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


# Which codec


@pytest.mark.parametrize(
    ("value_type", "codec"),
    [
        ("text", TEXT),
        (str, TEXT),
        ("bytes", BYTES),
        (bytes, BYTES),
        ("json", JSON),
        (Any, JSON),
        ("event", EVENT),
    ],
)
def test_names_and_plain_types_share_one_codec(value_type: Any, codec: Codec) -> None:
    """`str` is "text", `bytes` is "bytes", `Any` is "json"."""
    assert codec_for(value_type) is codec


def test_a_mapping_is_a_type_like_others() -> None:
    """Its name promises no list, so none is handed over."""
    codec = codec_for(Mapping)

    assert codec.decode('{"a":1}') == {"a": 1}
    with pytest.raises(InvalidMessage):
        codec.decode("[1]")


@pytest.mark.parametrize("codec", [Json(int), MessagePack(), MessagePack(int), TEXT, JSON])
def test_a_codec_of_ours_is_used_as_it_is(codec: Codec) -> None:
    """Nothing is wrapped that already tells what is wrong by itself."""
    assert codec_for(codec) is codec


def test_msgpack_has_a_name() -> None:
    """`value_type="msgpack"` is binary in, binary out."""
    codec = codec_for("msgpack")

    assert codec.decode(codec.encode({"a": [1, b"x"]})) == {"a": [1, b"x"]}


@pytest.mark.parametrize("value_type", ["txt", "TEXT", " text", "", "Json", Color.RED.value])
def test_an_unknown_name_is_refused_with_the_choices(value_type: str) -> None:
    """A typo fails when the route is made, and the message corrects it."""
    with pytest.raises(ConfigurationError, match="unknown value type") as caught:
        codec_for(value_type)

    assert repr(value_type) in str(caught.value)
    for choice in (
        "'text'",
        "'bytes'",
        "'json'",
        "'msgpack'",
        "'event'",
        "a Python type",
        "decode",
    ):
        assert choice in str(caught.value)


class DecodeOnly:
    def decode(self, payload: str | bytes) -> Any:
        return payload


@pytest.mark.parametrize(
    "value_type",
    [5, True, ..., object(), [int], (int,), b"text", len, json, DecodeOnly(), DecodeOnly,
     Reversed, Json, MessagePack, Codec],
    ids=kind,
)  # fmt: skip
def test_what_is_no_type_and_no_codec_is_refused_with_the_choices(value_type: Any) -> None:
    """A class in place of its instance is the likeliest slip."""
    with pytest.raises(ConfigurationError) as caught:
        codec_for(value_type)

    assert repr(value_type) in str(caught.value)
    assert "possible: 'text'" in str(caught.value)
    assert "an object with decode(payload) and encode(value)" in str(caught.value)


@pytest.mark.parametrize("value_type", [{}, Padded], ids=["dict", "dataclass codec"])
def test_what_pydantic_might_take_for_a_type_is_refused(value_type: Any) -> None:
    """What cannot have been meant fails when the route is made."""
    with pytest.raises(ConfigurationError):
        codec_for(value_type)


# Codecs of users


class AsyncDecoder(Reversed):
    async def decode(self, payload: str | bytes) -> str:  # type: ignore[override]
        return ""


class AsyncEncoder(Reversed):
    async def encode(self, value: str) -> str:  # type: ignore[override]
        return ""


@pytest.mark.parametrize("codec", [AsyncDecoder(), AsyncEncoder()], ids=kind)
def test_a_codec_is_not_async(codec: Any) -> None:
    """A coroutine in place of a value would be noticed far from here."""
    with pytest.raises(ConfigurationError, match="decode and encode must not be async"):
        codec_for(codec)


def test_a_codec_is_two_methods() -> None:
    """No base class, no registration."""
    codec = codec_for(Reversed())

    assert codec.decode("abc") == "cba"
    assert codec.encode("abc") == "cba"


def test_what_a_codec_raises_is_the_verdict_on_the_payload() -> None:
    """A codec need not know bocadillo to refuse a message."""
    with pytest.raises(InvalidMessage, match="LookupError: 'no such word'|no such word") as caught:
        codec_for(Reversed()).decode("bad")

    assert caught.value.code == 1007
    assert isinstance(caught.value.__cause__, LookupError)


def test_a_codecs_own_invalid_message_passes_unchanged() -> None:
    """A codec that does know bocadillo chooses code and errors."""
    with pytest.raises(InvalidMessage, match="^text only$") as caught:
        codec_for(Reversed()).decode(b"abc")

    assert caught.value.code == 1003


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_is_no_verdict(kind: type[BaseException]) -> None:
    """Ctrl+C in a slow codec stops the program."""

    class Leaves(Reversed):
        def decode(self, payload: str | bytes) -> str:
            raise kind

    with pytest.raises(kind):
        codec_for(Leaves()).decode("x")


def test_a_users_codec_is_wrapped_once() -> None:
    """Handing a route's codec on adds no layer."""
    once = codec_for(Reversed())

    assert codec_for(once) is once


# Text and bytes


@patient
@given(any_text)
def test_text_passes_unchanged(value: str) -> None:
    """The fast path changes nothing."""
    assert TEXT.decode(value) is value
    assert TEXT.encode(value) is value


@patient
@given(st.binary())
def test_bytes_pass_unchanged(value: bytes) -> None:
    """The fast path changes nothing; other buffers are copied."""
    assert BYTES.decode(value) is value
    assert BYTES.encode(value) is value
    assert BYTES.encode(bytearray(value)) == value
    assert BYTES.encode(memoryview(value)) == value


@pytest.mark.parametrize(
    ("codec", "payload", "words"),
    [
        (TEXT, b"x", "expected a text frame, got a binary frame"),
        (BYTES, "x", "expected a binary frame, got a text frame"),
        (PACK, "x", "expected a binary frame, got a text frame"),
    ],
)
def test_the_wrong_kind_of_frame_is_refused_with_1003(
    codec: Codec, payload: str | bytes, words: str
) -> None:
    """RFC 6455 §7.4.1 has a code for data of a type that is not accepted."""
    with pytest.raises(InvalidMessage, match=words) as caught:
        codec.decode(payload)

    assert caught.value.code == 1003
    assert caught.value.errors == [{"loc": [], "msg": words, "type": "wrong_frame"}]


@pytest.mark.parametrize("value", [b"x", 1, None, ["x"], bytearray(b"x")], ids=repr)
def test_a_text_frame_takes_nothing_but_str(value: Any) -> None:
    """`send(obj)` without a value type is a slip, and never sends a repr."""
    kind = type(value).__name__

    with pytest.raises(TypeError, match=f"a text frame takes str, got {kind}"):
        TEXT.encode(value)


@pytest.mark.parametrize("value", ["x", 1, None, [1]], ids=repr)
def test_a_binary_frame_takes_nothing_but_bytes(value: Any) -> None:
    """`bytes(5)` would be five zeros."""
    kind = type(value).__name__

    with pytest.raises(TypeError, match=f"a binary frame takes bytes, got {kind}"):
        BYTES.encode(value)


# JSON in


@patient
@given(json_values)
def test_any_json_value_comes_back(value: Any) -> None:
    """What is sent as JSON is what is received, from either kind of frame."""
    text = encode_json(value)

    assert decode_json(text) == value
    assert decode_json(text.encode()) == value
    assert json.loads(text) == value


@pytest.mark.parametrize("codec", [JSON, PACK], ids=["json", "msgpack"])
@patient
@given(payload=any_text | st.binary())
def test_arbitrary_payloads_are_read_or_refused(codec: Codec, payload: str | bytes) -> None:
    """No payload gives the handler anything to catch but `InvalidMessage`."""
    with contextlib.suppress(InvalidMessage):
        codec.decode(payload)


@pytest.mark.parametrize(
    "payload",
    ["", " ", "{", "[1,", "nul", "NaN", "Infinity", "-Infinity", "1e400", "1" * 10_000, "01",
     "+1", ".5", "1.", "'a'", "{a:1}", "[1]x", "1 2", "[1,]", "// c\n1", "\x00", '"\x00"',
     "\ufeff1", b"\xef\xbb\xbf1", "\ud800", '"\ud800"', '"\\ud800"', b"\xff", b'"\xff"',
     b'"\xed\xa0\x80"', "[" * 100_000, "[" * 10_000 + "]" * 10_000,
     '{"a":' * 10_000 + "1" + "}" * 10_000],
    ids=lambda payload: ascii(payload[:8]),
)  # fmt: skip
def test_malformed_json_is_both_kinds_of_error(payload: str | bytes) -> None:
    """Handlers catch it as ours, code moved from elsewhere as the json module's."""
    with pytest.raises(InvalidJson) as caught:
        decode_json(payload)

    assert isinstance(caught.value, InvalidMessage)
    assert isinstance(caught.value, json.JSONDecodeError)
    assert caught.value.code == 1007


@pytest.mark.parametrize("payload", [str(2**64), str(-(2**63) - 1)])
def test_integers_beyond_64_bits_are_read_as_float(payload: str) -> None:
    """As documented; exact ones need a type, `Json(int)`."""
    assert decode_json(payload) == float(payload)
    assert isinstance(decode_json(payload), float)


# JSON out


REX = {"name": "Rex", "bornOn": "2020-01-02", "toy": None}

WRITTEN: list[tuple[Any, Any]] = [
    (Pet(), REX),
    (Point(1, Pet(name="Ada")), {"x": 1, "y": REX | {"name": "Ada"}}),
    (Pet(toy=Point(1)), REX | {"toy": {"x": 1, "y": None}}),
    (Shape(1, Point(2, Shape(3))), {"area": 1, "note": {"x": 2, "y": {"area": 3, "note": None}}}),
    ([{"pet": Pet(), "area": [Shape({1})]}], [{"pet": REX, "area": [{"area": [1], "note": None}]}]),
    (datetime.date(2020, 1, 2), "2020-01-02"),
    (datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC), "2020-01-02T00:00:00+00:00"),
    (datetime.time(1, 2), "01:02:00"),
    (datetime.timedelta(days=1), "P1D"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ([Color.RED, Color.FIVE, Level.HIGH], ["red", 5, 3]),
    (decimal.Decimal("1.10"), "1.10"),
    ([{1}, frozenset({2}), (3,), deque([4])], [[1], [2], [3], [4]]),
    (pathlib.Path("/a/b"), "/a/b"),
    (OrderedDict(a=1), {"a": 1}),
    (2**64 - 1, 2**64 - 1),
]
WRITTEN_AS_JSON: list[tuple[Any, Any]] = [
    ({1: "a", 2: Point(1)}, {"1": "a", "2": {"x": 1, "y": None}}),
    ({Color.RED: 1, uuid.UUID(int=1): 2}, {"red": 1, "00000000-0000-0000-0000-000000000001": 2}),
    ({None: 1, True: 2, 1.5: 3}, {"null": 1, "true": 2, "1.5": 3}),
    ([math.nan, {"x": math.inf}, Point(-math.inf)], [None, {"x": None}, {"x": None, "y": None}]),
    (Pet(toy=math.nan), REX),
]


@pytest.mark.parametrize(
    ("value", "read"), WRITTEN + WRITTEN_AS_JSON, ids=lambda part: type(part).__name__
)
def test_json_writes_what_people_hold(value: Any, read: Any) -> None:
    """Models, dataclasses, dates, sets, … and mixtures of them need no conversion."""
    assert json.loads(encode_json(value)) == read


@pytest.mark.parametrize(
    ("make", "read"),
    [
        pytest.param(
            lambda: Shape(1, Point(Pet())),
            {"area": 1, "note": {"x": REX, "y": None}},
            id="Struct of model",
        ),
        pytest.param(
            lambda: Pet(toy=Shape(1)),
            REX | {"toy": {"area": 1, "note": None}},
            id="model of Struct",
        ),
        pytest.param(
            lambda: [(n for n in (1, 2)), {1: 2}],
            [[1, 2], {"1": 2}],
            id="generator beside an int key",
        ),
        pytest.param(
            lambda: pathlib.PurePosixPath("/a"),
            "/a",
            id="pure path",
        ),
    ],
)
def test_json_writes_unusual_mixtures(make: Callable[[], Any], read: Any) -> None:
    """What is not refused is sent whole."""
    assert json.loads(encode_json(make())) == read


UNWRITABLE: dict[str, Callable[[], Any]] = {
    "object": object,
    "class": lambda: Pet,
    "function": lambda: len,
    "evasive": Evasive,
    "broken model": Broken,
    "circle": circle,
    "circle in model": lambda: Pet(toy=circle()),
    "circle in Struct": lambda: Shape(circle()),
    "100 000 deep": lambda: nested(100_000),
    "100 000 deep dict": lambda: nested(100_000, lambda inner: {"a": inner}),
    "100 000 deep in model": lambda: Pet(toy=nested(100_000)),
    "100 000 deep in Struct": lambda: Shape(nested(100_000)),
    "100 000 deep in dataclass": lambda: Point(nested(100_000)),
    "65 bits": lambda: 2**64,
    "64 bits below zero": lambda: [-(2**63) - 1],
    "65 bits in model": lambda: Pet(toy=2**64),
    "surrogate": lambda: "\ud800",
    "surrogate key": lambda: {"\ud800": 1},
    "surrogate in model": lambda: Pet(name="\ud800"),
    "surrogate beside an int key": lambda: {1: "\ud800"},
    "object as key": lambda: {Evasive(): 1},
}  # fmt: skip


@pytest.mark.parametrize("codec", [JSON, PACK], ids=["json", "msgpack"])
@pytest.mark.parametrize("case", UNWRITABLE)
def test_what_cannot_be_written_is_a_type_error(case: str, codec: Codec) -> None:
    """One kind of exception, whatever is wrong, and nothing has been sent."""
    value = UNWRITABLE[case]()

    with pytest.raises(TypeError):
        codec.encode(value)


@pytest.mark.parametrize("value", [b"\xff", Pet(toy=b"\xff"), {(1, 2): 3}], ids=repr)
def test_json_has_no_bytes_and_no_keys_of_many_parts(value: Any) -> None:
    """Guessing an encoding would surprise the client."""
    with pytest.raises(TypeError):
        encode_json(value)


def test_json_can_go_out_in_binary_frames() -> None:
    """Some clients want it; reading takes either kind anyway."""
    codec = Json(frame="binary")

    assert codec.encode({"a": "é"}) == '{"a":"é"}'.encode()
    assert codec.decode(b'{"a":1}') == codec.decode('{"a":1}') == {"a": 1}


def test_json_of_a_type_can_go_out_in_binary_frames() -> None:
    """The option is independent of the type."""
    codec = Json(list[int], frame="binary")

    assert codec.encode([1]) == b"[1]"
    with pytest.raises(TypeError):
        codec.encode(["x"])


@pytest.mark.parametrize("frame", ["bytes", "", None, 1])
def test_there_are_two_kinds_of_frames(frame: Any) -> None:
    """The message says which."""
    with pytest.raises(ConfigurationError, match="frame must be 'text' or 'binary', got"):
        Json(frame=frame)


# What is done to values before they are sent


def test_json_of_a_type_sends_nothing_else_unless_told() -> None:
    """Check is the default; convert and trust are chosen."""
    born = '"bornOn":"2020-01-02","toy":null'

    with pytest.raises(TypeError, match="cannot send dict"):
        Json(Pet).encode({"name": "Ada"})
    assert Json(Pet, on_send="convert").encode({"name": "Ada"}) == f'{{"name":"Ada",{born}}}'
    assert Json(Pet, on_send="trust").encode({"name": 5}) == '{"name":5}'


@pytest.mark.parametrize("on_send", ["check", "convert", "trust"])
def test_a_model_is_written_in_every_way(on_send: Any) -> None:
    """It was validated when it was made."""
    codec = Json(Pet, on_send=on_send)

    assert codec.decode(codec.encode(Pet(name="Ada"))) == Pet(name="Ada")


def test_json_of_a_type_takes_options_and_a_context() -> None:
    """What pydantic knows need not be done by hand."""

    def double(value: int, info: ValidationInfo[int]) -> int:
        return value * info.context

    codec = Json(
        list[Annotated[int, AfterValidator(double)]],
        options={"indent": 1},
        context=2,
        on_send="trust",
    )

    assert codec.decode("[1,2]") == [2, 4]
    assert codec.encode([1]) == "[\n 1\n]"


@pytest.mark.parametrize("type_", [Any, int], ids=["untyped", "typed"])
@pytest.mark.parametrize("on_send", ["", "Check", None, True])
def test_there_are_three_ways_of_sending(on_send: Any, type_: Any) -> None:
    """The message says which."""
    with pytest.raises(ConfigurationError, match="must be 'check', 'convert' or 'trust', got"):
        Json(type_, on_send=on_send)


# MessagePack


@patient
@given(pack_values)
def test_any_value_comes_back_from_msgpack(value: Any) -> None:
    """Bytes stay bytes, keys keep their type, infinity stays infinity."""
    assert PACK.decode(PACK.encode(value)) == value


@pytest.mark.parametrize(("value", "read"), WRITTEN, ids=lambda part: type(part).__name__)
def test_msgpack_writes_what_people_hold(value: Any, read: Any) -> None:
    """The same values as JSON writes, so a route can change its codec."""
    assert PACK.decode(PACK.encode(value)) == read


def test_msgpack_keeps_what_json_cannot_say() -> None:
    """NaN, bytes, and keys that are no strings."""
    assert math.isnan(PACK.decode(PACK.encode(math.nan)))
    assert PACK.decode(PACK.encode({1: b"\xff", None: 1.5})) == {1: b"\xff", None: 1.5}
    assert PACK.decode(PACK.encode({Color.RED: Point(1)})) == {"red": {"x": 1, "y": None}}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        ormsgpack.packb([1, 2, 3])[:-1],
        b"\xc1",
        b"\xa1\xff",
        b"\xa3\xed\xa0\x80",
        b"\x81\xa1\xff\x01",
        b"\xd4\x01\x00",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\x91" * 100_000 + b"\x01",
        b"\x81\xa1a" * 100_000 + b"\x01",
        b"\x81" + b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x81\x81\x01\x01\x01",
        pytest.param(
            ormsgpack.packb(1) + b"\x01",
            marks=bug("ormsgpack.unpackb ignores what follows the value, and has no option for it"),
        ),
    ],
    ids=lambda payload: payload[:6].hex() or "nothing",
)
def test_malformed_msgpack_is_refused(payload: bytes) -> None:
    """Truncated, trailing, nested without end, or of an unknown kind."""
    with pytest.raises(InvalidMessage, match="not MessagePack: ") as caught:
        PACK.decode(payload)

    assert caught.value.code == 1007


def test_msgpack_of_a_type_is_validated() -> None:
    """All errors are listed, as for JSON."""
    codec = MessagePack(dict[str, list[int]])

    assert codec.decode(ormsgpack.packb({"a": [1, 2]})) == {"a": [1, 2]}
    with pytest.raises(InvalidMessage) as caught:
        codec.decode(ormsgpack.packb({"a": ["x"], "b": 1}))
    assert [error["loc"] for error in caught.value.errors] == [["a", 0], ["b"]]


def test_msgpack_of_an_unusable_type_fails_when_it_is_made() -> None:
    """Like JSON, before any client comes."""
    with pytest.raises(ConfigurationError, match="cannot be used as a type of data"):
        MessagePack(object())


@pytest.mark.parametrize("value", ["x", None, Point(1), {"name": 5}, Shape(1)], ids=repr)
def test_msgpack_of_a_type_sends_nothing_else(value: Any) -> None:
    """A client that reads `Pet` is never sent something else."""
    with pytest.raises(TypeError, match="^cannot send "):
        MessagePack(Pet).encode(value)


@pytest.mark.parametrize("value", [Pet(), {"name": "Rex"}], ids=repr)
def test_msgpack_of_a_type_sends_what_it_would_read(value: Any) -> None:
    """A dict becomes a model, and names are aliases, as in JSON."""
    codec = MessagePack(Pet)

    assert ormsgpack.unpackb(codec.encode(value)) == {
        "name": "Rex",
        "bornOn": "2020-01-02",
        "toy": None,
    }
    assert codec.decode(codec.encode(value)) == Pet()


def test_msgpack_of_a_type_that_cannot_be_written_is_a_type_error() -> None:
    """Whatever a serializer raises."""
    with pytest.raises(TypeError, match="^cannot send Broken: "):
        MessagePack(Broken).encode(Broken())


def test_msgpack_carries_the_bytes_of_a_model() -> None:
    """Binary fields are what MessagePack is for."""

    class Picture(BaseModel):
        pixels: bytes

    codec = MessagePack(Picture)

    assert codec.decode(codec.encode(Picture(pixels=b"\xff"))) == Picture(pixels=b"\xff")


def test_without_ormsgpack_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is the command that helps."""
    monkeypatch.setitem(sys.modules, "ormsgpack", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'bocadillo\[msgpack\]'"):
        codec_for("msgpack")


# What connections show of their codecs


@pytest.mark.parametrize(
    ("codec", "value_type"),
    [
        (TEXT, "text"),
        (BYTES, "bytes"),
        (JSON, "json"),
        (EVENT, "event"),
        (PACK, "msgpack"),
        (Json(int), int),
    ],
)
def test_a_codec_tells_what_it_was_made_from(codec: Any, value_type: Any) -> None:
    """`ws.receive_type` is what the route was given."""
    assert codec.value_type == value_type


@pytest.mark.parametrize("make", [Reversed, lambda: MessagePack(int)])
def test_a_codec_object_is_its_own_value_type(make: Callable[[], Codec]) -> None:
    """What was given as an object is shown as that object."""
    codec: Any = make()

    assert codec_for(codec).value_type is codec  # type: ignore[attr-defined]


@pytest.mark.parametrize("as_payload", [str, str.encode])
def test_json_that_could_not_be_written_is_not_read(as_payload: Any) -> None:
    """Else an echo of it would be a bug of the view's, at the client's choice."""
    deep = as_payload("[" * 254 + "]" * 254)
    assert decode_json(as_payload(json.dumps([[1]] * 500))) == [[1]] * 500
    assert decode_json(encode_json(decode_json(deep))) == decode_json(deep)

    with pytest.raises(InvalidMessage, match="nested more than 254 deep"):
        decode_json(as_payload("[" * 255 + "]" * 255))
