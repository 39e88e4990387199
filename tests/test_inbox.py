"""No event is lost, whoever reads, whoever is cancelled, whatever was read ahead."""

import asyncio
from typing import Any, Protocol

import pytest
from starlette.types import Message

from bocadillo.errors import ConcurrencyError, ConnectionStateError
from bocadillo.inbox import MAX_AHEAD_MESSAGES, Inbox
from bocadillo.pullinbox import PullInbox
from tests.fakes import CONNECT, FakeServer, binary, left, run, settle, text


class LossyServer(FakeServer):
    """A server whose `receive` loses what it holds when it is cancelled, as granian's."""

    async def receive(self) -> Message:
        event = await self.queue.get()
        await asyncio.sleep(0)
        await asyncio.sleep(0.0001)
        return event


class Leavings(list[Message]):
    """What the inbox told of disconnects that it read ahead."""


class InboxOf(Protocol):
    """Makes the inbox of a server."""

    def __call__(self, server: FakeServer, leavings: list[Message] | None = None) -> Inbox: ...


@pytest.fixture(params=["awaited", "asked"])
def inbox_of(request: pytest.FixtureRequest) -> InboxOf:
    """Inboxes of servers of either kind; to the rules it makes no difference."""

    def make(server: FakeServer, leavings: list[Message] | None = None) -> Inbox:
        on_disconnect = (leavings if leavings is not None else Leavings()).append
        if request.param == "awaited":
            return Inbox.awaiting(server.receive, on_disconnect)
        return PullInbox(Asked(server.queue).pull, on_disconnect)

    return make


