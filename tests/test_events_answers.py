"""What handlers of events return, and what their clients get: results, models, refs."""

import datetime
import decimal
import enum
import logging
import math
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field, field_serializer
from typing_extensions import TypedDict

from bocadillo import EventView, on_event
from tests.talking import answers

DAY = datetime.date(2020, 1, 2)
KEY = uuid.UUID(int=5)


class Color(enum.Enum):
    RED = "red"


class Text(BaseModel):
    text: str


class Own(BaseModel):
    """Has a type of its own."""

    type: str = "own"
    text: str = ""


@dataclass
class Data:
    x: int
    when: datetime.date


class Spot(msgspec.Struct):
    x: int


class Told(msgspec.Struct, tag="told"):
    x: int


def one(handler: Any, *messages: dict[str, Any], **members: Any) -> list[Any]:
    """Return what a view of one handler, of the event `e`, answers."""
    view: Any = type("View", (EventView,), {"answer": handler, **members})
    return answers(view, *(messages or [{"type": "e"}]))


def returning(result: Any, response_model: Any = None) -> Any:
    """Return a handler that returns the same for every message."""

    @on_event("e", response_model=response_model)
    async def answer(self: Any) -> Any:
        return result

    return answer


# Results


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ({}, {"type": "e"}),
        ({"a": 1}, {"type": "e", "a": 1}),
        ({"type": "other", "a": 1}, {"type": "other", "a": 1}),
        ({1: Text(text="a")}, {"type": "e", "1": {"text": "a"}}),
        (OrderedDict(a=1), {"type": "e", "a": 1}),
        (OrderedDict(type="other"), {"type": "other"}),
        (Text(text="a"), {"type": "e", "text": "a"}),
        (Own(text="a"), {"type": "own", "text": "a"}),
        (Data(1, DAY), {"type": "e", "x": 1, "when": "2020-01-02"}),
        (Spot(1), {"type": "e", "x": 1}),
        (Told(1), {"type": "told", "x": 1}),
        ({"at": datetime.datetime(2020, 1, 2, 3)}, {"type": "e", "at": "2020-01-02T03:00:00"}),
        ({"on": DAY, "key": KEY}, {"type": "e", "on": "2020-01-02", "key": str(KEY)}),
        ({"color": Color.RED, "d": decimal.Decimal("1.50")}, {"color": "red", "d": "1.50"}),
        ({"all": {1}, "path": PurePosixPath("/a")}, {"type": "e", "all": [1], "path": "/a"}),
        ({"deep": [Data(1, DAY), Spot(2)]}, {"deep": [{"x": 1, "when": "2020-01-02"}, {"x": 2}]}),
        ({"no number": math.nan}, {"type": "e", "no number": None}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_result_is_sent_with_the_type_of_its_event_or_its_own(result: Any, answer: Any) -> None:
    """Whatever can be written as a JSON object."""
    assert one(returning(result)) == [{"type": "e", **answer}]


def test_none_sends_nothing() -> None:
    """An event need not be answered."""
    assert one(returning(None)) == []


class Unserializable(BaseModel):
    x: int = 1

    @field_serializer("x")
    def write(self, x: int) -> Any:
        raise ValueError("a secret")


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        *(([1], "object_type"), ("text", "object_type"), (5, "object_type"), (True, "object_type")),
        *((Color.RED, "object_type"), (KEY, "object_type"), (False, "object_type")),
        *((object(), "unsendable"), ({"x": object()}, "unsendable"), ({"x": 2**64}, "unsendable")),
        *((Unserializable(), "unsendable"), ({"x": Unserializable()}, "unsendable")),
        *(({"x": "\ud800"}, "unsendable"), ({object(): 1}, "unsendable")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_result_that_cannot_be_sent_is_an_error_and_a_line_in_the_log(
    result: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The client hears that it waits in vain; whoever wrote the handler, why."""
    heard = one(returning(result), {"type": "e", "ref": 1}, {"type": "e"})

    assert [h["errors"][0]["loc"] for h in heard] == [["response"]] * 2
    assert [h["errors"][0]["type"] for h in heard] == [kind] * 2
    assert heard[0]["ref"] == 1
    lines = [r for r in caplog.records if "a response cannot be sent: " in r.message]
    assert [line.levelno for line in lines] == [logging.WARNING] * 2
    assert all(line.exc_info is None for line in lines)


def test_what_a_serializer_raises_is_told_to_the_log_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It may have anything in it, and the client is a stranger."""
    heard = one(returning({"x": Unserializable()})) + one(returning(Unserializable()))

    assert [h["errors"][0]["msg"] for h in heard] == ["cannot be written as JSON"] * 2
    assert "a secret" in caplog.text


def test_a_message_that_is_returned_is_sent_back() -> None:
    """With its ref, and without one where it had none."""

    @on_event("e")
    async def pydantics(self: Any, message: Text) -> Any:
        return message

    class Struct(msgspec.Struct):
        text: str

    @on_event("e")
    async def msgspecs(self: Any, message: Struct) -> Any:
        return message

    for handler in (pydantics, msgspecs):
        assert one(handler, {"type": "e", "text": "a", "ref": 7}, {"type": "e", "text": "b"}) == [
            {"type": "e", "ref": 7, "text": "a"},
            {"type": "e", "text": "b"},
        ]


def test_a_model_is_written_by_the_options_of_the_view() -> None:
    """By alias unless they say otherwise."""

    class Aliased(BaseModel):
        some_text: Annotated[str, Field(serialization_alias="someText")] = "a"
        none: str | None = None

    handler = returning(Aliased())

    assert one(handler) == [{"type": "e", "someText": "a", "none": None}]
    options = {"exclude_none": True}
    assert one(handler, serializer_options=options) == [{"type": "e", "some_text": "a"}]


def test_frame_says_the_kind_of_frame() -> None:
    """Either is read."""

    class View(EventView):
        frame: ClassVar[Literal["text", "bytes"]] = "bytes"

        @on_event
        async def ping(self) -> Any:
            return {}

        @on_event
        async def model(self) -> Any:
            return Own()

    assert answers(View, b'{"type": "ping"}', '{"type": "model"}', mode="binary") == [
        {"type": "ping"},
        {"type": "own", "text": ""},
    ]


# Models of responses


class Reply(BaseModel):
    total: int
    note: str = "x"


class Typed(BaseModel):
    type: str = "typed"
    total: int


class ReplyDict(TypedDict):
    total: int


class StrictDict(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    total: int


class ReplyStruct(msgspec.Struct):
    total: int
    note: str = "x"


@dataclass
class Sum:
    total: str


@pytest.mark.parametrize(
    ("model", "result", "answer"),
    [
        (Reply, {"total": "1", "zz": 2}, {"type": "e", "total": 1, "note": "x"}),
        (Reply, Sum("1"), {"type": "e", "total": 1, "note": "x"}),
        (Reply, Reply(total=1), {"type": "e", "total": 1, "note": "x"}),
        (Reply, {"type": "mine", "total": 1}, {"type": "mine", "total": 1, "note": "x"}),
        (Typed, {"total": 1}, {"type": "typed", "total": 1}),
        (Typed, {"type": "mine", "total": 1}, {"type": "mine", "total": 1}),
        (ReplyDict, {"total": 1, "zz": 2}, {"type": "e", "total": 1}),
        (ReplyDict, {"type": "mine", "total": 1}, {"type": "mine", "total": 1}),
        (StrictDict, {"total": 1}, {"type": "e", "total": 1}),
        (dict[str, int], {"total": "1"}, {"type": "e", "total": 1}),
        (ReplyStruct, {"total": 1, "zz": 2}, {"type": "e", "total": 1, "note": "x"}),
        (ReplyStruct, {"type": "mine", "total": 1}, {"type": "mine", "total": 1, "note": "x"}),
        (Sum, {"total": "1"}, {"type": "e", "total": "1"}),
        (Reply | Text, {"text": "a"}, {"type": "e", "text": "a"}),
    ],
)
def test_a_response_model_validates_and_fills_in(model: Any, result: Any, answer: Any) -> None:
    """The type is the result's, else the model's default, else the event."""
    (heard,) = one(returning(result, model), {"type": "e", "ref": 1})

    assert heard == {"ref": 1, **answer}


@pytest.mark.parametrize("model", [Reply, ReplyDict, ReplyStruct])
@pytest.mark.parametrize("result", [{}, {"total": "many"}, [1], "text", 5])
def test_what_is_not_of_the_response_model_is_an_error(model: Any, result: Any) -> None:
    """Its place begins with `response`, and the connection stays open."""
    heard = one(returning(result, model), {"type": "e", "ref": 1}, {"type": "e"})

    assert [h["errors"][0]["loc"][0] for h in heard] == ["response", "response"]
    assert [h.get("ref") for h in heard] == [1, None]


def test_two_handlers_may_have_one_response_model() -> None:
    """B-g6: the original wrote the first handler's event into the user's model."""

    class View(EventView):
        @on_event(response_model=Reply)
        async def one(self) -> Any:
            return {"total": 1}

        @on_event(response_model=Reply)
        async def two(self) -> Any:
            return {"total": 2}

    heard = answers(View, {"type": "one"}, {"type": "two"}, {"type": "one"})

    assert [(h["type"], h["total"]) for h in heard] == [("one", 1), ("two", 2), ("one", 1)]
    assert [*Reply.model_fields] == ["total", "note"]


def test_one_object_may_be_the_answer_of_many() -> None:
    """What belongs to an answer is not written into it."""
    result = {"a": 1}
    model = Text(text="a")

    for shared in (result, model):
        heard = one(returning(shared), {"type": "e", "ref": 1}, {"type": "e", "ref": 2})
        assert [h["ref"] for h in heard] == [1, 2]
    assert (result, model.model_dump()) == ({"a": 1}, {"text": "a"})


# Refs


@pytest.mark.parametrize("ref", ["a", "", 0, -1, 2**63 - 1, -(2**63)])
def test_a_ref_comes_back_in_answers_and_errors(ref: Any) -> None:
    """So that a client knows which message was answered."""

    class View(EventView):
        @on_event
        async def add(self, a: int) -> Any:
            return {"sum": a}

        @on_event
        async def which(self) -> Any:
            return {"seen": self.ref}

    heard = answers(
        View,
        {"type": "add", "a": 1, "ref": ref},
        {"type": "add", "a": "x", "ref": ref},
        {"type": "nope", "ref": ref},
        {"type": "which", "ref": ref},
    )

    assert [h["ref"] for h in heard] == [ref] * 4
    assert heard[3]["seen"] == ref


def test_a_message_without_a_ref_is_answered_without_one() -> None:
    """Null is none; and a ref is never the one of the message before."""
    view: Any = type("View", (EventView,), {"e": returning({"a": 1})})

    heard = answers(
        view,
        {"type": "e", "ref": 1},
        {"type": "e"},
        {"type": "e", "ref": None},
        {"type": "nope", "ref": 2},
        "[",
        {"type": "nope"},
        [],
    )

    assert [h.get("ref", "none") for h in heard] == [1, "none", "none", 2, *["none"] * 3]


@pytest.mark.parametrize("ref", [2**63, True, [1], {"a": 1}, 1.5])
def test_a_wrong_ref_is_an_error_at_its_place(ref: Any) -> None:
    """The handler is not called: its answer could not be matched."""
    (heard,) = one(returning({"a": 1}), {"type": "e", "ref": ref})

    assert heard == {
        "type": "error",
        "errors": [
            {
                "loc": ["ref"],
                "msg": "a ref must be a string or an integer of at most 64 bits",
                "type": "ref_type",
            }
        ],
    }


def test_a_result_may_have_a_ref_of_its_own() -> None:
    """It wins, as its type does."""

    class WithRef(BaseModel):
        ref: str = "mine"

    for result in ({"ref": "mine"}, WithRef()):
        assert one(returning(result), {"type": "e", "ref": 1}) == [{"type": "e", "ref": "mine"}]
