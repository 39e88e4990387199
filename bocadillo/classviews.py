"""`WebSocketView`: a base class with typed messages and a broadcast to all of its kind."""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, ClassVar, Generic, Literal, cast, get_args, get_origin

from bocadillo.channels.outbox import DEFAULT_LIMIT, DEFAULT_MAX_BYTES, Outbox, WhenFull
from bocadillo.codecs import EVENT, Codec, Json, codec_for
from bocadillo.errors import ConfigurationError, InvalidMessage, closing
from bocadillo.injection import Ask, Session
from bocadillo.websockets import RecvT, SendT, WebSocket
from bocadillo.wire import CaughtCloseCodes


class _Done:
    """What has been done: it may be awaited, and need not be."""

    def __await__(self) -> Iterator[None]:
        return iter(())


DONE = _Done()


class _ByClass:
    """An attribute that each class works out for itself, unless it or a base sets it."""

    def __init__(self, work_out: Callable[[Any], Any]) -> None:
        self._work_out = work_out

    def __get__(self, instance: object, cls: type) -> Any:
        return self._work_out(cls)


class WebSocketView(ABC, Generic[RecvT, SendT]):
    """A view of typed messages; subclass it as `WebSocketView[Incoming, Outgoing]`.

    One instance serves one connection. A subclass writes `handle`, and may override
    `process_request`, `on_connect`, `on_disconnect` and `on_invalid`; its `__init__`
    takes no arguments and need not call this one.

    Messages are JSON, in text frames, or in binary ones with `frame = "bytes"`; either
    is read. The types are the class's type arguments unless the attributes below, or
    the route's options, say otherwise.

    Attributes:
        ws: The connection.
        value_type: What is received and sent; overrides the next two.
        receive_type: What is received.
        send_type: What is sent.
        frame: "text" or "bytes", the frames that are sent.
        auto_accept: Whether to accept before `on_connect` and `handle`.
        caught_close_codes: Close codes that end `messages` quietly; None for the default.
        validate_on_send: Whether to validate what is sent, which also makes models of
            dicts; if not, it is written as it is.
        serializer_options: Options of pydantic's `dump_json`.
        validation_context: What pydantic's validators get as their context.
        disconnect_timeout: Seconds for `on_disconnect`; None for the router's.
        when_full: What happens to a reader that is too slow for broadcasts: "close", by
            1013, or "drop_oldest".
        max_waiting: Most broadcasts that wait for one reader.
        max_waiting_bytes: Most bytes of broadcasts that wait for one reader.
        name: The name of the route; the class's name by default.
        logger: The class's own, named `module:name` by default; if a class sets it, what
            the lifecycle has to say of its connections goes there, too.
    """

    value_type: ClassVar[Any] = None
    receive_type: ClassVar[Any] = None
    send_type: ClassVar[Any] = None
    frame: ClassVar[Literal["text", "bytes"]] = "text"
    auto_accept: ClassVar[bool] = True
    caught_close_codes: ClassVar[CaughtCloseCodes | None] = None
    validate_on_send: ClassVar[bool] = True
    serializer_options: ClassVar[Mapping[str, Any]] = {"by_alias": True}
    validation_context: ClassVar[Any] = None
    disconnect_timeout: ClassVar[float | None] = 30
    when_full: ClassVar[WhenFull] = "close"
    max_waiting: ClassVar[int] = DEFAULT_LIMIT
    max_waiting_bytes: ClassVar[int] = DEFAULT_MAX_BYTES
    name: ClassVar[str] = cast(str, _ByClass(lambda cls: cls.__name__))
    logger: ClassVar[logging.Logger] = cast(
        logging.Logger,
        _ByClass(lambda cls: logging.getLogger(f"{cls.__module__}:{cls.name}")),
    )

    ws: WebSocket[RecvT, SendT]

    _session: Session  # what lives with the connection

    _type_arguments: ClassVar[tuple[Any, Any]] = (Any, Any)
    _channel: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._channel = _channel_of(cls)
        cls._type_arguments = _type_arguments(cls)

    @abstractmethod
    async def handle(self, *args: Any, **kwargs: Any) -> None:
        """Serve the connection; a subclass asks for what it needs by parameters."""

    def on_connect(self, *args: Any, **kwargs: Any) -> Any:
        """Do nothing; an override, sync or async, asks for what it needs by parameters."""
        return DONE

    def on_disconnect(self, *args: Any, **kwargs: Any) -> Any:
        """Do nothing; an override, sync or async, asks for what it needs by parameters."""
        return DONE

    async def on_invalid(self, error: InvalidMessage) -> None:
        """Answer a message that is not of the type; closes with 1007 unless overridden.

        An override may send an answer and return, and `messages` goes on.
        """
        await self.ws.ensure_closed(*closing(error))

    @property
    def messages(self) -> AsyncIterator[RecvT]:
        """The validated messages; ends and raises as `async for message in ws` does."""
        return self._messages()

    async def _messages(self) -> AsyncIterator[RecvT]:
        ws = self.ws
        while True:
            try:
                async for message in ws:
                    yield message
                return
            except InvalidMessage as error:
                await self.on_invalid(error)

    async def send(self, message: SendT) -> None:
        """Send a message to this connection; raises as `WebSocket.send` does."""
        await self.ws.send(message)

    async def broadcast(self, message: SendT) -> None:
        """Send a message to every connection of this class, its own and other processes' too.

        It is published on a channel of the class's own. It is encoded once, waits for no
        reader and fails because of none. Who is too slow is closed with 1013, or loses
        the oldest, as `when_full` says.

        Raises:
            TypeError: the message is not of the type, or the type is "event"; nobody
                got anything.
            UnicodeEncodeError: the text has half of a surrogate pair; nobody got anything.
            BrokerError: the broker does not do what it should.
        """
        codec = self.ws._send_codec
        if codec is EVENT:
            raise TypeError("cannot broadcast raw events; give the view another send_type")
        await self.ws.channels.publish(self._channel, message, codec=codec)

    @classmethod
    def codec_of(cls, type_: Any) -> Codec:
        """Return the codec of a type, with this class's options; or of a name or codec.

        Raises:
            ConfigurationError: the type, or an option of the class, cannot be used.
        """
        if cls.frame not in ("text", "bytes"):
            raise ConfigurationError(f"frame must be 'text' or 'bytes', got {cls.frame!r}")
        is_codec = isinstance(type_, Codec) and not isinstance(type_, type)
        if is_codec or type_ in (str, bytes) or (isinstance(type_, str) and type_ != "json"):
            return codec_for(type_)
        return Json(
            Any if type_ == "json" else type_,
            frame="binary" if cls.frame == "bytes" else "text",
            on_send="convert" if cls.validate_on_send else "trust",
            options=cls.serializer_options,
            context=cls.validation_context,
        )

    @classmethod
    def _message_asks(cls) -> tuple[Ask, ...]:
        """Return what is injected per message."""
        return ()

    @classmethod
    def _make_outbox(cls) -> Outbox:
        return Outbox(cls.max_waiting, cls.max_waiting_bytes, cls.when_full)

    async def _join(self) -> None:
        """Have broadcasts reach the connection, until it leaves all channels."""
        await self.ws._members().join(self._channel)


