"""`MemoryBroker` keeps the contract, and keeps no memory that nobody needs."""

import sys

from bocadillo.channels import Broker, HistoryLimits, MemoryBroker
from bocadillo.channels.memory import MemoryPresence
from bocadillo.testing.contracts import BrokerContract, Heard, PresenceContract
from tests.fakes import run


class TestContract(BrokerContract):
    """It has no connection that could break, and always answers: those tests are skipped."""

    def make(self) -> Broker:
        self.broker = MemoryBroker()
        return self.broker

    async def forget_everything(self) -> None:
        self.broker._logs.clear()

    async def names_kept(self) -> set[str]:
        presence = self.broker.presence
        assert isinstance(presence, MemoryPresence)
        return {*self.broker._logs, *self.broker._subscribed, *presence._entries}


class TestPresence(PresenceContract):
    def make(self) -> Broker:
        return MemoryBroker()


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 2_000_000_000.0

    def __call__(self) -> float:
        return self.now


def footprint(broker: MemoryBroker) -> int:
    """Return how many channels a broker has any memory of."""
    return len(broker._logs) + len(broker._subscribed)


def test_asking_a_million_names_creates_nothing() -> None:
    """Else anybody who may ask can fill the memory."""

    async def scenario() -> None:
        broker = MemoryBroker()
        await broker.start(Heard())

        for n in range(250_000):
            await broker.history(f"{n}")
            await broker.newest([f"{n}"])
            await broker.unsubscribe(f"{n}")
            await broker.presence.present(f"{n}")
            await broker.presence.leave(f"{n}", "me")

        assert footprint(broker) == 0
        assert sys.getsizeof(broker._logs) < 1000
        assert await broker.presence.leave_all() == []
        await broker.close()

    run(scenario)


def test_nothing_is_kept_of_channels_without_history_and_readers() -> None:
    """Names that are used once cost nothing afterwards."""

    async def scenario() -> None:
        broker = MemoryBroker()
        await broker.start(Heard())
        limits = HistoryLimits(max_count=0)

        first = await broker.publish("x", "1", limits=limits)
        second = await broker.publish("x", "2", limits=limits)
        assert footprint(broker) == 0

        assert first.epoch != second.epoch
        await broker.subscribe("x")
        third = await broker.publish("x", "3", limits=limits)
        fourth = await broker.publish("x", "4", limits=limits)
        assert (fourth.offset, fourth.epoch) == (2, third.epoch)
        await broker.unsubscribe("x")
        assert footprint(broker) == 0

    run(scenario)


def test_channels_whose_history_is_over_are_forgotten_at_the_next_publications() -> None:
    """Memory follows what is talked about now."""

    async def scenario() -> None:
        clock = Clock()
        broker = MemoryBroker(clock)
        await broker.start(Heard())
        limits = HistoryLimits(max_age_s=10)
        await broker.subscribe("read")
        await broker.publish("read", "x", limits=limits)
        for n in range(100):
            await broker.publish(f"{n}", "x", limits=limits)
        assert len(broker._logs) == 101

        clock.now += 11
        for _ in range(50):
            await broker.publish("now", "x", limits=limits)

        assert set(broker._logs) == {"read", "now"}
        assert (await broker.history("read")) == ([], (await broker.newest(["read"]))[0])
        again = await broker.publish("read", "y", limits=limits)
        assert again.offset == 2

    run(scenario)


def test_a_subscription_that_ends_keeps_the_history_for_its_time() -> None:
    """Who comes back within it sees what was said meanwhile."""

    async def scenario() -> None:
        broker = MemoryBroker()
        await broker.start(Heard())
        await broker.subscribe("x")
        await broker.publish("x", "kept", limits=HistoryLimits())

        await broker.unsubscribe("x")

        assert [known.payload for known in (await broker.history("x")).publications] == ["kept"]

    run(scenario)
