"""A reader that is too slow is closed, or loses what is old; it delays nobody."""

import asyncio
from typing import Any

import pytest

from bocadillo import (
    App,
    ConfigurationError,
    WebSocket,
)
from bocadillo.testing import connect
from tests.fakes import left, run, settle
from tests.joining import Body, Slow, client, joined, reads, served, stay


def test_a_reader_that_is_too_slow_is_closed_once_and_its_view_ends_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By 1013, with `on_disconnect`; publishing goes on for the others."""
    monkeypatch.setattr("bocadillo.memberships.DEFAULT_LIMIT", 2)
    steps: list[Any] = []

    class Stays:
        async def handle(self, ws: WebSocket) -> None:
            await ws.join("x", history=1)
            async for _ in ws:
                pass

        async def on_disconnect(self, ws: WebSocket) -> None:
            steps.append(ws.close_code)

    async def scenario() -> None:
        app = App()
        app.websocket_route("/")(Stays)
        slow = Slow()
        async with client(app, slow), connect(app, "/") as fast:
            await joined(app, "x", 2)
            slow.takes.clear()
            for number in range(8):
                await app.channels.publish("x", number)
                assert await fast.receive() == str(number)
            slow.takes.set()
            while 1013 not in slow.got:
                await asyncio.sleep(0)

        assert slow.got == ["0", 1013]
        assert steps == [1013, 1000] or steps == [1000, 1013]
        assert app.channels.readers("x") == 0
        await app.channels.close()

    run(scenario)


async def taken_by_a_slow_reader(view: Body, payloads: list[Any]) -> list[Any]:
    """Return what reaches a reader that takes nothing until all is published."""
    async with served(view) as app:
        slow = Slow()
        async with client(app, slow):
            await joined(app, "x", 1)
            slow.takes.clear()
            for payload in payloads:
                await app.channels.publish("x", payload, codec="text")
            slow.takes.set()
            await settle()
            return slow.got


def test_a_slow_reader_may_lose_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees the present, with a gap behind it."""
    monkeypatch.setattr("bocadillo.memberships.DEFAULT_LIMIT", 2)

    async def view(ws: WebSocket) -> None:
        await ws.join("x", when_full="drop_oldest")
        await reads(ws)

    async def scenario() -> None:
        assert await taken_by_a_slow_reader(view, ["1", "2", "3", "4"]) == ["1", "3", "4"]

    run(scenario)


def test_by_latest_only_the_newest_of_a_channel_waits() -> None:
    """A price of a second ago is of no use to anybody."""

    async def view(ws: WebSocket) -> None:
        await ws.join("x", when_full="latest")
        await reads(ws)

    async def scenario() -> None:
        assert await taken_by_a_slow_reader(view, ["1", "2", "3", "4"]) == ["1", "4"]

    run(scenario)


def test_by_latest_with_a_key_the_newest_of_each_key_waits() -> None:
    """One channel carries the prices of many things."""

    async def view(ws: WebSocket) -> None:
        await ws.join("x", when_full="latest", key=lambda payload: payload[0])
        await reads(ws)

    async def scenario() -> None:
        got = await taken_by_a_slow_reader(view, ["a1", "a2", "b1", "a3", "b2"])

        assert got == ["a1", "a3", "b2"]

    run(scenario)


def test_the_same_key_on_two_channels_is_two_keys() -> None:
    """A key is a channel's own, and so is the channel that is its own key."""

    async def view(ws: WebSocket) -> None:
        await ws.join("y", when_full="latest", key=lambda payload: payload[0])
        await ws.join("z", when_full="latest")
        await ws.join("x", when_full="latest", key=lambda payload: payload[0])
        await reads(ws)

    async def scenario() -> None:
        async with served(view) as app:
            slow = Slow()
            async with client(app, slow):
                await joined(app, "x", 1)
                slow.takes.clear()
                for channel, payload in (("x", "0"), ("x", "a1"), ("y", "a2"), ("z", "z")):
                    await app.channels.publish(channel, payload, codec="text")
                slow.takes.set()
                await settle()

                assert slow.got == ["0", "a1", "a2", "z"]

    run(scenario)


def test_the_key_is_asked_for_once_per_publication() -> None:
    """And not once for each of a thousand readers."""
    asked: list[Any] = []

    def key(payload: Any) -> str:
        asked.append(payload)
        return str(payload[0])

    async def view(ws: WebSocket) -> None:
        await ws.join("x", when_full="latest", key=key)
        await reads(ws)

    async def scenario() -> None:
        async with served(view) as app, connect(app, "/"), connect(app, "/"), connect(app, "/"):
            await joined(app, "x", 3)
            for payload in ("a1", "b1"):
                await app.channels.publish("x", payload, codec="text")
            await settle()

    run(scenario)
    assert asked == ["a1", "b1"]


def test_publishing_waits_for_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes nothing costs 99 others nothing."""

    async def scenario() -> None:
        async with served(stay) as app:
            servers = [Slow() for _ in range(100)]
            tasks = [asyncio.create_task(app(s.scope, s.receive, s.send)) for s in servers]
            await joined(app, "x", 100)
            servers[0].takes.clear()

            for number in range(100):
                await app.channels.publish("x", number)
            await settle()

            assert all(server.got == [*map(str, range(100))] for server in servers[1:])
            assert servers[0].got == []
            servers[0].takes.set()
            for server in servers:
                server.queue.put_nowait(left(1000, ""))
            await asyncio.gather(*tasks)

    run(scenario)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({}, {"when_full": "latest"}, "outbox by when_full='close', and has but one"),
        ({"when_full": "latest"}, {"when_full": "close"}, "open another connection"),
        ({"key": len}, {}, "add when_full='latest'"),
        ({}, {"key": len}, "add when_full='latest'"),
        ({"when_full": "close", "key": len}, {}, "add when_full='latest'"),
        ({"when_full": "drop_newest"}, {}, "'close', 'drop_oldest' or 'latest', got 'drop_newest'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(first: Any, second: Any, told: str) -> None:
    """With what to write instead; the connection goes on."""

    async def view(ws: WebSocket) -> None:
        async def join_both() -> None:
            await ws.join("x", **first)
            await ws.join("y", **second)

        with pytest.raises(ConfigurationError, match=told):
            await join_both()
        await ws.join("z", when_full=first.get("when_full") if second else None)

    async def scenario() -> None:
        async with served(view) as app, connect(app, "/") as ws:
            assert [message async for message in ws] == []

    run(scenario)


def test_a_later_join_may_name_a_key_by_the_outbox_that_is_there() -> None:
    """What is said once holds for all that the connection joins."""

    async def view(ws: WebSocket) -> None:
        await ws.join("y", when_full="latest")
        await ws.join("x", key=lambda payload: payload[0])
        await reads(ws)

    async def scenario() -> None:
        assert await taken_by_a_slow_reader(view, ["a1", "a2", "b1"]) == ["a1", "a2", "b1"]

    run(scenario)