def log_of(view: type[WebSocketView[Any, Any]]) -> logging.Logger:
    """Return where the lifecycle's lines on a class go: its logger if it sets one."""
    of_classes = (vars(cls).get("logger") for cls in view.__mro__)
    chosen = (known for known in of_classes if isinstance(known, logging.Logger))
    return next(chosen, logging.getLogger("bocadillo"))


# How many classes of one name there are: a function may make some.
_counts: Counter[str] = Counter()


def _channel_of(cls: type) -> str:
    """Return the channel of a class's broadcasts, the same in all processes of a program."""
    name = f"view:{cls.__module__}.{cls.__qualname__}"
    _counts[name] += 1
    return name if _counts[name] == 1 else f"{name}#{_counts[name]}"


def _type_arguments(cls: type[WebSocketView[Any, Any]]) -> tuple[Any, Any]:
    """Return what a class, or the nearest of its bases, gave as type arguments."""
    for base in vars(cls).get("__orig_bases__", ()):
        origin = get_origin(base)
        if isinstance(origin, type) and issubclass(origin, WebSocketView):
            return _filled_in(origin, get_args(base))
    return next(
        (base._type_arguments for base in cls.__mro__[1:] if issubclass(base, WebSocketView)),
        (Any, Any),
    )


def _filled_in(origin: type[WebSocketView[Any, Any]], args: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return the type arguments of *origin* with *args* for its type variables."""
    if origin is WebSocketView:
        # Python 3.11 leaves type variables where the defaults should be.
        return args[0], args[0] if args[-1] in (RecvT, SendT) else args[-1]
    given = dict(zip(cast(Any, origin).__parameters__, args, strict=False))
    alias: Any = WebSocketView[origin._type_arguments]  # type: ignore[name-defined]
    if alias.__parameters__:
        alias = alias[tuple(given.get(parameter, Any) for parameter in alias.__parameters__)]
    receive, send = get_args(alias)
    return receive, send
