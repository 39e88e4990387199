"""After a loss readers get what they have missed, once and in order, or are told."""

import asyncio
import logging
from typing import Any

import pytest

from bocadillo import BrokerError
from bocadillo.channels import Channels, HistoryLimits, Position
from tests.channels.readers import GatedBroker, Noting
from tests.channels.test_hub import Scenario, run_with
from tests.fakes import settle

KEPT = HistoryLimits(max_count=5)


async def readers_of(channels: Channels, *names: str) -> list[Noting]:
    """Have a reader join each of some channels, on which one publication was made."""
    readers = []
    for name in names:
        reader = Noting(f"reader of {name}")
        await channels.join(reader, name, on_gap=reader.lose)
        await channels.publish(name, 0)
        readers.append(reader)
    return readers


def run_kept(scenario: Scenario) -> None:
    run_with(scenario, history=KEPT)


def test_what_was_missed_is_delivered_out_of_the_history(caplog: pytest.LogCaptureFixture) -> None:
    """A blip of the broker is not seen by readers."""
    caplog.set_level(logging.INFO)

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = await readers_of(channels, "x", "y")

        broker.lose()
        await channels.publish("x", 1)
        await channels.publish("x", 2)
        broker.restore()
        await channels.publish("x", 3)
        await settle()
        await channels.publish("x", 4)

        assert ada.payloads == ["0", "1", "2", "3", "4"]
        assert bob.payloads == ["0"]
        counters = channels.counters
        assert (counters.outages, counters.made_up, counters.gaps) == (1, 3, 0)
        assert ("history", "y") not in broker.calls

    run_kept(scenario)
    assert [record.getMessage() for record in caplog.records] == [
        "the broker is lost; publications may come late, or be missed: cut",
        "caught up with the broker: 3 publications came late, in 0 channels some are lost",
    ]


def test_losses_are_told_once_for_all_channels_as_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who runs it sees them with the settings that most have; a server logs no less."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        await readers_of(channels, "x", "y", "z")

        broker.lose()
        for name in ("x", "y"):
            for number in range(8):
                await channels.publish(name, number)
        await channels.publish("z", 1)
        broker.restore()
        await settle()

    run_kept(scenario)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "the broker is lost; publications may come late, or be missed: cut",
        "caught up with the broker: 11 publications came late, in 2 channels some are lost",
    ]


def test_what_was_told_before_is_not_told_again(caplog: pytest.LogCaptureFixture) -> None:
    """Each outage has its own numbers."""
    caplog.set_level(logging.INFO)

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        await readers_of(channels, "x")
        for missed in (8, 1):
            broker.lose()
            for number in range(missed):
                await channels.publish("x", number)
            broker.restore()
            await settle()

    run_kept(scenario)
    assert [record.getMessage() for record in caplog.records][1::2] == [
        "caught up with the broker: 5 publications came late, in 1 channels some are lost",
        "caught up with the broker: 1 publications came late, in 0 channels some are lost",
    ]


def test_a_loss_is_told_though_the_broker_is_lost_again_before_all_is_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A connection that comes and goes hides nothing."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        await readers_of(channels, "x", "y")
        read, may_read = broker.history, asyncio.Event()

        async def read_late(channel: str, **options: Any) -> Any:
            if channel == "y":
                await may_read.wait()
            return await read(channel, **options)

        broker.history = read_late  # type: ignore[method-assign]
        broker.lose()
        for number in range(8):
            await channels.publish("x", number)
        await channels.publish("y", 1)
        broker.restore()
        await settle()
        assert channels.counters.gaps == 1
        broker.lose()
        may_read.set()
        broker.restore()
        await settle()

    run_kept(scenario)
    assert caplog.records[-1].getMessage() == (
        "caught up with the broker: 6 publications came late, in 1 channels some are lost"
    )
    assert caplog.records[-1].levelname == "WARNING"


def test_what_comes_while_the_history_is_read_is_held_back() -> None:
    """Else it would come before what is older."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        [ada] = await readers_of(channels, "x")
        for call in ("newest", "history"):
            broker.lose()
            await channels.publish("x", f"missed before {call}", codec="text")
            go_on = broker.shut(call)
            broker.restore()
            await settle()
            await channels.publish("x", f"after {call}", codec="text")
            assert len(ada.payloads) in (1, 3)
            go_on()
            await settle()

        assert ada.payloads == [
            "0",
            "missed before newest",
            "after newest",
            "missed before history",
            "after history",
        ]
        assert ada.losses == []

    run_kept(scenario)


def test_a_hole_is_seen_without_any_loss_being_told() -> None:
    """Whatever a broker does, its offsets tell."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        [ada] = await readers_of(channels, "x")

        await broker.miss("x", "1", KEPT)
        await channels.publish("x", 2)
        await channels.publish("x", 3)
        await settle()
        await channels.publish("x", 4)

        assert ada.payloads == ["0", "1", "2", "3", "4"]

    run_kept(scenario)


