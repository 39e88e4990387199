"""`LossContract`: what a broker does when its connection is lost, and that it ends in time."""

import asyncio
from collections.abc import Awaitable

from bocadillo.channels.broker import Broker
from bocadillo.channels.publications import HistoryLimits, Position
from bocadillo.errors import BrokerError
from bocadillo.testing.contracts.listening import Heard, run
from bocadillo.testing.contracts.suite import KEPT, BrokerSuite, new_name

# How often a connection is broken while publications come.
BREAKS = 3


class LossContract(BrokerSuite):
    """From start to close; losses are told; each call ends in time."""

    def test_a_broker_that_was_never_started_can_be_closed(self) -> None:
        """Clean-up need not know how far things had come."""

        async def scenario() -> None:
            await self.make().close()

        run(scenario)

    def test_nothing_comes_after_closing(self) -> None:
        """Who closed it has let go of its readers."""

        async def scenario() -> None:
            async with self.started() as (broker, heard):
                name = new_name()
                await broker.subscribe(name)
            if self.is_shared:
                async with self.started() as (other, _):
                    await other.publish(name, "x", limits=KEPT)

            assert heard.publications == []
            assert heard.news == []

        run(scenario)

    # Loss of connection

    def test_a_broken_connection_is_told_as_lost_and_then_as_restored(self) -> None:
        """In between, who listens knows that something may be missing."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            names = [new_name() for _ in range(3)]
            for name in names:
                await broker.subscribe(name)

            await self.break_connection()
            await heard.wait_for_news("restored")
            for name in names:
                position = await published(broker, name, "all subscriptions stand again")
                await heard.wait_for_position(position)

            assert heard.news == ["lost", "restored"]

        self.run_with(scenario)

    def test_publications_of_a_connection_that_breaks_come_once_and_in_order(self) -> None:
        """Some may be missed, which shows in the offsets; and are in the history."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            await broker.subscribe(name)
            is_enough = asyncio.Event()
            publishing = asyncio.create_task(publish_until(is_enough, broker, name))

            try:
                for breaks in range(1, BREAKS + 1):
                    await self.break_connection()
                    await heard.wait_for_news("restored", breaks)
                    await heard.wait_for(len(heard.publications) + 5)
            finally:
                is_enough.set()
                await publishing
            last = await published(broker, name, "last")
            await heard.wait_for_position(last)

            offsets = [position.offset for position in heard.positions]
            kept = (await broker.history(name)).publications
            assert offsets == sorted({*offsets})
            assert [known.position.offset for known in kept] == [*range(1, last.offset + 1)]
            assert [known for known in kept if known in heard.publications] == heard.publications
            assert heard.news == ["lost", "restored"] * (len(heard.news) // 2)

        self.run_with(scenario)

    def test_silence_counts_as_a_loss(self) -> None:
        """A connection that is dead need not say so."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            await broker.subscribe(name)
            first = await broker.publish(name, "before", limits=KEPT)
            await heard.wait_for(1)

            async with self.silenced():
                await heard.wait_for_news("lost")
            await heard.wait_for_news("restored")
            last = await published(broker, name, "after")
            await heard.wait_for_position(last)

            missed = await broker.history(name, since=first)
            assert heard.positions[0] == first
            assert missed.newest == last
            assert [known.payload for known in missed.publications][-1] == "after"

        self.run_with(scenario)

    # Time

    def test_no_call_outlasts_its_time_where_nothing_answers(self) -> None:
        """A handler is not held up for ever; what it publishes then has not got through."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name, presence = new_name(), broker.presence
            await broker.subscribe(name)

            async with self.silenced():
                failure, *_ = await asyncio.gather(
                    failure_of(broker, broker.publish(name, "x", limits=KEPT)),
                    failure_of(broker, broker.subscribe(new_name())),
                    failure_of(broker, broker.unsubscribe(name)),
                    failure_of(broker, broker.history(name)),
                    failure_of(broker, broker.newest([name])),
                    failure_of(broker, presence.enter(name, "me", None)),
                    failure_of(broker, presence.leave(name, "me")),
                    failure_of(broker, presence.refresh()),
                    failure_of(broker, presence.present(name)),
                    failure_of(broker, presence.leave_all()),
                )

            assert failure is not None

        self.run_with(scenario)

    def test_closing_ends_in_time_and_without_an_error_where_nothing_answers(self) -> None:
        """A program can end without its broker."""

        async def scenario() -> None:
            silence, broker = self.silenced(), self.make()
            await broker.start(Heard())
            await broker.subscribe(new_name())

            async with silence:
                assert await failure_of(broker, broker.close()) is None

        run(scenario)

    def test_a_start_that_failed_in_time_may_be_tried_again(self) -> None:
        """The world may be there later than the program; nothing is left of the first try."""

        async def scenario() -> None:
            silence, broker, heard = self.silenced(), self.make(), Heard()
            name = new_name()

            async with silence:
                assert await failure_of(broker, broker.start(heard)) is not None
            assert asyncio.all_tasks() == {asyncio.current_task()}
            await broker.start(heard)
            try:
                await broker.subscribe(name)
                await published(broker, name, "x")
                await heard.wait_for(1)
            finally:
                await broker.close()

        run(scenario)


async def failure_of(broker: Broker, call: Awaitable[object]) -> BrokerError | None:
    """Return how a call has failed, or None; it has to end within the broker's time."""
    allowed_s = 1.5 * broker.timeout_s + 0.5  # for a machine that is busy
    try:
        async with asyncio.timeout(allowed_s):
            await call
    except TimeoutError:
        raise AssertionError(
            f"a call has not ended within {allowed_s} s, at a timeout_s of {broker.timeout_s}"
        ) from None
    except BrokerError as failure:
        return failure
    return None


async def published(broker: Broker, channel: str, payload: str) -> Position:
    """Publish as soon as that is possible; what failed may have been published, too."""
    while True:
        try:
            return await broker.publish(channel, payload, limits=HistoryLimits(max_count=10_000))
        except BrokerError:
            await asyncio.sleep(0.01)


async def publish_until(is_enough: asyncio.Event, broker: Broker, channel: str) -> None:
    """Publish all the time."""
    while not is_enough.is_set():
        await published(broker, channel, "x")
        await asyncio.sleep(0.002)