class Asked:
    """What a server has for one connection, to be had by asking."""

    def __init__(self, queue: "asyncio.Queue[Message]") -> None:
        self._queue = queue
        self._put = queue.put_nowait
        self._waiter: asyncio.Future[None] | None = None
        queue.put_nowait = self._put_and_tell  # type: ignore[method-assign, assignment]

    def pull(self, _: None) -> Any:
        if not self._queue.empty():
            return self._queue.get_nowait()
        if self._waiter is None or self._waiter.done():
            self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def _put_and_tell(self, event: Message) -> None:
        self._put(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def test_events_come_in_order(inbox_of: InboxOf) -> None:
    """A view sees what the client sent in the order it was sent."""

    async def scenario() -> None:
        inbox = inbox_of(FakeServer(text("a"), text("b")))

        events = [await inbox.next_event() for _ in range(3)]

        assert events == [CONNECT, text("a"), text("b")]

    run(scenario)


def test_an_event_that_is_there_needs_no_wait(inbox_of: InboxOf) -> None:
    """The path of a busy connection: one step, no future."""

    async def scenario() -> None:
        inbox = inbox_of(FakeServer())

        assert inbox.pull(None) == CONNECT

    run(scenario)


def test_a_cancelled_reader_loses_nothing_on_a_server_that_would(inbox_of: InboxOf) -> None:
    """`asyncio.timeout` around `receive` is how people poll; no message may pay for it."""

    async def scenario() -> None:
        server = LossyServer()
        inbox = inbox_of(server)
        got: list[Message] = []
        cancelled = 0

        async def feed() -> None:
            for number in range(300):
                server.queue.put_nowait(text(str(number)))
                await asyncio.sleep(0.0003 if number % 7 else 0)

        feeder = asyncio.create_task(feed())
        while len(got) < 301:
            try:
                async with asyncio.timeout(0.0002):
                    got.append(await inbox.next_event())
            except TimeoutError:
                cancelled += 1
        await feeder

        assert got == [CONNECT, *(text(str(number)) for number in range(300))]
        assert cancelled > 0

    run(scenario)


def test_wait_for_loses_nothing(inbox_of: InboxOf) -> None:
    """`asyncio.wait_for` runs the reader in a task of its own in Python 3.11."""

    async def scenario() -> None:
        server = FakeServer()
        inbox = inbox_of(server)
        await inbox.next_event()

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(inbox.next_event(), 0.01)
        server.queue.put_nowait(text("late"))

        assert await inbox.next_event() == text("late")

    run(scenario)


def test_a_reader_cancelled_as_its_event_arrives_leaves_it_to_the_next(inbox_of: InboxOf) -> None:
    """The narrowest race: the event and the cancellation in one turn of the loop."""

    async def scenario() -> None:
        server = FakeServer()
        inbox = inbox_of(server)
        await inbox.next_event()
        reader = asyncio.create_task(inbox.next_event())
        await settle()

        server.queue.put_nowait(text("now"))
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

        assert await inbox.next_event() == text("now")

    run(scenario)


def test_many_cancelled_readers_leave_nothing_behind_on_the_servers_future(
    inbox_of: InboxOf,
) -> None:
    """Polling an idle connection for hours must not pile up callbacks."""

    async def scenario() -> None:
        server = FakeServer()
        inbox = Inbox.awaiting(server.receive, Leavings().append)
        await inbox.next_event()
        for _ in range(50):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await inbox.next_event()

        callbacks = inbox._pending._callbacks

        assert not callbacks

    run(scenario)


def test_a_cancelled_bare_yield_of_the_server_is_taken_up_again() -> None:
    """A `receive` may let the loop run without waiting for anything."""

    async def scenario() -> None:
        yields = 0

        async def receive() -> Message:
            nonlocal yields
            for _ in range(3):
                yields += 1
                await asyncio.sleep(0)
            return text("after")

        inbox = Inbox.awaiting(receive, Leavings().append)
        reader = asyncio.create_task(inbox.next_event())
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

        assert await inbox.next_event() == text("after")
        assert yields == 3

    run(scenario)


def test_two_readers_at_once_get_a_clear_error_and_the_first_goes_on(inbox_of: InboxOf) -> None:
    """Two tasks that share a socket would each get half of the messages."""

    async def scenario() -> None:
        server = FakeServer()
        inbox = inbox_of(server)
        await inbox.next_event()
        first = asyncio.create_task(inbox.next_event())
        await settle()

        with pytest.raises(ConcurrencyError, match="another task is already receiving"):
            await inbox.next_event()
        with pytest.raises(ConcurrencyError, match="let one task receive"):
            inbox.pull(None)
        server.queue.put_nowait(text("mine"))

        assert await first == text("mine")

    run(scenario)


def test_what_was_read_ahead_is_delivered_first_and_in_order(inbox_of: InboxOf) -> None:
    """A handler that was busy finds its messages where it left them."""

    async def scenario() -> None:
        server = FakeServer(text("a"), text("b"))
        leavings = Leavings()
        inbox = inbox_of(server, leavings)
        inbox.read_ahead()
        await settle()
        server.queue.put_nowait(left(1000, ""))
        await settle()

        events = [await inbox.next_event() for _ in range(4)]

        assert events == [CONNECT, text("a"), text("b"), left(1000, "")]
        assert leavings == [left(1000, "")]

    run(scenario)


def test_a_reader_takes_over_from_reading_ahead(inbox_of: InboxOf) -> None:
    """The handler comes back while the sweep's task waits for the server."""

    async def scenario() -> None:
        server = FakeServer()
        inbox = inbox_of(server)
        await inbox.next_event()
        inbox.read_ahead()
        await settle()

        reader = asyncio.create_task(inbox.next_event())
        await settle()
        assert inbox.is_waiting
        server.queue.put_nowait(text("a"))

        assert await reader == text("a")

    run(scenario)


def test_a_reader_takes_over_before_reading_ahead_began(inbox_of: InboxOf) -> None:
    """The sweep's task may not have run once when the handler comes back."""

    async def scenario() -> None:
        server = FakeServer(text("a"))
        inbox = inbox_of(server)
        await inbox.next_event()

        inbox.read_ahead()

        assert await inbox.next_event() == text("a")

    run(scenario)


def test_reading_ahead_stops_at_its_bound_of_messages(inbox_of: InboxOf) -> None:
    """What is read ahead is memory that nobody else bounds."""

    async def scenario() -> None:
        server = FakeServer(*(text(str(n)) for n in range(40)))
        inbox = inbox_of(server)
        await inbox.next_event()
        inbox.read_ahead()
        await settle()

        assert server.queue.qsize() == 40 - MAX_AHEAD_MESSAGES
        assert [await inbox.next_event() for _ in range(40)] == [text(str(n)) for n in range(40)]

    run(scenario)


def test_reading_ahead_stops_at_its_bound_of_bytes(inbox_of: InboxOf) -> None:
    """Sixteen messages may be large."""

    async def scenario() -> None:
        server = FakeServer(*(binary(bytes(200_000)) for _ in range(5)))
        inbox = inbox_of(server)
        await inbox.next_event()
        inbox.read_ahead()
        await settle()

        assert server.queue.qsize() == 3

    run(scenario)


def test_reading_ahead_twice_is_reading_ahead_once(inbox_of: InboxOf) -> None:
    """The sweep comes by every half second."""

    async def scenario() -> None:
        server = FakeServer(text("a"))
        inbox = inbox_of(server)
        for _ in range(3):
            inbox.read_ahead()
            await settle()

        assert [await inbox.next_event() for _ in range(2)] == [CONNECT, text("a")]

    run(scenario)


def test_what_the_server_raises_reaches_the_reader_and_reading_can_go_on() -> None:
    """A server may raise once and still know of the disconnect afterwards."""

    async def scenario() -> None:
        events: list[Any] = [RuntimeError("once"), left(1006), OSError("ahead"), left(1001)]

        async def receive() -> Message:
            event = events.pop(0)
            if isinstance(event, Exception):
                raise event
            return event  # type: ignore[no-any-return]

        inbox = Inbox.awaiting(receive, Leavings().append)

        with pytest.raises(RuntimeError, match="once"):
            await inbox.next_event()
        assert await inbox.next_event() == left(1006)
        inbox.read_ahead()
        await settle()
        with pytest.raises(OSError, match="ahead"):
            await inbox.next_event()
        assert await inbox.next_event() == left(1001)

    run(scenario)


def test_a_receive_that_is_no_coroutine_function_is_read_the_same() -> None:
    """Servers may hand over any awaitable, and any mapping; granian's is its own."""

    async def scenario() -> None:
        class Mapped(dict[str, Any]):
            pass

        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        inbox = Inbox.awaiting(lambda: future, Leavings().append)
        reader = asyncio.create_task(inbox.next_event())
        await settle()
        future.set_result(Mapped(text("a")))

        event = await reader

        assert event == text("a")
        assert type(event) is dict

    run(scenario)


def test_a_refusal_waits_until_all_is_read(inbox_of: InboxOf) -> None:
    """Messages that came before the leaving are still the view's."""

    async def scenario() -> None:
        def refuse(_: None) -> None:
            raise LookupError("no more")

        server = FakeServer()
        inbox = inbox_of(server)
        inbox.read_ahead()
        await settle()
        inbox.refuse(refuse)

        assert inbox.pull(None) == CONNECT
        with pytest.raises(LookupError, match="no more"):
            inbox.pull(None)
        inbox.refuse(None)
        assert inbox.pull(None) is not None

    run(scenario)


def test_a_refusal_ends_a_reading_ahead_that_has_found_nothing(inbox_of: InboxOf) -> None:
    """A connection that this side has closed has nothing more to say."""

    async def scenario() -> None:
        def refuse(_: None) -> None:
            raise LookupError("no more")

        server = FakeServer()
        inbox = inbox_of(server)
        await inbox.next_event()
        inbox.read_ahead()
        await settle()
        inbox.refuse(refuse)

        with pytest.raises(LookupError, match="no more"):
            inbox.pull(None)
        await settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario)


