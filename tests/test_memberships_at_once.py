"""What comes at once does not make a reader slow; what a slow one loses is counted."""

import asyncio
from typing import Any

import pytest

from bocadillo import App, WebSocket
from bocadillo.channels import HistoryLimits, OutboxCounters, Position
from tests.channels.readers import GatedBroker
from tests.fakes import run, settle
from tests.joining import Slow, client, joined, reads, served, stay
from tests.test_memberships_slow import taken_by_a_slow_reader

# Histories that are larger than the outbox


async def published(app: App, count: int) -> list[str]:
    for number in range(count):
        await app.channels.publish("x", number)
    return [str(number) for number in range(count)]


@pytest.mark.parametrize("bound", ["DEFAULT_LIMIT", "DEFAULT_MAX_BYTES"])
@pytest.mark.parametrize("when_full", ["close", "drop_oldest"])
def test_a_history_that_is_larger_than_the_outbox_arrives_whole(
    monkeypatch: pytest.MonkeyPatch, bound: str, when_full: Any
) -> None:
    """Who asks for it is not too slow for it; afterwards the outbox is as small as before."""
    monkeypatch.setattr(f"bocadillo.memberships.{bound}", 5)

    async def view(ws: WebSocket) -> None:
        await ws.join("x", history=20, when_full=when_full)
        await reads(ws)

    async def scenario() -> None:
        async with served(view, history=HistoryLimits(max_count=50)) as app:
            history = await published(app, 30)
            slow = Slow()
            async with client(app, slow):
                await joined(app, "x", 1)
                assert slow.got == history[-20:]
                slow.takes.clear()
                for number in range(9):
                    await app.channels.publish("x", number)
                slow.takes.set()
                await settle()

            expected: list[Any] = ["0", "4", "5", "6", "7", "8"]
            assert slow.got[20:] == (["0", 1013] if when_full == "close" else expected)
            assert app.channels.counters.dropped == (0 if when_full == "close" else 3)

    run(scenario)


def test_so_does_all_that_was_missed_since_a_position(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed for it, a client would come back with the same position, for ever."""
    monkeypatch.setattr("bocadillo.memberships.DEFAULT_LIMIT", 5)
    since: list[Position] = []

    async def view(ws: WebSocket) -> None:
        await ws.join("x", since=since[0])
        await reads(ws)

    async def scenario() -> None:
        async with served(view) as app:
            since.append((await app.channels.publish("x", "seen")).position)
            missed = await published(app, 30)
            async with client(app, slow := Slow()):
                await joined(app, "x", 1)
                assert slow.got == missed

    run(scenario)


def test_and_what_was_missed_while_the_broker_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or an outage would close everybody when it is over."""
    monkeypatch.setattr("bocadillo.memberships.DEFAULT_LIMIT", 5)
    broker = GatedBroker()

    async def scenario() -> None:
        async with served(stay, broker) as app, client(app, slow := Slow()):
            await joined(app, "x", 1)
            broker.lose()
            missed = await published(app, 30)
            broker.restore()
            while len(slow.got) < 30:
                await asyncio.sleep(0)
            await settle()
            assert slow.got == missed

    run(scenario)


def test_a_second_history_waits_until_the_first_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks for more and more, and reads nothing, must not fill the memory."""
    monkeypatch.setattr("bocadillo.memberships.DEFAULT_LIMIT", 5)
    steps: list[str] = []

    async def view(ws: WebSocket) -> None:
        for step in range(3):
            await ws.join("x", history=20)
            await ws.leave("x")
            steps.append(f"{step}")
        await ws.join("y")
        await reads(ws)

    async def scenario() -> None:
        async with served(view) as app:
            history = await published(app, 20)
            slow = Slow()
            async with client(app, slow) as serving:
                while not steps:
                    slow.takes.clear() if slow.sent else None
                    await asyncio.sleep(0)
                await settle()
                assert (steps, serving.done()) == (["0"], False)
                slow.takes.set()
                await joined(app, "y", 1)
                await settle()
                assert slow.got == history * 3

    run(scenario)


# Counters


def test_a_connection_knows_what_it_was_too_slow_for() -> None:
    """A view may tell its client, or write it to a log."""
    counted: list[OutboxCounters] = []

    async def view(ws: WebSocket) -> None:
        counted.append(ws.outbox_counters)
        await ws.join("x", when_full="latest", key=lambda payload: payload[0])
        counted.append(ws.outbox_counters)
        try:
            await reads(ws)
        finally:
            counted.append(ws.outbox_counters)

    async def scenario() -> None:
        got = await taken_by_a_slow_reader(view, ["a1", "a2", "b1", "a3", "b2"])
        assert got == ["a1", "a3", "b2"]

    run(scenario)
    assert counted == [OutboxCounters(0, 0), OutboxCounters(0, 0), OutboxCounters(0, 2)]


def test_the_channels_know_it_of_all_connections_those_that_have_gone_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A number for a dashboard, which never goes back."""
    monkeypatch.setattr("bocadillo.memberships.DEFAULT_LIMIT", 2)

    async def view(ws: WebSocket) -> None:
        await ws.join("x", when_full="latest", key=lambda payload: payload[0])
        await reads(ws)

    async def scenario() -> None:
        async with served(view) as app:
            for turn in (1, 2):
                slow, fast = Slow(), Slow()
                async with client(app, slow), client(app, fast):
                    await joined(app, "x", 2)
                    slow.takes.clear()
                    for payload in ("z", "a1", "a2", "b1", "c1"):
                        await app.channels.publish("x", payload, codec="text")
                        await settle()
                    slow.takes.set()
                    await settle()
                    assert slow.got == ["z", "b1", "c1"]
                    assert fast.got == ["z", "a1", "a2", "b1", "c1"]
                counters = app.channels.counters
                assert (counters.dropped, counters.conflated) == (turn, turn)

    run(scenario)


def test_histories_of_several_channels_come_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that takes nothing could else have them all wait for it, by joins in tasks."""
    monkeypatch.setattr("bocadillo.memberships.DEFAULT_LIMIT", 5)

    outboxes: list[Any] = []
    go_on = asyncio.Event()

    async def view(ws: WebSocket) -> None:
        fake: Any = ws
        outboxes.append(fake._members()._deliver_by(None).outbox)
        await go_on.wait()
        await asyncio.gather(*(ws.join(channel, history=20) for channel in "xyz"))
        await reads(ws)

    async def scenario() -> None:
        async with served(view) as app:
            for channel in "xyz":
                for number in range(20):
                    await app.channels.publish(channel, number)
            slow = Slow()
            async with client(app, slow):
                while not outboxes:
                    await asyncio.sleep(0)
                slow.takes.clear()
                go_on.set()
                await settle()
                await settle()
                assert 0 < len(outboxes[0]) <= 20
                slow.takes.set()
                await joined(app, "x", 1)
                await joined(app, "y", 1)
                await joined(app, "z", 1)
                assert slow.got == [*map(str, range(20))] * 3

    run(scenario)
