"""`EventView`: which handlers a class may have, and which are refused."""

import asyncio
import threading
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from bocadillo import App, ConfigurationError, EventView, Handler, on_event
from bocadillo.testing import connect
from tests.fakes import run
from tests.talking import answers, answers_of, app_of, hear


class Text(BaseModel):
    text: str


class Spot(msgspec.Struct):
    x: int


# Handlers


class Forms(EventView):
    """Every form of a handler."""

    @on_event
    async def bare(self) -> Any:
        return {"by": "bare"}

    @on_event()
    async def on_called(self) -> Any:
        return {"by": "called"}

    @on_event("room.named")
    async def whatever(self) -> Any:
        return {"by": "named"}

    @on_event
    @staticmethod
    async def above_static() -> Any:
        return {"by": "above static"}

    @staticmethod
    @on_event
    async def below_static() -> Any:
        return {"by": "below static"}

    @on_event
    def handle_sync(self) -> Any:
        return {"by": "sync", "thread": threading.current_thread() is threading.main_thread()}

    @on_event
    @staticmethod
    def sync_static() -> Any:
        return {"by": "sync static"}


@Forms.on_event
async def bare_outside() -> Any:
    return {"by": "bare outside"}


@Forms.on_event()
async def on_called_outside() -> Any:
    return {"by": "called outside"}


@Forms.on_event("named.outside", response_model=Text)
def sync_outside() -> Any:
    return {"text": "sync outside"}


def test_every_form_of_a_handler_answers_its_event() -> None:
    """Methods, static methods, functions outside; async, or sync in a worker thread."""
    events = [*Forms.handlers]

    heard = answers(Forms, *({"type": event} for event in events))

    assert heard == [
        {"type": "bare", "by": "bare"},
        {"type": "called", "by": "called"},
        {"type": "room.named", "by": "named"},
        {"type": "above_static", "by": "above static"},
        {"type": "below_static", "by": "below static"},
        {"type": "sync", "by": "sync", "thread": False},
        {"type": "sync_static", "by": "sync static"},
        {"type": "bare_outside", "by": "bare outside"},
        {"type": "called_outside", "by": "called outside"},
        {"type": "named.outside", "text": "sync outside"},
    ]


def test_what_a_handler_is_named_by_is_no_event() -> None:
    """Only the name that was given is."""
    assert not {"whatever", "sync_outside", "handle_sync", "on_called"} & set(Forms.handlers)


def test_a_function_outside_stays_a_handler_that_can_be_called() -> None:
    """The decorator gives what `on_event` gives."""
    assert isinstance(bare_outside, Handler)
    assert asyncio.run(bare_outside()) == {"by": "bare outside"}


def test_a_view_without_handlers_answers_every_message_by_an_error() -> None:
    """It says that it knows none."""

    class Empty(EventView):
        pass

    (heard,) = answers(Empty, {"type": "say"})

    assert heard["errors"][0]["ctx"] == {"given": "say", "permitted": []}


def test_a_handler_may_be_attached_after_the_route_was_made() -> None:
    """The next client has it; who is connected keeps the events that there were."""

    class Late(EventView):
        @on_event
        async def early(self) -> Any:
            return {}

    async def late(n: int) -> Any:
        return {"n": n}

    app = app_of(Late)

    async def scenario() -> list[Any]:
        async with connect(app, "/") as before:
            Late.on_event(late)
            heard = await hear(before, {"type": "early"}, {"type": "late", "n": 1})
            async with connect(app, "/") as after:
                return heard + await hear(after, {"type": "late", "n": 1})

    early, refused, answer = run(scenario)
    assert (early, answer) == ({"type": "early"}, {"type": "late", "n": 1})
    assert refused["errors"][0]["ctx"]["permitted"] == ["early"]