def test_what_was_brought_already_is_not_delivered_again() -> None:
    """A broker that brings a publication twice is no concern of readers."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        [ada] = await readers_of(channels, "x")

        for publication in (await broker.history("x")).publications:
            channels.receive(publication)
            channels.receive(publication)

        assert ada.payloads == ["0"]

    run_kept(scenario)


def test_what_is_not_kept_is_told_to_be_lost_and_the_rest_is_delivered() -> None:
    """A gap that nobody knows of is the worst that can happen to a conversation."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = await readers_of(channels, "x", "y")
        quiet = Noting("nobody told it what to do then")
        await channels.join(quiet, "x")

        broker.lose()
        for n in range(1, 8):
            await channels.publish("x", n)
        broker.restore()
        await settle()
        await channels.publish("x", 8)

        assert ada.payloads == ["0", "trimmed", "3", "4", "5", "6", "7", "8"]
        assert quiet.payloads == ["3", "4", "5", "6", "7", "8"]
        assert bob.payloads == ["0"]
        [loss] = ada.losses
        assert (loss.channel, loss.since.offset) == ("x", 1)
        assert channels.counters.gaps == 1

    run_kept(scenario)


def test_a_broker_that_was_emptied_is_told_as_a_loss() -> None:
    """Nobody can know what was said between."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = await readers_of(channels, "x", "y")

        broker.lose()
        broker.forget()
        await channels.publish("x", "new", codec="text")
        broker.restore()
        await settle()
        await channels.publish("x", "next", codec="text")
        await channels.publish("y", "next", codec="text")

        assert ada.payloads == ["0", "epoch changed", "new", "next"]
        assert bob.payloads == ["0", "epoch changed", "next"]

    run_kept(scenario)


def test_a_broker_that_is_emptied_without_a_loss_loses_nothing() -> None:
    """All that was published was brought."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        [ada] = await readers_of(channels, "x")

        broker.forget()
        await channels.publish("x", 1)
        await channels.publish("x", 2)

        assert ada.payloads == ["0", "1", "2"]
        assert channels.counters.gaps == 0

    run_kept(scenario)


def test_a_new_epoch_whose_beginning_is_missing_is_a_hole() -> None:
    """What was said first in it is read, and the rest of the old one told to be lost."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        [ada] = await readers_of(channels, "x")

        broker.forget()
        await broker.miss("x", "1", KEPT)
        await channels.publish("x", 2)
        await settle()

        assert ada.payloads == ["0", "epoch changed", "1", "2"]

    run_kept(scenario)


def test_a_loss_while_catching_up_begins_it_anew() -> None:
    """Connections break in rows."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        [ada] = await readers_of(channels, "x")
        broker.lose()
        await channels.publish("x", 1)
        go_on = broker.shut("history")
        broker.restore()
        await settle()

        broker.lose()
        go_on()
        await channels.publish("x", 2)
        await settle()
        assert ada.payloads == ["0"]
        broker.lose()
        broker.restore()
        await settle()

        assert ada.payloads == ["0", "1", "2"]
        assert channels.counters.outages == 2

    run_kept(scenario)


