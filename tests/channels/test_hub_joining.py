"""Who is joining yet: counted when it is done, and never kept from what is published."""

import asyncio

import pytest

from bocadillo.channels import Channels, HistoryLimits
from tests.channels.readers import GatedBroker, Noting
from tests.channels.test_hub import run_with
from tests.fakes import settle


def test_who_is_joining_yet_is_no_reader_and_is_not_counted() -> None:
    """Neither by who asks nor by who publishes; both mean the same."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        await channels.join(ada, "x")
        go_on = broker.shut("history")
        joining = asyncio.create_task(channels.join(bob, "x", history=5))
        await settle()

        assert (channels.readers("x"), (await channels.publish("x", 1)).readers_here) == (1, 1)
        go_on()
        await joining
        assert (channels.readers("x"), (await channels.publish("x", 2)).readers_here) == (2, 2)
        assert (await channels.publish("x", 3, exclude=bob)).readers_here == 1

        assert ada.payloads == ["1", "2", "3"]
        assert bob.payloads == ["1", "2"]

    run_with(scenario)


@pytest.mark.parametrize("is_forgotten", [False, True], ids=["the first ever", "a new epoch"])
def test_an_epoch_that_begins_while_the_history_is_read_is_not_missed(is_forgotten: bool) -> None:
    """Or who came with the first word of a room would never hear anything in it."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        await channels.join(ada, "x")
        if is_forgotten:
            await channels.publish("x", 0)
        go_on = broker.shut("history")
        joining = asyncio.create_task(channels.join(bob, "x", history=5))
        await settle()
        broker.forget()
        await channels.publish("x", 1)
        go_on()
        await joining
        await channels.publish("x", 2)

        assert ada.payloads == bob.payloads == [*["0"] * is_forgotten, "1", "2"]

    run_with(scenario)


def test_who_has_joined_is_counted_though_its_history_is_ahead_of_what_came() -> None:
    """A history may hold what the process has yet to be told."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        await channels.join(ada, "x")
        await channels.publish("x", 1)
        await broker.miss("x", "2", HistoryLimits())
        await channels.join(bob, "x", history=5)

        assert channels.readers("x") == 2
        assert (await channels.publish("x", 3, exclude="bob")).readers_here == 1

    run_with(scenario)


def test_a_reader_is_told_how_much_is_about_to_come_at_once() -> None:
    """Who holds what it gets can make room for a history, and for what was missed."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, told = Noting("ada"), []
        for n in range(3):
            await channels.publish("x", f"{n}", codec="text")

        await channels.join(
            ada, "x", history=2, make_room=lambda *many: told.append((*many, len(ada.payloads)))
        )
        broker.lose()
        await broker.miss("x", "3", HistoryLimits())
        await broker.miss("x", "4.", HistoryLimits())
        broker.restore()
        await settle()

        assert told == [(2, 2, 0), (2, 3, 2), (0, 0, 4)]
        assert ada.payloads == ["1", "2", "3", "4."]

    run_with(scenario)


def test_a_reader_that_fails_to_make_room_keeps_nothing_from_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The channel would stand still for all of its readers, and for good."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        await channels.join(ada, "x", make_room=lambda *_: 1 / 0)
        await channels.join(bob, "x")
        broker.lose()
        await broker.miss("x", "1", HistoryLimits())
        broker.restore()
        await settle()
        await channels.publish("x", 2)

        assert ada.payloads == bob.payloads == ["1", "2"]

    run_with(scenario)
    assert "reader ada failed to take a publication" in caplog.text


def test_who_joins_while_an_epoch_ends_gets_each_publication_once() -> None:
    """What waited of the old epoch is in the history, or over."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        await channels.join(ada, "x")
        await channels.publish("x", 1)
        go_on = broker.shut("history")
        joining = asyncio.create_task(channels.join(bob, "x", history=9))
        await settle()
        await channels.publish("x", 2)
        go_on()
        await joining
        await channels.publish("x", 3)

        assert bob.payloads == ["1", "2", "3"]

    run_with(scenario)
