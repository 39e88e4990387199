"""`WebSocketView`: its types, its messages, its attributes and its broadcast."""

import asyncio
import gc
import logging
from abc import abstractmethod
from typing import Any, ClassVar, Generic, TypeVar
from weakref import ref

import pytest
from pydantic import BaseModel, Field, ValidationInfo, field_validator
from starlette.types import Message

from bocadillo import (
    App,
    BrokerError,
    ConfigurationError,
    InvalidMessage,
    WebSocket,
    WebSocketDisconnect,
    WebSocketView,
)
from bocadillo.codecs import TEXT
from bocadillo.views import ALONE, View, ViewOptions
from tests.channels.readers import GatedBroker
from tests.fakes import FakeServer, binary, left, run, settle, text

T = TypeVar("T")
S = TypeVar("S")


class Incoming(BaseModel):
    id: int


class Outgoing(BaseModel):
    text: str = Field(alias="textOf")


class Other(BaseModel):
    other: bool


def serve(view: type | View, *events: Message, **scope: Any) -> FakeServer:
    """Serve one connection to its end and return what the server saw."""

    async def scenario() -> FakeServer:
        server = FakeServer(*events, **scope)
        app = view if isinstance(view, View) else View(view)
        await app(server.scope, server.receive, server.send)
        return server

    return run(scenario)


def sent(server: FakeServer) -> list[Any]:
    """Return the payloads that reached the client, and the code it was closed with."""
    return [
        event.get("code") or event.get("text") or event.get("bytes")
        for event in server.sent
        if event["type"] != "websocket.accept"
    ]


class Answers(WebSocketView[Incoming, Outgoing]):
    async def handle(self) -> None:
        async for message in self.messages:
            await self.send(Outgoing(textOf=str(message.id)))


# Types


class Both(WebSocketView[Incoming]):
    async def handle(self) -> None: ...


class Untyped(WebSocketView):
    async def handle(self) -> None: ...


class Inherits(Answers): ...


class Mixin(Generic[T]): ...


class InheritsMixed(Mixin[int], Answers): ...


class Crud(WebSocketView[T, list[S]], Generic[S, T]):
    async def handle(self) -> None: ...


class CrudOfIncoming(Crud[Outgoing, Incoming]): ...


class Half(Crud[S, Incoming]): ...


class HalfOfOutgoing(Half[Outgoing]): ...


class Fixed(WebSocketView[Incoming, Outgoing], Generic[T]):
    async def handle(self) -> None: ...


class FixedOfInt(Fixed[int]): ...


class Alike(WebSocketView[T]):
    async def handle(self) -> None: ...


class AlikeIncoming(Alike[Incoming]): ...


class ByAttribute(Answers):
    value_type = Other


class ByAttributes(Answers):
    receive_type = Other
    send_type = list[Other]


class ByInheritedAttribute(ByAttribute): ...


class Verbatim(WebSocketView[str, bytes]):
    async def handle(self) -> None: ...


def types_of(view: View) -> tuple[Any, Any]:
    return (
        getattr(view.receive_codec, "value_type", None),
        getattr(view.send_codec, "value_type", None),
    )


@pytest.mark.parametrize(
    ("cls", "types"),
    [
        (Answers, (Incoming, Outgoing)),
        (Both, (Incoming, Incoming)),
        (Untyped, ("json", "json")),
        (Inherits, (Incoming, Outgoing)),
        (InheritsMixed, (Incoming, Outgoing)),
        (CrudOfIncoming, (Incoming, list[Outgoing])),
        (HalfOfOutgoing, (Incoming, list[Outgoing])),
        (FixedOfInt, (Incoming, Outgoing)),
        (AlikeIncoming, (Incoming, Incoming)),
        (ByAttribute, (Other, Other)),
        (ByAttributes, (Other, list[Other])),
        (ByInheritedAttribute, (Other, Other)),
        (Verbatim, ("text", "bytes")),
    ],
)
def test_types_are_the_classs_attributes_or_its_type_arguments(cls: type, types: Any) -> None:
    """Its own or inherited, and through generic classes between."""
    assert types_of(View(cls)) == types


