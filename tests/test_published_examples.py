"""The examples that the guides of PyFly and socketsundso show, written in our names.

Each does what its guide says of it. What differs from there is in the tables of
docs/coming-from-pyfly.md and docs/coming-from-socketsundso.md, and nothing else. The
page on socketsundso is a reference: each name on it is used here as it is described.
"""

import json
from typing import Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp

from bocadillo import (
    App,
    EventView,
    Handler,
    WebSocket,
    WebSocketHandler,
    controller,
    on_event,
    websocket_mapping,
)
from bocadillo.testing import ConnectionClosed, connect
from tests.fakes import run

# PyFly: the guide, from its top


@controller("/ws")
class EchoController:
    @websocket_mapping("/echo")
    async def echo(self, session: WebSocket) -> None:
        await session.accept()
        while True:
            received = await session.receive_text()
            await session.send_text(f"echo: {received}")


def test_pyfly_the_quick_example() -> None:
    """An echo below the base of its controller."""

    async def scenario() -> list[Any]:
        async with connect(App(controllers=[EchoController]), "/ws/echo") as ws:
            answers = []
            for message in ("one", "two"):
                await ws.send(message)
                answers.append(await ws.receive())
            return answers

    assert run(scenario) == ["echo: one", "echo: two"]


@controller
class Unbased:
    @websocket_mapping("/chat")
    async def handle_chat(self, session: WebSocket) -> None:
        await session.accept()
        await session.send_text("unbased")

    @websocket_mapping("/rooms/{room_id}")
    async def join(self, session: WebSocket) -> None:
        room_id = session.path_params["room_id"]
        await session.accept()
        await session.send_json(
            [room_id, session.query_params.get("as"), session.headers.get("host")]
        )

    @websocket_mapping("/feed")
    async def feed(self, session: WebSocket) -> None:
        await session.accept()
        received = await session.receive_json()
        await session.send_json({"received": received})
        await session.close()


def test_pyfly_a_mapping_without_a_base_and_the_metadata_of_a_session() -> None:
    """The path alone; path parameters, query and headers."""
    app = App(controllers=[Unbased])

    async def scenario() -> list[Any]:
        async with connect(app, "/chat") as chat, connect(app, "/rooms/7?as=Ada") as room:
            return [await chat.receive(), await room.receive_json()]

    assert run(scenario) == ["unbased", ["7", "Ada", "testserver"]]


def test_pyfly_the_lifecycle_of_a_session() -> None:
    """JSON in, JSON out, and a close with 1000."""

    async def scenario() -> Any:
        async with connect(App(controllers=[Unbased]), "/feed") as ws:
            await ws.send_json([1, {"two": 2}])
            answer = await ws.receive_json()
            with pytest.raises(ConnectionClosed) as closed:
                await ws.receive()
            return answer, closed.value.code

    assert run(scenario) == ({"received": [1, {"two": 2}]}, 1000)


class Lifecycle:
    async def on_connect(self, session: WebSocket) -> None:
        await session.accept()

    async def on_message(self, session: WebSocket, data: str) -> None: ...

    async def on_disconnect(self, session: WebSocket) -> None: ...


def test_pyfly_the_protocol() -> None:
    """It is known by its shape."""
    handler: object = Lifecycle()

    assert isinstance(handler, WebSocketHandler)
    assert not isinstance(EchoController(), WebSocketHandler)


@controller("/ws")
class HooksController:
    members: ClassVar[list[set[WebSocket]]] = []

    def __init__(self) -> None:
        self._sessions: set[WebSocket] = set()
        self.members.append(self._sessions)

    @websocket_mapping("/chat")
    async def chat(self, session: WebSocket) -> None:
        await session.accept()
        self._sessions.add(session)
        while True:
            await session.send_text(await session.receive_text())

    async def on_disconnect(self, session: WebSocket) -> None:
        self._sessions.discard(session)


def test_pyfly_on_disconnect_takes_a_session_out_of_its_set() -> None:
    """Whether its client says goodbye or is lost."""
    app = App(controllers=[HooksController])

    async def scenario() -> None:
        async with connect(app, "/ws/chat") as stays, connect(app, "/ws/chat") as goes:
            for ws in (stays, goes):
                await ws.send("hello")
                assert await ws.receive() == "hello"
            (members,) = HooksController.members
            assert len(members) == 2
            await goes.drop()
            await goes.close()
            await stays.send("still here")
            assert await stays.receive() == "still here"
        assert members == set()

    HooksController.members.clear()
    run(scenario)


@controller("/ws")
class BroadcastController:
    """Sends each message to all."""

    def __init__(self) -> None:
        self._clients: set[WebSocket] = set()

    @websocket_mapping("/chat")
    async def chat(self, session: WebSocket) -> None:
        await session.accept()
        self._clients.add(session)
        try:
            while True:
                received = await session.receive_text()
                for client in list(self._clients):
                    await client.send_text(received)
        finally:
            self._clients.discard(session)

    async def on_disconnect(self, session: WebSocket) -> None:
        self._clients.discard(session)


def test_pyfly_the_complete_example() -> None:
    """Everybody who is here hears it; who has left disturbs nobody."""
    app = App(controllers=[BroadcastController])

    async def scenario() -> list[Any]:
        async with connect(app, "/ws/chat") as ada, connect(app, "/ws/chat") as bob:
            await bob.send("first")
            heard = [await ada.receive(), await bob.receive()]
            async with connect(app, "/ws/chat") as eve:
                await eve.send("I am new")
                heard += [await client.receive() for client in (ada, bob, eve)]
            await ada.send("last")
            return [*heard, await ada.receive(), await bob.receive()]

    assert run(scenario) == ["first"] * 2 + ["I am new"] * 3 + ["last"] * 2


