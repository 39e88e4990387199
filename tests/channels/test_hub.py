"""`Channels`: publications reach their readers, in order, once, and nothing is left over."""

import asyncio
import gc
import json
import warnings
import weakref
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from bocadillo import BrokerError, ConfigurationError, ConnectionStateError, PositionLost
from bocadillo.channels import Channels, HistoryLimits, Position, Publication, Published
from bocadillo.channels.hub import MAX_IN_A_ROW
from bocadillo.channels.members import DeliverMany
from bocadillo.codecs import TEXT
from tests.channels.readers import GatedBroker, Noting, payloads
from tests.fakes import run, settle

Scenario = Callable[[Channels, GatedBroker], Coroutine[Any, Any, None]]


def run_with(scenario: Scenario, **options: Any) -> None:
    """Run a scenario with channels on a broker that a test can hold back."""

    async def started() -> None:
        broker = GatedBroker()
        async with Channels(broker, **options) as channels:
            await scenario(channels, broker)
            await settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(started)


# Publishing


def test_a_publication_reaches_all_readers_of_its_channel() -> None:
    """The whole of it."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob, eve = Noting("ada"), Noting("bob"), Noting("eve")
        await channels.join(ada, "x")
        await channels.join(bob, "x")
        await channels.join(eve, "y")

        published = await channels.publish("x", {"é": 1})

        assert published == Published(Position(1, published.position.epoch), 2)
        assert ada.payloads == bob.payloads == ['{"é":1}']
        assert eve.payloads == []
        assert channels.readers("x") == 2
        assert channels.readers("nowhere") == 0
        assert await channels.publish("nowhere", 1) == (
            Position(1, (await broker.newest(["nowhere"]))[0].epoch),
            0,
        )

    run_with(scenario)


@pytest.mark.parametrize(
    ("value", "codec", "payload"),
    [
        ([1], None, "[1]"),
        ([1], "json", "[1]"),
        ("hi", "text", "hi"),
        ("hi", str, "hi"),
        ("hi", TEXT, "hi"),
        (b"hi", "bytes", b"hi"),
        ([1], list[int], "[1]"),
        ([1], "msgpack", b"\x91\x01"),
    ],
)
def test_a_codec_says_how_a_value_is_encoded(value: Any, codec: Any, payload: Any) -> None:
    """What arrives is sent as it is, text or binary."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        reader = Noting("ada")
        await channels.join(reader, "x")

        await channels.publish("x", value, codec=codec)

        assert reader.payloads == [payload]

    run_with(scenario)


class Odd:
    """A codec that cannot be hashed, and whose payloads are none."""

    __hash__ = None  # type: ignore[assignment]

    def decode(self, payload: Any) -> Any:
        return payload

    def encode(self, value: Any) -> Any:
        return value