@pytest.mark.parametrize(
    ("options", "types"),
    [
        ({"value_type": "json"}, ("json", "json")),
        ({"receive_type": Incoming}, (Incoming, list[Other])),
        ({"send_type": Incoming}, (Other, Incoming)),
    ],
    ids=str,
)
def test_a_routes_options_win_over_the_classs_attributes(options: Any, types: Any) -> None:
    """One class, two routes, two dialects."""

    class Dialects(Untyped):
        receive_type = Other
        send_type = list[Other]

    assert types_of(View(Dialects, options=ViewOptions(**options))) == types


class Lines(WebSocketView[str]):
    async def handle(self) -> None: ...


def test_a_name_or_a_codec_is_taken_as_it_is() -> None:
    """What is no type of JSON data has a codec of its own."""

    class Shout:
        def decode(self, payload: str | bytes) -> Any:
            return payload

        def encode(self, value: Any) -> str:
            return str(value).upper()

    codec = Shout()
    assert types_of(View(Untyped, options=ViewOptions(value_type=codec))) == (codec, codec)
    assert View(Untyped, options=ViewOptions(value_type="text")).send_codec is TEXT
    assert View(Lines).send_codec is TEXT


def test_a_name_that_does_not_give_what_the_class_promises_is_refused() -> None:
    """`self.messages` would not be what mypy was told."""
    with pytest.raises(ConfigurationError, match="'text' does not give .*Incoming"):
        View(Answers, options=ViewOptions(value_type="text"))

    class Slip(Answers):
        receive_type = "text"

    with pytest.raises(ConfigurationError, match="'text' does not give .*Incoming"):
        View(Slip)


# Frames


class AnswersInBytes(Answers):
    frame = "bytes"


class Anything(WebSocketView):
    value_type = "json"
    frame = "bytes"

    async def handle(self) -> None:
        await self.send({"a": 1})


def test_json_is_sent_in_text_frames_or_by_choice_in_binary_ones() -> None:
    """And read from either, whatever is sent."""
    frames = [text('{"id":1}'), binary(b'{"id":2}'), left(1000, "")]

    assert sent(serve(Answers, *frames)) == ['{"textOf":"1"}', '{"textOf":"2"}']
    assert sent(serve(AnswersInBytes, *frames)) == [b'{"textOf":"1"}', b'{"textOf":"2"}']
    assert sent(serve(Anything)) == [b'{"a":1}', 1000]


# Messages


class Records(WebSocketView[Incoming]):
    got: list[Any]

    async def handle(self) -> None:
        async for message in self.messages:
            self.got.append(message.id)
        self.got.append("after the loop")


class RecordsAndGoesOn(Records):
    async def on_invalid(self, error: InvalidMessage) -> None:
        self.got.append(error.errors[0]["loc"])
        await self.ws.send_text("no")


def test_messages_end_and_raise_as_those_of_the_connection_do() -> None:
    """Code after the loop runs when the client said goodbye, and only then."""
    Records.got = []

    serve(Records, text('{"id":1}'), left(1000, ""))
    serve(Records, text('{"id":2}'), left(4000, "tired"))

    assert Records.got == [1, "after the loop", 2]


def test_an_invalid_message_closes_with_1007_and_the_first_error() -> None:
    """The client learns what was wrong; the handler sees the end of messages."""
    Records.got = []

    server = serve(Records, text('{"id":"x"}'), text('{"id":1}'))

    assert sent(server) == [1007]
    assert server.sent[-1]["reason"].startswith("id: Input should be a valid integer")
    assert Records.got == ["after the loop"]


def test_an_invalid_message_may_be_answered_instead() -> None:
    """A chat should survive one typing error."""
    RecordsAndGoesOn.got = []

    server = serve(
        RecordsAndGoesOn, text('{"id":"x"}'), text("{"), text('{"id":1}'), left(1000, "")
    )

    assert sent(server) == ["no", "no"]
    assert RecordsAndGoesOn.got == [["id"], [], 1, "after the loop"]


