"""Asks: which parameters are injected, and what error messages call them."""

import sys
from typing import Annotated, Any

import pytest
from dishka import FromComponent, Provider

from bocadillo import injection
from bocadillo.injection import Ask, Lifetime, ask_of
from tests.injection import INJECT, Pool, Work


def ask(hint: Any) -> Ask | None:
    return ask_of(hint, "view chat()", "pool", Lifetime.SESSION)


def test_inject_makes_an_ask() -> None:
    """The mark in the annotation is all that is needed."""
    made = ask(INJECT[Pool])

    assert made is not None
    assert (made.owner, made.parameter, made.lifetime) == ("view chat()", "pool", Lifetime.SESSION)
    assert (made.key.type_hint, made.key.component) == (Pool, "")


def test_equal_asks_are_one() -> None:
    """What has been checked is not checked again."""
    assert {ask(INJECT[Pool])} == {ask(INJECT[Pool])}
    assert ask(INJECT[Pool]) != ask(INJECT[Work])


def test_dishkas_mark_for_components_is_known() -> None:
    """Two pools in one application are told apart by their components."""
    made = ask(Annotated[Pool, FromComponent("spare")])

    assert made is not None
    assert made.key.component == "spare"


@pytest.mark.parametrize("hint", [None, Pool, int | None, Annotated[int, "positive"], "Pool"])
def test_other_annotations_ask_for_nothing(hint: Any) -> None:
    """They are the business of other rules."""
    assert ask(hint) is None


def test_nothing_is_an_ask_before_dishka_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who annotates for pydantic does not pay for dishka."""
    monkeypatch.delitem(sys.modules, "dishka")
    monkeypatch.setitem(sys.modules, "dishka.integrations.base", None)  # whose import now fails

    assert ask(Annotated[int, "positive"]) is None


WORDS = [
    (INJECT[Pool], "Pool"),
    (INJECT[Provider], "Provider"),
    (INJECT[list[int]], "list[int]"),
    (Annotated[Pool, FromComponent("spare")], "Pool of component 'spare'"),
]


@pytest.mark.parametrize(("hint", "wanted"), WORDS, ids=str)
def test_an_ask_tells_who_asks_by_which_parameter_for_what(hint: Any, wanted: str) -> None:
    """An error message without these sends one searching."""
    assert str(ask(hint)) == f"view chat(): parameter 'pool' asks for {wanted}"


def test_lifetimes_are_ordered_the_longest_first() -> None:
    """Who may ask for a short life may ask for a longer one."""
    assert [*Lifetime] == sorted(Lifetime)
    assert [known.name for known in Lifetime] == ["APP", "SESSION", "REQUEST"]


def test_the_room_has_no_other_late_names() -> None:
    """A slip in an import says so, as of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'Injekt'"):
        injection.Injekt  # noqa: B018
