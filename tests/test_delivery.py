"""Payloads from elsewhere reach a connection in order, and nobody waits for it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message

from bocadillo import WebSocket, WebSocketDisconnect
from bocadillo.channels.outbox import Outbox
from bocadillo.delivery import Delivery
from bocadillo.leaving import Times
from bocadillo.views import RouterOptions, View
from tests.fakes import FakeServer, left, run, settle, text

Use = Callable[[WebSocket[Any, Any]], Awaitable[None]]


class BusyServer(FakeServer):
    """A server whose client takes nothing while `takes` is not set."""

    def __init__(self, *events: Message, **scope: Any) -> None:
        super().__init__(*events, **scope)
        self.takes = asyncio.Event()
        self.takes.set()

    async def send(self, event: Message) -> None:
        await self.takes.wait()
        await super().send(event)


def sent(server: FakeServer) -> list[Any]:
    """Return the payloads that reached the client, and the code it was closed with."""
    return [
        event.get("code") or event.get("text") or event.get("bytes")
        for event in server.sent
        if event["type"] != "websocket.accept"
    ]


async def delivering(
    server: FakeServer, **bounds: Any
) -> tuple[WebSocket[Any, Any], Outbox, Delivery]:
    ws = await server.accepted()
    outbox = Outbox(**bounds)
    return ws, outbox, Delivery(ws, outbox)


def test_payloads_are_written_in_order_as_text_or_binary_frames() -> None:
    """What was encoded as bytes must not arrive as text."""

    async def scenario() -> None:
        server = FakeServer()
        _, _, delivery = await delivering(server)

        for payload in ("a", b"b", "c"):
            delivery.deliver(payload)
        assert server.sent == []
        await settle()

        assert server.sent == [
            {"type": "websocket.send", "text": "a"},
            {"type": "websocket.send", "bytes": b"b"},
            {"type": "websocket.send", "text": "c"},
        ]

    run(scenario)


def test_what_the_view_sends_comes_after_what_was_delivered_before() -> None:
    """A client sees what one task publishes and sends in that task's order."""

    async def scenario() -> None:
        server = BusyServer()
        ws, _, delivery = await delivering(server)
        server.takes.clear()

        delivery.deliver("1")
        delivery.deliver("2")
        sending = asyncio.create_task(ws.send("3"))
        await settle()
        delivery.deliver("4")
        assert server.sent == []
        server.takes.set()
        await sending
        delivery.deliver("5")
        await settle()
        await ws.send("6")

        assert sorted(sent(server)) == ["1", "2", "3", "4", "5", "6"]
        assert [payload for payload in sent(server) if payload != "4"] == ["1", "2", "3", "5", "6"]

    run(scenario)


def test_a_view_that_closes_lets_what_was_delivered_out_first() -> None:
    """The last word of a room reaches those who are sent away after it."""

    async def scenario() -> None:
        server = FakeServer()
        ws, _, delivery = await delivering(server)

        delivery.deliver("last")
        await ws.close(1001)
        delivery.deliver("too late")
        await settle()

        assert sent(server) == ["last", 1001]

    run(scenario)


def test_nothing_is_delivered_before_the_connection_is_accepted() -> None:
    """A frame before the handshake's answer would be an error on every server."""

    async def scenario() -> None:
        server = BusyServer()
        ws = server.websocket()
        delivery = Delivery(ws, Outbox())

        delivery.deliver("while connecting")
        server.takes.clear()
        accepting = asyncio.create_task(ws.accept())
        await settle()
        delivery.deliver("while accepting")
        server.takes.set()
        await accepting
        await settle()

        assert sent(server) == []

    run(scenario)


def test_a_sender_that_gives_up_does_not_hold_up_the_others() -> None:
    """Its place in the queue is simply passed over."""

    async def scenario() -> None:
        server = BusyServer()
        ws, _, delivery = await delivering(server)
        server.takes.clear()
        delivery.deliver("1")

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await ws.send("given up")
        sending = asyncio.create_task(ws.send("2"))
        await settle()
        server.takes.set()
        await sending

        assert sent(server) == ["1", "2"]

    run(scenario)


