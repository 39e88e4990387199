"""What docs/coming-from-socketsundso.md promises to users of its endpoints.

The first part keeps what worked there, renamed as that page's tables say. The second
has one test for each thing that did not: it fails where that is so again.
"""

import datetime
import enum
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from bocadillo import App, ConfigurationError, EventError, EventView, Handler, on_event
from bocadillo.testing import ConnectionClosed, HandshakeRefused, connect
from tests.fakes import run, settle
from tests.talking import answers, answers_of, app_of, hear, say


class Item(BaseModel):
    a: int


class Reply(BaseModel):
    text: str
    note: str = "x"


class Endpoint(EventView):
    """Was a `WebSocketHandlingEndpoint`."""

    @on_event
    async def echo(self, msg: str, n: int = 0) -> Any:
        return {"msg": msg, "n": n}

    @on_event
    async def nested(self, item: Item) -> Any:
        return {"a": item.a}


def errors_of(view: type[EventView], message: Any) -> list[dict[str, Any]]:
    """Return the errors that a message is answered by, over a connection that stays open."""
    failed, ok = answers(view, message, {"type": "echo", "msg": "still here"})
    assert (failed["type"], ok["msg"]) == ("error", "still here")
    errors: list[dict[str, Any]] = failed["errors"]
    return errors


# What is kept


def test_b1_messages_are_json_objects_dispatched_by_their_type() -> None:
    """In and out; the protocol of its clients is the same."""
    assert answers(Endpoint, {"type": "echo", "msg": "hello"}) == [
        {"type": "echo", "msg": "hello", "n": 0}
    ]


def test_b2_the_class_is_registered_on_a_path_whose_parameters_it_can_read() -> None:
    """`self.websocket` is called `self.ws`; one instance serves one connection."""

    class Room(EventView):
        @on_event
        async def where(self) -> Any:
            return {"room": self.ws.path_params["room_id"]}

    app = App()
    app.websocket_route("/room/{room_id}")(Room)

    async def scenario() -> Any:
        async with connect(app, "/room/7") as ws:
            return await hear(ws, {"type": "where"})

    assert run(scenario) == [{"type": "where", "room": "7"}]


def test_b3_handlers_of_a_class_are_collected_and_inherited() -> None:
    """In `handlers`, by event; a subclass has a copy, and may override."""

    class Sub(Endpoint):
        @on_event("echo")
        async def other_name(self, msg: str) -> Any:
            return {"msg": msg.upper()}

    assert all(isinstance(handler, Handler) for handler in Sub.handlers.values())
    assert [*Sub.handlers] == [*Endpoint.handlers] == ["echo", "nested"]
    assert answers(Sub, {"type": "echo", "msg": "a"})[0]["msg"] == "A"
    assert answers(Endpoint, {"type": "echo", "msg": "a"})[0]["msg"] == "a"


def test_b3_two_handlers_of_one_event_in_one_class_are_refused() -> None:
    """Where the class is made, as there; not by an `AssertionError`, which `-O` would drop."""
    with pytest.raises(ConfigurationError, match="has two handlers for the event 'same'"):

        class Twice(EventView):
            @on_event("same")
            async def one(self) -> None: ...

            @on_event("same")
            async def two(self) -> None: ...


class Named(EventView):
    @on_event
    async def on_one(self) -> Any:
        return {"n": 1}

    @on_event()
    async def handle_two(self) -> Any:
        return {"n": 2}

    @on_event("three")
    async def other(self) -> Any:
        return {"n": 3}

    @on_event("four", response_model=Reply)
    async def another(self) -> Any:
        return {"text": "4"}

    @on_event(response_model=Reply)
    async def five(self) -> Any:
        return {"text": "5"}

    @on_event
    @staticmethod
    async def six() -> Any:
        return {"n": 6}


def test_b4_all_forms_of_the_decorator_and_its_names_are_kept() -> None:
    """The name that is given, else the function's without `on_` or `handle_`."""
    assert [*Named.handlers] == ["one", "two", "three", "four", "five", "six"]
    assert answers(Named, *({"type": event} for event in Named.handlers)) == [
        *({"type": "one", "n": 1}, {"type": "two", "n": 2}, {"type": "three", "n": 3}),
        {"type": "four", "text": "4", "note": "x"},
        {"type": "five", "text": "5", "note": "x"},
        {"type": "six", "n": 6},
    ]


