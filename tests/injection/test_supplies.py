"""Supplies: a container for each event loop, overriding, and what is refused."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any
from weakref import ref

import pytest
from dishka import AsyncContainer, Provider, Scope

from bocadillo import ConfigurationError
from bocadillo.injection import Ask, Lifetime, Supply, ask_of
from tests.fakes import run, settle
from tests.injection import INJECT, Pool, Unknown, User, Work, noting, supplying


def ask(cls: type, lifetime: Lifetime = Lifetime.SESSION) -> Ask:
    made = ask_of(INJECT[cls], "view chat()", "thing", lifetime)
    assert made is not None
    return made


async def pool_of(supply: Supply) -> Pool:
    pool = await supply.container.get(Pool)
    assert isinstance(pool, Pool)
    return pool


# One container for each event loop


def test_a_loop_has_one_container_until_it_is_closed() -> None:
    """What lives with the application is opened once, and anew after a restart."""
    steps: list[Any] = []
    supply = Supply([noting(steps)])

    async def scenario() -> None:
        assert await pool_of(supply) is await pool_of(supply)
        await supply.close()
        await supply.close()
        await pool_of(supply)
        await supply.close()

    run(scenario)

    assert steps == ["pool opened", "pool closed"] * 2


def test_another_loop_has_another_container() -> None:
    """A connection to a database belongs to the loop that it was opened in."""
    supply = Supply([supplying("a")])

    with asyncio.Runner() as one, asyncio.Runner() as two:
        here, there = one.run(pool_of(supply)), two.run(pool_of(supply))
        again = one.run(pool_of(supply))

    assert here is again
    assert here is not there


def test_a_loop_that_is_gone_leaves_nothing_behind() -> None:
    """A test suite has hundreds of them."""
    supply = Supply([supplying("a")])
    gone = ref(run(lambda: pool_of(supply)))

    gc.collect()

    assert gone() is None


def test_outside_of_a_loop_the_container_is_the_next_loops() -> None:
    """So a program may look at it, or hand it on, before it runs."""
    supply = Supply([supplying("a")])
    early = supply.container

    async def scenario() -> AsyncContainer:
        return supply.container

    assert supply.container is early
    assert run(scenario) is early
    assert run(scenario) is not early


# Closing


def failing(message: str) -> Provider:
    provider = Provider(scope=Scope.APP)

    async def pool() -> AsyncIterator[Pool]:
        yield Pool()
        raise LookupError(message)

    provider.provide(pool)
    return provider


def test_what_fails_to_close_keeps_nothing_else_open() -> None:
    """All is tried, the latest first, and all failures are told."""
    steps: list[Any] = []
    supply = Supply([noting(steps)])

    async def scenario() -> None:
        await pool_of(supply)
        for message in ("one", "two"):
            with supply.override(failing(message)):
                await pool_of(supply)
        with pytest.raises(ExceptionGroup, match="several providers failed") as failure:
            await supply.close()
        assert [str(exc) for exc in failure.value.exceptions] == ["two", "one"]
        await supply.close()

    run(scenario)

    assert steps == ["pool opened", "pool closed"]


# Overriding


def test_an_override_counts_until_its_block_ends() -> None:
    """The innermost counts."""
    supply = Supply([supplying("real")])

    async def scenario() -> list[str]:
        names = [(await pool_of(supply)).name]
        with supply.override(supplying("fake")):
            names.append((await pool_of(supply)).name)
            with supply.override(supplying("fake in a fake")):
                names.append((await pool_of(supply)).name)
            names.append((await pool_of(supply)).name)
        names.append((await pool_of(supply)).name)
        return names

    assert run(scenario) == ["real", "fake", "fake in a fake", "fake", "real"]


def test_an_override_ends_when_its_block_fails() -> None:
    """A test that fails must not change those after it."""
    supply = Supply([supplying("real")])

    with pytest.raises(LookupError), supply.override(supplying("fake")):
        raise LookupError

    assert run(lambda: pool_of(supply)).name == "real"


def test_what_is_not_overridden_comes_from_the_providers_beneath() -> None:
    """A test replaces one thing and not ten."""
    supply = Supply([noting([])])

    async def scenario() -> Work:
        with supply.override(supplying("fake")):
            async with supply.container() as message:
                return await message.get(Work)

    assert run(scenario).pool.name == "fake"


def test_overrides_may_end_in_any_order() -> None:
    """Fixtures of different scopes do so."""
    supply = Supply([supplying("real")])
    one, two = supply.override(supplying("one")), supply.override(supplying("two"))

    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert run(lambda: pool_of(supply)).name == "two"
    two.__exit__(None, None, None)

    assert run(lambda: pool_of(supply)).name == "real"


def test_what_an_override_made_is_closed_with_the_rest() -> None:
    """In each loop; connections that it served may still be open when its block ends."""
    steps: list[Any] = []
    supply = Supply([noting([])])

    with asyncio.Runner() as one, asyncio.Runner() as two:
        with supply.override(noting(steps, "fake")):
            one.run(pool_of(supply))
            two.run(pool_of(supply))
        assert steps == ["fake opened", "fake opened"]
        one.run(supply.close())
        assert steps[2:] == ["fake closed"]
        two.run(supply.close())

    assert steps[2:] == ["fake closed", "fake closed"]


def shorter_lived() -> Provider:
    provider = Provider(scope=Scope.REQUEST)
    provider.provide(lambda: Pool(), provides=Pool)
    return provider


def test_an_override_that_cannot_serve_who_asks_is_refused() -> None:
    """The test fails where it is wrong, and not at a connection."""
    supply = Supply([supplying("real")])
    supply.check([ask(Pool)])
    override = supply.override(shorter_lived())

    with pytest.raises(ConfigurationError, match="asks for Pool, which has scope REQUEST"):
        override.__enter__()
    with pytest.raises(ConfigurationError, match="got Pool; write"):
        supply.override(Pool).__enter__()  # type: ignore[arg-type]

    assert run(lambda: pool_of(supply)).name == "real"


# What is refused


class Step:
    """Lives with one step of a message's work, which nothing here opens."""


