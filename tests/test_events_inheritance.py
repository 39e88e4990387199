"""Handlers of events in base classes, subclasses and mixins."""

from typing import Any

import pytest
from pydantic import BaseModel

from bocadillo import ConfigurationError, EventView, Handler, on_event
from tests.talking import answers


class Text(BaseModel):
    text: str


class Base(EventView):
    @on_event
    async def who(self) -> Any:
        return {"by": "base"}

    @on_event("event", response_model=Text)
    async def method(self) -> Any:
        return {"text": "base"}


@Base.on_event
async def outside() -> Any:
    return {"by": "outside"}


ASKED = ({"type": "who"}, {"type": "event"}, {"type": "outside"})
INHERITED: list[Any] = [
    {"type": "who", "by": "base"},
    {"type": "event", "text": "base"},
    {"type": "outside", "by": "outside"},
]


def test_a_subclass_has_the_handlers_of_its_bases() -> None:
    """B-g8: without `self` in the original; functions outside the base are among them."""

    class Sub(Base):
        @on_event
        async def more(self) -> Any:
            return {}

    assert [*Sub.handlers] == ["who", "event", "outside", "more"]
    assert answers(Sub, *ASKED) == INHERITED
    assert "more" not in Base.handlers


def test_handlers_that_a_base_gets_later_are_not_its_subclasses() -> None:
    """A subclass has a copy."""

    class First(EventView):
        pass

    class Second(First):
        pass

    First.on_event("late")(lambda: None)

    assert ([*First.handlers], [*Second.handlers]) == (["late"], [])


async def by_sub(self: Any) -> Any:
    return {"by": "sub", "text": "sub"}


def by_sub_without_self() -> Any:
    return {"by": "sub", "text": "sub"}


@pytest.mark.parametrize(
    ("members", "changed"),
    [
        ({}, None),
        ({"who": by_sub}, ("who", "by")),
        ({"who": staticmethod(by_sub_without_self)}, ("who", "by")),
        ({"who": on_event("who")(by_sub)}, ("who", "by")),
        ({"by_event": on_event("who")(by_sub)}, ("who", "by")),
        ({"method": by_sub}, ("event", "text")),
        ({"by_event": on_event("event", Text)(by_sub)}, ("event", "text")),
        ({"by_event": on_event("outside")(by_sub)}, ("outside", "by")),
    ],
)
def test_a_subclass_may_override_by_method_or_by_event(
    members: dict[str, Any], changed: tuple[str, str] | None
) -> None:
    """With the decorator or without, as methods are overridden."""
    Sub: Any = type("Sub", (Base,), members)

    heard = answers(Sub, *ASKED)

    expected = {answer["type"]: dict(answer) for answer in INHERITED}
    if changed is not None:
        event, key = changed
        expected[event][key] = "sub"
    assert [{**expected[h["type"]], **h} for h in heard] == heard
    assert {h["type"]: h.get("by", h.get("text")) for h in heard} == {
        event: answer.get("by", answer.get("text")) for event, answer in expected.items()
    }
    assert answers(Base, *ASKED) == INHERITED


def test_a_function_outside_may_override_what_is_inherited() -> None:
    """By its event."""

    class Sub(Base):
        pass

    Sub.on_event("who")(by_sub_without_self)

    assert answers(Sub, {"type": "who"})[0]["by"] == "sub"


def test_none_in_the_place_of_a_handler_removes_it() -> None:
    """And so does a handler of the same name for another event."""

    class Without(Base):
        who = None  # type: ignore[assignment]

    class Other(Base):
        @on_event("other")
        async def who(self) -> Any: ...

    assert [*Without.handlers] == ["event", "outside"]
    assert [*Other.handlers] == ["event", "outside", "other"]


def test_removing_what_another_method_answers_by_now_keeps_that() -> None:
    """The event belongs to the one that came last."""

    class Sub(Base):
        @on_event("who")
        async def newer(self) -> Any:
            return {"by": "newer"}

    class SubSub(Sub):
        who = None  # type: ignore[assignment]

    assert answers(SubSub, {"type": "who"}) == [{"type": "who", "by": "newer"}]


class Pings:
    """A mixin, no view."""

    @on_event
    async def ping(self) -> Any:
        return {"of": type(self).__name__}

    @staticmethod
    @on_event
    async def pong() -> Any:
        return {}


def test_a_mixin_brings_its_handlers() -> None:
    """To each view that has it."""

    class One(Pings, EventView):
        pass

    class Two(EventView, Pings):
        pass

    assert answers(One, {"type": "ping"}, {"type": "pong"}) == [
        {"type": "ping", "of": "One"},
        {"type": "pong"},
    ]
    assert answers(Two, {"type": "ping"})[0]["of"] == "Two"


def test_a_mixin_that_overrides_stays_as_it_is() -> None:
    """Other classes have it, to which its methods are methods."""

    class Mixin:
        async def who(self) -> Any:
            return {"by": "mixin"}

    plain = Mixin.who

    class Mixed(Mixin, Base):
        pass

    class Unmixed(Mixin, EventView):
        pass

    assert answers(Mixed, {"type": "who"}) == [{"type": "who", "by": "mixin"}]
    assert Mixin.who is plain
    assert Unmixed.handlers == {}


def test_an_override_of_a_mixin_and_of_a_subclass_is_the_subclasss() -> None:
    """As Python looks methods up."""

    class Mixin:
        async def who(self) -> Any:
            return {"by": "mixin"}

    class Sub(Mixin, Base):
        async def who(self) -> Any:
            return {"by": "sub"}

    class SubSub(Sub):
        pass

    assert answers(SubSub, {"type": "who"}) == [{"type": "who", "by": "sub"}]
    assert isinstance(SubSub.who, Handler)


@pytest.mark.parametrize("override", [property(lambda self: None), 5], ids=["property", "number"])
def test_an_override_that_is_no_function_is_refused(override: Any) -> None:
    """It would take the event away without a word; None says so."""

    class Base(EventView):
        @on_event
        async def say(self) -> None: ...

    with pytest.raises(ConfigurationError, match="say overrides the event 'say'"):
        type("View", (Base,), {"say": override})