def test_b4_a_method_without_the_decorator_is_no_handler() -> None:
    """Also one called `on_…`, which its own chat example had forgotten."""

    class Chat(EventView):
        async def on_whisper(self, to: str) -> None: ...

    assert Chat.handlers == {}


def test_b5_a_function_outside_the_class_is_registered_by_the_class() -> None:
    """It gets no `self`."""

    class Open(EventView):
        pass

    @Open.on_event("outside", response_model=Reply)
    async def function(text: str) -> Any:
        return {"text": text}

    assert answers(Open, {"type": "outside", "text": "a"}) == [
        {"type": "outside", "text": "a", "note": "x"}
    ]


def test_b6_a_handler_has_its_attributes_and_calls_its_function() -> None:
    """`event`, `method`, `model`, `response_model`; sync ones run in a worker thread."""
    threads: list[threading.Thread] = []

    class Sync(EventView):
        @on_event(response_model=Reply)
        def note(self, text: str) -> Any:
            threads.append(threading.current_thread())
            return {"text": text}

    handler = Sync.handlers["note"]

    assert (handler.event, handler.response_model) == ("note", Reply)
    assert handler.method.__name__ == "note"
    assert [*handler.model.model_fields] == ["type", "ref", "text"]
    assert handler(None, text="a") == {"text": "a"}
    answers(Sync, {"type": "note", "text": "a"})
    assert [thread is threading.main_thread() for thread in threads] == [True, False]


def test_b7_the_input_is_validated_by_the_signature() -> None:
    """Annotations, defaults, nested models; unknown keys are refused."""

    class View(EventView):
        @on_event
        async def echo(self, item: Item, msg: str, n: int = 5) -> Any:
            assert isinstance(item, Item)
            return {"n": n, "msg": msg, "a": item.a}

    message = {"type": "echo", "item": {"a": "1"}, "msg": "m"}

    heard = answers(View, message, message | {"extra": 1})

    assert heard[0] == {"type": "echo", "n": 5, "msg": "m", "a": 1}
    assert heard[1]["errors"][0]["loc"] == ["extra"]


