"""Which inbox a connection has; the rules of both kinds are in `test_inbox`."""

import asyncio
from typing import Any

from starlette.types import Message

from bocadillo.inbox import Inbox
from bocadillo.pullinbox import PullInbox, inbox_for
from tests.fakes import CONNECT, left, run, settle, text


class Peer:
    """A server's side that can be asked, and awaited."""

    def __init__(self, *events: Message) -> None:
        self.events = [*events]
        self.waiter: asyncio.Future[None] | None = None
        self.scope: dict[str, Any] = {
            "extensions": {"bocadillo.pull": {"pull": Peer.pull}},
            "bocadillo.peer": self,
        }

    def pull(self, _: None = None) -> Any:
        if self.events:
            return self.events.pop(0)
        self.waiter = asyncio.get_running_loop().create_future()
        return self.waiter

    async def receive(self) -> Message:
        event: Message = self.events.pop(0)
        return event


def test_a_server_that_can_be_asked_is_not_awaited() -> None:
    """What it costs to keep a `receive` from cancellation, nobody has to pay there."""

    async def scenario() -> None:
        peer = Peer(CONNECT, text("a"))
        inbox = inbox_for(peer.scope, peer.receive, lambda _: None)

        assert isinstance(inbox, PullInbox)
        assert [await inbox.next_event() for _ in range(2)] == [CONNECT, text("a")]

    run(scenario)


def test_a_middleware_that_has_replaced_receive_sees_what_is_received() -> None:
    """Whatever the server offers: it may count, limit or change messages."""

    async def scenario() -> None:
        peer = Peer(CONNECT)
        seen: list[Message] = []

        async def receive() -> Message:
            seen.append(await peer.receive())
            return seen[-1]

        inbox = inbox_for(peer.scope, receive, lambda _: None)

        assert type(inbox) is Inbox
        assert await inbox.next_event() == CONNECT
        assert seen == [CONNECT]

    run(scenario)


def test_another_connections_receive_is_not_this_ones() -> None:
    """A test or a gateway may put together what it likes."""
    peer, other = Peer(), Peer()

    assert type(inbox_for(peer.scope, other.receive, lambda _: None)) is Inbox
    assert type(inbox_for({}, peer.receive, lambda _: None)) is Inbox


def test_who_waits_is_told_of_a_loss_that_the_server_does_not_tell() -> None:
    """A view must not wait for ever on a connection that is given up."""

    async def scenario() -> None:
        peer = Peer()
        inbox = inbox_for(peer.scope, peer.receive, lambda _: None)
        inbox.lose(left(1006))
        reader = asyncio.create_task(inbox.next_event())
        await settle()

        inbox.lose(left(1006))
        inbox.lose(left(1006))

        assert await reader == left(1006)

    run(scenario)


def test_a_scope_without_a_peer_is_read_by_awaiting() -> None:
    """A gateway may hand on extensions, and nothing else."""

    async def scenario() -> None:
        async def receive() -> Message:
            return CONNECT

        inbox = inbox_for({"extensions": {"bocadillo.pull": {"pull": Peer.pull}}}, receive, print)

        assert await inbox.next_event() == CONNECT

    run(scenario)