@pytest.mark.parametrize("call", ["newest", "history"])
def test_a_broker_that_does_not_answer_is_asked_again(
    call: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, only slow; readers wait, and get all of it in the end."""
    monkeypatch.setattr("bocadillo.channels.catching_up.RETRY_AFTER_S", 0.001)

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        [ada] = await readers_of(channels, "x")
        broker.lose()
        await channels.publish("x", 1)
        go_on = broker.shut(call)
        broker.restore()
        await settle()

        broker.failure = BrokerError("slow")
        go_on()
        await settle()
        broker.failure = None
        while len(ada.payloads) < 2:
            await asyncio.sleep(0.001)

        assert ada.payloads == ["0", "1"]

    run_kept(scenario)
    assert "cannot read what was missed, trying again: slow" in caplog.text


def test_more_than_can_be_held_back_is_read_from_the_history(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory is bounded also while a broker is slow to tell what was missed."""
    monkeypatch.setattr("bocadillo.channels.rooms.MAX_HELD", 2)

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        [ada] = await readers_of(channels, "x")
        broker.lose()
        go_on = broker.shut("newest")
        broker.restore()
        await settle()
        for n in range(1, 6):
            await channels.publish("x", n)
        assert len(channels._rooms.by_name["x"]._held or ()) == 3
        broker.failure = None
        go_on()
        await settle()
        await channels.publish("x", 6)
        await settle()

        assert ada.payloads == ["0", "1", "2", "3", "4", "5", "6"]

    run_kept(scenario)


def test_who_joins_during_a_loss_gets_all_once() -> None:
    """The history may be read while nothing is brought."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        await readers_of(channels, "x")
        ada = Noting("ada")
        broker.lose()
        await channels.publish("x", 1)

        await channels.join(ada, "x", history=9, on_gap=ada.lose)
        await channels.publish("x", 2)
        broker.restore()
        await settle()
        await channels.publish("x", 3)

        assert ada.payloads == ["0", "1", "2", "3"]

    run_kept(scenario)


def test_what_is_missed_while_a_channel_is_subscribed_comes_too() -> None:
    """A connection may break just then, and nothing may be published for long after."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada = Noting("ada")
        subscribe = broker.subscribe

        async def subscribe_while_it_breaks(channel: str) -> Position:
            position = await subscribe(channel)
            broker.lose()
            await broker.miss("x", "missed", KEPT)
            broker.restore()
            return position

        broker.subscribe = subscribe_while_it_breaks  # type: ignore[method-assign]
        await channels.join(ada, "x")
        await settle()

        assert ada.payloads == ["missed"]

    run_kept(scenario)


def test_who_joins_during_a_loss_is_told_of_it() -> None:
    """What comes next does not follow what it has."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        await readers_of(channels, "x")
        ada = Noting("ada")
        broker.lose()
        await channels.publish("x", 1)
        await channels.join(ada, "x", history=9, on_gap=ada.lose)
        broker.forget()
        await channels.publish("x", "new", codec="text")
        broker.restore()
        await settle()

        assert ada.payloads == ["0", "1", "epoch changed", "new"]

    run_kept(scenario)


@pytest.mark.parametrize("call", ["newest", "history"])
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_channel_that_is_left_while_it_catches_up_is_forgotten(
    call: str, comes_back: bool
) -> None:
    """What was read for those who left is not for those who come."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        [ada] = await readers_of(channels, "x")
        bob = Noting("bob")
        broker.lose()
        await channels.publish("x", 1)
        go_on = broker.shut(call)
        broker.restore()
        await settle()

        await channels.leave(ada, "x")
        await settle()
        if comes_back:
            await channels.join(bob, "x", on_gap=bob.lose)
        go_on()
        await settle()
        await channels.publish("x", 2)

        assert ada.payloads == ["0"]
        assert bob.payloads == (["2"] if comes_back else [])
        assert bob.losses == []
        assert not channels._catch_up._behind

    run_kept(scenario)


def test_a_reader_that_raises_when_told_of_a_loss_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The others are told all the same."""

    def fail(loss: Any) -> None:
        raise ValueError("cannot take it")

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        bad, ada = Noting("bad"), Noting("ada")
        await channels.publish("x", 0)
        await channels.join(bad, "x", on_gap=fail)
        await channels.join(ada, "x", on_gap=ada.lose)
        broker.lose()
        broker.forget()
        broker.restore()
        await settle()

        assert ada.payloads == ["epoch changed"]

    run_kept(scenario)
    assert "reader bad failed" in caplog.text


def test_closing_while_catching_up_ends_it() -> None:
    """No task is left over; the check is in `run_with`."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        await readers_of(channels, "x")
        broker.lose()
        await channels.publish("x", 1)
        broker.shut("newest")
        broker.restore()
        await settle()

    run_kept(scenario)


def test_a_channel_that_kept_its_offsets_over_a_restart_tells_what_is_new() -> None:
    """Of two epochs in one history only what was not seen is delivered."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        [ada] = await readers_of(channels, "x")
        broker.lose()
        await channels.publish("x", 1)
        log = broker._logs["x"]
        log.epoch = "of the restarted server"
        await channels.publish("x", 2)
        broker.restore()
        await settle()

        assert ada.payloads == ["0", "epoch changed", "1", "2"]
        assert channels._rooms.by_name["x"].seen == Position(3, "of the restarted server")

    run_kept(scenario)
