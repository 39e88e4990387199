"""`PublishingContract`: what is published reaches who subscribes, once and in order."""

import asyncio

from bocadillo.channels.broker import Broker
from bocadillo.channels.publications import START, HistoryLimits, Past, Publication
from bocadillo.codecs import Payload
from bocadillo.testing.contracts.listening import Heard, run
from bocadillo.testing.contracts.suite import (
    KEPT,
    NAMES,
    UNKEPT,
    BrokerSuite,
    new_name,
    skip_unless_shared,
)

PAYLOADS: list[Payload] = [
    "",
    "text",
    "é\0\n😀",
    b"",
    b"bytes\xff\n\0",
    b"text",
    "b1 1 e 1 t \n",
]


class Asking(Heard):
    """Reads the history as soon as it hears of anything."""

    broker: Broker

    def __init__(self) -> None:
        super().__init__()
        self.reading: list[asyncio.Task[Past]] = []

    def receive(self, publication: Publication) -> None:
        """Note a publication, and read."""
        super().receive(publication)
        reading = self.broker.history(publication.channel)
        self.reading.append(asyncio.get_running_loop().create_task(reading))


class PublishingContract(BrokerSuite):
    """One step, order, at most once."""

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

    # One step

    def test_whoever_hears_of_a_publication_finds_it_in_the_history(self) -> None:
        """To append and to publish is one step: a late joiner misses nothing in between."""

        async def scenario() -> None:
            name, limits, asking = new_name(), HistoryLimits(max_count=100), Asking()
            async with self.started(asking) as (broker, _):
                asking.broker = broker
                await broker.subscribe(name)

                published = [broker.publish(name, str(n), limits=limits) for n in range(30)]
                positions = await asyncio.gather(*published)
                await asking.wait_for(30)
                pasts = await asyncio.gather(*asking.reading)

            for heard, past in zip(asking.publications, pasts, strict=True):
                assert heard in past.publications
                assert heard.position in positions
                # Nor is there a position without its publication.
                assert past.publications[-1].position == past.newest

        run(scenario)

    def test_what_is_published_is_in_the_history_when_publish_returns(self) -> None:
        """Also for those who read it elsewhere."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            async with self.started() as (other, _):
                reader = other if self.is_shared else broker
                name = new_name()
                for n in range(10):
                    position = await broker.publish(name, str(n), limits=KEPT)

                    past = await reader.history(name)

                    assert past.newest == position
                    assert past.publications[-1].position == position
                    assert past.publications[-1].payload == str(n)

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

        skip_unless_shared(self.is_shared)
        self.run_with(scenario)