def test_a_message_of_the_view_that_is_stuck_is_seen_to_be() -> None:
    """By it the lifecycle knows a peer that takes nothing, when the writer has ended."""

    async def scenario() -> None:
        server = BusyServer()
        ws, _, delivery = await delivering(server)
        server.takes.clear()
        delivery.deliver("1")
        assert ws._begun == ws._done
        sending = asyncio.create_task(ws.send("2"))
        await settle()
        assert ws._begun > ws._done

        server.takes.set()
        while not server.sent:
            await asyncio.sleep(0)
        server.takes.clear()
        await settle()

        assert sent(server) == ["1"]
        assert ws._begun > ws._done
        sending.cancel()

    run(scenario)


class OneAtATime(BusyServer):
    """A server like uvicorn's "websockets": two may not wait to send."""

    def __init__(self) -> None:
        super().__init__()
        self.is_waiting = False

    async def send(self, event: Message) -> None:
        assert not self.is_waiting
        self.is_waiting = not self.takes.is_set()
        try:
            await super().send(event)
        finally:
            self.is_waiting = False


def test_the_writer_and_the_view_never_wait_to_send_at_once() -> None:
    """One server takes that for an error and loses the connection."""

    async def scenario() -> None:
        server = OneAtATime()
        ws, _, delivery = await delivering(server)
        server.takes.clear()
        sending = [asyncio.create_task(ws.send("1"))]
        await settle()

        delivery.deliver("2")
        sending.append(asyncio.create_task(ws.send("3")))
        delivery.deliver("4")
        await settle()
        for expected in range(1, 5):
            server.takes.set()
            while len(server.sent) < expected:
                await asyncio.sleep(0)
            server.takes.clear()
            await settle()
        server.takes.set()
        await asyncio.gather(*sending)

        assert sorted(sent(server)) == ["1", "2", "3", "4"]
        assert sent(server)[0] == "1"

    run(scenario)


def test_a_writer_that_ends_at_once_is_followed_by_another() -> None:
    """With eager tasks, which run before their creator knows of them."""
    eager = getattr(asyncio, "eager_task_factory", None)
    if eager is None:
        pytest.skip("Python 3.11 has no eager tasks")

    async def scenario() -> None:
        asyncio.get_running_loop().set_task_factory(eager)
        server = FakeServer()
        _, _, delivery = await delivering(server)

        delivery.deliver("1")
        delivery.deliver("2")
        await settle()

        assert sent(server) == ["1", "2"]

    run(scenario)


# Too slow


def test_a_reader_that_is_too_slow_is_closed_with_1013_behind_what_it_has_not_taken() -> None:
    """It may come back later; meanwhile nobody keeps its messages."""

    async def scenario() -> None:
        server = BusyServer()
        ws, outbox, delivery = await delivering(server, limit=2)
        server.takes.clear()
        delivery.deliver("1")
        await settle()

        for payload in ("2", "3", "4", "5"):
            delivery.deliver(payload)
        assert (ws.is_open, ws.close_code, len(outbox)) == (False, 1013, 0)
        server.takes.set()
        await settle()

        assert sent(server) == ["1", 1013]
        assert server.sent[-1]["reason"] == "too slow"
        await delivery.close()

    run(scenario)


async def sends(ws: WebSocket[Any, Any]) -> None:
    await ws.send("3")


async def receives(ws: WebSocket[Any, Any]) -> None:
    await ws.receive()


async def iterates(ws: WebSocket[Any, Any]) -> None:
    async for _ in ws:
        pass


