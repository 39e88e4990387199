"""What docs/coming-from-fastapi-views.md promises to users of its `WebSocketAPIView`.

The first part keeps what worked there, renamed as that page's tables say. The second
has one test for each thing that did not: it fails where that is so again. What concerns
closing and leaving is asked of a real uvicorn, as the original's test client hid it.
"""

import asyncio
import json
import logging
import queue
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import BaseModel, Field, ValidationInfo, field_validator
from starlette.types import Message
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_by_network
from websockets.typing import Subprotocol

from bocadillo import (
    App,
    ConfigurationError,
    InvalidMessage,
    RoutedPath,
    Router,
    WebSocketDisconnect,
    WebSocketRoute,
    WebSocketView,
)
from bocadillo.testing import HandshakeRefused, LiveServer, connect
from tests.fakes import FakeServer, run

# Long enough for a machine that is busy; nothing waits so long when all is well.
SOON_S = 10

UVICORNS = ["websockets-sansio", "wsproto", "websockets"]

# uvicorn's third protocol stands on a part of `websockets` that is deprecated.
on_every_uvicorn = pytest.mark.parametrize("ws", UVICORNS)
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::uvicorn.config.UvicornDeprecationWarning"),
]


class ChatMessage(BaseModel):
    """What clients say, as in the original's guide."""

    text: str


class ChatReply(BaseModel):
    """What they are told."""

    user: str
    text: str


class Chat(WebSocketView[ChatMessage, ChatReply]):
    async def handle(self, user: str = "Ada") -> None:
        async for message in self.messages:
            await self.send(ChatReply(user=user, text=message.text))


def routed(view: type, path: str = "/", **options: Any) -> Router:
    """Return a router with one view, as `register_websocket_view` made it."""
    router = Router(**options)
    router.route(path)(view)
    return router


@contextmanager
def clients(
    view: type, ws: str = "auto", **options: Any
) -> Iterator[Callable[..., ClientConnection]]:
    """Give a function that opens connections to a view on uvicorn; it closes them all."""
    opened: list[ClientConnection] = []
    with LiveServer(routed(view, **options), ws=ws) as server:

        def open_one(**client: Any) -> ClientConnection:
            opened.append(connect_by_network(server.ws_url("/"), legacy=True, **client))
            return opened[-1]

        try:
            yield open_one
        finally:
            for client in opened:
                client.close()


def ending_of(client: ClientConnection) -> tuple[int, str]:
    """Return the code and reason of the close frame that a client gets."""
    try:
        while True:
            client.recv(timeout=SOON_S)
    except ConnectionClosed as exc:
        return (exc.rcvd.code, exc.rcvd.reason) if exc.rcvd is not None else (1006, "")


def cut(client: ClientConnection) -> None:
    """Lose a connection without a close frame."""
    client.socket.shutdown(socket.SHUT_RDWR)


# What is kept


def test_d1_the_type_arguments_say_what_comes_in_and_goes_out() -> None:
    """With one argument it is both; no schema has to be said twice."""

    class Same(WebSocketView[ChatMessage]):
        async def handle(self) -> None:
            async for message in self.messages:
                assert isinstance(message, ChatMessage)
                await self.send(message)

    async def scenario() -> list[Any]:
        answers = []
        for view in (Chat, Same):
            async with connect(routed(view), "/") as ws:
                await ws.send_json({"text": "hello"})
                answers.append(await ws.receive_json())
        return answers

    assert run(scenario) == [{"user": "Ada", "text": "hello"}, {"text": "hello"}]


def test_d2_the_attributes_have_the_defaults_that_they_had() -> None:
    """A class that sets none of them behaves as before."""
    assert Chat.validate_on_send is True
    assert Chat.serializer_options == {"by_alias": True}
    assert Chat.validation_context is None
    assert Chat.disconnect_timeout == 30
    assert Chat.logger.name == f"{__name__}:Chat"


