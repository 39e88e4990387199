"""Where a server writes to many at once, publications go to all that are idle by one call."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import ref

import pytest

from bocadillo import App, WebSocket
from bocadillo.channels import HistoryLimits
from tests.channels.readers import GatedBroker
from tests.fakes import left, run, settle
from tests.joining import Body, Slow, client, joined, served, stay


class Extension:
    """A server's broadcast extension; peers in `congested` get nothing of it."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Any], Any]] = []
        self.congested: list[Any] = []

    def broadcast(self, peers: Any, *, text: Any = None, bytes: Any = None) -> list[Any]:
        behind = [peer for peer in peers if peer in self.congested]
        payload = bytes if text is None else text
        self.calls.append(([peer.name for peer in peers], payload))
        for peer in peers:
            if peer not in behind:
                peer.sent.append({"type": "websocket.send", "text": payload})
        return behind


class Peer(Slow):
    """A connection of a server with the extension, which stands for itself."""

    def __init__(self, extension: Extension, name: str) -> None:
        extensions = {"bocadillo.broadcast": {"broadcast": extension.broadcast}}
        super().__init__(extensions=extensions)
        self.scope["bocadillo.peer"] = self
        self.name = name


@asynccontextmanager
async def peers(
    extension: Extension, names: str, view: Body = stay, broker: Any = "memory://"
) -> AsyncIterator[tuple[App, list[Peer]]]:
    async with served(view, broker) as app:
        found = []
        tasks = []
        for count, name in enumerate(names, start=1):
            peer = Peer(extension, name)
            found.append(peer)
            tasks.append(asyncio.create_task(app(peer.scope, peer.receive, peer.send)))
            await joined(app, "x", count)
        yield app, found
        for peer in found:
            peer.takes.set()
            peer.queue.put_nowait(left(1000, ""))
        await asyncio.gather(*tasks)


def test_idle_readers_are_written_to_by_one_call() -> None:
    """The server makes one frame of it, and no task is needed."""
    extension = Extension()

    async def scenario() -> None:
        async with peers(extension, "abc") as (app, _):
            tasks = len(asyncio.all_tasks())

            await app.channels.publish("x", "text", codec="text")
            await app.channels.publish("x", b"bytes", codec="bytes")

            assert len(asyncio.all_tasks()) == tasks
            assert extension.calls == [([*"abc"], "text"), ([*"abc"], b"bytes")]

    run(scenario)


def test_congested_and_busy_readers_get_it_from_their_outbox_in_order() -> None:
    """The others still come by one call."""
    extension = Extension()

    async def scenario() -> None:
        async with peers(extension, "abc") as (app, found):
            slow = found[0]
            slow.takes.clear()
            extension.congested = [slow]
            await app.channels.publish("x", "1", codec="text")
            extension.congested = []
            await settle()
            await app.channels.publish("x", "2", codec="text")
            slow.takes.set()
            await settle()
            await app.channels.publish("x", "3", codec="text")

            assert [peer.got for peer in found] == [["1", "2", "3"]] * 3
            assert [names for names, _ in extension.calls] == [[*"abc"], [*"bc"], [*"abc"]]

    run(scenario)


def test_a_publisher_that_leaves_itself_out_is_left_out_of_the_call() -> None:
    """The rule holds however the server writes."""
    extension = Extension()

    async def scenario() -> None:
        async with peers(extension, "ab") as (app, found):
            (key, *_) = app.channels._rooms.by_name["x"].members

            await app.channels.publish("x", "1", codec="text", exclude=key)

            assert [peer.got for peer in found] == [[], ["1"]]

    run(scenario)


def test_where_nobody_is_idle_the_server_is_not_called() -> None:
    """A call for nobody would still make a frame."""
    extension = Extension()

    async def scenario() -> None:
        async with peers(extension, "a") as (app, (peer,)):
            peer.takes.clear()
            extension.congested = [peer]
            await app.channels.publish("x", "1", codec="text")
            await app.channels.publish("x", "2", codec="text")

            assert len(extension.calls) == 1

    run(scenario)


def test_the_order_of_a_view_is_kept_however_the_server_writes() -> None:
    """By one call, or one by one behind what it did not take."""
    extension = Extension()

    async def view(ws: WebSocket) -> None:
        await ws.join("x")
        for number in range(0, 30, 3):
            extension.congested = [] if number % 2 else [*everybody]
            await ws.send(str(number))
            await ws.channels.publish("x", number + 1)
            extension.congested = []
            await ws.channels.publish("x", number + 2)
        await ws.close()

    everybody: list[Peer] = []

    async def scenario() -> None:
        async with served(view) as app:
            peer = Peer(extension, "a")
            everybody.append(peer)
            serving = asyncio.create_task(app(peer.scope, peer.receive, peer.send))
            while not serving.done():
                peer.takes.set()
                await asyncio.sleep(0)
                peer.takes.clear()
                await settle()

            assert peer.got == [*map(str, range(30)), 1000]
            assert len(extension.calls) > 10

    run(scenario)


def test_servers_are_told_apart_by_their_function_and_not_kept() -> None:
    """Two servers in one process write to their own connections each."""
    kept: list[ref[Extension]] = []

    async def scenario() -> None:
        async with served(stay) as app:
            one, other = Extension(), Extension()
            first, second = Peer(one, "a"), Peer(other, "b")
            async with client(app, first), client(app, second):
                await joined(app, "x", 2)
                await app.channels.publish("x", "1", codec="text")
            assert one.calls == [(["a"], "1")]
            assert other.calls == [(["b"], "1")]
            kept.extend((ref(one), ref(other)))

    run(scenario)
    gc.collect()
    assert [known() for known in kept] == [None, None]


def test_a_key_that_raises_keeps_nothing_from_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is one view's bug, and another view's message."""
    extension = Extension()
    joins = [0]

    async def view(ws: WebSocket) -> None:
        joins[0] += 1
        if joins[0] == 1:
            await ws.join("x", when_full="latest", key=lambda payload: 1 // 0)
        else:
            await ws.join("x")
        async for _ in ws:
            pass

    async def scenario() -> None:
        async with peers(extension, "ab", view) as (app, found):
            extension.congested = [*found]
            await app.channels.publish("x", "1", codec="text")
            await settle()

            assert [peer.got for peer in found] == [[], ["1"]]

    run(scenario)
    assert "failed to take a publication" in caplog.text


def test_what_was_made_up_at_once_leaves_no_outbox_wider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a reader could be behind by more and more, with each outage of the broker."""
    monkeypatch.setattr("bocadillo.memberships.DEFAULT_LIMIT", 5)
    extension, broker = Extension(), GatedBroker()

    async def scenario() -> None:
        async with peers(extension, "a", broker=broker) as (app, (peer,)):
            broker.lose()
            for number in range(30):
                await broker.miss("x", str(number), HistoryLimits())
            broker.restore()
            await settle()

            assert peer.got == [*map(str, range(30))]
            [member] = app.channels._rooms.by_name["x"].members.values()
            reader: Any = member.reader
            assert not reader.delivery.outbox.is_wide

    run(scenario)
