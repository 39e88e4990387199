"""What a view of events may override, and how its connections go on and end."""

import asyncio
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel
from starlette.exceptions import HTTPException, WebSocketException

from bocadillo import App, EventView, on_event
from bocadillo.testing import connect
from tests.fakes import run
from tests.talking import answers, app_of, ending_of, hear, say


class Text(BaseModel):
    text: str


# Overriding


def test_on_connect_and_on_disconnect_run_around_the_handlers() -> None:
    """With what they ask for, the close code among it."""
    steps: list[Any] = []

    class View(EventView):
        async def on_connect(self, room: str) -> None:
            steps.append(room)
            await self.send_json({"type": "welcome"})

        @on_event
        async def say(self, text: str) -> None:
            steps.append(text)

        async def on_disconnect(self, close_code: int) -> None:
            steps.append(close_code)

    app = App()
    app.websocket_route("/{room}")(View)

    async def scenario() -> Any:
        async with connect(app, "/kitchen") as ws:
            heard = await hear(ws, {"type": "say", "text": "hello"})
            await ws.close(4005)
            return heard

    assert run(scenario) == [{"type": "welcome"}]
    assert steps == ["kitchen", "hello", 4005]


class Watching(EventView):
    """Sees what comes and goes."""

    seen: ClassVar[list[Any]]

    @on_event
    async def join(self, room: str) -> Any:
        return {"in": room}

    @on_event
    async def model(self, message: Text) -> Any:
        return message

    @on_event
    async def quiet(self) -> None: ...

    async def on_receive(self, message: Any) -> None:
        self.seen.append((message.type, message.ref))
        if self.ref != "blocked":
            await super().on_receive(message)

    async def send_json(self, response: Any) -> None:
        self.seen.append(response if type(response) is dict else type(response).__name__)
        await super().send_json(response)


def test_on_receive_sees_the_message_and_may_drop_it() -> None:
    """A model with its `type` and `ref`, valid already."""
    seen: list[Any] = []
    view: Any = type("View", (Watching,), {"seen": seen})

    heard = answers(
        view,
        {"type": "join", "room": "a", "ref": 1},
        {"type": "join", "room": "b", "ref": "blocked"},
    )

    assert heard == [{"type": "join", "ref": 1, "in": "a"}]
    assert seen[:3] == [("join", 1), {"type": "join", "ref": 1, "in": "a"}, ("join", "blocked")]


def test_send_json_sees_all_that_is_sent() -> None:
    """A dict with `type` and `ref`, an instance of a model as it is, and errors; no None."""
    seen: list[Any] = []
    view: Any = type("View", (Watching,), {"seen": seen})

    heard = answers(
        view, {"type": "model", "text": "a", "ref": 5}, {"type": "quiet"}, {"type": "join"}
    )

    assert heard[0] == {"type": "model", "ref": 5, "text": "a"}
    sent = [entry for entry in seen if not isinstance(entry, tuple)]
    assert (sent[0], sent[1]["type"], len(sent)) == ("Text", "error", 3)


def test_a_response_of_some_model_may_be_broadcast() -> None:
    """`send_json` is where to decide it, by the instance."""

    class Everybody(BaseModel):
        type: str = "told"
        text: str

    class Chat(EventView):
        @on_event
        async def tell(self, text: str) -> Any:
            return Everybody(text=text)

        async def send_json(self, response: Any) -> None:
            if isinstance(response, Everybody):
                await self.broadcast(response)
            else:
                await super().send_json(response)

    app = app_of(Chat)

    async def scenario() -> list[Any]:
        async with connect(app, "/") as one, connect(app, "/") as two:
            await say(one, {"type": "tell", "text": "hello"})
            return [await one.receive_json(), await two.receive_json()]

    assert run(scenario) == [{"type": "told", "text": "hello"}] * 2


def test_send_json_may_send_something_before_the_answer() -> None:
    """Only the answer gets the type and the ref of one."""

    class View(EventView):
        @on_event
        async def greet(self) -> Any:
            return Text(text="hello")

        async def send_json(self, response: Any) -> None:
            await super().send_json(Text(text="listen"))
            await super().send_json(response)

    heard = answers(View, {"type": "greet", "ref": 1})

    assert heard[:2] == [{"text": "listen"}, {"type": "greet", "ref": 1, "text": "hello"}]