def test_d2_subclasses_do_not_share_their_connections() -> None:
    """A broadcast to one kind of clients must not reach another."""

    class Base(WebSocketView[str]):
        async def handle(self) -> None:
            async for message in self.messages:
                await self.broadcast(message)

    class Sub(Base):
        pass

    router = routed(Base, "/base")
    router.route("/sub")(Sub)

    async def scenario() -> list[Any]:
        async with connect(router, "/base") as base, connect(router, "/sub") as sub:
            await base.send("to the base")
            await sub.send("to the sub")
            return [await base.receive(), await sub.receive()]

    assert run(scenario) == ["to the base", "to the sub"]


def test_d3_the_two_directions_may_have_two_types() -> None:
    """`get_message_schema(action)` was overridden for that."""

    class Split(WebSocketView[Any, Any]):
        receive_type = list[int]
        send_type = ChatMessage

        async def handle(self) -> None:
            async for numbers in self.messages:
                await self.send({"text": str(sum(numbers))})

    async def scenario() -> Any:
        async with connect(routed(Split), "/") as ws:
            await ws.send_json([1, 2])
            return await ws.receive_json()

    assert run(scenario) == {"text": "3"}


def test_d3_a_view_gives_its_codec_its_name_and_its_route() -> None:
    """`get_serializer`, `get_name` and `get_websocket_action` were for that."""

    class Named(Chat):
        name = "talk"

    route = WebSocketRoute("/talk", Named)

    assert (Chat.name, Named.name) == ("Chat", "talk")
    assert Chat.codec_of(ChatMessage).decode('{"text": "a"}') == ChatMessage(text="a")
    assert Chat.codec_of(Any).decode("[1]") == [1]
    assert (route.path, route.name) == ("/talk", "talk")
    assert callable(route.endpoint)


def test_d4_an_abstract_view_is_refused_where_it_is_registered() -> None:
    """And not when the first client comes."""

    class Unfinished(WebSocketView[str]):
        pass

    with pytest.raises(ConfigurationError, match="view Unfinished is abstract; it lacks: handle"):
        routed(Unfinished)


def test_d4_hooks_stand_where_dependencies_stood() -> None:
    """`register_websocket_view(view, prefix, dependencies)` let in or refused."""
    router, app = Router(process_request=lambda token="": None if token else (401, {}, "")), App()
    router.route("/chat", name="chat")(Chat)
    app.include_router(router, prefix="/v1")

    async def scenario() -> Any:
        with pytest.raises(HandshakeRefused, match="HTTP 401"):
            async with connect(app, "/v1/chat"):
                pass
        async with connect(app, "/v1/chat?token=7&user=Bob") as ws:
            await ws.send_json({"text": "hello"})
            return await ws.receive_json()

    assert run(scenario)["user"] == "Bob"
    assert app.url_path_for("chat") == "/v1/chat"