def with_step() -> Provider:
    provider = noting([])
    provider.provide(Step, scope=Scope.STEP)
    return provider


REFUSED: list[tuple[type, Lifetime, str]] = [
    (Unknown, Lifetime.REQUEST, "which no provider of the nearest router that has providers"),
    (User, Lifetime.APP, "which has scope SESSION: it is built once for all connections; ask"),
    (Work, Lifetime.APP, "which has scope REQUEST: it is built once for all connections; ask"),
    (Work, Lifetime.SESSION, "which has scope REQUEST: it would be held as long as the connec"),
    (Work, Lifetime.SESSION, "`container: Inject[AsyncContainer]`"),
    (Work, Lifetime.SESSION, "`async with container() as message: … await message.get(Work)`"),
    (Step, Lifetime.REQUEST, "which has scope STEP: nothing opens that scope here"),
]


@pytest.mark.parametrize(("cls", "lifetime", "words"), REFUSED, ids=str)
def test_what_cannot_be_supplied_is_refused_with_the_way_out(
    cls: type, lifetime: Lifetime, words: str
) -> None:
    """A message that only says no leaves one to read the documentation."""
    with pytest.raises(ConfigurationError) as refusal:
        Supply([with_step()]).check([ask(cls, lifetime)])

    assert str(refusal.value).startswith(
        f"view chat(): parameter 'thing' asks for {cls.__name__}, which "
    )
    assert words in str(refusal.value)


GRANTED = [
    (cls, lifetime)
    for cls, shortest in ((Pool, Lifetime.APP), (User, Lifetime.SESSION), (Work, Lifetime.REQUEST))
    for lifetime in Lifetime
    if lifetime >= shortest
]


@pytest.mark.parametrize(("cls", "lifetime"), [*GRANTED, (AsyncContainer, Lifetime.APP)], ids=str)
def test_what_lives_long_enough_is_granted(cls: type, lifetime: Lifetime) -> None:
    """Whoever lives short may use what lives longer."""
    supply = Supply([noting([])])

    supply.check([ask(cls, lifetime)])
    supply.check([ask(cls, lifetime)])


def test_without_providers_the_message_says_where_to_give_some() -> None:
    """One who asks for the first time has yet to learn it."""
    with pytest.raises(ConfigurationError) as refusal:
        Supply().check([ask(Pool)])

    assert str(refusal.value) == (
        "view chat(): parameter 'thing' asks for Pool, which nothing supplies: there are no "
        "providers; write App(providers=[…])"
    )


# What is built once


class Controller:
    def __init__(self, thing: Pool) -> None:
        self.pool = thing


