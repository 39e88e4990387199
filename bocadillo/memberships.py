"""The channels that one connection has joined, and how it takes what is published there."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias
from weakref import WeakValueDictionary

from starlette.types import Scope

from bocadillo.channels import Channels, OutboxCounters, Position
from bocadillo.channels.members import DeliverMany, failed
from bocadillo.channels.outbox import DEFAULT_LIMIT, DEFAULT_MAX_BYTES, Outbox, WhenFull
from bocadillo.codecs import EVENT, Payload
from bocadillo.delivery import Delivery
from bocadillo.errors import ConfigurationError, PositionLost
from bocadillo.extensions import BROADCAST, PEER
from bocadillo.websockets import WebSocket

# What a publication is the newest of, for "latest": told by its payload.
KeyOf: TypeAlias = Callable[[Payload], Hashable]
OnGap: TypeAlias = Literal["continue", "close"] | Any


class Memberships:
    """The channels of one connection, and the outbox that they share.

    Args:
        ws: The connection.
        channels: The channels of its router, in this event loop.
        make_outbox: Makes its outbox, where a class says more than the first `join` does.
    """

    def __init__(
        self,
        ws: WebSocket[Any, Any],
        channels: Channels,
        make_outbox: Callable[[], Outbox] | None = None,
    ) -> None:
        self._ws = ws
        self._channels = channels
        self._make_outbox = make_outbox
        self._delivery: Delivery | None = None
        # Kept, since its set of those behind knows the delivery.
        self._together = together_for(ws.scope)
        self._is_over = False
        self._catching_up: asyncio.Lock | None = None  # held by a join that reads history

    async def join(
        self,
        channel: str,
        *,
        history: int = 0,
        since: Position | None = None,
        presence: Any = None,
        when_full: WhenFull | None = None,
        key: KeyOf | None = None,
        on_gap: OnGap = "continue",
    ) -> None:
        """Have the connection get what is published on a channel; see `WebSocket.join`."""
        known = None if self._delivery is None else self._delivery.outbox.when_full
        if key is not None and (when_full or known) != "latest":
            raise ConfigurationError("key tells what is the latest; add when_full='latest'")
        delivery = self._deliver_by(when_full)
        reader = ChannelReader(
            self._ws, delivery, channel, None if key is None else _shared(key), self._together
        )
        join = partial(
            self._channels.join,
            reader,
            channel,
            history=history,
            since=since,
            presence=presence,
            on_gap=self._gap_teller(on_gap, delivery),
            make_room=delivery.outbox.make_room,
        )
        if history or since is not None:
            await self._catch_up(delivery, join)
        else:
            await join()
        if self._is_over:  # it was a task of the view's own, which the view did not wait for
            await self._channels.leave(self._ws, channel)

    async def _catch_up(self, delivery: Delivery, join: Callable[[], Awaitable[None]]) -> None:
        """Join with a history, once those of other channels have been sent.

        Or a client that takes nothing could have one history after the other wait for it.
        """
        if self._catching_up is None:
            self._catching_up = asyncio.Lock()
        async with self._catching_up:
            await delivery.caught_up()
            await join()

    async def leave(self, channel: str) -> None:
        """Have it get nothing more of a channel; what waits for it is sent."""
        await self._channels.leave(self._ws, channel)

    async def end(self) -> None:
        """Leave all channels, for good."""
        self._is_over = True
        try:
            await self._channels.leave_all(self._ws)
        finally:
            if self._delivery is not None:
                await self._delivery.close()

    @property
    def counters(self) -> OutboxCounters:
        """What it was too slow for."""
        return OutboxCounters() if self._delivery is None else self._delivery.outbox.counters

    def _deliver_by(self, when_full: WhenFull | None) -> Delivery:
        if self._delivery is None:
            if self._make_outbox is not None:
                outbox = self._make_outbox()
            else:
                outbox = Outbox(DEFAULT_LIMIT, DEFAULT_MAX_BYTES, when_full or "close")
            outbox.losses = self._channels.losses
            behind = None if self._together is None else self._together.behind
            self._delivery = Delivery(self._ws, outbox, behind)
        chosen = self._delivery.outbox.when_full
        if when_full not in (None, chosen):
            raise ConfigurationError(
                f"this connection has an outbox by when_full={chosen!r}, and has "
                f"but one; open another connection for when_full={when_full!r}"
            )
        return self._delivery

    def _gap_teller(
        self, on_gap: OnGap, delivery: Delivery
    ) -> Callable[[PositionLost], None] | None:
        if on_gap == "continue":
            return None
        if on_gap == "close":
            return lambda _: delivery.give_up("publications were lost")
        if self._ws._send_codec is EVENT:
            raise ConfigurationError(
                f"on_gap={on_gap!r} cannot be sent: the view sends raw events; give it another "
                "send_type, or on_gap='continue' or 'close'"
            )
        payload = self._ws._send_codec.encode(on_gap)
        return lambda _: delivery.deliver(payload)


class ChannelReader:
    """One connection as the reader of one channel.

    Args:
        ws: The connection.
        delivery: Takes what is published.
        channel: The channel.
        key_of: What a payload is the newest of, by "latest"; None for the channel itself.
        group: What delivers to many connections of its server at once.
    """

    __slots__ = ("_key", "_key_of", "delivery", "group", "id", "peer")

    def __init__(
        self,
        ws: WebSocket[Any, Any],
        delivery: Delivery,
        channel: str,
        key_of: "KeyOf | None",
        group: "Together | None",
    ) -> None:
        self.id = ws.id
        self.delivery = delivery
        self._key = (channel, channel)  # the outbox is that of all channels
        self._key_of = key_of
        self.group = group
        self.peer = ws.scope.get(PEER)

    def deliver(self, payload: Payload) -> None:
        """Have the connection get a payload, in its turn."""
        key: Hashable = self._key
        if self._key_of is not None:
            key = (self._key[0], self._key_of(payload))
        self.delivery.deliver(payload, key)


class Together:
    """Payloads for many connections of one server, which writes one frame to all of them.

    Args:
        broadcast: The server's, of the ASGI extension "bocadillo.broadcast". It passes over
            connections that are not open.

    Attributes:
        behind: The deliveries for which something waits, so that what is written past them
            would come out of turn.
    """

    def __init__(self, broadcast: Callable[..., list[Any]]) -> None:
        self._broadcast = broadcast
        self.behind: set[Delivery] = set()

    def deliver_to(self, readers: Sequence[ChannelReader]) -> DeliverMany:
        """Return what has *readers* get a payload: at once, or behind what waits for it."""
        return partial(self._deliver, readers, [reader.peer for reader in readers])

    def _deliver(
        self,
        readers: Sequence[ChannelReader],
        peers: list[Any],
        payload: Payload,
        not_to: ChannelReader | None,
    ) -> bool:
        waiting: list[ChannelReader] = []
        if self.behind or not_to is not None:
            behind = self.behind
            readers = [reader for reader in readers if reader is not not_to]
            waiting = [reader for reader in readers if reader.delivery in behind]
            peers = [reader.peer for reader in readers if reader.delivery not in behind]
        kind = "text" if isinstance(payload, str) else "bytes"
        congested = self._broadcast(peers, **{kind: payload}) if peers else ()
        if congested:
            late = {*map(id, congested)}
            waiting += [reader for reader in readers if id(reader.peer) in late]
        for reader in waiting:
            try:
                reader.deliver(payload)
            except Exception:  # of its `key`
                failed(reader)
        return not waiting


def together_for(scope: Scope) -> Together | None:
    """Return what delivers to many connections at once, where their server can."""
    extension = scope.get("extensions", {}).get(BROADCAST)
    if extension is None:
        return None
    broadcast = extension["broadcast"]
    return _together.get(broadcast) or _together.setdefault(broadcast, Together(broadcast))


# One for each server, so that a room finds those that belong together; while it has readers.
_together: WeakValueDictionary[Callable[..., list[Any]], Together] = WeakValueDictionary()


class Shared:
    """A function of payloads that is called once for each, whoever asks."""

    def __init__(self, function: KeyOf) -> None:
        self._function = function
        self._last: tuple[Payload, Hashable] | None = None

    def __call__(self, payload: Payload) -> Hashable:
        """Return what the function says; one payload comes to all readers in a row."""
        last = self._last
        if last is None or last[0] is not payload:
            last = self._last = (payload, self._function(payload))
        return last[1]


def _shared(function: KeyOf) -> Shared:
    """Return the one of a function, which goes with the last reader that has it."""
    return _shared_by_function.get(function) or _shared_by_function.setdefault(
        function, Shared(function)
    )


_shared_by_function: WeakValueDictionary[KeyOf, Shared] = WeakValueDictionary()