@pytest.mark.parametrize(
    ("channel", "value", "options", "error", "message"),
    [
        ("x", object(), {}, TypeError, "object"),
        ("x", 1, {"codec": "text"}, TypeError, "takes str"),
        ("x", 1, {"codec": Odd()}, TypeError, "must return str or bytes, got int"),
        ("x", "\ud800", {"codec": "text"}, UnicodeEncodeError, "surrogates"),
        ("x", 1, {"codec": "event"}, ConfigurationError, "raw events"),
        ("x", 1, {"codec": "yaml"}, ConfigurationError, "unknown value type 'yaml'"),
        ("x", 1, {"exclude": 5}, ConfigurationError, "5 has no id; give a str"),
        ("presence:x", 1, {}, ConfigurationError, "begin with 'presence:'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_published_is_refused_before_anybody_gets_it(
    channel: str, value: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """An error after half of the readers would be no error."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        with pytest.raises(error, match=message):
            await channels.publish(channel, value, **options)

        assert ("publish", channel) not in broker.calls

    run_with(scenario)


@pytest.mark.parametrize("exclude", [Noting("ada"), "ada"], ids=["object", "id"])
def test_a_reader_may_be_excluded(exclude: Any) -> None:
    """Who says something need not hear it."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        for reader in (ada, bob):
            await channels.join(reader, "x")

        published = await channels.publish("x", 1, exclude=exclude)
        elsewhere = await channels.publish("x", 2, exclude="somebody else")

        assert (ada.payloads, bob.payloads) == (["2"], ["1", "2"])
        assert (published.readers_here, elsewhere.readers_here) == (1, 2)
        assert channels.counters.delivered == 3

    run_with(scenario)


def test_a_reader_that_raises_keeps_nothing_from_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody fails because of somebody else."""

    class Broken(Noting):
        def deliver(self, payload: Any) -> None:
            raise ValueError("broken")

    class BrokenToo(Noting):
        def deliver_publication(self, publication: Publication) -> None:
            raise ValueError("broken, too")

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada = Noting("ada")
        await channels.publish("x", 0)
        await channels.join(Broken("b"), "x", history=1)
        await channels.join(BrokenToo("c"), "x")
        await channels.join(ada, "x")

        await channels.publish("x", 1)

        assert ada.payloads == ["1"]

    run_with(scenario)
    assert [record.exc_info is not None for record in caplog.records] == [True] * 3


class Line:
    """A group that notes what it is asked to deliver to whom."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], Any]] = []
        self.error: Exception | None = None

        self.takes_more = True

    def deliver_to(self, readers: Sequence[Any]) -> DeliverMany:
        def deliver(payload: Any, not_to: Any) -> bool:
            self.calls.append(([each.id for each in readers if each is not not_to], payload))
            if self.error is not None:
                raise self.error
            return self.takes_more

        return deliver


class Grouped(Noting):
    """A reader that belongs to a group."""

    def __init__(self, id: str, group: Any) -> None:
        super().__init__(id)
        self.group = group


class Turns:
    """Counts the turns of the event loop while publications go out in a row."""

    def __init__(self) -> None:
        self._count = 0

    async def among(self, channels: Channels, publications: int) -> int:
        async def count() -> None:
            while True:
                self._count += 1
                await asyncio.sleep(0)

        self._count = 0
        counting = asyncio.create_task(count())
        for n in range(publications):
            await channels.publish("x", n)
        counting.cancel()
        return self._count


@pytest.mark.parametrize("kind", ["by itself", "of a group that has to wait"])
def test_readers_that_have_something_to_write_get_a_turn_each_time(kind: str) -> None:
    """Else nobody could write what is in the outboxes, and readers that are fast were closed."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        line = Line()
        line.takes_more = False
        await channels.join(Noting("a") if kind == "by itself" else Grouped("a", line), "x")

        assert await Turns().among(channels, 100) >= 90

    run_with(scenario)


@pytest.mark.parametrize("is_read", [True, False])
def test_a_loop_of_publications_that_nobody_waits_for_lets_others_run(is_read: bool) -> None:
    """Several publications then leave in one write; but the loop is not all there is."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        if is_read:
            await channels.join(Grouped("a", Line()), "x")

        assert 160 // MAX_IN_A_ROW <= await Turns().among(channels, 160) < 40

    run_with(scenario)


def test_readers_of_one_group_get_a_payload_by_one_call(caplog: pytest.LogCaptureFixture) -> None:
    """A server may write one frame to all of them."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        one, two = Line(), Line()
        ada = Noting("ada")
        for reader in (Grouped("a", one), Grouped("b", one), Grouped("c", two), ada):
            await channels.join(reader, "x")
        await channels.join(Grouped("none", None), "x")

        await channels.publish("x", 1)
        await channels.publish("x", 2, exclude="a")
        await channels.leave("b", "x")
        one.error = OSError("broken")
        await channels.publish("x", 3)

        assert one.calls == [(["a", "b"], "1"), (["b"], "2"), (["a"], "3")]
        assert two.calls == [(["c"], "1"), (["c"], "2"), (["c"], "3")]
        assert ada.payloads == ["1", "2", "3"]

    run_with(scenario)
    assert "failed to take a publication" in caplog.text


def test_readers_without_an_id_are_known_by_themselves() -> None:
    """The least that a reader has is `deliver`."""

    class Plain:
        def __init__(self) -> None:
            self.payloads: list[Any] = []

        def deliver(self, payload: Any) -> None:
            self.payloads.append(payload)

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        one, two = Plain(), Plain()
        await channels.join(one, "x")
        await channels.join(two, "x")
        await channels.publish("x", 1)

        await channels.leave(one, "x")
        await channels.publish("x", 2)

        assert (one.payloads, two.payloads) == (["1"], ["1", "2"])
        with pytest.raises(ConfigurationError, match="has no id"):
            await channels.join(one, "y", presence={})

    run_with(scenario)


# Joining


def test_a_late_joiner_gets_the_history_and_then_what_follows() -> None:
    """No gap, nothing twice, in order."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        for n in range(5):
            await channels.publish("x", n)
        ada = Noting("ada")

        await channels.join(ada, "x", history=3)
        await channels.publish("x", 5)

        assert ada.payloads == ["2", "3", "4", "5"]

    run_with(scenario)


@pytest.mark.parametrize("is_first", [True, False])
def test_what_is_published_while_the_history_is_read_comes_once_and_in_order(
    is_first: bool,
) -> None:
    """The crack of others: a late joiner got new, old, new."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        if not is_first:
            await channels.join(bob, "x")
        await channels.publish("x", 0)
        go_on = broker.shut("subscribe" if is_first else "history")
        joining = asyncio.create_task(channels.join(ada, "x", history=9))
        await settle()

        await channels.publish("x", 1)
        go_on()
        go_on = broker.shut("history")
        await settle()
        await channels.publish("x", 2)
        go_on()
        await joining
        await channels.publish("x", 3)

        assert ada.payloads == ["0", "1", "2", "3"]
        assert channels.readers("x") == 2 - is_first

    run_with(scenario)


def test_a_history_that_is_ahead_of_what_is_brought_is_not_repeated() -> None:
    """The two come by different ways; one may be faster."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        await channels.join(bob, "x")
        listener, broker._listener = broker._listener, None
        for n in range(3):
            await channels.publish("x", n)
        broker._listener = listener

        await channels.join(ada, "x", history=9)
        for publication in (await broker.history("x")).publications:
            channels.receive(publication)
        await channels.publish("x", 3)
        await channels.publish("x", 4)

        assert ada.payloads == bob.payloads == ["0", "1", "2", "3", "4"]

    run_with(scenario)


def test_a_history_of_a_new_epoch_is_not_followed_by_the_rest_of_the_old_one() -> None:
    """What comes late of a time that the history has forgotten is older than it."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        await channels.join(bob, "x")
        await channels.publish("x", "old 1")
        [old] = (await broker.history("x")).publications
        broker.forget()
        await broker.miss("x", "new 1", HistoryLimits())

        await channels.join(ada, "x", history=9)
        late = Publication("x", "old 2", Position(2, old.position.epoch), old.time)
        channels.receive(late)
        channels.receive((await broker.history("x")).publications[0])
        await channels.publish("x", "new 2", codec="text")

        assert ada.payloads == ["new 1", "new 2"]
        assert bob.payloads == ['"old 1"', "old 2", "new 1", "new 2"]

    run_with(scenario)


def test_since_a_position_comes_exactly_what_was_missed() -> None:
    """Who comes back sees all of it."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        positions = [(await channels.publish("x", n)).position for n in range(5)]
        ada = Noting("ada")

        await channels.join(ada, "x", since=positions[1])

        assert ada.payloads == ["2", "3", "4"]
        assert payloads(await channels.history("x", since=positions[2])) == ["3", "4"]
        assert payloads(await channels.history("x", 2)) == ["3", "4"]

    run_with(scenario)


def test_a_position_that_is_lost_is_told_and_nothing_is_joined() -> None:
    """Whoever asks decides what to do then."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        position = (await channels.publish("x", 0)).position
        for n in range(9):
            await channels.publish("x", n)
        ada = Noting("ada")

        with pytest.raises(PositionLost, match="on 'x' after .* history .* does not reach"):
            await channels.join(ada, "x", since=position)
        await channels.publish("x", 9)

        assert ada.payloads == []
        assert channels.readers("x") == 0

    run_with(scenario, history=HistoryLimits(max_count=3))


@pytest.mark.parametrize("use", ["join", "history"])
def test_negative_counts_are_refused(use: str) -> None:
    """They could mean anything, and on some broker they would."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        asking: Any = channels.join(Noting("ada"), "x", history=-1)
        if use == "history":
            asking.close()
            asking = channels.history("x", -1)

        with pytest.raises(ConfigurationError, match="at least 0 publications, got -1"):
            await asking

        assert broker.calls == [("start", None)]

    run_with(scenario)


def test_own_words_are_excluded_from_history_too() -> None:
    """Who asked not to hear itself does not hear itself later either."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada = Noting("ada")
        await channels.publish("x", 1, exclude="ada")
        await channels.publish("x", 2)

        await channels.join(ada, "x", history=9)

        assert ada.payloads == ["2"]

    run_with(scenario)


def test_joining_again_changes_nothing() -> None:
    """Nothing comes twice."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada = Noting("ada")
        await channels.join(ada, "x")
        await channels.publish("x", 1)

        await channels.join(ada, "x", history=9)
        await channels.publish("x", 2)

        assert ada.payloads == ["1", "2"]
        assert channels.readers("x") == 1

    run_with(scenario)


def test_more_than_can_be_held_while_a_history_is_read_fails_the_join(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory is bounded, and no reader has a hole that it does not know of."""
    monkeypatch.setattr("bocadillo.channels.members.MAX_HELD", 3)

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        await channels.join(bob, "x")
        go_on = broker.shut("history")
        joining = asyncio.create_task(channels.join(ada, "x", history=1))
        await settle()
        for n in range(5):
            await channels.publish("x", n)
        go_on()

        with pytest.raises(BrokerError, match="more than 3 publications came"):
            await joining

        assert channels.readers("x") == 1
        assert ada.payloads == []

    run_with(scenario)


# Leaving


def test_nothing_comes_after_leaving_and_the_broker_is_told_by_the_last() -> None:
    """One subscription for a channel, however many readers."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        for reader in (ada, bob):
            await channels.join(reader, "x")

        await channels.leave(ada, "x")
        await channels.publish("x", 1)
        assert [call for call, _ in broker.calls] == ["start", "subscribe", "publish"]
        await channels.leave(bob, "x")
        await settle()
        await channels.leave(bob, "x")
        await channels.leave(bob, "never heard of")

        assert (ada.payloads, bob.payloads) == ([], ["1"])
        assert broker.calls[-1] == ("unsubscribe", "x")
        assert (channels._rooms.by_name, channels._rooms._channels_of) == ({}, {})

    run_with(scenario)


def test_leaving_all_leaves_all() -> None:
    """What a connection does when it ends."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada = Noting("ada")
        for n in range(20):
            await channels.join(ada, f"{n}", presence={} if n % 2 else None)

        await channels.leave_all(ada)
        await channels.leave_all(ada)
        for n in range(20):
            await channels.publish(f"{n}", 1)
            assert await channels.presence(f"{n}") == []

        assert ada.payloads == []

    run_with(scenario)


@pytest.mark.parametrize("call", ["subscribe", "history"])
def test_leaving_in_the_middle_of_joining_ends_it(call: str) -> None:
    """A connection may end at any time."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada = Noting("ada")
        await channels.publish("x", 0)
        go_on = broker.shut(call)
        joining = asyncio.create_task(channels.join(ada, "x", history=1, presence={}))
        await settle()

        await channels.leave(ada, "x")
        go_on()
        await joining
        await channels.publish("x", 1)

        assert ada.payloads == []
        assert channels.readers("x") == 0
        assert await channels.presence("x") == []
        await settle()
        assert channels._rooms.by_name == {}

    run_with(scenario)


@pytest.mark.parametrize("call", ["subscribe", "history"])
def test_cancelling_a_join_leaves_nothing(call: str) -> None:
    """A time-out around it is nothing special; nor do others that join suffer."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        go_on = broker.shut(call)
        joining = [
            asyncio.create_task(channels.join(reader, "x", history=1)) for reader in (ada, bob)
        ]
        await settle()

        joining[0].cancel()
        await settle()
        go_on()
        await joining[1]
        await channels.publish("x", 1)

        assert (ada.payloads, bob.payloads) == ([], ["1"])
        assert channels.readers("x") == 1

    run_with(scenario)


def test_joining_while_the_last_one_leaves_finds_the_channel_subscribed() -> None:
    """The crack of others: this race silenced a channel."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        await channels.join(ada, "x")
        go_on = broker.shut("unsubscribe")
        await channels.leave(ada, "x")
        await settle()

        joining = asyncio.create_task(channels.join(bob, "x"))
        await settle()
        assert not joining.done()
        go_on()
        await joining
        await channels.publish("x", 1)

        assert bob.payloads == ["1"]

    run_with(scenario)


def test_leaving_and_joining_at_once_does_not_ask_the_broker() -> None:
    """The subscription stands; nothing is missed."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada = Noting("ada")
        await channels.join(ada, "x")

        await channels.leave(ada, "x")
        await channels.join(ada, "x")
        await settle()
        await channels.publish("x", 1)

        assert ada.payloads == ["1"]
        assert [call for call, _ in broker.calls] == ["start", "subscribe", "publish"]

    run_with(scenario)


def test_a_subscription_that_fails_fails_all_who_wait_for_it() -> None:
    """None of them believes to hear what it does not hear; the next try is a new one."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        broker.failure = BrokerError("down")

        joined = await asyncio.gather(
            *(channels.join(reader, "x") for reader in (ada, bob)), return_exceptions=True
        )
        assert [str(error) for error in joined] == ["down", "down"]
        assert channels.readers("x") == 0
        await settle()
        assert channels._rooms.by_name == {}
        broker.failure = None
        await channels.join(ada, "x")
        await channels.publish("x", 1)

        assert ada.payloads == ["1"]

    run_with(scenario)


def test_a_broker_that_cannot_unsubscribe_does_not_fail_who_leaves() -> None:
    """Whoever leaves is gone, be the broker there or not."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada = Noting("ada")
        await channels.join(ada, "x")
        broker.failure = BrokerError("down")

        await channels.leave(ada, "x")
        await settle()

        assert channels._rooms.by_name == {}
        broker.failure = None
        await channels.join(ada, "x")
        await channels.publish("x", 1)
        assert ada.payloads == ["1"]

    run_with(scenario)


# Presence


def events(publications: Sequence[Publication]) -> list[tuple[str, str, Any]]:
    known = [json.loads(publication.payload) for publication in publications]
    return [(event["event"], event["id"], event["info"]) for event in known]


def test_who_is_in_a_channel_is_seen_and_told_of() -> None:
    """A list of people in a room, and its changes."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada, bob = Noting("ada"), Noting("bob")
        watcher = Noting("watcher")
        await channels.join(watcher, "presence:x")

        await channels.join(ada, "x", presence={"name": "Ada"})
        await channels.join(bob, "x", presence={"name": "Bob"})
        await channels.join(ada, "x", presence={"name": "Countess"})
        await channels.leave(bob, "x")

        [present] = await channels.presence("x")
        assert (present.id, present.info) == ("ada", {"name": "Countess"})
        assert events(await channels.history("presence:x")) == [
            ("join", "ada", {"name": "Ada"}),
            ("join", "bob", {"name": "Bob"}),
            ("leave", "bob", {"name": "Bob"}),
        ]
        assert len(watcher.payloads) == 3
        assert json.loads(watcher.payloads[0])["since"] == present.since

    run_with(scenario)


def test_leaving_while_presence_is_entered_takes_it_out_again() -> None:
    """Else somebody were seen who is not there."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada = Noting("ada")
        go_on = broker.shut("publish")
        joining = asyncio.create_task(channels.join(ada, "x", presence={}))
        await settle()

        leaving = asyncio.create_task(channels.leave_all(ada))
        await settle()
        go_on()
        await asyncio.gather(joining, leaving)

        assert await channels.presence("x") == []

    run_with(scenario)


def test_a_leaving_that_overtakes_its_entering_wins() -> None:
    """The two take different connections to a broker."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        ada = Noting("ada")
        go_on = asyncio.Event()
        enter = broker.presence.enter

        async def enter_late(channel: str, id: str, info: Any) -> Any:
            await go_on.wait()
            return await enter(channel, id, info)

        broker.presence.enter = enter_late  # type: ignore[method-assign]
        joining = asyncio.create_task(channels.join(ada, "x", presence={}))
        await settle()
        await channels.leave_all(ada)
        go_on.set()
        await joining

        assert await channels.presence("x") == []

    run_with(scenario)


def test_closing_takes_all_out_and_tells_of_it() -> None:
    """A process that ends in order leaves nobody behind."""

    async def scenario() -> None:
        broker = GatedBroker()
        told: list[str] = []
        async with Channels(broker) as channels:
            await channels.join(Noting("ada"), "x", presence={})
            listening = Noting("w")
            await channels.join(listening, "presence:x")
            told = listening.payloads

        assert await broker.presence.present("x") == []
        assert [json.loads(event)["event"] for event in told] == ["leave"]
        assert broker.calls[-1] == ("publish", "presence:x")

    run(scenario)


# From start to close


def test_channels_start_by_themselves_at_first_use() -> None:
    """In a mounted app no lifespan of ours runs."""

    async def scenario() -> None:
        broker = GatedBroker()
        channels = Channels(broker)
        assert broker.calls == []

        go_on = broker.shut("start")
        both = [asyncio.create_task(channels.publish("x", 1)) for _ in range(2)]
        await settle()
        go_on()
        await asyncio.gather(*both)

        assert broker.calls.count(("start", None)) == 1
        await channels.close()
        await channels.close()

    run(scenario)


def test_closing_while_they_start_leaves_nothing() -> None:
    """A program may end before it has begun."""

    async def scenario() -> None:
        broker = GatedBroker()
        channels = Channels(broker)
        go_on = broker.shut("start")
        starting = asyncio.create_task(channels.start())
        await settle()

        await channels.close()
        go_on()

        with pytest.raises(ConnectionStateError, match="closed while they started"):
            await starting
        assert broker._listener is None

    run(scenario)


def test_a_start_that_fails_may_be_tried_again() -> None:
    """The broker may come later than the program."""

    async def scenario() -> None:
        broker = GatedBroker()
        channels = Channels(broker)
        broker.failure = BrokerError("down")
        with pytest.raises(BrokerError, match="down"):
            await channels.publish("x", 1)

        broker.failure = None
        await channels.publish("x", 1)

        await channels.close()

    run(scenario)


def test_closed_channels_and_those_of_another_loop_say_so() -> None:
    """Instead of failing somewhere inside of asyncio."""
    channels = Channels()

    async def use() -> None:
        await channels.publish("x", 1)

    run(use)
    with pytest.raises(ConnectionStateError, match="another event loop"):
        run(use)

    async def close_and_use() -> None:
        own = Channels()
        await own.close()
        await own.publish("x", 1)

    with pytest.raises(ConnectionStateError, match="closed; make new ones"):
        run(close_and_use)


def test_closing_has_a_deadline(caplog: pytest.LogCaptureFixture) -> None:
    """A broker that hangs must not keep a program from ending."""

    async def scenario() -> None:
        broker = GatedBroker()
        channels = Channels(broker, timeout_s=0.01)
        await channels.join(Noting("ada"), "x", presence={})
        broker.shut("publish")
        broker.shut("subscribe")
        joining = asyncio.create_task(channels.join(Noting("bob"), "y"))
        await settle()

        await channels.close()

        with pytest.raises(ConnectionStateError, match="closed meanwhile"):
            await joining
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario)
    assert "presence may show" in caplog.text


def test_closing_ends_tasks_even_if_nothing_works() -> None:
    """Whatever the broker raises."""

    async def scenario() -> None:
        broker = GatedBroker()
        channels = Channels(broker)
        await channels.join(Noting("ada"), "x")
        broker.failure = BrokerError("down")

        await channels.close()

        assert channels.readers("x") == 0

    run(scenario)


def test_channels_that_were_not_closed_warn() -> None:
    """Connections that nobody closes are found by tests, and not by the operators."""

    async def scenario() -> None:
        channels = Channels(GatedBroker())
        await channels.start()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(scenario)
        gc.collect()

    assert [str(warning.message)[:25] for warning in caught] == ["Channels were not closed;"]


def test_channels_in_memory_need_not_be_closed() -> None:
    """There is nothing to close."""

    async def scenario() -> None:
        await Channels().publish("x", 1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(scenario)
        gc.collect()

    assert caught == []


@pytest.mark.parametrize("url", ["nats://localhost", "redis", "memory", ""])
def test_urls_of_no_broker_are_refused(url: str) -> None:
    """With those that there are."""
    with pytest.raises(ConfigurationError, match="possible: 'memory://', 'redis://"):
        Channels(url)


@pytest.mark.parametrize("limits", [{"max_count": -1}, {"max_age_s": -1}], ids=str)
def test_negative_limits_are_refused(limits: dict[str, Any]) -> None:
    """They could mean anything."""
    with pytest.raises(ConfigurationError, match="must not be negative"):
        HistoryLimits(**limits)


def test_what_happened_is_counted() -> None:
    """Numbers for a dashboard."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        for reader in (Noting("ada"), Noting("bob")):
            await channels.join(reader, "x")
        await channels.publish("x", 1)
        await channels.publish("y", 1)

        counters = channels.counters
        assert (counters.published, counters.received, counters.delivered) == (2, 1, 2)
        assert (counters.outages, counters.made_up, counters.gaps, counters.foreign) == (0,) * 4
        assert (counters.dropped, counters.conflated) == (0, 0)

    run_with(scenario)


def test_who_has_left_is_not_kept_until_the_next_publication() -> None:
    """A lobby that empties would keep all its connections in memory."""

    async def scenario(channels: Channels, broker: GatedBroker) -> None:
        line = Line()
        ada, bob = Noting("ada"), Grouped("bob", line)
        await channels.join(ada, "x")
        await channels.join(bob, "x")
        await channels.join(Noting("stays"), "x")
        await channels.publish("x", 1)
        known: list[weakref.ref[Noting]] = [weakref.ref(ada), weakref.ref(bob)]

        await channels.leave(ada, "x")
        await channels.leave(bob, "x")
        del ada, bob
        gc.collect()

        assert [who() for who in known] == [None, None]

    run_with(scenario)