def test_an_error_of_a_codec_without_details_closes_as_well() -> None:
    """A codec of one's own may raise what it likes."""

    class Terse:
        def decode(self, payload: str | bytes) -> Any:
            raise InvalidMessage("bad", errors=[], code=99)

        def encode(self, value: Any) -> str:
            return ""

    class SpeaksTersely(WebSocketView):
        value_type = Terse()

        async def handle(self) -> None:
            async for _ in self.messages:
                pass

    server = serve(SpeaksTersely, text("x"))

    assert (sent(server), server.sent[-1]["reason"]) == ([1007], "bad")


# What is sent


class Sends(WebSocketView[Any, Outgoing]):
    message: ClassVar[Any] = Outgoing(textOf="a")

    async def handle(self) -> None:
        await self.send(self.message)


class SendsDict(Sends):
    message: ClassVar[Any] = {"textOf": "a"}


class SendsOther(Sends):
    message: ClassVar[Any] = {"id": 1}


def test_what_is_sent_is_validated_and_written_by_alias() -> None:
    """A dict of the right shape will do; any other is a bug, not a message."""
    assert sent(serve(Sends)) == ['{"textOf":"a"}', 1000]
    assert sent(serve(SendsDict)) == ['{"textOf":"a"}', 1000]
    assert sent(serve(SendsOther)) == [1011]


class SendsOtherUnseen(SendsOther):
    validate_on_send = False


class SendsByName(Sends):
    serializer_options: ClassVar[Any] = {"by_alias": False}


def test_validation_and_writing_go_by_the_classs_attributes() -> None:
    """For those who know what they send, and for those who want it otherwise."""
    assert sent(serve(SendsOtherUnseen)) == ['{"id":1}', 1000]
    assert sent(serve(SendsByName)) == ['{"text":"a"}', 1000]


class Bounded(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def _check(cls, number: int, info: ValidationInfo) -> int:
        if number > (info.context or {})["most"]:
            raise ValueError("too many")
        return number


class HasContext(WebSocketView[Bounded]):
    validation_context: ClassVar[Any] = {"most": 5}

    async def handle(self) -> None:
        async for message in self.messages:
            await self.send(message)


def test_validators_get_the_context() -> None:
    """Rules that are not of the type but of the application."""
    assert sent(serve(HasContext, text('{"number":5}'), text('{"number":6}'))) == [
        '{"number":5}',
        1007,
    ]


# The other attributes


class Named(Untyped):
    name = "chat"
    logger = logging.getLogger("mine")
    auto_accept = False
    caught_close_codes = (4000,)
    disconnect_timeout = 7.0


class InheritsNamed(Named): ...


class NamedOnly(Untyped):
    name = "chat"


@pytest.mark.parametrize(
    ("cls", "name", "logger"),
    [
        (Untyped, "Untyped", f"{__name__}:Untyped"),
        (Inherits, "Inherits", f"{__name__}:Inherits"),
        (NamedOnly, "chat", f"{__name__}:chat"),
        (Named, "chat", "mine"),
        (InheritsNamed, "chat", "mine"),
    ],
)
def test_name_and_logger_are_the_classs_its_bases_or_made_of_its_name(
    cls: type[WebSocketView[Any, Any]], name: str, logger: str
) -> None:
    """What a base sets is inherited; the lifecycle's lines follow a logger that was set."""
    view = View(cls)

    assert (cls.name, view.name, cls.logger.name) == (name, name, logger)
    assert view.logger.name == ("mine" if logger == "mine" else "bocadillo")


def test_the_classs_attributes_hold_unless_the_route_says_otherwise() -> None:
    """Inherited as any attribute is."""
    plain, named = View(Untyped), View(InheritsNamed)
    options = ViewOptions(auto_accept=True, caught_close_codes=all)
    told = View(InheritsNamed, name="other", options=options)

    assert (plain.auto_accept, plain.caught_close_codes) == (True, (1000, 1001))
    assert (named.auto_accept, named.caught_close_codes) == (False, (4000,))
    assert (told.auto_accept, told.caught_close_codes, told.name) == (True, all, "other")
    assert (plain.times.disconnect_timeout, named.times.disconnect_timeout) == (30, 7)


class OwnInit(Untyped):
    def __init__(self) -> None:
        self.greeting = "hello"

    async def handle(self) -> None:
        await self.ws.send_text(self.greeting)


def test_a_constructor_need_not_call_the_base_classs() -> None:
    """What a connection needs is not made there."""
    assert sent(serve(OwnInit)) == ["hello", 1000]


class Abstract(WebSocketView[Incoming]):
    @abstractmethod
    async def on_connect(self) -> None: ...


class WrongFrame(Untyped):
    frame = "binary"  # type: ignore[assignment]


class WrongPolicy(Untyped):
    when_full = "wait"  # type: ignore[assignment]


class WrongBounds(Untyped):
    max_waiting = 0


class WrongTime(Untyped):
    disconnect_timeout = -1


class WrongType(WebSocketView["Nowhere"]):  # type: ignore[name-defined]
    async def handle(self) -> None: ...


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (WebSocketView, "view WebSocketView is abstract; it lacks: handle"),
        (Abstract, "view Abstract is abstract; it lacks: handle, on_connect"),
        (WrongFrame, r"view WrongFrame\(\): frame must be 'text' or 'bytes', got 'binary'"),
        (WrongPolicy, "when_full must be 'close', 'drop_oldest' or 'latest', got 'wait'"),
        (WrongBounds, "at least 1 payload"),
        (WrongTime, "disconnect_timeout must be a number of seconds, got -1"),
        (WrongType, r"view WrongType\(\): .*'Nowhere'"),
    ],
)
def test_a_class_that_cannot_work_fails_at_registration(cls: type, message: str) -> None:
    """At import, not at the first connection."""
    with pytest.raises(ConfigurationError, match=message):
        View(cls)


