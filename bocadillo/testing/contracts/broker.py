"""`BrokerContract`: the guarantees of `bocadillo.channels.broker`, one test for each."""

import asyncio
import uuid
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from bocadillo.channels.broker import Broker
from bocadillo.channels.publications import START, HistoryLimits, Position
from bocadillo.codecs import Payload
from bocadillo.errors import PositionLost
from bocadillo.testing.contracts.listening import Heard, run

KEPT = HistoryLimits(max_count=5, max_age_s=60)
UNKEPT = HistoryLimits(max_count=0)

# Names that a broker may be tempted to take for one another.
NAMES = [
    "room",
    "ROOM",
    "rööm",
    "ro om",
    "ro*m",
    "room:",
    ":room",
    "",
    "\0",
    "\n",
    "\ud800",
    "r" * 999,
]

PAYLOADS: list[Payload] = [
    "",
    "text",
    "é\0\n😀",
    b"",
    b"bytes\xff\n\0",
    b"text",
    "b1 1 e 1 t \n",
]


def new_name() -> str:
    """Return a channel that nobody else knows."""
    return f"contract-{uuid.uuid4().hex}"


class BrokerContract:
    """Subclass it, and say how to make a broker.

    Attributes:
        is_shared: Whether brokers that `make` returns are of one world, as those of two
            processes are.
    """

    is_shared: ClassVar[bool] = False

    @abstractmethod
    def make(self) -> Broker:
        """Return a broker that is not started."""
        raise NotImplementedError

    @asynccontextmanager
    async def started(self) -> AsyncIterator[tuple[Broker, Heard]]:
        """Start a broker, and close it in the end."""
        broker, heard = self.make(), Heard()
        await broker.start(heard)
        try:
            yield broker, heard
        finally:
            await broker.close()

    def run_with(self, scenario: Callable[[Broker, Heard], Coroutine[Any, Any, None]]) -> None:
        """Run a scenario with a started broker."""

        async def started() -> None:
            async with self.started() as (broker, heard):
                await scenario(broker, heard)

        run(started)

    # Publishing

    def test_a_publication_reaches_who_subscribes(self) -> None:
        """The whole of it: channel, payload, position, time, and whom it is not for."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            await broker.subscribe(name)

            position = await broker.publish(name, "hello", exclude="me é\n =", limits=KEPT)
            await heard.wait_for(1)

            [publication] = heard.publications
            assert publication.channel == name
            assert publication.payload == "hello"
            assert publication.position == position
            assert publication.time > 1_500_000_000
            assert publication._exclude == "me é\n ="

        self.run_with(scenario)

    def test_payloads_arrive_as_they_are(self) -> None:
        """Text as text and bytes as bytes, whatever is in them."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            await broker.subscribe(name)

            for payload in PAYLOADS:
                await broker.publish(name, payload, limits=HistoryLimits())
            await heard.wait_for(len(PAYLOADS))

            past = await broker.history(name)
            assert heard.payloads(name) == PAYLOADS
            assert [known.payload for known in past.publications] == PAYLOADS
            assert past.publications == heard.publications

        self.run_with(scenario)

    def test_channels_with_different_names_have_nothing_in_common(self) -> None:
        """Else one room reads what is said in another."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            base = new_name()
            names = [base + name for name in NAMES] + [base.upper()]
            for name in names:
                await broker.subscribe(name)

            for name in names:
                await broker.publish(name, f"to {name!r}", limits=KEPT)
            await heard.wait_for(len(names))

            for name in names:
                past = await broker.history(name)
                assert heard.payloads(name) == [f"to {name!r}"]
                assert [known.payload for known in past.publications] == [f"to {name!r}"]
                assert past.newest.offset == 1

        self.run_with(scenario)

    def test_offsets_rise_by_one_in_one_epoch(self) -> None:
        """By them a reader sees that nothing is missing."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            await broker.subscribe(name)

            positions = [await broker.publish(name, "x", limits=KEPT) for _ in range(8)]
            await heard.wait_for(8)

            assert [position.offset for position in positions] == [*range(1, 9)]
            assert len({position.epoch for position in positions}) == 1
            assert positions[0].epoch
            assert [known.position for known in heard.publications] == positions

        self.run_with(scenario)

    def test_publishing_at_once_keeps_one_order_for_listener_and_history(self) -> None:
        """All who read a channel read the same conversation."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            await broker.subscribe(name)
            limits = HistoryLimits(max_count=100)

            published = [broker.publish(name, str(n), limits=limits) for n in range(50)]
            positions = await asyncio.gather(*published)
            await heard.wait_for(50)

            past = await broker.history(name)
            assert sorted(position.offset for position in positions) == [*range(1, 51)]
            assert [known.position.offset for known in heard.publications] == [*range(1, 51)]
            assert past.publications == heard.publications
            for n, position in enumerate(positions):
                assert heard.publications[position.offset - 1].payload == str(n)

        self.run_with(scenario)

    def test_publishing_without_history_and_readers_is_allowed(self) -> None:
        """Nobody has to be there."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()

            position = await broker.publish(name, "x", limits=UNKEPT)

            assert position.offset == 1
            assert (await broker.history(name)).publications == []
            assert heard.publications == []

        self.run_with(scenario)

    # Subscribing

    def test_what_was_published_before_a_subscription_is_only_in_the_history(self) -> None:
        """Its position tells up to where."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            before = await broker.publish(name, "before", limits=KEPT)

            subscribed = await broker.subscribe(name)
            await broker.publish(name, "after", limits=KEPT)
            await heard.wait_for(1)

            assert subscribed == before
            assert heard.payloads(name) == ["after"]

        self.run_with(scenario)

    def test_subscribing_to_an_unknown_channel_tells_the_start(self) -> None:
        """What comes first has the offset after it."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            assert await broker.subscribe(new_name()) == START

        self.run_with(scenario)

    def test_nothing_comes_after_unsubscribing_and_all_after_subscribing_again(self) -> None:
        """A room that is left and joined again is as any other."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name, other = new_name(), new_name()
            await broker.subscribe(other)
            await broker.subscribe(name)

            await broker.unsubscribe(name)
            missed = await broker.publish(name, "missed", limits=KEPT)
            await broker.publish(other, "other", limits=KEPT)
            await heard.wait_for(1)
            assert heard.payloads(name) == []
            assert await broker.subscribe(name) == missed
            await broker.publish(name, "heard", limits=KEPT)
            await heard.wait_for(2)

            assert heard.payloads(name) == ["heard"]

        self.run_with(scenario)

    def test_unsubscribing_what_is_not_subscribed_has_no_effect(self) -> None:
        """Clean-up need not know how far things had come."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            await broker.unsubscribe(new_name())

        self.run_with(scenario)

    def test_subscribing_twice_brings_nothing_twice(self) -> None:
        """A reader sees each publication once."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name, other = new_name(), new_name()
            for subscribed in (name, name, other):
                await broker.subscribe(subscribed)

            await broker.publish(name, "once", limits=KEPT)
            await broker.publish(other, "last", limits=KEPT)
            await heard.wait_for(2)

            assert heard.payloads(name) == ["once"]

        self.run_with(scenario)

    # History

    def test_history_keeps_the_newest_up_to_its_count(self) -> None:
        """Memory is bounded, whoever talks how much."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            for n in range(8):
                await broker.publish(name, str(n), limits=KEPT)

            past = await broker.history(name)

            assert [known.payload for known in past.publications] == ["3", "4", "5", "6", "7"]
            assert past.newest.offset == 8

        self.run_with(scenario)

    def test_history_forgets_what_is_too_old(self) -> None:
        """What was said long ago is nobody's business."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            limits = HistoryLimits(max_age_s=0.05)
            await broker.publish(name, "old", limits=limits)

            while (past := await broker.history(name)).publications:
                await asyncio.sleep(0.01)
            await broker.publish(name, "new", limits=HistoryLimits())

            assert past.newest.offset in (0, 1)
            kept = (await broker.history(name)).publications
            assert [known.payload for known in kept] == ["new"]

        self.run_with(scenario)

    def test_history_may_be_asked_for_the_newest_few(self) -> None:
        """A late joiner sees a page, not everything."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            for n in range(5):
                await broker.publish(name, str(n), limits=KEPT)

            payloads = {
                limit: [known.payload for known in (await broker.history(name, limit=limit))[0]]
                for limit in (0, 1, 3, 5, 9)
            }

            assert payloads[0] == []
            assert payloads[1] == ["4"]
            assert payloads[3] == ["2", "3", "4"]
            assert payloads[5] == payloads[9] == ["0", "1", "2", "3", "4"]

        self.run_with(scenario)

    def test_history_since_a_position_is_exactly_what_was_missed(self) -> None:
        """Nothing twice, and nothing left out."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            positions = [await broker.publish(name, str(n), limits=KEPT) for n in range(8)]

            for last in (2, 4, 7):
                past = await broker.history(name, since=positions[last])
                assert [known.position for known in past.publications] == positions[last + 1 :]
                assert past.newest == positions[-1]
            page = await broker.history(name, since=positions[3], limit=2)

            assert [known.position for known in page.publications] == positions[4:6]

        self.run_with(scenario)

    def test_history_since_the_start_is_all_of_it(self) -> None:
        """Who joined an unknown channel can ask for what came since."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            assert await broker.history(name, since=START) == ([], START)

            position = await broker.publish(name, "first", limits=KEPT)

            past = await broker.history(name, since=START)
            assert [known.position for known in past.publications] == [position]

        self.run_with(scenario)

    def test_a_position_before_what_is_kept_is_lost(self) -> None:
        """A gap is told, never hidden."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            positions = [await broker.publish(name, str(n), limits=KEPT) for n in range(8)]

            for since in (positions[1], START):
                assert await why_lost(broker, name, since) == "trimmed"

        self.run_with(scenario)

    def test_a_position_of_another_epoch_or_of_the_future_is_lost(self) -> None:
        """Offsets can be compared in one epoch only."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            position = await broker.publish(name, "x", limits=KEPT)

            for since in (
                Position(position.offset, "another"),
                Position(position.offset + 1, position.epoch),
            ):
                assert await why_lost(broker, name, since) == "epoch changed"
            assert await why_lost(broker, new_name(), position) == "epoch changed"

        self.run_with(scenario)

    def test_the_limits_of_the_last_publication_hold(self) -> None:
        """They may be changed while people talk."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            for n in range(4):
                await broker.publish(name, str(n), limits=KEPT)

            await broker.publish(name, "4", limits=HistoryLimits(max_count=2))
            two = (await broker.history(name)).publications
            await broker.publish(name, "5", limits=UNKEPT)
            none = (await broker.history(name)).publications

            assert [known.payload for known in two] == ["3", "4"]
            assert none == []

        self.run_with(scenario)

    def test_newest_positions_of_many_channels_come_in_one_call(self) -> None:
        """After a loss most channels have missed nothing, which has to be cheap to see."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            names = [new_name() for _ in range(3)]
            first = await broker.publish(names[0], "x", limits=KEPT)
            last = await broker.publish(names[2], "x", limits=KEPT)

            assert await broker.newest(names) == [first, START, last]
            assert await broker.newest([]) == []

        self.run_with(scenario)

    # From start to close

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

    def test_all_processes_hear_the_same_in_the_same_order(self) -> None:
        """Which one a reader is connected to makes no difference."""

        async def scenario(one: Broker, heard: Heard) -> None:
            async with self.started() as (two, heard_too):
                name = new_name()
                for broker in (one, two):
                    await broker.subscribe(name)

                both = [
                    broker.publish(name, str(n), limits=KEPT)
                    for n in range(20)
                    for broker in (one, two)
                ]
                await asyncio.gather(*both)
                await asyncio.gather(heard.wait_for(40), heard_too.wait_for(40))

                assert heard.publications == heard_too.publications
                assert [known.position.offset for known in heard.publications] == [*range(1, 41)]

        if self.is_shared:
            self.run_with(scenario)


async def why_lost(broker: Broker, channel: str, since: Position) -> str:
    """Return why a position is lost, which it has to be."""
    try:
        past = await broker.history(channel, since=since)
    except PositionLost as lost:
        return lost.why if (lost.channel, lost.since) == (channel, since) else repr(lost)
    raise AssertionError(f"{since} is not lost: {past}")
