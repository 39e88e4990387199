"""Sessions and messages: what lives with one connection and with one message."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from dishka import Provider, Scope

from bocadillo.injection import Lifetime, Message, Session, Sessions, Supply, ask_of
from tests.fakes import FakeServer, run, settle
from tests.injection import INJECT, Pool, User, Work, noting


def asked(session: Session | Message, cls: type) -> Awaitable[Any]:
    ask = ask_of(INJECT[cls], "view chat()", "thing", Lifetime.REQUEST)
    assert ask is not None
    return session.get(ask)


def scenario_of(act: Callable[[Sessions, Supply], Awaitable[None]]) -> list[Any]:
    """Act on the sessions of one connection, and return what was opened and closed."""
    steps: list[Any] = []

    async def scenario() -> None:
        supply = Supply([noting(steps)])
        await act(Sessions(FakeServer().websocket()), supply)
        await supply.close()

    run(scenario)
    return steps


# One connection


def test_what_lives_with_a_connection_is_made_once_and_closed_with_it() -> None:
    """Before what lives with the application."""

    async def act(sessions: Sessions, supply: Supply) -> None:
        session = sessions.of(supply)
        assert sessions.of(supply) is session
        assert await asked(session, User) is await asked(session, User)
        assert (await asked(session, User)).pool is await supply.container.get(Pool)
        await sessions.close(None)

    assert scenario_of(act) == ["pool opened", "user opened", "user closed", "pool closed"]


def test_two_tasks_of_a_connection_get_the_same() -> None:
    """A view may ask in several tasks at once."""
    gate = asyncio.Event()

    async def pool() -> Pool:
        await gate.wait()
        return Pool()

    provider = Provider(scope=Scope.SESSION)
    provider.provide(pool)

    async def scenario() -> None:
        session = Sessions(FakeServer().websocket()).of(Supply([provider]))
        asking = [asyncio.ensure_future(asked(session, Pool)) for _ in range(2)]
        await settle()
        gate.set()
        one, two = await asyncio.gather(*asking)
        assert one is two

    run(scenario)


def test_what_ended_the_view_is_told_to_the_providers() -> None:
    """They may want to undo what was done."""

    async def act(sessions: Sessions, supply: Supply) -> None:
        await asked(sessions.of(supply), User)
        await sessions.close(LookupError("lost"))

    assert scenario_of(act)[2] == "user closed by LookupError('lost')"


def test_nothing_is_made_of_what_nobody_asked_for() -> None:
    """An application without handlers that ask pays nothing."""

    async def act(sessions: Sessions, supply: Supply) -> None:
        sessions.of(supply)
        await sessions.close(None)

    assert scenario_of(act) == []


def test_a_session_knows_what_lives_with_the_application() -> None:
    """Controllers are built there."""

    async def act(sessions: Sessions, supply: Supply) -> None:
        assert sessions.of(supply).live is supply.here()

    scenario_of(act)


def failing(steps: list[Any], name: str) -> Provider:
    async def pool() -> AsyncIterator[Pool]:
        yield Pool()
        steps.append(name)
        raise LookupError(name)

    provider = Provider(scope=Scope.SESSION)
    provider.provide(pool)
    return provider


def test_all_sessions_are_closed_in_reverse_though_some_fail() -> None:
    """Handlers of several routers may each have their own."""
    steps: list[Any] = []

    async def scenario() -> None:
        sessions = Sessions(FakeServer().websocket())
        for name in ("one", "two"):
            await asked(sessions.of(Supply([failing(steps, name)])), Pool)
        with pytest.raises(ExceptionGroup, match="several providers failed"):
            await sessions.close(None)

    run(scenario)

    assert steps == ["two", "one"]


# One message


def test_what_lives_with_a_message_is_closed_with_it() -> None:
    """The connection goes on, with what is its own."""

    async def act(sessions: Sessions, supply: Supply) -> None:
        session = sessions.of(supply)
        user = await asked(session, User)
        for _ in range(2):
            async with session.message() as message:
                assert await asked(message, Work) is await asked(message, Work)
                assert await asked(message, User) is user
        await sessions.close(None)

    assert scenario_of(act) == [
        *("pool opened", "user opened"),
        *("work opened", "work closed") * 2,
        *("user closed", "pool closed"),
    ]


def test_a_message_that_failed_is_told_so() -> None:
    """A unit of work rolls back."""

    async def act(sessions: Sessions, supply: Supply) -> None:
        async def handle() -> None:
            async with sessions.of(supply).message() as message:
                await asked(message, Work)
                raise LookupError("lost")

        with pytest.raises(LookupError, match="lost"):
            await handle()

    assert "work closed by LookupError('lost')" in scenario_of(act)


async def handle_by_failing_provider(failure: Exception | None) -> None:
    """Handle one message, by what fails when it is closed."""
    provider = Provider(scope=Scope.REQUEST)

    async def work() -> AsyncIterator[Work]:
        yield Work(Pool())
        raise LookupError("the commit failed")

    provider.provide(work)
    async with Sessions(FakeServer().websocket()).of(Supply([provider])).message() as message:
        await asked(message, Work)
        if failure is not None:
            raise failure


def test_a_commit_that_fails_is_an_error_of_the_message() -> None:
    """Its sender must not be told that all is well."""
    with pytest.raises(LookupError, match="the commit failed"):
        run(lambda: handle_by_failing_provider(None))


def test_the_first_error_of_a_message_is_the_one_that_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The second is logged, and does not hide it."""
    with pytest.raises(KeyError, match="first"):
        run(lambda: handle_by_failing_provider(KeyError("first")))

    (record,) = caplog.records
    assert record.getMessage() == "closing the objects of a message failed, too"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the commit failed"