@pytest.mark.parametrize("use", [sends, receives, iterates])
def test_the_view_of_a_reader_that_is_too_slow_is_told_so(use: Use) -> None:
    """As of a leaving, which is the client's doing; an error of state would be a bug."""

    async def scenario() -> None:
        server = BusyServer(text("unread"))
        ws, _, delivery = await delivering(server, limit=1)
        server.takes.clear()
        for payload in ("1", "2"):
            delivery.deliver(payload)

        with pytest.raises(WebSocketDisconnect) as caught:
            await use(ws)

        assert (caught.value.code, caught.value.reason) == (1013, "too slow")
        server.takes.set()
        await delivery.close()

    run(scenario)


def test_a_reader_may_be_kept_current_instead() -> None:
    """What it did not take in time is lost to it, and counted."""

    async def scenario() -> None:
        server = BusyServer()
        _, outbox, delivery = await delivering(server, limit=1, when_full="drop_oldest")
        server.takes.clear()
        delivery.deliver("1")
        await settle()

        for payload in ("2", "3", "4"):
            delivery.deliver(payload)
        server.takes.set()
        await settle()

        assert sent(server) == ["1", "4"]
        assert outbox.dropped == 2

    run(scenario)


def test_by_latest_the_newest_of_each_key_waits_in_the_place_of_the_first() -> None:
    """Payloads without a key are on their own; the view's turn comes in its place."""

    async def scenario() -> None:
        server = BusyServer()
        ws, outbox, delivery = await delivering(server, when_full="latest")
        server.takes.clear()
        delivery.deliver("0", "a")
        await settle()

        for payload, key in (("a1", "a"), ("b1", "b"), ("c", None), ("a2", "a")):
            delivery.deliver(payload, key)
        sending = asyncio.create_task(ws.send("view's"))
        await settle()
        delivery.deliver("b2", "b")
        delivery.deliver("c", None)
        server.takes.set()
        await sending
        await settle()

        assert [payload for payload in sent(server) if payload != "view's"] == [
            *("0", "a2", "b2", "c", "c")
        ]
        assert sent(server).index("view's") > sent(server).index("b2")
        assert (outbox.conflated, outbox.dropped) == (2, 0)

    run(scenario)


def test_who_is_given_up_twice_is_closed_once() -> None:
    """For what two channels lost at once, say; and a closed connection not at all."""

    async def scenario() -> None:
        server, closed = FakeServer(), FakeServer()
        ws, _, delivery = await delivering(server)
        other, _, too_late = await delivering(closed)
        await other.close(4000)

        delivery.give_up("publications were lost")
        delivery.give_up("too slow")
        too_late.give_up("too slow")
        await settle()
        await delivery.close()
        await too_late.close()

        assert sent(server) == [1013]
        assert server.sent[-1]["reason"] == "publications were lost"
        assert (ws.close_code, other.close_code) == (1013, 4000)
        assert sent(closed) == [4000]
        assert len(asyncio.all_tasks()) == 1

    run(scenario)


def test_it_is_told_while_something_waits() -> None:
    """Only else may something be written past its outbox."""

    async def scenario() -> None:
        server = BusyServer()
        ws = server.websocket()
        behind: set[Delivery] = set()
        delivery = Delivery(ws, Outbox(), behind)
        await ws.accept()
        assert behind == set()

        server.takes.clear()
        delivery.deliver("1")
        assert behind == {delivery}
        await settle()
        assert behind == {delivery}
        server.takes.set()
        await settle()
        assert behind == set()

    run(scenario)


def test_who_was_too_slow_stays_behind_until_its_end() -> None:
    """Nothing is written between what it did take and its close frame."""

    async def scenario() -> None:
        server = BusyServer()
        ws = server.websocket()
        behind: set[Delivery] = set()
        delivery = Delivery(ws, Outbox(1), behind)
        await ws.accept()
        server.takes.clear()
        delivery.deliver("1")
        await settle()
        delivery.deliver("2")
        delivery.deliver("3")

        server.takes.set()
        await settle()
        assert behind == {delivery}
        await delivery.close()
        assert behind == set()

    run(scenario)


