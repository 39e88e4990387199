"""Views of events that do with their messages what views do; clients send them anything."""

import datetime
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from bocadillo import EventError, EventView, on_event


class Item(BaseModel):
    a: int
    inner: "Item | None" = None
    by_number: dict[int, float] = {}

    @field_validator("a")
    @classmethod
    def check(cls, a: int) -> int:
        if a % 7 == 3:
            raise ValueError(f"{a} is not wanted")
        return a


class Reply(BaseModel):
    n: Annotated[int, Field(gt=0)]


class Pydantics(EventView):
    """Validated by pydantic."""

    @on_event
    async def echo(self, x: Any = None) -> Any:
        return {"x": x}

    @on_event
    async def typed(
        self,
        n: Annotated[int, Field(gt=0, multiple_of=2)],
        f: float = 0.0,
        text: str = "",
        when: datetime.datetime | None = None,
        tags: list[int | str] = [],  # noqa: B006 - each message has its own
    ) -> Any:
        return {"n": n, "f": f, "text": text, "when": when, "tags": tags}

    @on_event
    async def whole(self, message: Item) -> Any:
        return message

    @on_event(response_model=Reply)
    def doubled(self, n: int) -> Any:
        return {"n": 2 * n}

    @on_event
    async def refuses(self, x: Any) -> Any:
        raise EventError(f"not {x!r:.40}", loc=["x"], ctx={"x": x})

    @on_event
    async def invalid(self, x: Any) -> Any:
        return Item.model_validate(x)

    @on_event
    async def stream(self, n: Annotated[int, Field(le=3)]) -> AsyncIterator[Any]:
        for i in range(n):
            yield {"i": i}


class Point(msgspec.Struct):
    a: int = 0
    inner: "Point | None" = None


class Structs(EventView):
    """Validated by msgspec."""

    @on_event
    async def echo(self, x: Any = None) -> Any:
        return {"x": x}

    @on_event
    async def typed(
        self,
        n: Annotated[int, msgspec.Meta(gt=0)],
        f: float = 0.0,
        text: str = "",
        when: datetime.datetime | None = None,
        tags: list[int | str] = [],  # noqa: B006 - each message has its own
    ) -> Any:
        return {"n": n, "f": f, "text": text, "when": when, "tags": tags}

    @on_event
    async def whole(self, message: Point) -> Any:
        return message

    @on_event(response_model=Point)
    def doubled(self, n: int) -> Any:
        return {"a": 2 * n}

    @on_event
    async def refuses(self, x: Any) -> Any:
        raise EventError(f"not {x!r:.40}", loc=["x"], ctx={"x": x})

    @on_event
    async def invalid(self, x: Any) -> Any:
        return msgspec.convert(x, Point)

    @on_event
    async def stream(self, n: Annotated[int, msgspec.Meta(le=3)]) -> AsyncIterator[Any]:
        for i in range(n):
            yield {"i": i}


EVENTS = [*Pydantics.handlers]

# What their handlers take.
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(-5, 5),
    "x": st.one_of(st.integers(), st.fixed_dictionaries({"a": st.integers()})),
    "a": st.integers(),
    "f": st.floats(),
    "text": st.text(),
    "when": st.sampled_from(["2020-01-02T03:04:05", "2020-01-02T03:04:05+24:00", "10000", 1e20]),
    "tags": st.lists(st.integers() | st.text(), max_size=3),
    "inner": st.fixed_dictionaries({"a": st.integers()}),
    "by_number": st.dictionaries(st.integers().map(str), st.floats(), max_size=3),
}


def check_answer(payload: str | bytes) -> None:
    """Fail unless this is an error event or an answer, as a client understands it."""
    answer = json.loads(payload)
    if answer.get("type") != "error":
        assert answer["type"] in EVENTS
        return
    assert answer["errors"]
    for error in answer["errors"]:
        assert isinstance(error["loc"], list)
        assert all(isinstance(part, str | int) for part in error["loc"])
        assert isinstance(error["msg"], str)
        assert isinstance(error["type"], str)