def test_a_closed_inbox_tells_nobody(inbox_of: InboxOf) -> None:
    """What comes too late has nobody to go to."""

    async def scenario() -> None:
        leavings = Leavings()
        server = FakeServer()
        inbox = inbox_of(server, leavings)
        inbox.close()

        inbox._on_disconnect(left(1000))

        assert leavings == []

    run(scenario)


def test_a_closed_inbox_leaves_no_task(inbox_of: InboxOf) -> None:
    """Every connection ends; what read ahead for it must end, too."""

    async def scenario() -> None:
        inbox = inbox_of(FakeServer())
        inbox.read_ahead()
        await settle()

        inbox.close()
        await settle()

        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario)


def test_search_ahead_ends_with_the_disconnect_or_the_time_out(inbox_of: InboxOf) -> None:
    """A failed send looks for the close code, but not for ever."""

    async def scenario() -> None:
        server = FakeServer(left(4000, "bye"))
        leavings = Leavings()
        inbox = inbox_of(server, leavings)

        await inbox.search_ahead(5)
        await inbox.search_ahead(5)

        assert leavings == [left(4000, "bye")]
        silent = inbox_of(FakeServer(), leavings)
        await silent.search_ahead(0.01)
        assert leavings == [left(4000, "bye")]
        silent.close()

    run(scenario)