class Steps(WebSocketView[str]):
    """Notes what is called; each test has a subclass of its own."""

    steps: ClassVar[list[str]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.steps = []

    async def process_request(self) -> None:
        self.steps.append("hook")

    async def on_connect(self) -> None:
        assert self.ws.is_open
        self.steps.append("connect")

    async def handle(self, n: int = 1) -> None:
        self.steps.append("handle")

    async def on_disconnect(self) -> None:
        assert not self.ws.is_open
        self.steps.append("disconnect")


async def visit(app: Any, path: str = "/") -> None:
    async with connect(app, path):
        pass


def test_d5_the_order_of_the_steps_is_kept() -> None:
    """Parameters, accept, `on_connect`, handler, close, `on_disconnect`."""

    class Ordered(Steps):
        pass

    run(lambda: visit(routed(Ordered)))

    assert Ordered.steps == ["hook", "connect", "handle", "disconnect"]


def test_d5_bad_parameters_are_refused_before_anything_is_called() -> None:
    """The client sees a refused handshake, now with the reason."""

    class Strict(Steps):
        pass

    with pytest.raises(HandshakeRefused, match="HTTP 400"):
        run(lambda: visit(routed(Strict), "/?n=x"))

    assert Strict.steps == []


def test_d5_a_failed_on_connect_is_cleaned_up_after() -> None:
    """What it had taken before it failed is given back."""

    class Fails(Steps):
        async def on_connect(self) -> None:
            self.steps.append("connect")
            raise LookupError("no database")

    with pytest.raises(LookupError):
        run(lambda: visit(routed(Fails)))

    assert Fails.steps == ["hook", "connect", "disconnect"]


def test_d6_a_handler_gets_path_query_and_what_dependencies_found() -> None:
    """Each by its name, converted by its annotation."""

    def find_user(path: RoutedPath, token: str = "") -> None:
        path.context["user"] = f"user {token}"

    class Room(WebSocketView[Any]):
        async def handle(self, path: RoutedPath, room: int, q: str = "d") -> None:
            await self.send([room, q, path.context["user"]])

    router = routed(Room, "/{room}", process_request=find_user)

    async def scenario() -> list[Any]:
        answers = []
        for path in ("/7", "/7?q=x&token=1"):
            async with connect(router, path) as ws:
                answers.append(await ws.receive_json())
        return answers

    assert run(scenario) == [[7, "d", "user "], [7, "x", "user 1"]]


def test_d7_binary_messages_are_validated_within_the_context() -> None:
    """Clients of the original send binary frames, and may go on to."""

    class Short(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def cut(cls, text: str, info: ValidationInfo) -> str:
            return text[: (info.context or {}).get("limit")]

    class Cutting(WebSocketView[Short]):
        validation_context: ClassVar[Any] = {"limit": 2}

        async def handle(self) -> None:
            async for message in self.messages:
                await self.send(message)

    async def scenario() -> Any:
        async with connect(routed(Cutting), "/") as ws:
            await ws.send_bytes(b'{"text": "hello"}')
            return await ws.receive_json()

    assert run(scenario) == {"text": "he"}


class Price(BaseModel):
    amount: int = Field(alias="a")
    note: str | None = None


class Unvalidated(WebSocketView[Price]):
    frame = "bytes"
    validate_on_send = False
    serializer_options: ClassVar[Any] = {"by_alias": False, "exclude_none": True}

    async def handle(self) -> None:
        await self.send(Price(a=5))
        await self.send(Price.model_construct(amount="unknown"))


class Validated(WebSocketView[Price]):
    frame = "bytes"

    async def handle(self) -> None:
        wrong: Any = {"a": "unknown"}
        with pytest.raises(TypeError):
            await self.send(wrong)
        right: Any = {"a": 5}
        await self.send(right)


@pytest.mark.parametrize(
    ("view", "payloads"),
    [
        (Unvalidated, [b'{"amount":5}', b'{"amount":"unknown"}']),
        (Validated, [b'{"a":5,"note":null}']),
    ],
)
def test_d8_what_is_sent_is_validated_and_written_as_the_class_says(
    view: type, payloads: list[bytes]
) -> None:
    """In binary frames where the class asks for them."""

    async def scenario() -> list[Any]:
        async with connect(routed(view), "/") as ws:
            return [message async for message in ws]

    assert run(scenario) == payloads


class Everybody(WebSocketView[ChatMessage]):
    async def handle(self) -> None:
        async for message in self.messages:
            await self.broadcast(message)


def test_d8_a_broadcast_reaches_all_and_the_sender() -> None:
    """Encoded once, to each connection of the class."""

    async def scenario() -> list[Any]:
        app = routed(Everybody)
        async with connect(app, "/") as one, connect(app, "/") as two:
            await one.send_json({"text": "hello"})
            return [await one.receive_json(), await two.receive_json()]

    assert run(scenario) == [{"text": "hello"}] * 2


def test_d9_who_has_left_is_skipped_by_a_broadcast() -> None:
    """Without an error and without a line in the log."""

    async def scenario() -> Any:
        app = routed(Everybody)
        async with connect(app, "/") as stays, connect(app, "/") as goes:
            await goes.drop()
            await stays.send_json({"text": "hello"})
            return await stays.receive_json()

    assert run(scenario) == {"text": "hello"}


def test_d9_a_send_tells_that_the_client_has_left() -> None:
    """It used to be a warning, and the handler sent on to nobody."""
    told: queue.SimpleQueue[int] = queue.SimpleQueue()

    class Ticks(WebSocketView[str]):
        async def handle(self) -> None:
            try:
                while True:
                    await self.send("tick")
                    await asyncio.sleep(0.01)
            except WebSocketDisconnect as exc:
                told.put(exc.code)

    with clients(Ticks) as open_one:
        open_one().close(4000)

        assert told.get(timeout=SOON_S) == 4000


@on_every_uvicorn
def test_d10_a_handler_that_returns_closes_with_1000(ws: str) -> None:
    """The server would leave the client with 1006."""

    class Returns(WebSocketView[str]):
        async def handle(self) -> None: ...

    with clients(Returns, ws) as open_one:
        assert ending_of(open_one()) == (1000, "")


@pytest.mark.parametrize("message", ["no JSON", '{"txt": "hello"}'])
def test_d11_a_bad_message_ends_the_connection_unless_the_view_says_otherwise(
    message: str,
) -> None:
    """As documented there; `on_invalid` is where to change it."""

    class Patient(Chat):
        async def on_invalid(self, error: InvalidMessage) -> None:
            await self.send(ChatReply(user="server", text=error.errors[0]["type"]))

    async def scenario(view: type) -> list[Any]:
        async with connect(routed(view), "/") as ws:
            await ws.send(message)
            await ws.send_json({"text": "still here"})
            try:
                return [(await ws.receive_json())["user"] for _ in range(2)]
            except Exception:
                return [ws.close_code]

    assert run(lambda: scenario(Chat)) == [1007]
    assert run(lambda: scenario(Patient)) == ["server", "Ada"]


def test_d12_the_loop_ends_when_the_client_leaves_and_what_follows_runs() -> None:
    """All of it: there, it was cut off at its next `await`."""
    done: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Idle(WebSocketView[str]):
        async def handle(self) -> None:
            async for _ in self.messages:
                pass
            await asyncio.sleep(0)
            done.put("saved")

    with clients(Idle) as open_one:
        open_one().close()

        assert done.get(timeout=SOON_S) == "saved"


def test_d12_a_handler_that_is_busy_elsewhere_is_cancelled() -> None:
    """It would go on for nobody."""
    done: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Busy(WebSocketView[str]):
        async def handle(self) -> None:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                done.put("cancelled")
                raise

    with clients(Busy, leave_grace_s=0.1) as open_one:
        open_one().close()

        assert done.get(timeout=SOON_S) == "cancelled"


# What did not work


@on_every_uvicorn
def test_g1_a_handler_that_fails_closes_with_1011(ws: str) -> None:
    """It was 1000, which tells the client that all went well."""

    class Fails(WebSocketView[str]):
        async def handle(self) -> None:
            raise LookupError("a secret")

    with clients(Fails, ws) as open_one:
        assert ending_of(open_one()) == (1011, "")


@on_every_uvicorn
@pytest.mark.parametrize(
    ("message", "reason"),
    [('{"txt": "hello"}', "text: Field required"), ("no JSON", "JSON")],
)
def test_g2_a_client_is_told_what_was_wrong_with_its_message(
    message: str, reason: str, ws: str
) -> None:
    """It was 1000 without a word."""
    with clients(Chat, ws) as open_one:
        client = open_one()
        client.send(message)

        code, told = ending_of(client)

    assert code == 1007
    assert reason in told


@pytest.mark.parametrize("leave", [ClientConnection.close, cut], ids=["close", "cut"])
def test_g3_a_leaving_is_no_warning(
    leave: Callable[[ClientConnection], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Each one was a warning with a traceback, so that logs were full of them."""
    caplog.set_level(logging.INFO)

    with clients(Chat) as open_one:
        client = open_one()
        client.send('{"text": "hello"}')
        client.recv(timeout=SOON_S)
        leave(client)

    lines = [record for record in caplog.records if record.name == Chat.logger.name]
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    assert [record.exc_info for record in lines if record.exc_info] == []


@on_every_uvicorn
def test_g4_text_frames_are_read(ws: str) -> None:
    """A browser's `ws.send(JSON.stringify(…))` sends one, as the guide's own example did."""
    with clients(Chat, ws) as open_one:
        client = open_one()
        client.send(json.dumps({"text": "hello"}))

        assert json.loads(client.recv(timeout=SOON_S)) == {"user": "Ada", "text": "hello"}


class Leaves(WebSocketView[str]):
    """Tells the test of its end; each test has a subclass of its own."""

    ends: ClassVar["queue.SimpleQueue[int]"]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.ends = queue.SimpleQueue()

    async def handle(self) -> None:
        async for message in self.messages:
            await self.ws.close(int(message), "as you wish")

    async def on_disconnect(self, close_code: int) -> None:
        self.ends.put(close_code)


@on_every_uvicorn
def test_g5_on_disconnect_is_called_once_when_the_client_leaves(
    ws: str, caplog: pytest.LogCaptureFixture
) -> None:
    """On a real server it was skipped, and what `on_connect` had taken was never given back."""

    class Left(Leaves):
        pass

    with clients(Left, ws) as open_one:
        open_one().close(4000)
        closed = Left.ends.get(timeout=SOON_S)
        cut(open_one())
        lost = Left.ends.get(timeout=SOON_S)

    assert (closed, lost) == (4000, 1006)
    assert Left.ends.empty()
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


@on_every_uvicorn
def test_g5_on_disconnect_is_called_once_when_the_view_has_closed(
    ws: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It was skipped then, too, and an exception reached the server."""

    class Closed(Leaves):
        pass

    with clients(Closed, ws) as open_one:
        client = open_one()
        client.send("4001")

        assert ending_of(client) == (4001, "as you wish")
        assert Closed.ends.get(timeout=SOON_S) == 4001

    assert Closed.ends.empty()
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_g6_a_reply_of_another_type_than_the_message_is_sent() -> None:
    """The guide's first example checked it against what is received, and was closed."""
    with clients(Chat) as open_one:
        client = open_one()
        client.send(b'{"text": "hello"}')

        assert json.loads(client.recv(timeout=SOON_S)) == {"user": "Ada", "text": "hello"}


@on_every_uvicorn
def test_g7_a_leaving_is_noticed_behind_messages_that_nobody_took(ws: str) -> None:
    """One message in the queue of a busy handler hid that its client had gone."""
    done: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Elsewhere(WebSocketView[str]):
        async def handle(self) -> None:
            try:
                await asyncio.sleep(600)
            finally:
                done.put("ended")

    with clients(Elsewhere, ws, leave_grace_s=0.1) as open_one:
        client = open_one()
        for _ in range(3):
            client.send("anybody there?")
        client.close()

        assert done.get(timeout=SOON_S) == "ended"


@on_every_uvicorn
def test_g8_a_broadcast_survives_a_peer_that_has_just_died(ws: str) -> None:
    """It ended the sender's connection, and kept the message from the others."""
    with clients(Everybody, ws) as open_one:
        sender, other, *dying = [open_one() for _ in range(6)]
        for client in dying:
            cut(client)
        for n in range(20):
            sender.send(json.dumps({"text": str(n)}))

        for client in (sender, other):
            got = [json.loads(client.recv(timeout=SOON_S))["text"] for _ in range(20)]
            assert got == [str(n) for n in range(20)]


@on_every_uvicorn
def test_g8_a_slow_reader_holds_up_nobody_and_is_closed(ws: str) -> None:
    """The whole broadcast waited for it."""
    ends: queue.SimpleQueue[int] = queue.SimpleQueue()

    class Loud(WebSocketView[str]):
        async def handle(self) -> None:
            async for message in self.messages:
                await self.broadcast(message * 100_000)

        async def on_disconnect(self, close_code: int) -> None:
            ends.put(close_code)

    with clients(Loud, ws, send_timeout_s=600) as open_one:
        slow = open_one(max_queue=1, compression=None)
        fast = open_one(compression=None)

        # The network holds some megabytes for the slow one before its outbox fills.
        deadline = time.monotonic() + SOON_S
        while ends.empty() and time.monotonic() < deadline:
            fast.send("x")
            assert len(fast.recv(timeout=SOON_S)) == 100_000
        cut(slow)

        assert ends.get(timeout=SOON_S) == 1013


def test_g9_an_accept_that_fails_is_not_hidden_by_the_cleanup(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The connection that was never opened could not be removed, which was the error seen."""

    class Unopened(Leaves):
        pass

    async def scenario() -> list[Message]:
        server = FakeServer()

        async def send(event: Message) -> None:
            server.sent.append(event)
            raise OSError("the client has left")

        await routed(Unopened)(server.scope, server.receive, send)
        return server.sent

    sent = run(scenario)

    assert [event["type"] for event in sent] == ["websocket.accept"]
    assert Unopened.ends.empty()
    assert [r for r in caplog.records if r.levelno > logging.INFO] == []


def test_g9_a_view_may_be_subclassed_with_arguments() -> None:
    """`__init_subclass__` took none and did not pass them on."""
    tags: dict[str, str] = {}

    class Tagged:
        def __init_subclass__(cls, *, tag: str = "", **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            tags[cls.__name__] = tag

    class First(Tagged, WebSocketView[str], tag="one"):
        async def handle(self) -> None: ...

    class Last(WebSocketView[str], Tagged, tag="two"):
        async def handle(self) -> None: ...

    assert tags == {"First": "one", "Last": "two"}


def test_g9_a_type_need_not_be_hashable() -> None:
    """Types were keys of a cache."""
    unhashable = Annotated[int, ["no", "hash"]]

    class Numbers(WebSocketView[Any]):
        value_type = unhashable

        async def handle(self) -> None:
            async for number in self.messages:
                await self.send(number + 1)

    async def scenario() -> Any:
        async with connect(routed(Numbers), "/") as ws:
            await ws.send_json(6)
            return await ws.receive_json()

    assert run(scenario) == 7


def test_g10_code_reason_and_subprotocol_are_the_views() -> None:
    """None of them could be chosen."""

    class Kicks(WebSocketView[str]):
        async def handle(self) -> None:
            await self.send("not you")
            await self.ws.close(4001, "not you")

    router = Router()
    router.route("/", subprotocols=["v2", "v1"])(Kicks)

    offer = [Subprotocol("v1"), Subprotocol("v2")]
    with (
        LiveServer(router) as server,
        connect_by_network(server.ws_url("/"), subprotocols=offer) as client,
    ):
        assert client.subprotocol == "v2"
        assert client.recv(timeout=SOON_S) == "not you"  # a text frame
        assert ending_of(client) == (4001, "not you")


def test_g10_what_waits_for_a_reader_has_a_bound_and_a_policy() -> None:
    """There was no setting for it."""

    class Wrong(Chat):
        max_waiting = 0

    class Unknown(Chat):
        when_full = "explode"  # type: ignore[assignment]

    with pytest.raises(ConfigurationError, match="at least 1 payload"):
        routed(Wrong)
    with pytest.raises(ConfigurationError, match="when_full must be"):
        routed(Unknown)


def test_g10_a_reader_that_is_too_slow_may_be_kept_current() -> None:
    """It loses the oldest, and stays."""

    class Newest(WebSocketView[str]):
        when_full = "drop_oldest"
        max_waiting = 2

        async def handle(self) -> None:
            async for message in self.messages:
                await self.broadcast(message)

    async def scenario() -> list[str]:
        gate, got = asyncio.Event(), FakeServer()

        async def send_slowly(event: Message) -> None:
            if event["type"] == "websocket.send":
                await gate.wait()
            got.sent.append(event)

        app = routed(Newest)
        slow = asyncio.create_task(app(got.scope, got.receive, send_slowly))
        async with connect(app, "/") as ws:
            for n in range(6):
                await ws.send(str(n))
                assert await ws.receive() == str(n)
            gate.set()
            while len(got.sent) < 4:  # the accept, one in flight, and two that waited
                await asyncio.sleep(0)
        got.queue.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await slow
        return [event["text"] for event in got.sent if event["type"] == "websocket.send"]

    assert run(scenario) == ["0", "4", "5"]