# Broadcast


class Room(WebSocketView[str]):
    """Broadcasts what it gets."""

    async def handle(self) -> None:
        async for message in self.messages:
            await self.broadcast(message)
            await self.send(f"sent {message}")


class SubRoom(Room): ...


class Client:
    """One connection that is served in a task until its client leaves."""

    def __init__(self, cls: type, **options: Any) -> None:
        self.server = FakeServer()
        view = View(cls, options=ViewOptions(**options))
        self.task = asyncio.create_task(
            view(self.server.scope, self.server.receive, self.server.send)
        )

    async def say(self, message: str) -> None:
        self.server.queue.put_nowait(text(message))
        await settle()

    async def leave(self) -> None:
        self.server.queue.put_nowait(left(1000, ""))
        await self.task

    @property
    def got(self) -> list[Any]:
        return sent(self.server)


async def clients_of(*classes: type) -> list[Client]:
    clients = [Client(cls) for cls in classes]
    await settle()
    return clients


def test_a_broadcast_reaches_every_connection_of_the_class() -> None:
    """Its own among them, and those of other classes not."""

    async def scenario() -> None:
        first, second, other = await clients_of(Room, Room, SubRoom)

        await first.say("a")
        await other.say("b")

        assert first.got == ["a", "sent a"]
        assert second.got == ["a"]
        assert other.got == ["b", "sent b"]
        for client in (first, second, other):
            await client.leave()

    run(scenario)


def test_a_broadcast_does_not_reach_those_who_have_left() -> None:
    """And nothing of theirs is kept."""

    async def scenario() -> None:
        first, second = await clients_of(Room, Room)
        leaver = ref(second.server)
        await second.leave()
        del second

        await first.say("a")
        await first.leave()
        gc.collect()

        assert first.got == ["a", "sent a"]
        assert leaver() is None

    run(scenario)


def test_a_dead_peer_does_not_reach_the_sender() -> None:
    """Its failure is its own."""

    async def scenario() -> None:
        first, dead, last = await clients_of(Room, Room, Room)
        dead.server.send_error = OSError("gone")

        await first.say("a")
        await first.say("b")

        assert first.got == ["a", "sent a", "b", "sent b"]
        assert last.got == ["a", "b"]
        for client in (first, dead, last):
            await client.leave()

    run(scenario)


