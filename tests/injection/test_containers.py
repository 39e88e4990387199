"""Containers: made of providers or refused, looked into, closed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from dishka import AsyncContainer, FromComponent, Provider, Scope

from bocadillo import App, ConfigurationError, Router, WebSocket
from bocadillo.injection import Lifetime, ask_of
from bocadillo.injection.containers import (
    checked,
    close,
    get,
    make_container,
    raise_together,
    scope_of,
)
from tests.fakes import run
from tests.injection import INJECT, Pool, Unknown, User, Work, noting, supplying

# What may be given

WRONG: list[tuple[Any, str]] = [
    ([Provider], r"instances of dishka.Provider, got Provider; write `provider = Provider\("),
    (Provider, "instances of dishka.Provider, got Provider"),
    ([Pool()], "instances of dishka.Provider, got <tests.injection.Pool object"),
    ([make_container([])], "instances of dishka.Provider, got <dishka"),
    ([[supplying("a")]], r"instances of dishka.Provider, got \["),
    ("provider", "instances of dishka.Provider, got 'p'"),
    (supplying("a"), r"providers takes a list; write `providers=\[provider\]`"),
]


@pytest.mark.parametrize("owner", [App, Router])
@pytest.mark.parametrize(("given", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_no_provider_is_refused(owner: Any, given: Any, message: str) -> None:
    """The class instead of its instance is the usual slip."""
    with pytest.raises(ConfigurationError, match=message):
        owner(providers=given)


def test_providers_may_come_from_a_generator() -> None:
    """They are often collected from modules."""
    app = App(providers=(supplying(name) for name in "ab"))  # type: ignore[arg-type]

    async def name() -> str:
        return (await app.container.get(Pool)).name

    assert asyncio.run(name()) == "b"


def test_no_providers_are_fine() -> None:
    """A list of them may turn out to be empty."""
    assert checked([]) == ()


# Graphs that cannot work


class A:
    def __init__(self, b: "B") -> None: ...


class B:
    def __init__(self, a: A) -> None: ...


def lacking() -> Provider:
    provider = Provider(scope=Scope.APP)
    provider.provide(Work)
    return provider


def cyclic() -> Provider:
    provider = Provider(scope=Scope.APP)
    provider.provide(A)
    provider.provide(B)
    return provider


def upside_down() -> Provider:
    """The application's object wants one of a connection."""

    def pool(user: User) -> Pool:
        return user.pool

    provider = noting([])
    provider.provide(pool, scope=Scope.APP)
    return provider


@pytest.mark.parametrize("owner", [App, Router])
@pytest.mark.parametrize("provider", [lacking, cyclic, upside_down])
def test_providers_that_cannot_work_fail_where_they_are_given(owner: Any, provider: Any) -> None:
    """Not when the first client comes."""
    with pytest.raises(ConfigurationError, match="^the providers cannot work together: "):
        owner(providers=[provider()])


# Looking in


SCOPES: list[tuple[Any, str | None]] = [
    (INJECT[Pool], "APP"),
    (INJECT[User], "SESSION"),
    (INJECT[Work], "REQUEST"),
    (INJECT[WebSocket], "SESSION"),
    (INJECT[AsyncContainer], "RUNTIME"),
    (INJECT[Unknown], None),
]


@pytest.mark.parametrize(("hint", "scope"), SCOPES, ids=str)
def test_the_scope_of_a_thing_is_known_before_it_is_made(hint: Any, scope: str | None) -> None:
    """So a handler is refused when it is registered."""
    ask = ask_of(hint, "view chat()", "thing", Lifetime.SESSION)
    assert ask is not None

    assert scope_of(make_container([noting([])]), ask.key) == scope


def test_components_are_told_apart() -> None:
    """Each has providers of its own."""
    spare = supplying("the spare one").to_component("spare")
    container = make_container([supplying("the usual one"), spare])

    async def names() -> list[str]:
        found = []
        for hint in (INJECT[Pool], Annotated[Pool, FromComponent("spare")]):
            ask = ask_of(hint, "view chat()", "pool", Lifetime.SESSION)
            assert ask is not None
            found.append((await get(container, ask)).name)
        return found

    assert run(names) == ["the usual one", "the spare one"]


# Closing


def failing() -> Provider:
    """Return a provider whose things fail when they are closed."""

    async def pool() -> AsyncIterator[Pool]:
        yield Pool()
        raise LookupError("one")

    async def work(pool: Pool) -> AsyncIterator[Work]:
        yield Work(pool)
        raise LookupError("two")

    provider = Provider(scope=Scope.APP)
    provider.provide(pool)
    provider.provide(work)
    return provider


def open_and_close(cls: type) -> None:
    async def scenario() -> None:
        container = make_container([failing()])
        await container.get(cls)
        await close(container)

    run(scenario)


def test_a_single_failure_is_raised_as_it_is() -> None:
    """dishka's wrapping would hide it in the log."""
    with pytest.raises(LookupError, match="one") as failure:
        open_and_close(Pool)

    assert failure.value.__cause__ is None
    assert failure.value.__context__ is None


def test_several_failures_are_raised_together() -> None:
    """None of them is lost."""
    with pytest.raises(ExceptionGroup) as failure:
        open_and_close(Work)

    assert [str(exc) for exc in failure.value.exceptions] == ["two", "one"]


def test_what_is_late_is_cancelled_and_what_is_left_is_closed() -> None:
    """Each has the same time, whoever hangs before it."""
    steps: list[str] = []

    async def pool() -> AsyncIterator[Pool]:
        yield Pool()
        steps.append("pool closed")

    async def work(pool: Pool) -> AsyncIterator[Work]:
        yield Work(pool)
        await asyncio.Event().wait()

    provider = Provider(scope=Scope.APP)
    provider.provide(pool)
    provider.provide(work)

    async def scenario() -> None:
        container = make_container([provider])
        await container.get(Work)
        with pytest.raises(TimeoutError, match="closing took more than 0.05 s"):
            await close(container, timeout_s=0.05)

    run(scenario)

    assert steps == ["pool closed"]


def test_failures_of_several_containers_are_raised_together() -> None:
    """And one alone as it is; and none not at all."""
    one, two = LookupError("one"), LookupError("two")

    raise_together([])
    with pytest.raises(LookupError, match="one"):
        raise_together([one])
    with pytest.raises(ExceptionGroup, match="several providers failed") as group:
        raise_together([one, two])
    assert group.value.exceptions == (one, two)
