"""`PresenceContract`: the guarantees of `bocadillo.channels.presence`, one test for each."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from bocadillo.channels.broker import Broker
from bocadillo.channels.presence import Change, PresenceStore, event_payload
from bocadillo.testing.contracts.listening import Heard, run
from bocadillo.testing.contracts.suite import NAMES, new_name, skip_unless_shared


class PresenceContract:
    """Subclass it, and say how to make a broker that has the store.

    Attributes:
        is_shared: Whether brokers that `make` returns are of one world. Then their
            `ttl_s` has to be short, for tests wait for it.
    """

    is_shared: ClassVar[bool] = False

    @abstractmethod
    def make(self) -> Broker:
        """Return a broker that is not started."""
        raise NotImplementedError

    @asynccontextmanager
    async def started(self) -> AsyncIterator[PresenceStore]:
        """Start a broker, and close it in the end, as if its process had died."""
        broker = self.make()
        await broker.start(Heard())
        try:
            yield broker.presence
        finally:
            await broker.close()

    def run_with(self, scenario: Callable[[PresenceStore], Coroutine[Any, Any, None]]) -> None:
        """Run a scenario with the store of a started broker."""

        async def started() -> None:
            async with self.started() as store:
                await scenario(store)

        run(started)

    def test_who_enters_is_seen_until_it_leaves(self) -> None:
        """With what it told of itself, and since when."""

        async def scenario(store: PresenceStore) -> None:
            name = new_name()

            change = await store.enter(name, "me", {"name": "Ada", "é": [1, None]})
            [present] = await store.present(name)
            left = await store.leave(name, "me")

            assert change is not None
            assert left is not None
            assert (change.kind, left.kind, change.channel, left.channel) == (
                "join",
                "leave",
                name,
                name,
            )
            assert change.present == present == left.present
            assert (present.id, present.info) == ("me", {"name": "Ada", "é": [1, None]})
            assert present.since > 1_500_000_000
            assert await store.present(name) == []

        self.run_with(scenario)

    def test_entering_again_changes_the_info_only(self) -> None:
        """Nobody is told of a second coming that was none."""

        async def scenario(store: PresenceStore) -> None:
            name = new_name()
            await store.enter(name, "me", 1)
            [before] = await store.present(name)

            assert await store.enter(name, "me", 2) is None

            [after] = await store.present(name)
            assert (after.info, after.since) == (2, before.since)

        self.run_with(scenario)

    def test_leaving_where_one_is_not_has_no_effect(self) -> None:
        """Nobody is told of a leaving that was none."""

        async def scenario(store: PresenceStore) -> None:
            name = new_name()

            assert await store.leave(name, "me") is None
            await store.enter(name, "me", 1)
            await store.leave(name, "me")

            assert await store.leave(name, "me") is None

        self.run_with(scenario)

    def test_channels_and_ids_with_different_names_have_nothing_in_common(self) -> None:
        """Else somebody is seen where they never were."""

        async def scenario(store: PresenceStore) -> None:
            base = new_name()
            for name in NAMES:
                await store.enter(base + name, base + name, name if name != "\ud800" else "")

            for name in NAMES:
                [present] = await store.present(base + name)
                assert present.id == base + name
            assert len(await store.leave_all()) == len(NAMES)

        self.run_with(scenario)

    def test_all_of_a_process_leave_at_once(self) -> None:
        """A process that ends takes its readers with it."""

        async def scenario(store: PresenceStore) -> None:
            one, two = new_name(), new_name()
            for name, id in ((one, "a"), (one, "b"), (two, "a")):
                await store.enter(name, id, None)

            changes = await store.leave_all()

            assert sorted((known.kind, known.channel, known.present.id) for known in changes) == (
                sorted([("leave", one, "a"), ("leave", one, "b"), ("leave", two, "a")])
            )
            assert await store.present(one) == await store.present(two) == []
            assert await store.leave_all() == []

        self.run_with(scenario)

    def test_what_cannot_be_written_as_json_is_refused(self) -> None:
        """At once, and not by whoever reads it."""

        async def scenario(store: PresenceStore) -> None:
            name = new_name()

            try:
                await store.enter(name, "me", object())
            except TypeError:
                assert await store.present(name) == []
            else:
                raise AssertionError("an object was entered as info")

        self.run_with(scenario)

    def test_an_info_is_a_copy(self) -> None:
        """What its owner changes later is not what others see."""

        async def scenario(store: PresenceStore) -> None:
            name = new_name()
            info = {"n": 1}
            change = await store.enter(name, "me", info)

            info["n"] = 2

            [present] = await store.present(name)
            assert present.info == {"n": 1}
            assert change is not None
            assert '"info":{"n":1}' in event_payload(change)

        self.run_with(scenario)

    # Of several processes

    def test_processes_see_each_other(self) -> None:
        """Which one a reader is connected to makes no difference."""

        async def scenario(one: PresenceStore) -> None:
            async with self.started() as two:
                name = new_name()
                await one.enter(name, "a", None)
                await two.enter(name, "b", None)

                for store in (one, two):
                    assert {known.id for known in await store.present(name)} == {"a", "b"}
                assert await one.leave(name, "b") is None
                assert {known.id for known in await one.present(name)} == {"a", "b"}

        skip_unless_shared(self.is_shared)
        self.run_with(scenario)

    def test_an_id_that_comes_back_elsewhere_is_not_taken_out_by_its_old_process(self) -> None:
        """A client may have reconnected before its first process learns that it left."""

        async def scenario(one: PresenceStore) -> None:
            async with self.started() as two:
                name = new_name()
                await one.enter(name, "me", 1)
                assert await two.enter(name, "me", 2) is None

                assert await one.leave(name, "me") is None
                assert await one.leave_all() == []

                [present] = await two.present(name)
                assert present.info == 2

        skip_unless_shared(self.is_shared)
        self.run_with(scenario)

    def test_a_process_that_died_is_told_of_once(self) -> None:
        """Everybody sees the same people leave, and nobody leaves twice."""

        async def scenario(one: PresenceStore) -> None:
            async with self.started() as two:
                name = new_name()
                await one.enter(name, "stays", None)
                async with self.started() as three:
                    await three.enter(name, "dies", None)

                told: list[Change] = []
                while not told:
                    told += [*await one.refresh(), *await two.refresh()]
                    await asyncio.sleep(0.01)
                told += [*await one.refresh(), *await two.refresh()]

                assert [(known.kind, known.present.id) for known in told] == [("leave", "dies")]
                assert [known.id for known in await two.present(name)] == ["stays"]

        skip_unless_shared(self.is_shared)
        self.run_with(scenario)

    def test_an_id_that_came_back_elsewhere_stays_when_its_old_process_dies(self) -> None:
        """A client that was moved to another process in time is there."""

        async def scenario(one: PresenceStore) -> None:
            name = new_name()
            async with self.started() as two:
                await two.enter(name, "moves", 1)
                await two.enter(name, "dies", 1)
                await one.enter(name, "moves", 2)

            told: list[Change] = []
            while not told:
                told += await one.refresh()
                await asyncio.sleep(0.01)

            assert [known.present.id for known in told] == ["dies"]
            assert [known.id for known in await one.present(name)] == ["moves"]

        skip_unless_shared(self.is_shared)
        self.run_with(scenario)

    def test_a_process_that_died_is_not_seen_even_if_nobody_was_told(self) -> None:
        """Its time is over when it is over."""

        async def scenario(one: PresenceStore) -> None:
            name = new_name()
            async with self.started() as two:
                await two.enter(name, "dies", None)
            assert [known.id for known in await one.present(name)] == ["dies"]

            while await one.present(name):
                await asyncio.sleep(0.01)
            change = await one.enter(name, "dies", None)

            assert change is not None

        skip_unless_shared(self.is_shared)
        self.run_with(scenario)

    def test_a_process_that_was_taken_for_dead_comes_back(self) -> None:
        """A pause of a process that is longer than its time-to-live heals."""

        async def scenario(one: PresenceStore) -> None:
            async with self.started() as two:
                name = new_name()
                await two.enter(name, "paused", {"n": 1})
                while not await one.refresh():
                    await asyncio.sleep(0.01)
                assert await one.present(name) == []

                changes = await two.refresh()

                assert [(known.kind, known.present.id) for known in changes] == [("join", "paused")]
                [present] = await one.present(name)
                assert (present.id, present.info) == ("paused", {"n": 1})

        skip_unless_shared(self.is_shared)
        self.run_with(scenario)