def test_a_handler_with_structs_may_come_later_than_clients() -> None:
    """From then on msgspec validates; who is connected has pydantic's models, and is served."""

    class Late(EventView):
        @on_event
        async def early(self, n: int) -> Any:
            return {"n": n}

        async def send_json(self, response: Any) -> None:
            await super().send_json(response)

    app = app_of(Late)

    async def scenario() -> list[Any]:
        async with connect(app, "/") as before:
            heard = await hear(before, {"type": "early", "n": 1})

            @Late.on_event
            async def late(at: Spot) -> Any:
                return at

            heard += await hear(before, {"type": "early", "n": "2"})
            async with connect(app, "/") as after:
                return heard + await hear(after, {"type": "late", "at": {"x": 3}})

    assert run(scenario) == [
        *({"type": "early", "n": 1}, {"type": "early", "n": 2}, {"type": "late", "x": 3}),
    ]


def test_a_handler_that_cannot_work_is_refused_where_it_is_attached() -> None:
    """Not when a client comes; and the view goes on as it was."""

    class Late(EventView):
        @on_event
        async def early(self) -> Any:
            return {}

    app = app_of(Late)

    with pytest.raises(ConfigurationError, match="'ref'"):

        @Late.on_event
        async def late(ref: str) -> None: ...

    assert [*Late.handlers] == ["early"]
    assert answers_of(app, {"type": "early"}) == [{"type": "early"}]


def test_event_view_itself_takes_no_handlers() -> None:
    """Every view of an application would have them."""
    with pytest.raises(ConfigurationError, match="EventView has no handlers of its own"):

        @EventView.on_event
        async def say() -> None: ...

    assert EventView.handlers == {}


# What is refused where the class is made


def test_two_handlers_of_one_event_are_refused() -> None:
    """One of them would never be called."""
    with pytest.raises(
        ConfigurationError,
        match=r"Twice has two handlers for the event 'say': say\(\) and talk\(\)",
    ):

        class Twice(EventView):
            @on_event
            async def say(self) -> None: ...

            @on_event("say")
            async def talk(self) -> None: ...


def test_a_second_handler_from_outside_is_refused() -> None:
    """A method and a function of one class are handlers of one class."""

    class Once(EventView):
        @on_event
        async def say(self) -> None: ...

    with pytest.raises(ConfigurationError, match="Once has two handlers for the event 'say'"):

        @Once.on_event("say")
        async def talk() -> None: ...


@pytest.mark.parametrize(
    "name",
    [
        *("send", "messages", "broadcast", "ws", "ref", "handlers", "logger", "name", "on_event"),
        *("handle", "on_receive", "on_invalid", "table", "frame", "_session", "__init__"),
    ],
)
def test_a_handler_named_like_an_attribute_of_event_view_is_refused(name: str) -> None:
    """It would hide what the view needs to work."""

    async def function(self: Any) -> None: ...

    function.__name__ = name

    with pytest.raises(ConfigurationError, match=f"is named like EventView.{name}, which it would"):
        type("Hiding", (EventView,), {name: on_event("event")(function)})


def test_a_name_of_event_view_may_be_an_event() -> None:
    """It is the method that has to be called something else."""

    class Sending(EventView):
        @on_event("send")
        async def sent(self) -> Any:
            return {}

    assert answers(Sending, {"type": "send"}) == [{"type": "send"}]


def test_a_class_method_is_refused() -> None:
    """It used to be forgotten without a word."""
    with pytest.raises(ConfigurationError, match=r"say\(\) is a class method; a handler is a meth"):

        class View(EventView):
            @classmethod
            @on_event
            async def say(cls) -> None: ...


@pytest.mark.parametrize("option", ["value_type", "receive_type", "send_type"])
def test_value_types_are_refused(option: str) -> None:
    """The messages of such a view are JSON objects, and their models its handlers'."""

    class View(EventView):
        pass

    options: Any = {option: "json"}
    with pytest.raises(ConfigurationError, match="of an EventView are JSON objects; leave out"):
        App().websocket_route("/", **options)(View)
    with pytest.raises(ConfigurationError, match="JSON objects; leave out"):
        app_of(type("Typed", (View,), {option: dict[str, int]}))


def test_an_unknown_frame_is_refused() -> None:
    """As in other class views."""
    with pytest.raises(ConfigurationError, match="frame must be 'text' or 'bytes', got 'binary'"):
        app_of(type("Framed", (EventView,), {"frame": "binary"}))
