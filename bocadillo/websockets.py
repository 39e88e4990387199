"""`WebSocket`: one connection and its messages, as a view sees it.

Receiving and sending are the paths taken per message: nothing in them inspects,
formats, logs or looks up by name, and what they compare and call was worked out when
the connection was made.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, Literal, Protocol, Self, cast

from starlette.types import Message, Receive, Scope, Send
from typing_extensions import TypeVar

from bocadillo.channels import Channels, ChannelsByLoop, OutboxCounters, Position
from bocadillo.channels.outbox import WhenFull
from bocadillo.codecs import BYTES, EVENT, JSON, TEXT, MessagePack, Payload, codec_for, encode_json
from bocadillo.connection import Connection
from bocadillo.errors import ConnectionStateError, WebSocketDisconnect
from bocadillo.states import DISCONNECT, SEND, State
from bocadillo.wire import CaughtCloseCodes

RecvT = TypeVar("RecvT", default=Any)
SendT = TypeVar("SendT", default=RecvT)


class WebSocket(Connection, Generic[RecvT, SendT]):
    """One WebSocket connection.

    Args:
        scope: ASGI scope of type "websocket".
        receive: ASGI receive function.
        send: ASGI send function.
        auto_accept: Whether the route accepts before the view runs. If not, the view
            calls `accept`, enters `async with ws`, or refuses by `reject`.
        value_type: What is received and sent: "text", "bytes", "json", "msgpack",
            "event", a Python type, or a codec. Overrides the next two.
        receive_type: What is received; "text" by default.
        send_type: What is sent; "text" by default.
        caught_close_codes: Close codes of clients that end `async for` and `async with`
            quietly; `(1000, 1001)` by default, `all` for every code. A browser's plain
            `close()`, which carries no code (1005), counts as 1000.

    Everything Starlette's `HTTPConnection` has is here: `url`, `headers`, `cookies`,
    `query_params`, `path_params`, `session`, `client`, `state`, `user`, `scope`.

    Two tasks may send at a time, one may receive. A time-out around any `receive` loses
    no message. Instances are equal only to themselves, may be kept in sets and weak
    sets, and take attributes of your own.

    Raises:
        ConfigurationError: a value type that cannot be used, with what is possible.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        auto_accept: bool = True,
        value_type: Any = None,
        receive_type: Any = None,
        send_type: Any = None,
        caught_close_codes: CaughtCloseCodes | None = None,
    ) -> None:
        super().__init__(scope, receive, send, caught_close_codes)
        self.auto_accept = auto_accept
        self._receive_codec = codec_for(_first_given(value_type, receive_type, "text"))
        self._send_codec = codec_for(_first_given(value_type, send_type, "text"))
        # What the paths below compare and call per message, worked out once.
        self._kind = _KINDS.get(type(self._receive_codec), "text")
        self._decode: Callable[[Any], RecvT] | None = None
        if self._receive_codec not in (TEXT, BYTES):
            self._decode = self._receive_codec.decode
        self._verbatim = {TEXT: str, BYTES: bytes}.get(self._send_codec, _NoType)
        # Set by the view: the channels of its router, and what has been joined of them.
        self._channels: ChannelsByLoop | None = None
        self._memberships: Members | None = None
        self._make_memberships: Callable[[Any], Members] | None = None

    @property
    def receive_type(self) -> Any:
        """What `receive` returns: a name, a type or a codec; `str` reads as "text"."""
        return getattr(self._receive_codec, "value_type", self._receive_codec)

    @property
    def send_type(self) -> Any:
        """What `send` takes: a name, a type or a codec; `str` reads as "text"."""
        return getattr(self._send_codec, "value_type", self._send_codec)

    # Receiving

    async def receive(self) -> RecvT:
        """Return the next message, of the receive type.

        Raises:
            InvalidMessage: what came is not of that type; the connection stays open.
            WebSocketDisconnect: the client has left.
            ConcurrencyError: another task is receiving.
            ConnectionStateError: not accepted yet, or closed by this side.
        """
        inbox = self._inbox
        inbox.idle_sweeps = 0
        event = inbox.pull(None)
        if event.__class__ is not dict:
            event = await inbox.wait(event)
        payload: RecvT | None = event.get(self._kind)
        if payload is None:
            return self._uncommon(event)
        decode = self._decode
        return payload if decode is None else decode(payload)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RecvT:
        # `receive` once more: a call of it would cost a fifth of the whole.
        inbox = self._inbox
        inbox.idle_sweeps = 0
        try:
            event = inbox.pull(None)
            if event.__class__ is not dict:
                event = await inbox.wait(event)
            payload: RecvT | None = event.get(self._kind)
            if payload is None:
                return self._uncommon(event)
        except (WebSocketDisconnect, ConnectionStateError) as exc:
            if self._phase is State.CLOSED or self._catches(exc):
                raise StopAsyncIteration from None
            raise
        decode = self._decode
        return payload if decode is None else decode(payload)

    async def receive_text(self) -> str:
        """Return the next message, of a text frame; raises as `receive` does."""
        event = await self._receive_frame()
        text: str | None = event.get("text")
        return TEXT.decode(self._payload(event)) if text is None else text

    async def receive_bytes(self) -> bytes:
        """Return the next message, of a binary frame; raises as `receive` does."""
        event = await self._receive_frame()
        return event.get("bytes") or BYTES.decode(self._payload(event))

    async def receive_json(self, mode: Literal["text", "binary"] = "text") -> Any:
        """Return the next message, parsed as JSON; raises as `receive` does.

        Args:
            mode: "text" or "binary": the kind of frame the JSON must come in.

        Raises:
            InvalidJson: an `InvalidMessage` that is also a `json.JSONDecodeError`.
        """
        frame = TEXT if _check_mode(mode) == "text" else BYTES
        return JSON.decode(frame.decode(self._payload(await self._receive_frame())))

    async def _receive_frame(self) -> Message:
        inbox = self._inbox
        inbox.idle_sweeps = 0
        event = inbox.pull(None)
        return event if event.__class__ is dict else await inbox.wait(event)

    def _payload(self, event: Message) -> Payload:
        if event["type"] == DISCONNECT:
            self._hear_leaving(event, is_told=True)
            raise self._disconnect()
        text: str | None = event.get("text")
        return event.get("bytes") or b"" if text is None else text

    def _uncommon(self, event: Message) -> RecvT:
        """Return the value of an event that is no frame of the usual kind."""
        value: RecvT
        if self._receive_codec is EVENT:
            if event["type"] == DISCONNECT:
                self._hear_leaving(event, is_told=True)
            value = cast(RecvT, event)
        else:
            value = self._receive_codec.decode(self._payload(event))
        return value

    # Sending

    async def send(self, message: SendT) -> None:
        """Send a message of the send type.

        Raises:
            TypeError: the message is not of that type; nothing was sent.
            WebSocketDisconnect: the client has left.
            ConnectionStateError: not accepted yet, or closed by this side.
        """
        payload: Any = message
        if self._phase is not State.OPEN and self._send_codec is not EVENT:
            self._refuse_send()
        if message.__class__ is not self._verbatim:
            if self._send_codec is EVENT:
                await self.send_event(payload)
                return
            payload = self._send_codec.encode(message)
        event = {"type": SEND, "text": payload}
        if not isinstance(payload, str):
            event = {"type": SEND, "bytes": payload}
        self._begun += 1
        try:
            await self._raw_send(event)
        except Exception as exc:
            raise await self._explain(exc) from exc
        finally:
            self._done += 1

    async def send_text(self, data: str) -> None:
        """Send a text frame; raises as `send` does."""
        await self._send_message({"type": SEND, "text": TEXT.encode(data)})

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary frame; raises as `send` does."""
        await self._send_message({"type": SEND, "bytes": BYTES.encode(data)})

    async def send_json(self, data: Any, mode: Literal["text", "binary"] = "text") -> None:
        """Send *data* as JSON: models, dataclasses, dates, UUIDs, enums, Decimals, …

        Args:
            data: What to send.
            mode: "text" or "binary": the kind of frame to send it in.

        Raises:
            TypeError: *data* cannot be written as JSON; nothing was sent.
        """
        text = encode_json(data)
        if _check_mode(mode) == "text":
            await self.send_text(text)
        else:
            await self.send_bytes(text.encode())

    # Channels

    @property
    def channels(self) -> Channels:
        """The channels of the application or router that serves the connection.

        Raises:
            ConnectionStateError: it is served by neither.
        """
        if self._channels is None:
            raise ConnectionStateError(
                "this connection has no channels; they come with a route of an App or Router"
            )
        return self._channels.here()

    async def join(
        self,
        channel: str,
        *,
        history: int = 0,
        since: Position | None = None,
        presence: Any = None,
        when_full: WhenFull | None = None,
        key: Callable[[Payload], Hashable] | None = None,
        on_gap: Any = "continue",
    ) -> None:
        """Send to this connection what is published on a channel, until it leaves.

        First the history, oldest first, then what came meanwhile, each publication once
        and in order. They are sent as they were published, text or binary.

        Args:
            channel: Any text.
            history: Most publications of the past, the newest ones.
            since: A position, after which all publications are sent instead.
            presence: What others see of the connection in `channels.presence(channel)`, any
                JSON value but None; without it, it is not seen.
            when_full: What happens when 1,024 payloads or 1 MiB of them wait for the
                client: "close", by 1013, as by default, "drop_oldest", or "latest", by which
                of payloads with the same key only the newest waits. A connection has one
                outbox, and one of these, for all that it joins.
            key: For "latest": from a payload, what it is the newest of; the channel by default.
            on_gap: What happens when publications were lost: "continue", "close" the
                connection by 1013, or a value to send, of the send type.

        Joining a channel again changes nothing but the presence. Disconnecting leaves.

        Raises:
            PositionLost: not all publications after *since* can be had; it has not joined.
            BrokerError: the broker does not do what it should; it has not joined.
            ConfigurationError: the options do not go together.
            ConnectionStateError: the connection has no channels, or is not accepted.
        """
        if self._phase is not State.OPEN:
            self._refuse_send()
        await self._members().join(
            channel,
            history=history,
            since=since,
            presence=presence,
            when_full=when_full,
            key=key,
            on_gap=on_gap,
        )

    async def leave(self, channel: str) -> None:
        """Send nothing more of a channel to this connection; see `join`."""
        if self._memberships is not None:
            await self._memberships.leave(channel)

    @property
    def outbox_counters(self) -> OutboxCounters:
        """How many publications this client was too slow for: dropped, and conflated."""
        members = self._memberships
        return OutboxCounters() if members is None else members.counters

    def _members(self) -> "Members":
        if self._memberships is None:
            if self._make_memberships is None:
                raise ConnectionStateError(
                    "this connection has no channels; they come with a route of an App or Router"
                )
            self._memberships = self._make_memberships(self)
        return self._memberships


class Members(Protocol):
    """The channels that a connection has joined; see `memberships`."""

    @property
    def join(self) -> Callable[..., Awaitable[None]]:
        """Join a channel."""

    @property
    def counters(self) -> OutboxCounters:
        """What it was too slow for."""

    async def leave(self, channel: str) -> None:
        """Leave a channel."""

    async def end(self) -> None:
        """Leave all channels, for good."""


class _NoType:
    """No message is an instance of this."""


_KINDS: dict[type, str | None] = {
    type(BYTES): "bytes",
    MessagePack: "bytes",
    type(EVENT): None,
}


def _first_given(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _check_mode(mode: str) -> str:
    if mode not in ("text", "binary"):
        raise ValueError(f"mode must be 'text' or 'binary', got {mode!r}")
    return mode
