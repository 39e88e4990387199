"""Handlers of events that are async generators: each value is sent."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from bocadillo import EventError, EventView, on_event
from bocadillo.testing import connect
from tests.fakes import run
from tests.talking import answers, app_of, hear, say


class Item(BaseModel):
    i: int
    note: str = "x"


class Streams(EventView):
    steps: ClassVar[list[str]] = []

    @on_event
    async def count(self, n: int) -> AsyncIterator[Any]:
        for i in range(n):
            yield {"i": i}

    @on_event
    @staticmethod
    async def static(n: int) -> AsyncIterator[Any]:
        for i in range(n):
            yield Item(i=i)

    @on_event(response_model=Item)
    async def items(self, values: list[Any]) -> AsyncIterator[Any]:
        for value in values:
            yield value

    @on_event
    async def fails(self, how: str) -> AsyncIterator[Any]:
        try:
            yield {"i": 0}
            if how == "told":
                raise EventError("no more", code="full")
            if how == "bug":
                raise LookupError("a secret")
            yield {"x": object()}
            yield {"i": 1}
        finally:
            self.steps.append(f"{how} closed")

    @on_event
    async def forever(self) -> AsyncIterator[Any]:
        try:
            while True:
                yield {"tick": True}
                await asyncio.sleep(0)
        finally:
            self.steps.append("forever closed")


@Streams.on_event
async def outside(n: int) -> AsyncIterator[Any]:
    for i in range(n):
        yield {"i": i}


@pytest.fixture
def view() -> Any:
    """Return a class whose steps are this test's."""
    return type("View", (Streams,), {"steps": []})


def test_each_value_is_an_answer(view: Any) -> None:
    """A client that gave no ref is not told of the end."""
    assert answers(view, {"type": "count", "n": 2}) == [
        {"type": "count", "i": 0},
        {"type": "count", "i": 1},
    ]


@pytest.mark.parametrize("event", ["count", "outside"])
@pytest.mark.parametrize("n", [0, 2])
def test_the_end_is_told_to_who_gave_a_ref(view: Any, event: str, n: int) -> None:
    """Who waits for more would wait forever."""
    heard = answers(view, {"type": event, "n": n, "ref": 0})

    values = [{"type": event, "ref": 0, "i": i} for i in range(n)]
    assert heard == [*values, {"type": event, "ref": 0, "end": True}]


def test_values_are_models_too(view: Any) -> None:
    """Of a static method as of a method."""
    assert answers(view, {"type": "static", "n": 1}) == [{"type": "static", "i": 0, "note": "x"}]


def test_each_value_is_validated_by_the_response_model(view: Any) -> None:
    """The first that is wrong is an error, and the last that is sent."""
    heard = answers(view, {"type": "items", "values": [{"i": "5"}, {"i": "x"}, {"i": 6}], "ref": 1})

    assert heard[0] == {"type": "items", "ref": 1, "i": 5, "note": "x"}
    assert (heard[1]["ref"], heard[1]["errors"][0]["loc"]) == (1, ["response", "i"])
    assert len(heard) == 2


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("told", {"loc": [], "msg": "no more", "type": "full"}),
        (
            "unsendable",
            {
                "loc": ["response"],
                "msg": "cannot be written as JSON",
                "type": "unsendable",
            },
        ),
    ],
)
def test_an_error_within_ends_the_stream(view: Any, how: str, error: Any) -> None:
    """It is the end that is told; the generator is closed, and the next message served."""
    heard = answers(view, {"type": "fails", "how": how, "ref": 1}, {"type": "count", "n": 1})

    assert heard == [
        {"type": "fails", "ref": 1, "i": 0},
        {"type": "error", "errors": [error], "ref": 1},
        {"type": "count", "i": 0},
    ]
    assert view.steps == [f"{how} closed"]


def test_the_generator_is_closed_before_the_error_is_sent() -> None:
    """And not whenever it is collected: what it holds is given back at once."""
    steps: list[str] = []

    class View(EventView):
        @on_event
        async def fails(self) -> AsyncIterator[Any]:
            try:
                yield [1]
            finally:
                await asyncio.sleep(0)
                steps.append("closed")

        async def send_exception(self, exc: Exception) -> None:
            steps.append("told")
            await super().send_exception(exc)

    answers(View, {"type": "fails"})

    assert steps[:2] == ["closed", "told"]


def test_a_bug_within_ends_the_connection(view: Any) -> None:
    """As in every handler."""

    async def scenario() -> list[Any]:
        async with connect(app_of(view), "/") as ws:
            await say(ws, {"type": "fails", "how": "bug"})
            first = await ws.receive_json()
            with pytest.raises(Exception, match="1011"):
                await ws.receive()
            return [first]

    with pytest.raises(LookupError):
        run(scenario)
    assert view.steps == ["bug closed"]


def test_a_client_that_leaves_ends_the_stream(view: Any) -> None:
    """The generator is closed, so that what it holds is given back."""

    async def scenario() -> None:
        async with connect(app_of(view), "/") as ws:
            await say(ws, {"type": "forever"})
            await ws.receive()
            await ws.close(4000)

    run(scenario)

    assert view.steps == ["forever closed"]


def test_a_stream_that_never_waits_leaves_the_loop_to_others() -> None:
    """Or one client could stop the server for all: by leaving, even for good."""
    turns: list[int] = []

    class View(EventView):
        @on_event
        async def fast(self) -> AsyncIterator[Any]:
            for n in range(100):
                turns.append(n)
                yield {"n": n}

    async def other() -> None:
        while len(turns) < 100:
            turns.append(-1)
            await asyncio.sleep(0)

    async def scenario() -> None:
        async with connect(app_of(View), "/") as ws, asyncio.TaskGroup() as tasks:
            tasks.create_task(other())
            await say(ws, {"type": "fast"})

    run(scenario)

    assert turns.count(-1) > 10


def test_a_stream_may_close_the_connection() -> None:
    """It ends there, and the next client is served."""

    class View(EventView):
        @on_event
        async def last(self) -> AsyncIterator[Any]:
            yield {"i": 0}
            await self.ws.close(4001)

    app = app_of(View)

    async def scenario() -> list[Any]:
        async with connect(app, "/") as ws:
            await say(ws, {"type": "last", "ref": 1})
            first = await ws.receive_json()
            with pytest.raises(Exception, match="4001"):
                await ws.receive()
        async with connect(app, "/") as ws:
            return [first, *await hear(ws, {"type": "nope"})]

    assert len(run(scenario)) == 2


def test_an_override_may_turn_an_answer_into_a_stream(view: Any) -> None:
    """What a handler is, is asked of its own function."""

    class Sub(Streams):
        async def count(self, n: int) -> Any:  # type: ignore[override]
            return {"all": [*range(n)]}

    assert answers(Sub, {"type": "count", "n": 2, "ref": 1}) == [
        {"type": "count", "ref": 1, "all": [0, 1]}
    ]