def test_what_is_built_once_is_built_once_whoever_comes_meanwhile() -> None:
    """Two clients that come first at the same time share one instance."""
    supply = Supply([noting([])])
    gate = asyncio.Event()

    async def pool() -> Pool:
        await gate.wait()
        return Pool("slow")

    slow = Provider(scope=Scope.APP)
    slow.provide(pool)

    async def scenario() -> None:
        with supply.override(slow):
            live = supply.here()
            builds = [
                asyncio.create_task(live.build("key", Controller, [ask(Pool)])) for _ in range(3)
            ]
            await settle()
            gate.set()
            one, *others = await asyncio.gather(*builds)

            assert [other is one for other in others] == [True, True]
            assert one.pool.name == "slow"
            assert await live.build("key", Controller, [ask(Pool)]) is one
            assert await live.build("another key", Controller, [ask(Pool)]) is not one

    run(scenario)


def test_what_failed_to_be_built_is_built_by_the_next() -> None:
    """A database that was late must not lock everybody out until a restart."""
    attempts: list[int] = []

    class Late:
        def __init__(self) -> None:
            attempts.append(1)
            if len(attempts) == 1:
                raise LookupError("not yet")

    async def scenario() -> None:
        live = Supply().here()
        answers = await asyncio.gather(
            *(live.build("key", Late, []) for _ in range(3)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [LookupError, Late, Late]

    run(scenario)

    assert len(attempts) == 2


# What lives with the application is made once


def test_what_is_made_already_is_at_hand_while_something_else_is_slow() -> None:
    """One slow provider must not stop the handlers of the others."""
    gate = asyncio.Event()

    def pool() -> Pool:
        return Pool()

    async def user() -> User:
        await gate.wait()
        return User(None, Pool())  # type: ignore[arg-type]

    provider = Provider(scope=Scope.APP)
    provider.provide(pool)
    provider.provide(user)
    supply = Supply([provider])

    async def scenario() -> None:
        live = supply.here()
        pool = await live.get(ask(Pool))
        slow = asyncio.ensure_future(live.get(ask(User)))
        await settle()

        assert await live.get(ask(Pool)) is pool
        gate.set()
        await slow

    run(scenario)


def test_what_is_slow_is_made_once_whoever_leaves() -> None:
    """Else what takes longer than a handshake may would never be there."""
    gate, begun = asyncio.Event(), []

    async def pool() -> Pool:
        begun.append(1)
        await gate.wait()
        return Pool("slow")

    provider = Provider(scope=Scope.APP)
    provider.provide(pool)
    supply = Supply([provider])

    async def scenario() -> None:
        live = supply.here()
        first = asyncio.ensure_future(live.get(ask(Pool)))
        await settle()
        first.cancel()
        await settle()
        gate.set()

        assert (await live.get(ask(Pool))).name == "slow"
        assert begun == [1]

    run(scenario)


def test_what_failed_is_tried_again_by_the_next() -> None:
    """A database may come back."""
    tries: list[int] = []

    def pool() -> Pool:
        tries.append(1)
        if len(tries) == 1:
            raise LookupError("down")
        return Pool("up")

    provider = Provider(scope=Scope.APP)
    provider.provide(pool)
    supply = Supply([provider])

    async def scenario() -> None:
        live = supply.here()
        with pytest.raises(LookupError, match="down"):
            await live.get(ask(Pool))
        assert (await live.get(ask(Pool))).name == "up"

    run(scenario)


def test_what_is_registered_during_an_override_is_checked_without_it_too() -> None:
    """The override ends, and the handler stays."""
    supply = Supply()

    with (
        supply.override(noting([])),
        pytest.raises(ConfigurationError, match="asks for Pool, which nothing supplies"),
    ):
        supply.check([ask(Pool)])


def test_what_is_still_being_made_is_given_up_at_the_end() -> None:
    """A provider that waits for ever must not keep the application from stopping."""

    async def pool() -> Pool:
        await asyncio.Event().wait()
        raise NotImplementedError

    provider = Provider(scope=Scope.APP)
    provider.provide(pool)
    supply = Supply([provider])

    async def scenario() -> None:
        making = asyncio.ensure_future(supply.here().get(ask(Pool)))
        await settle()
        await supply.close()

        with pytest.raises(asyncio.CancelledError):
            await making

    run(scenario)