def test_what_answers_nothing_is_sent_as_it_is() -> None:
    """A message that a view sends by itself has the type that it is given."""

    class View(EventView):
        async def on_connect(self) -> None:
            await self.send_json(Text(text="hello"))
            await self.send_json({"type": "welcome"})

    assert answers(View) == [{"text": "hello"}, {"type": "welcome"}]


def test_send_exception_may_be_silent_or_say_something_else() -> None:
    """For a protocol with errors of its own."""

    class View(EventView):
        async def send_exception(self, exc: Exception) -> None:
            await self.send_json({"type": "oops", "kind": type(exc).__name__, "ref": self.ref})

    app = app_of(View)

    async def scenario() -> list[Any]:
        async with connect(app, "/") as ws:
            await say(ws, {"type": "x", "ref": 5})
            await say(ws, "[")
            return [await ws.receive_json(), await ws.receive_json()]

    assert run(scenario) == [
        {"type": "oops", "kind": "InvalidEvent", "ref": 5},
        {"type": "oops", "kind": "InvalidEvent", "ref": None},
    ]


def test_a_view_may_iterate_over_its_messages_itself() -> None:
    """They are models, and what is no event is answered all the same."""

    class View(EventView):
        @on_event
        async def say(self, text: str) -> None: ...

        async def handle(self) -> None:
            async for message in self.messages:
                await self.send({"type": "heard", "text": message.text})

    heard = answers(View, {"type": "nope"}, {"type": "say", "text": "a"})

    assert heard[0]["errors"][0]["type"] == "unknown_event"
    assert heard[1] == {"type": "heard", "text": "a"}


# Connections


def test_handlers_of_one_connection_run_one_after_another() -> None:
    """Whatever takes longer, answers come in the order of the messages."""

    class View(EventView):
        running = 0

        @on_event
        async def work(self, n: int) -> Any:
            self.running += 1
            for _ in range(10 - n):
                await asyncio.sleep(0)
            self.running -= 1
            return {"n": n, "others": self.running}

    heard = answers(View, *({"type": "work", "n": n} for n in range(5)))

    assert [(h["n"], h["others"]) for h in heard] == [(n, 0) for n in range(5)]


def test_two_connections_never_share_self() -> None:
    """B-g7: the original handled one client's messages with the other's instance."""

    class View(EventView):
        name_ = ""

        @on_event
        async def login(self, name: str) -> None:
            self.name_ = name

        @on_event
        async def who(self) -> Any:
            return {"name": self.name_, "same": self.ws.path_params == {}}

    app = app_of(View)

    async def scenario() -> list[Any]:
        async with connect(app, "/") as one, connect(app, "/") as two:
            await say(one, {"type": "login", "name": "Ada"})
            await say(two, {"type": "login", "name": "Bob"})
            return await hear(one, {"type": "who"}) + await hear(two, {"type": "who"})

    assert [heard["name"] for heard in run(scenario)] == ["Ada", "Bob"]


class Ending(EventView):
    @on_event
    async def goodbye(self) -> Any:
        await self.ws.close(4001, "bye")

    @on_event
    async def websocket(self) -> None:
        raise WebSocketException(4002, "why")

    @on_event
    async def forbidden(self) -> None:
        raise HTTPException(403, "what")

    @on_event
    async def bug(self) -> None:
        raise LookupError("a secret")


@pytest.mark.parametrize(
    ("event", "ending"),
    [
        *(("goodbye", (4001, "bye")), ("websocket", (4002, "why"))),
        *(("forbidden", (1008, "what")), ("bug", (1011, ""))),
    ],
)
def test_a_handler_may_end_the_connection(event: str, ending: tuple[int, str]) -> None:
    """As in every view: by closing, by an exception with a code, by a bug."""
    code, reason, _ = ending_of(Ending, {"type": event, "ref": 1})

    assert (code, reason) == ending


def test_a_bug_is_logged_once_and_nothing_of_it_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    """Its text may be a secret, so the client sees a code."""
    _, _, exc = ending_of(Ending, {"type": "bug"}, {"type": "bug"})

    assert isinstance(exc.__cause__, LookupError)
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_an_override_may_call_what_it_overrides() -> None:
    """`super()` has both hooks, awaited or not."""
    heard: list[str] = []

    class View(EventView):
        async def on_connect(self) -> None:
            await super().on_connect()
            heard.append("connected")

        def on_disconnect(self, close_code: int) -> None:
            super().on_disconnect(close_code)
            heard.append("disconnected")

    answers(View)

    assert heard == ["connected", "disconnected"]