def test_closing_waits_for_the_close_frame_of_a_reader_that_was_too_slow() -> None:
    """Cancelled with its view, the reader would only see a lost connection."""

    async def scenario() -> None:
        server = BusyServer()
        _, _, delivery = await delivering(server, limit=1)
        server.takes.clear()
        for payload in ("1", "2"):
            delivery.deliver(payload)

        closing = asyncio.create_task(delivery.close())
        await settle()
        assert not closing.done()
        server.takes.set()
        await closing

        assert sent(server)[-1] == 1013

    run(scenario)


def test_a_close_frame_that_is_not_taken_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that never reads again must not keep anything here."""
    monkeypatch.setattr("bocadillo.delivery.CLOSE_TIMEOUT_S", 0.01)

    async def scenario() -> None:
        server = BusyServer()
        _, _, delivery = await delivering(server, limit=1)
        server.takes.clear()
        for payload in ("1", "2"):
            delivery.deliver(payload)

        await delivery.close()
        await settle()

        assert sent(server) == []
        assert len(asyncio.all_tasks()) == 1

    run(scenario)


# Gone


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("closed"), LookupError("what")])
def test_a_failed_write_counts_as_a_leaving_and_reaches_nobody(error: Exception) -> None:
    """Each server has an exception of its own for a client that has gone."""

    async def scenario() -> None:
        server = FakeServer()
        ws, outbox, delivery = await delivering(server)
        reading = asyncio.create_task(ws.receive())
        await settle()
        server.send_error = error

        delivery.deliver("1")
        delivery.deliver("2")
        await settle()

        assert (ws.is_open, ws.close_code, len(outbox)) == (False, 1006, 0)
        assert not ws._is_told
        reading.cancel()

    run(scenario)


def test_a_failed_write_looks_for_the_close_code_that_the_server_has() -> None:
    """The code that the client gave says more than 1006 does."""

    async def scenario() -> None:
        server = FakeServer()
        ws, _, delivery = await delivering(server)
        server.send_error = OSError("gone")
        server.queue.put_nowait(left(4000, "tired"))

        delivery.deliver("1")
        await settle()

        assert ws.close_code == 4000
        with pytest.raises(WebSocketDisconnect, match="4000"):
            await ws.send("2")

    run(scenario)


def test_a_sender_that_waits_its_turn_is_told_of_the_failed_write() -> None:
    """It must not wait for a turn that never comes."""

    async def scenario() -> None:
        server = BusyServer()
        ws, _, delivery = await delivering(server)
        server.takes.clear()
        delivery.deliver("1")
        sending = asyncio.create_task(ws.send("2"))
        await settle()

        server.send_error = OSError("gone")
        server.queue.put_nowait(left(1001, ""))
        server.takes.set()

        with pytest.raises(WebSocketDisconnect, match="1001"):
            await sending

    run(scenario)


def test_a_handler_that_sleeps_is_cancelled_after_a_failed_write() -> None:
    """The write has told nobody, so the handler is owed its cancellation."""
    steps: list[str] = []
    deliveries: list[Delivery] = []

    async def view(ws: WebSocket) -> None:
        deliveries.append(Delivery(ws, Outbox()))
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise

    async def scenario() -> None:
        server = FakeServer()
        router = RouterOptions(times=Times(leave_grace_s=0.01))
        serving = asyncio.create_task(
            View(view, router=router)(server.scope, server.receive, server.send)
        )
        await settle()
        server.send_error = OSError("gone")

        deliveries[0].deliver("1")
        await serving

    run(scenario)
    assert steps == ["cancelled"]


def test_closing_gives_the_connection_back_and_lets_senders_go() -> None:
    """Even where the writer was cancelled before it began."""

    async def scenario() -> None:
        server = BusyServer()
        ws, _, delivery = await delivering(server)
        delivery.deliver("never written")
        sending = asyncio.create_task(ws.send("sent"))

        await delivery.close()
        await sending

        assert sent(server) == ["sent"]
        assert ws._raw_send == server.send

    run(scenario)