def room_of(kind: str) -> type[WebSocketView[Any, Any]]:
    """Return a class that is named as all others of this function."""

    class Made(WebSocketView[str]):
        async def handle(self) -> None:
            async for message in self.messages:
                await self.broadcast(f"{kind} {message}")

    return Made


def test_two_classes_of_one_name_are_two_audiences() -> None:
    """A function may make classes; what they tell their own stays there."""
    cats, dogs = room_of("cats"), room_of("dogs")

    async def scenario() -> None:
        cat, dog = await clients_of(cats, dogs)

        await cat.say("meow")
        await dog.say("woof")

        assert cat.got == ["cats meow"]
        assert dog.got == ["dogs woof"]
        for client in (cat, dog):
            await client.leave()

    run(scenario)
    assert cats._channel != dogs._channel


def test_the_channel_of_a_class_is_known_to_all_processes() -> None:
    """By where it is defined, and nothing that another process would not know."""
    assert Room._channel == "view:tests.test_classviews.Room"
    assert SubRoom._channel == "view:tests.test_classviews.SubRoom"


def test_a_view_joins_channels_by_the_outbox_of_its_class() -> None:
    """A connection has one outbox, and the class has said what happens when it is full."""
    told: list[str] = []

    class Joins(WebSocketView[str]):
        when_full = "latest"
        max_waiting = 1

        async def handle(self) -> None:
            await self.ws.join("x", key=len)
            await self.ws.join("y", when_full="latest")
            try:
                await self.ws.join("z", when_full="close")
            except ConfigurationError as exc:
                told.append(str(exc))
            await self.ws.channels.publish("x", "published", codec="text")
            await self.send("sent")

    assert sent(serve(Joins)) == ["published", "sent", 1000]
    assert told == [
        "this connection has an outbox by when_full='latest', and has but one; open another "
        "connection for when_full='close'"
    ]


class RoomInBytes(Room):
    frame = "bytes"
    value_type = "json"


def test_a_broadcast_is_of_the_kind_of_frame_that_the_class_sends() -> None:
    """As any message of the class."""
    server = serve(RoomInBytes, text('"a"'), left(1000, ""))

    assert sent(server) == [b'"a"', b'"sent a"']


class Floods(WebSocketView[str]):
    max_waiting = 2

    async def handle(self) -> None:
        for number in range(10):
            await self.broadcast(str(number))


def test_a_loop_of_broadcasts_leaves_the_others_their_turn() -> None:
    """A reader that is fast must not be closed as too slow."""
    assert sent(serve(Floods)) == [*"0123456789", 1000]


class Greets(Room):
    async def on_connect(self) -> None:
        await self.broadcast("hello")

    async def on_disconnect(self) -> None:
        await self.broadcast("bye")


def test_hooks_may_broadcast() -> None:
    """Who comes hears itself come, and who has left hears nothing."""

    async def scenario() -> None:
        (first,) = await clients_of(Greets)
        (second,) = await clients_of(Greets)

        await second.leave()
        await settle()
        await first.leave()

        assert first.got == ["hello", "hello", "bye"]
        assert second.got == ["hello"]

    run(scenario)


class Refuses(Room):
    auto_accept = False

    async def on_connect(self, fails: bool = False) -> None:
        if fails:
            raise LookupError("oops")

    async def handle(self) -> None:
        await self.ws.reject()


@pytest.mark.parametrize("query", [b"", b"fails=1"])
def test_who_was_not_let_in_is_not_kept(query: bytes) -> None:
    """There is no `on_disconnect` to forget them at."""

    async def scenario() -> None:
        server = FakeServer(query_string=query)
        await View(Refuses)(server.scope, server.receive, server.send)

        assert ALONE.here().readers(Refuses._channel) == 0

    run(scenario)