# socketsundso: the reference, name by name


async def exchange(app: ASGIApp, *payloads: str) -> list[Any]:
    """Send payloads, and return an answer to each."""
    async with connect(app, "/") as ws:
        answers = []
        for payload in payloads:
            await ws.send(payload)
            answers.append(await ws.receive_json())
        return answers


def ask(view: type, *messages: Any) -> list[Any]:
    app = App()
    app.websocket_route("/")(view)
    payloads = [m if isinstance(m, str) else json.dumps(m) for m in messages]
    return run(lambda: exchange(app, *payloads))


class Answer(BaseModel):
    """A response model: fills in what a handler leaves out."""

    type: Literal["answer"] = "answer"
    number: int = 42


class Forms(EventView):
    """Every form of the decorator."""

    @on_event
    async def bare(self, text: str) -> Any:
        return {"text": text}

    @on_event()
    async def on_called(self) -> Any:
        return {"by": "on_called"}

    @on_event("given.name")
    async def something(self) -> Any:
        return {}

    @on_event("question", response_model=Answer)
    async def reply(self) -> Any:
        return {}

    @on_event(response_model=Answer)
    async def handle_another(self, number: int) -> Any:
        return {"number": number}

    @on_event
    async def silent(self) -> None: ...


@Forms.on_event("outside")
async def outside(text: str) -> Any:
    return {"text": text.upper()}


@Forms.on_event
async def bare_outside() -> Any:
    return {}


def test_socketsundso_every_form_of_on_event() -> None:
    """The event is the given one, or the function's; the answer is sent with its type."""
    answers = ask(
        Forms,
        {"type": "bare", "text": "hello"},
        {"type": "called"},
        {"type": "given.name"},
        {"type": "question"},
        {"type": "another", "number": 7},
        {"type": "outside", "text": "hello"},
        {"type": "bare_outside"},
    )

    assert answers == [
        {"type": "bare", "text": "hello"},
        {"type": "called", "by": "on_called"},
        {"type": "given.name"},
        {"type": "answer", "number": 42},
        {"type": "answer", "number": 7},
        {"type": "outside", "text": "HELLO"},
        {"type": "bare_outside"},
    ]


def test_socketsundso_handlers_maps_events_to_handlers() -> None:
    """All that a class has, made where the class is made, without a metaclass."""
    assert [*Forms.handlers] == [
        *("bare", "called", "given.name", "question", "another", "silent"),
        *("outside", "bare_outside"),
    ]
    assert all(isinstance(handler, Handler) for handler in Forms.handlers.values())
    assert type(Forms) is type(EventView)


def test_socketsundso_a_handler_tells_of_its_event_function_and_models() -> None:
    """The model validates what comes in; calling it calls the function."""

    async def greet(name: str, times: int = 1) -> Any:
        return {"text": name * times}

    handler = Handler("greet", greet, response_model=Answer, is_static=True)

    assert (handler.event, handler.response_model) == ("greet", Answer)
    assert handler.method is greet
    message = handler.model.model_validate({"type": "greet", "name": "Ada"})
    assert (message.type, message.name, message.times) == ("greet", "Ada", 1)
    with pytest.raises(ValidationError):
        handler.model.model_validate({"type": "greet", "name": "Ada", "more": 1})
    assert run(lambda: handler("a", times=2)) == {"text": "aa"}


class Overrides(EventView):
    """Each method that is there to be overridden."""

    steps: ClassVar[list[Any]] = []

    async def on_connect(self) -> None:
        await self.ws.accept()
        self.steps.append("connect")

    async def on_disconnect(self, close_code: int) -> None:
        self.steps.append(close_code)

    async def on_receive(self, message: Any) -> None:
        self.steps.append(message.type)
        await super().on_receive(message)

    async def send_json(self, response: Any) -> None:
        await super().send_json({**response, "sent": True})

    async def send_exception(self, exc: Exception) -> None:
        await self.send_json({"type": "oh no"})

    @on_event
    async def ping(self) -> Any:
        return {}


def test_socketsundso_every_method_that_may_be_overridden() -> None:
    """Connecting, leaving, each message, each response, each error."""
    Overrides.steps.clear()

    answers = ask(Overrides, {"type": "ping"}, {"type": "unknown"}, "no JSON", {"type": "ping"})

    assert answers == [
        {"type": "ping", "sent": True},
        {"type": "oh no", "sent": True},
        {"type": "oh no", "sent": True},
        {"type": "ping", "sent": True},
    ]
    assert Overrides.steps == ["connect", "ping", "ping", 1000]


def test_socketsundso_what_cannot_be_validated_is_answered() -> None:
    """And the connection stays open: an unknown event, a missing field, malformed JSON."""
    unknown, missing, malformed, fine = ask(
        Forms,
        {"type": "nope"},
        {"type": "bare"},
        "{no JSON",
        {"type": "bare", "text": "still here"},
    )

    assert unknown["errors"][0]["loc"] == ["type"]
    assert unknown["errors"][0]["ctx"] == {"given": "nope", "permitted": [*Forms.handlers]}
    assert missing["errors"][0]["loc"] == ["text"]
    assert {error["type"] for error in (unknown, missing, malformed)} == {"error"}
    assert fine == {"type": "bare", "text": "still here"}


def test_socketsundso_a_handler_that_returns_nothing_sends_nothing() -> None:
    """The next answer is that to the next message."""

    async def scenario() -> Any:
        app = App()
        app.websocket_route("/")(Forms)
        async with connect(app, "/") as ws:
            await ws.send_json({"type": "silent"})
            await ws.send_json({"type": "bare", "text": "next"})
            return await ws.receive_json()

    assert run(scenario) == {"type": "bare", "text": "next"}