class Steps(EventView):
    """Notes what is called; each test has a subclass of its own."""

    steps: ClassVar[list[Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.steps = []

    async def on_connect(self) -> None:
        self.steps.append("connect")

    async def on_receive(self, message: Any) -> None:
        self.steps.append(("receive", message.type))
        await super().on_receive(message)

    @on_event
    async def say(self) -> Any:
        self.steps.append("handler")
        return {}

    async def send_json(self, response: Any) -> None:
        self.steps.append("send")
        await super().send_json(response)

    async def on_disconnect(self, close_code: int) -> None:
        self.steps.append(close_code)


def visit(view: type[EventView], *messages: Any, code: int | None = 1000) -> None:
    """Send messages that are answered once each, and leave."""

    async def scenario() -> None:
        async with connect(app_of(view), "/") as ws:
            for message in messages:
                await say(ws, message)
                await ws.receive()
            await ws.close(code)

    run(scenario)


def test_b8_the_order_of_the_calls_is_kept() -> None:
    """`on_connect`, then for each message `on_receive`, handler, `send_json`; `on_disconnect`."""

    class View(Steps):
        pass

    visit(View, {"type": "say"})

    assert View.steps == ["connect", ("receive", "say"), "handler", "send", 1000]


def test_b9_on_connect_may_accept_itself() -> None:
    """`await self.ws.accept()` is harmless where the view has accepted already."""

    class View(Steps):
        async def on_connect(self) -> None:
            await self.ws.accept()

    visit(View, {"type": "say"})

    assert View.steps[-1] == 1000


@pytest.mark.parametrize(("code", "told"), [(1001, 1001), (4005, 4005), (None, 1005)])
def test_b10_on_disconnect_is_told_the_clients_code(code: int | None, told: int) -> None:
    """And what is the case where there was none: a browser sends none, which was 1000."""

    class View(Steps):
        pass

    visit(View, code=code)

    assert View.steps == ["connect", told]


def test_b10_on_disconnect_is_told_1011_when_anything_raised() -> None:
    """The client sees the same."""

    class View(Steps):
        @on_event
        async def say(self) -> Any:
            raise LookupError

    with pytest.raises(ConnectionClosed, match="1011"):
        visit(View, {"type": "say"})

    assert View.steps[-1] == 1011


def test_b11_on_receive_may_be_overridden() -> None:
    """It gets a valid message with its `type`, and calls the handler by `super()`."""

    class View(Endpoint):
        async def on_receive(self, message: Any) -> None:
            if message.type == "echo":
                message = message.model_copy(update={"msg": message.msg.upper()})
            await super().on_receive(message)

    assert answers(View, {"type": "echo", "msg": "a"})[0]["msg"] == "A"


@pytest.mark.parametrize(
    ("message", "loc", "kind"),
    [
        ({"type": "echo"}, ["msg"], "missing"),
        ({"type": "echo", "msg": "a", "foo": 1}, ["foo"], "extra_forbidden"),
        ({"type": "echo", "msg": "a", "n": "x"}, ["n"], "int_parsing"),
        ({"type": "echo", "msg": "a", "n": None}, ["n"], "int_type"),
        ({"type": "nested", "item": {"a": "x"}}, ["item", "a"], "int_parsing"),
        ({}, ["type"], "missing"),
    ],
)
def test_b12_the_place_of_an_error_is_what_it_was(message: Any, loc: Any, kind: str) -> None:
    """Its words are those of pydantic 2."""
    (error,) = errors_of(Endpoint, message)

    assert (error["loc"], error["type"]) == (loc, kind)


@pytest.mark.parametrize("given", ["nope", 5, None])
def test_b12_an_unknown_event_is_told_what_was_given_and_what_is_permitted(given: Any) -> None:
    """Clients read `errors[0]["ctx"]["given"]`."""
    (error,) = errors_of(Endpoint, {"type": given})

    assert error["loc"] == ["type"]
    assert error["ctx"] == {"given": given, "permitted": ["echo", "nested"]}


class Answers(Endpoint):
    @on_event(response_model=Reply)
    async def wrong(self) -> Any:
        return {"text": []}

    @on_event
    async def no_object(self) -> Any:
        return [1]

    @on_event
    async def own(self) -> Any:
        error = PydanticCustomError("value_error", "recipient not found")
        details = [InitErrorDetails(type=error, loc=("to",), input="Bob")]
        raise ValidationError.from_exception_data("Whisper", details)

    @on_event
    async def shorter(self) -> Any:
        raise EventError("recipient not found", loc="to")


@pytest.mark.parametrize(
    ("event", "loc"),
    [
        *(("wrong", ["response", "text"]), ("no_object", ["response"])),
        *(("own", ["to"]), ("shorter", ["to"])),
    ],
)
def test_b12_a_bad_result_and_an_error_of_a_handler_are_told_too(event: str, loc: Any) -> None:
    """The place of a bad result begins with `response`."""
    (error,) = errors_of(Answers, {"type": event})

    assert error["loc"] == loc


def test_b13_malformed_json_is_told_by_send_exception() -> None:
    """As its documentation said; its code closed the connection."""
    told: list[Exception] = []

    class View(Endpoint):
        async def send_exception(self, exc: Exception) -> None:
            told.append(exc)
            await super().send_exception(exc)

    (error,) = errors_of(View, "{nope")

    assert (error["loc"], error["type"]) == ([], "json_invalid")
    assert len(told) == 2  # the second is of the message that this test ends with


class Color(enum.Enum):
    RED = "red"


def returning(result: Any, model: Any = None) -> type[EventView]:
    class View(EventView):
        @on_event("e", response_model=model)
        async def answer(self) -> Any:
            return result

    return View


class WithType(BaseModel):
    type: str = "own"
    text: str = ""


@pytest.mark.parametrize(
    ("result", "model", "heard"),
    [
        (None, None, []),
        ({"a": 1}, None, [{"type": "e", "a": 1}]),
        ({"type": "other"}, None, [{"type": "other"}]),
        ({"text": "a"}, WithType, [{"type": "own", "text": "a"}]),
        ({"text": "a", "type": "other"}, WithType, [{"type": "other", "text": "a"}]),
        ({"text": "a", "zz": 1}, Reply, [{"type": "e", "text": "a", "note": "x"}]),
        (Reply(text="a"), None, [{"type": "e", "text": "a", "note": "x"}]),
        (
            {"at": datetime.datetime(2020, 1, 2), "color": Color.RED, "items": [Item(a=1)]},
            None,
            [{"type": "e", "at": "2020-01-02T00:00:00", "color": "red", "items": [{"a": 1}]}],
        ),
    ],
)
def test_b16_results_are_sent_by_the_same_rules(result: Any, model: Any, heard: Any) -> None:
    """None sends nothing; a type of its own wins; models validate, fill in and drop."""
    assert answers(returning(result, model), {"type": "e"}) == heard


def test_b17_send_json_may_decide_by_the_response() -> None:
    """Its chat example broadcasts what is a `BroadcastMessage`."""

    class BroadcastMessage(BaseModel):
        type: str = "broadcast"
        text: str

    class Chat(EventView):
        @on_event
        async def shout(self, text: str) -> Any:
            return BroadcastMessage(text=text)

        async def send_json(self, response: Any) -> None:
            if isinstance(response, BroadcastMessage):
                await self.broadcast(response)
            else:
                await super().send_json(response)

    app = app_of(Chat)

    async def scenario() -> list[Any]:
        async with connect(app, "/") as one, connect(app, "/") as two:
            await say(one, {"type": "shout", "text": "hello"})
            return [await one.receive_json(), await two.receive_json()]

    assert run(scenario) == [{"type": "broadcast", "text": "hello"}] * 2


def test_b19_handlers_of_one_connection_run_one_after_another() -> None:
    """The second message waits for the first."""

    class View(EventView):
        busy = False

        @on_event
        async def work(self) -> Any:
            was_busy, self.busy = self.busy, True
            await settle()
            self.busy = False
            return {"alone": not was_busy}

    assert [h["alone"] for h in answers(View, {"type": "work"}, {"type": "work"})] == [True, True]


def test_b20_a_view_without_handlers_answers_by_errors() -> None:
    """As an unknown event."""

    class Empty(EventView):
        pass

    (heard,) = answers(Empty, {"type": "say"})

    assert heard["errors"][0]["ctx"] == {"given": "say", "permitted": []}


def test_b21_a_chat_with_rooms_and_whispers() -> None:
    """Its example: join and leave are told, and a room is dropped when it is empty."""
    rooms: dict[str, dict[int, EventView]] = {}

    class Chat(EventView):
        async def on_connect(self, room_id: str, client_id: int) -> None:
            self.here = rooms.setdefault(room_id, {})
            self.room_id, self.client_id = room_id, client_id
            self.here[client_id] = self
            await self.tell_all({"type": "join", "id": client_id})

        async def on_disconnect(self, close_code: int) -> None:
            del self.here[self.client_id]
            if not self.here:
                del rooms[self.room_id]
            await self.tell_all({"type": "leave", "id": self.client_id})

        async def tell_all(self, message: Any) -> None:
            for member in self.here.values():
                await member.send_json(message)

        @on_event
        async def whisper(self, to: int, text: str) -> None:
            if to not in self.here:
                raise EventError("recipient not found", loc=["to"])
            await self.here[to].send_json({"type": "whisper", "text": text})

        @on_event
        async def goodbye(self) -> None:
            await self.ws.close()

    app = App()
    app.websocket_route("/room/{room_id:str}/{client_id:int}")(Chat)

    async def scenario() -> list[Any]:
        async with connect(app, "/room/a/1") as one:
            heard = [await one.receive_json()]
            async with connect(app, "/room/a/2") as two:
                heard += [await one.receive_json(), await two.receive_json()]
                await say(one, {"type": "whisper", "to": 2, "text": "psst"})
                heard.append(await two.receive_json())
                heard += await hear(two, {"type": "whisper", "to": 3, "text": "psst"})
                await say(two, {"type": "goodbye"})
                heard.append(await one.receive_json())
            assert [*rooms["a"]] == [1]
        return heard

    one, two, also, psst, error, left = run(scenario)
    assert (one, two, also) == ({"type": "join", "id": 1}, *[{"type": "join", "id": 2}] * 2)
    assert (psst["text"], error["errors"][0]["loc"], left) == (
        *("psst", ["to"]),
        {"type": "leave", "id": 2},
    )
    assert rooms == {}


# What did not work


def test_g1_a_view_that_closes_in_on_connect_has_ended() -> None:
    """The original went on to wait for messages; its test client hung."""
    steps: list[str] = []

    class View(EventView):
        auto_accept = False

        async def on_connect(self) -> None:
            await self.ws.close(4003)

        async def on_disconnect(self, close_code: int) -> None:
            steps.append("never accepted, so nobody has disconnected")

    with pytest.raises(HandshakeRefused, match="HTTP 403"):
        answers_of(app_of(View), {"type": "say"})

    assert steps == []


@pytest.mark.parametrize(
    "payload",
    [
        *('[1]', '"x"', "null", "5"),  # g2: JSON that is no object
        *(b"\xff", b"[1]", b""),  # g3: a binary frame
        '{"type": "echo", "msg": "a", "self": 1}',  # g4: a key called "self"
    ],
)  # fmt: skip
def test_g2_g3_g4_no_message_ends_the_connection(payload: str | bytes) -> None:
    """Each was a crash that any client could cause."""
    assert len(errors_of(Endpoint, payload)) == 1


def test_g3_a_binary_frame_is_read_as_json() -> None:
    """Some clients send nothing else."""
    assert answers(Endpoint, b'{"type": "echo", "msg": "a"}')[0]["msg"] == "a"


def test_g5_a_handler_that_raises_closes_with_1011() -> None:
    """The original sent no close frame, and the client saw 1006."""

    class View(EventView):
        @on_event
        async def say(self) -> None:
            raise LookupError("a secret")

    with pytest.raises(ConnectionClosed) as closed:
        visit(View, {"type": "say"})

    assert (closed.value.code, closed.value.reason) == (1011, "")


def test_g6_a_response_model_is_not_changed() -> None:
    """It could be used for one event only; or not at all where it had no `type`."""

    class View(EventView):
        @on_event(response_model=Reply)
        async def one(self) -> Any:
            return {"text": "1"}

        @on_event(response_model=Reply)
        async def two(self) -> Any:
            return {"text": "2"}

    assert [h["type"] for h in answers(View, {"type": "one"}, {"type": "two"})] == ["one", "two"]
    assert [*Reply.model_fields] == ["text", "note"]


def test_g7_two_connections_have_two_instances() -> None:
    """One client's messages were handled with the other's `self`."""

    class View(EventView):
        name_ = "nobody"

        @on_event
        async def login(self, name: str) -> None:
            self.name_ = name

        @on_event
        async def who(self) -> Any:
            return {"name": self.name_}

    app = app_of(View)

    async def scenario() -> list[Any]:
        async with connect(app, "/") as one, connect(app, "/") as two:
            heard = await hear(one, {"type": "login", "name": "Ada"}, {"type": "who"})
            return heard + await hear(two, {"type": "who"})

    assert [h["name"] for h in run(scenario)] == ["Ada", "nobody"]


@pytest.mark.parametrize("form", ["method", "static", "outside"])
def test_g8_inherited_handlers_are_called_as_own_ones(form: str) -> None:
    """They lacked `self`."""

    class Base(EventView):
        @on_event
        async def method(self) -> Any:
            return {"class": type(self).__name__}

        @on_event
        @staticmethod
        async def static() -> Any:
            return {"class": "Sub"}

    @Base.on_event
    async def outside() -> Any:
        return {"class": "Sub"}

    class Sub(Base):
        pass

    assert answers(Sub, {"type": form}) == [{"type": form, "class": "Sub"}]


@pytest.mark.parametrize(
    "register",
    [lambda view: view.on_event, lambda view: view.on_event(), lambda view: view.on_event("say")],
)
def test_a_function_outside_is_registered_with_and_without_parentheses(
    register: Callable[[Any], Callable[[Any], Any]],
) -> None:
    """B5: without them nothing was registered, and nothing said so."""

    class View(EventView):
        pass

    async def say_it() -> Any:
        return {}

    say_it.__name__ = "say"
    register(View)(say_it)

    assert answers(View, {"type": "say"}) == [{"type": "say"}]