def test_who_is_let_in_by_an_exception_handler_is_not_kept_either() -> None:
    """Some answer an exception by a close code, which needs an accepted connection."""

    async def close(ws: Any, exc: Exception) -> None:
        await ws.accept()
        await ws.close(4404)

    app = App(exception_handlers={LookupError: close})
    app.websocket_route("/")(Refuses)

    async def scenario() -> None:
        server = FakeServer(query_string=b"fails=1")
        await app(server.scope, server.receive, server.send)

        assert sent(server) == [4404]
        assert app.channels.readers(Refuses._channel) == 0

    run(scenario)


class AcceptsLate(Room):
    auto_accept = False

    def on_connect(self) -> None: ...

    async def handle(self) -> None:
        await self.ws.accept()
        await super().handle()


def test_who_is_accepted_late_is_reached_as_well() -> None:
    """Views without `auto_accept` are views."""

    async def scenario() -> None:
        first, second = await clients_of(AcceptsLate, AcceptsLate)

        await first.say("a")

        assert second.got == ["a"]
        for client in (first, second):
            await client.leave()

    run(scenario)


class Broadcasts(WebSocketView):
    message: ClassVar[Any] = None
    error: BaseException | None

    async def handle(self) -> None:
        try:
            await self.broadcast(self.message)
        except Exception as exc:
            type(self).error = exc


class BroadcastsWrong(Broadcasts):
    value_type = Incoming
    message: ClassVar[Any] = {"id": "x"}


class BroadcastsEvent(Broadcasts):
    value_type = "event"
    message: ClassVar[Any] = {"type": "websocket.send", "text": "x"}


class BroadcastsSurrogate(Broadcasts):
    value_type = "text"
    message = "half \ud83d"


@pytest.mark.parametrize(
    ("cls", "error", "message"),
    [
        (BroadcastsWrong, TypeError, "cannot send dict: id: Input"),
        (BroadcastsEvent, TypeError, "cannot broadcast raw events"),
        (BroadcastsSurrogate, UnicodeEncodeError, "surrogates not allowed"),
    ],
)
def test_what_cannot_be_sent_is_raised_to_the_sender_and_reaches_nobody(
    cls: type[Broadcasts], error: type[Exception], message: str
) -> None:
    """Otherwise every connection would fail for it, one by one."""
    server = serve(cls)

    assert sent(server) == [1000]
    assert isinstance(cls.error, error)
    assert message in str(cls.error)


class IsTold(WebSocketView[str]):
    max_waiting = 1
    told: list[Any]

    async def handle(self) -> None:
        try:
            await self.ws.receive()
        except WebSocketDisconnect as exc:
            self.told.append(exc.code)
            raise

    def on_disconnect(self, ws: WebSocket, close_code: int) -> None:
        self.told.append(close_code)


def test_a_reader_that_is_too_slow_is_closed_and_its_hook_runs_once() -> None:
    """With 1013: it may try again later."""
    IsTold.told = []

    async def scenario() -> None:
        (slow,) = await clients_of(IsTold)

        channels, channel = ALONE.here(), IsTold._channel
        await asyncio.gather(*(channels.publish(channel, text, codec="text") for text in "abc"))
        await settle()
        slow.server.queue.put_nowait(left(1013, "too slow"))
        await slow.task

        assert slow.got == [1013]

    run(scenario)
    assert IsTold.told == [1013, 1013]


def test_without_its_channel_a_view_is_neither_connected_nor_disconnected() -> None:
    """What `on_connect` takes, `on_disconnect` gives back; it must not without."""
    broker = GatedBroker()
    app = App(broker=broker)
    called: list[str] = []

    @app.websocket_route("/")
    class Room(WebSocketView[str]):
        def on_connect(self) -> None:
            called.append("connect")

        async def handle(self) -> None:
            called.append("handle")

        def on_disconnect(self) -> None:
            called.append("disconnect")

    async def scenario() -> FakeServer:
        server = FakeServer()
        await app.channels.start()
        broker.failure = BrokerError("it is away")
        await app(server.scope, server.receive, server.send)
        broker.failure = None
        await app.channels.close()
        return server

    server = run(scenario)

    assert called == []
    assert sent(server) == [1013]