def test_the_shield_refuses_a_second_cancellation(inbox_of: InboxOf) -> None:
    """A task that is cancelled twice is woken once."""

    async def scenario() -> None:
        server = FakeServer()
        inbox = inbox_of(server)
        await inbox.next_event()
        reader = asyncio.create_task(inbox.next_event())
        await settle()

        reader.cancel()
        reader.cancel()
        server.queue.put_nowait(text("a"))
        with pytest.raises(asyncio.CancelledError):
            await reader

        assert await inbox.next_event() == text("a")

    run(scenario)


def test_a_reader_that_outlives_its_view_is_told_so(inbox_of: InboxOf) -> None:
    """A task that the view started and forgot."""

    async def scenario() -> None:
        server = FakeServer()
        inbox = inbox_of(server)
        await inbox.next_event()
        reader = asyncio.create_task(inbox.next_event())
        await settle()

        inbox.close()
        server.queue.put_nowait(text("late"))
        with pytest.raises(ConnectionStateError, match="has ended"):
            await reader
        with pytest.raises(ConnectionStateError, match="has ended"):
            inbox.pull(None)

    run(scenario)


def test_a_future_that_the_server_cancels_does_not_end_the_reading() -> None:
    """It is the server's own affair, and its next event counts."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        futures = [loop.create_future(), loop.create_future()]
        waiting = iter(futures)

        async def receive() -> Message:
            event: Message = await next(waiting)
            return event

        inbox = Inbox.awaiting(receive, Leavings().append)
        reader = asyncio.create_task(inbox.next_event())
        await settle()
        futures[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        futures[1].set_result(text("a"))

        assert await inbox.next_event() == text("a")

    run(scenario)


def test_a_pull_takes_over_from_reading_ahead(inbox_of: InboxOf) -> None:
    """The path of a handler that comes back to `receive`."""

    async def scenario() -> None:
        server = FakeServer()
        inbox = inbox_of(server)
        await inbox.next_event()
        inbox.read_ahead()
        await settle()

        step = inbox.pull(None)
        server.queue.put_nowait(text("a"))

        assert await inbox.wait(step) == text("a")

    run(scenario)


def test_who_takes_over_from_reading_ahead_is_told_of_a_loss(inbox_of: InboxOf) -> None:
    """What was read ahead ends a turn later, and must not take the new reader's place away."""

    async def scenario() -> None:
        inbox = inbox_of(FakeServer())
        await inbox.next_event()
        inbox.read_ahead()
        await settle()
        reader = asyncio.create_task(inbox.next_event())
        await settle()

        inbox.lose(left(1006))

        async with asyncio.timeout(5):
            assert await reader == left(1006)

    run(scenario)
