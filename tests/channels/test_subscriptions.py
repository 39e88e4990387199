"""Code that is no connection iterates over publications, and is told of what it misses."""

import asyncio
from typing import Any

import pytest

from bocadillo import BrokerError, ConfigurationError, PositionLost
from bocadillo.channels import Channels, Publications
from tests.channels.readers import GatedBroker
from tests.channels.test_hub import run_with
from tests.fakes import run, settle


async def taken(publications: Publications, count: int) -> list[Any]:
    """Take so many payloads."""
    return [(await anext(publications)).payload for _ in range(count)]


def test_publications_are_iterated_over_with_history_and_what_follows() -> None:
    """A program that watches a channel sees whole publications."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        for n in range(3):
            position = (await channels.publish("x", n)).position

        async with channels.subscribe("x", history=2) as publications:
            await channels.publish("x", 3)
            await channels.publish("x", 4, exclude=publications)
            first = await anext(publications)
            assert (first.channel, first.payload, first.position.offset) == ("x", "1", 2)
            assert await taken(publications, 2) == ["2", "3"]
            taking = asyncio.create_task(taken(publications, 1))
            await settle()
            await channels.publish("x", 5)
            await channels.publish("x", 6)
            assert await taking == ["5"]
        async with channels.subscribe("x", since=position) as publications:
            assert await taken(publications, 4) == ["3", "4", "5", "6"]

        assert channels.readers("x") == 0

    run_with(scenario)


@pytest.mark.parametrize("when_full", ["close", "drop_oldest"])
def test_a_history_that_is_longer_than_the_queue_comes_whole(when_full: Any) -> None:
    """It was asked for; only then is the queue as short as it was to be."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        for n in range(9):
            await channels.publish("x", n)

        async with channels.subscribe("x", history=8, limit=2, when_full=when_full) as publications:
            await channels.publish("x", 9)
            assert await taken(publications, 9) == [str(n) for n in range(1, 10)]
            for n in range(3):
                await channels.publish("x", f"new {n}")
            if when_full == "drop_oldest":
                assert await taken(publications, 2) == ['"new 1"', '"new 2"']
            else:
                assert await taken(publications, 2) == ['"new 0"', '"new 1"']
                with pytest.raises(PositionLost, match="in time"):
                    await anext(publications)
            assert channels.counters.dropped == publications.dropped
            assert publications.dropped == (when_full == "drop_oldest")

    run_with(scenario)


def test_giving_up_to_wait_loses_nothing() -> None:
    """A time-out around the next publication is nothing special."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        async with channels.subscribe("x") as publications:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await anext(publications)
            await channels.publish("x", 1)

            assert await taken(publications, 1) == ["1"]

    run_with(scenario)


def test_who_is_too_slow_is_told_behind_what_waits() -> None:
    """It got everything until then, and knows from where on it did not."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        async with channels.subscribe("x", limit=2) as publications:
            for n in range(4):
                await channels.publish("x", n)

            assert await taken(publications, 2) == ["0", "1"]
            with pytest.raises(PositionLost, match="did not take them in time") as caught:
                await anext(publications)
            assert caught.value.since.offset == 2
            with pytest.raises(StopAsyncIteration):
                await anext(publications)

    run_with(scenario)


def test_who_is_too_slow_may_be_kept_current_instead() -> None:
    """The loss shows in a number."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        async with channels.subscribe("x", limit=2, when_full="drop_oldest") as publications:
            for n in range(5):
                await channels.publish("x", n)

            assert await taken(publications, 2) == ["3", "4"]
            assert publications.dropped == 3

    run_with(scenario)


@pytest.mark.parametrize("on_gap", ["raise", "continue"])
def test_a_loss_at_the_broker_is_raised_or_counted(on_gap: Any) -> None:
    """A program that must not miss anything learns of it in its loop, and may go on."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        async with channels.subscribe("x", on_gap=on_gap, limit=2) as publications:
            await channels.publish("x", 0)
            broker.lose()
            broker.forget()
            broker.restore()
            await settle()

            assert await taken(publications, 1) == ["0"]
            if on_gap == "raise":
                with pytest.raises(PositionLost, match="emptied or restarted"):
                    await anext(publications)
                broker.lose()
                broker.forget()
                broker.restore()
                await settle()
            assert publications.gaps >= 1
            for n in range(1, 5):
                await channels.publish("x", n)
            with pytest.raises(PositionLost):
                await taken(publications, 5)

    run_with(scenario)


def test_closing_the_channels_ends_the_iteration() -> None:
    """No task waits for what never comes."""

    async def scenario() -> None:
        channels = Channels()
        async with channels.subscribe("x") as publications:
            await channels.publish("x", 1)
            waiting = asyncio.create_task(taken(publications, 2))
            await settle()
            await channels.close()

            with pytest.raises(StopAsyncIteration):
                await waiting
            publications.deliver_publication((None,))  # type: ignore[arg-type]
            assert [known async for known in publications] == []

    run(scenario)


def test_a_subscription_that_fails_leaves_nothing() -> None:
    """The error is the broker's; clean-up hides nothing of it."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        broker.failure = BrokerError("down")

        with pytest.raises(BrokerError, match="down"):
            async with channels.subscribe("x"):
                pass

        assert (channels._open, channels._rooms._channels_of) == (set(), {})

    run_with(scenario)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "at least 1 publication, got 0"),
        ({"when_full": "wait"}, "'close' or 'drop_oldest', got 'wait'"),
        ({"on_gap": "ignore"}, "'raise' or 'continue', got 'ignore'"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    """With those that can be."""
    with pytest.raises(ConfigurationError, match=message):
        Publications("x", **options)
