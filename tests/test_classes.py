"""Plain classes as views: what they may have, what each method gets, what is refused."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.exceptions import WebSocketException
from starlette.types import Message

from bocadillo import ConfigurationError, ExpectedAsync, RoutedPath, WebSocket
from bocadillo.leaving import Times
from bocadillo.views import RouterOptions, View, ViewOptions
from tests.fakes import FakeServer, left, run, settle, text

# What views went through, in order; each test starts with nothing.
steps: list[Any] = []


@pytest.fixture(autouse=True)
def _no_steps() -> None:
    steps.clear()


def serve(view: type | View, *events: Message, **scope: Any) -> FakeServer:
    """Serve one connection to its end and return what the server saw."""

    async def scenario() -> FakeServer:
        server = FakeServer(*events, **scope)
        app = view if isinstance(view, View) else View(view)
        await app(server.scope, server.receive, server.send)
        return server

    return run(scenario)


def answer(server: FakeServer) -> tuple[int, dict[bytes, bytes], bytes]:
    """Return the HTTP answer to the handshake: status, headers and body."""
    start, body = server.sent
    return start["status"], dict(start["headers"]), body["body"]


def codes(server: FakeServer) -> list[Any]:
    return [event.get("code") for event in server.sent if event["type"] == "websocket.close"]


# One instance per connection


class Counts:
    def __init__(self) -> None:
        self.count = 0

    async def handle(self, ws: WebSocket) -> None:
        self.count += 1
        await ws.send(str(self.count))


def test_every_connection_has_an_instance_of_its_own() -> None:
    """State on `self` cannot leak from one client to another."""
    view = View(Counts)

    servers = [serve(view), serve(view)]

    assert [server.sent[1]["text"] for server in servers] == ["1", "1"]
    assert view.name == "Counts"


class Echo:
    async def on_message(self, session: WebSocket, data: str) -> None:
        await session.send(data.upper())


def test_a_class_with_on_message_alone_is_a_view_whose_loop_is_ours() -> None:
    """The shortest class that answers messages."""
    server = serve(Echo, text("a"), text("b"), left(1000, ""))

    assert [event.get("text") for event in server.sent[1:]] == ["A", "B"]


class TypedEcho:
    async def on_message(self, session: WebSocket[int, list[int]], data: int) -> None:
        await session.send([data])


def test_the_annotations_of_the_body_tell_the_value_types() -> None:
    """Of `on_message` as of `handle`."""
    server = serve(TypedEcho, text("7"), text("{}"))

    assert server.sent[1]["text"] == "[7]"
    assert codes(server) == [1007]


# What each method gets


class Asks:
    def process_request(self, path: RoutedPath, headers: Headers) -> None:
        steps.append((str(path), headers["host"]))

    async def on_connect(self, ws: WebSocket, room: str) -> None:
        steps.append(("connect", ws.is_open, room))

    async def handle(self, room: str, limit: int = 5) -> None:
        steps.append(("handle", room, limit))

    def on_disconnect(self, close_code: int, room: str) -> None:
        steps.append(("disconnect", close_code, room))


def test_each_method_gets_what_its_signature_asks_for() -> None:
    """The order is the lifecycle's: handshake, connect, handle, disconnect."""
    serve(
        View(Asks, ["room"]),
        raw_path=b"/kitchen",
        path_params={"room": "kitchen"},
        query_string=b"limit=7",
    )

    assert steps == [
        ("/kitchen?limit=7", "testserver"),
        ("connect", True, "kitchen"),
        ("handle", "kitchen", 7),
        ("disconnect", 1000, "kitchen"),
    ]


class AsksLate:
    def on_connect(self, first: int = 0) -> None:
        steps.append("connect")

    async def handle(self) -> None:
        steps.append("handle")

    def on_disconnect(self, last: int = 0) -> None:
        steps.append("disconnect")


@pytest.mark.parametrize("name", ["first", "last"])
def test_bad_parameters_of_any_method_are_answered_before_accept(name: str) -> None:
    """A client that may not come in never sees an open socket."""
    status, _, body = answer(serve(AsksLate, query_string=name.encode() + b"=many"))

    assert status == 400
    assert f'"loc":["query","{name}"]'.encode() in body
    assert steps == []


# process_request


class Refuses:
    answer: Any = None

    async def process_request(self, path: str, headers: Mapping[str, str]) -> Any:
        return self.answer

    async def handle(self, ws: WebSocket) -> None:
        steps.append("handle")

    async def on_disconnect(self) -> None:
        steps.append("disconnect")


class RefusesInSync(Refuses):
    def process_request(self, path: str, headers: Mapping[str, str]) -> Any:
        return self.answer


def refusing(cls: type[Refuses], with_answer: Any) -> type[Refuses]:
    return type(cls.__name__, (cls,), {"answer": with_answer})


BOTH = pytest.mark.parametrize("cls", [Refuses, RefusesInSync])


@BOTH
def test_process_request_lets_in_by_none(cls: type[Refuses]) -> None:
    """Nothing to say is nothing to refuse."""
    server = serve(cls)

    assert codes(server) == [1000]
    assert steps == ["handle", "disconnect"]


@BOTH
@pytest.mark.parametrize("status", [401, HTTPStatus.UNAUTHORIZED])
@pytest.mark.parametrize("headers", [{"x-why": "because"}, [("x-why", "because")]], ids=str)
@pytest.mark.parametrize("body", ["who?", b"who?"])
def test_process_request_refuses_by_status_headers_and_body(
    cls: type[Refuses], status: int, headers: Any, body: Any
) -> None:
    """In the types that people write them in; no other method is called."""
    got, got_headers, got_body = answer(serve(refusing(cls, (status, headers, body))))

    assert (got, got_headers[b"x-why"], got_body) == (401, b"because", b"who?")
    assert steps == []


WRONG_ANSWERS = [
    False,
    True,
    403,
    "no",
    (403,),
    (403, {}),
    (403, {}, b"", b""),
    ("403", {}, b""),
    (99, {}, b""),
    (600, {}, b""),
    (True, {}, b""),
    (403, 7, b""),
    (403, [("x-why",)], b""),
    (403, {"x-why": None}, b""),
    (403, {"x-why": "a\r\nb"}, b""),
    (403, {}, None),
    (403, {}, {"why": "because"}),
]


@pytest.mark.parametrize("wrong", WRONG_ANSWERS, ids=repr)
def test_any_other_answer_is_a_500_and_one_log_line(
    wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Letting in by mistake would be a hole; the line tells how to mend it."""
    status, _, body = answer(serve(refusing(Refuses, wrong)))

    assert (status, body) == (500, b"Internal Server Error\n")
    assert steps == []
    (record,) = caplog.records
    line = record.getMessage()
    assert record.levelno == logging.ERROR
    assert f"Refuses.process_request() returned {wrong!r}; possible: None to go on, or" in line
    assert "(status, headers, body)" in line


def test_the_routers_and_the_routes_hooks_run_before_the_classs() -> None:
    """Outermost first."""

    class Guarded:
        def process_request(self) -> None:
            steps.append("class")

        async def handle(self) -> None:
            steps.append("handle")

    def outer(path: str) -> None:
        steps.append("route")

    serve(View(Guarded, options=ViewOptions(process_request=outer)))

    assert steps == ["route", "class", "handle"]


# on_disconnect


class Ends:
    async def on_connect(self) -> None:
        steps.append("connect")

    async def handle(self, ws: WebSocket) -> None:
        await ws.receive()

    async def on_disconnect(self, close_code: int | None) -> None:
        steps.append(close_code)


class Closes(Ends):
    async def handle(self, ws: WebSocket) -> None:
        await ws.close(4001)


class Raises(Ends):
    async def handle(self, ws: WebSocket) -> None:
        raise LookupError("oops")


class RaisesAtOnce(Ends):
    async def on_connect(self) -> None:
        steps.append("connect")
        raise WebSocketException(4002)


@pytest.mark.parametrize(
    ("cls", "events", "code"),
    [
        (Ends, [left(1001, "")], 1001),
        (Ends, [left(1006)], 1006),
        (Closes, [], 4001),
        (Raises, [], 1011),
        (RaisesAtOnce, [], 4002),
    ],
)
def test_on_disconnect_runs_once_however_the_connection_ends(
    cls: type, events: list[Message], code: int
) -> None:
    """What `on_connect` took is given back."""
    serve(cls, *events)

    assert steps == ["connect", code]


class SaysGoodbye:
    async def handle(self, ws: WebSocket) -> None:
        await ws.receive()

    async def on_disconnect(self) -> None:
        await asyncio.sleep(0)
        steps.append("goodbye")


def test_on_disconnect_is_shielded_from_cancellation() -> None:
    """A server that shuts down must not leave half a clean-up."""

    async def scenario() -> None:
        server = FakeServer()
        serving = asyncio.create_task(View(SaysGoodbye)(server.scope, server.receive, server.send))
        await settle()

        serving.cancel()
        await asyncio.wait({serving})

        assert serving.cancelled()

    run(scenario)
    assert steps == ["goodbye"]


class NeverEnds:
    async def handle(self) -> None: ...

    async def on_disconnect(self) -> None:
        await asyncio.sleep(60)


class FailsAtTheEnd:
    async def handle(self) -> None: ...

    def on_disconnect(self) -> None:
        raise LookupError("oops")


@pytest.mark.parametrize(
    ("cls", "line"),
    [
        (NeverEnds, "on_disconnect took more than 0.01 s, and was cancelled"),
        (FailsAtTheEnd, "on_disconnect failed"),
    ],
)
def test_a_failure_of_on_disconnect_is_logged(
    cls: type, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is bounded, too, or a slow database would keep every connection."""
    router = RouterOptions(times=Times(disconnect_timeout=0.01))

    serve(View(cls, router=router))

    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().endswith(line)


class AcceptsItself(Ends):
    async def handle(self, ws: WebSocket, accept: bool = False) -> None:
        if accept:
            await ws.accept()


def test_on_disconnect_runs_only_where_the_connection_was_accepted() -> None:
    """Who was never there does not leave."""
    view = View(AcceptsItself, options=ViewOptions(auto_accept=False))

    serve(view)
    assert steps == ["connect"]
    serve(view, query_string=b"accept=1")
    assert steps == ["connect", "connect", 1000]


# What is refused at registration


class HasNoHandle:
    async def on_connect(self) -> None: ...


class HandlesInSync:
    def handle(self, ws: WebSocket) -> None: ...


class AnswersInSync:
    def on_message(self, session: WebSocket, data: str) -> None: ...


class IsAbstract(ABC):
    @abstractmethod
    async def handle(self, ws: WebSocket) -> None: ...


class TakesArguments:
    def __init__(self, database: object, table: str = "") -> None: ...

    async def handle(self, ws: WebSocket) -> None: ...


class IsStatic:
    @staticmethod
    async def handle(ws: WebSocket) -> None: ...


class HasClassMethod:
    async def handle(self, ws: WebSocket) -> None: ...

    @classmethod
    def on_connect(cls) -> None: ...


class AsksForNothingKnown:
    async def handle(self, ws: WebSocket) -> None: ...

    async def on_connect(self, weather: str) -> None: ...


class AsksTooEarly:
    async def handle(self, close_code: int) -> None: ...


class WantsMore:
    async def on_message(self, session: WebSocket, data: str, more: str) -> None: ...


class IsStaticOnMessage:
    @staticmethod
    async def on_message(session: WebSocket, data: str) -> None: ...


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (HasNoHandle, "view HasNoHandle has no `handle`; write"),
        (IsAbstract, "view IsAbstract is abstract; it lacks: handle"),
        (TakesArguments, "__init__.*asks for 'database'.*Inject"),
        (IsStatic, r"view IsStatic.handle\(\) must be a plain method"),
        (IsStaticOnMessage, r"view IsStaticOnMessage.on_message\(\) must be a plain method"),
        (HasClassMethod, r"view HasClassMethod.on_connect\(\) must be a plain method"),
        (AsksForNothingKnown, r"AsksForNothingKnown.on_connect\(\): nothing .* 'weather'"),
        (AsksTooEarly, r"AsksTooEarly.handle\(\): nothing supplies parameter 'close_code'"),
        (WantsMore, r"WantsMore.on_message\(.* is called with a session and a message"),
    ],
)
def test_a_class_that_cannot_be_a_view_fails_at_registration(cls: type, message: str) -> None:
    """At import, not at the first connection."""
    with pytest.raises(ConfigurationError, match=message):
        View(cls)


@pytest.mark.parametrize("cls", [HandlesInSync, AnswersInSync])
def test_a_body_that_is_not_async_fails_at_registration(cls: type) -> None:
    """It could neither receive nor send."""
    with pytest.raises(ExpectedAsync, match=r"must be async: write `async def"):
        View(cls)


class TakesDefaults:
    def __init__(self, table: str = "rooms", *rest: Any, **options: Any) -> None:
        self.table = table

    async def handle(self, ws: WebSocket) -> None:
        await ws.send(self.table)


def test_arguments_with_defaults_are_fine() -> None:
    """So are `*args` and `**kwargs`, which mixins pass on."""
    assert serve(TakesDefaults).sent[1]["text"] == "rooms"


def test_a_body_does_not_run_where_on_connect_has_closed() -> None:
    """A refusal in `on_connect` is as good as one in a hook."""

    class Refusing:
        auto_accept = False

        async def on_connect(self, ws: WebSocket) -> None:
            await ws.reject(402)

        async def handle(self, ws: WebSocket) -> None:
            steps.append("handle")

    server = serve(View(Refusing, options=ViewOptions(auto_accept=False)))

    assert server.sent[0]["status"] == 402
    assert steps == []


def test_a_cancellation_inside_on_disconnect_is_its_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever it waited for was cancelled by somebody else."""

    class Waiting:
        async def handle(self, ws: WebSocket) -> None: ...

        async def on_disconnect(self) -> None:
            other = asyncio.ensure_future(asyncio.sleep(60))
            other.cancel()
            await other

    serve(Waiting)

    assert "on_disconnect failed" in caplog.text


class Slow:
    """Takes its time to disconnect, and says when it has."""

    async def handle(self, ws: WebSocket) -> None: ...

    async def on_disconnect(self) -> None:
        steps.append("begun")
        await asyncio.sleep(0.02)
        steps.append("ended")


def test_a_server_that_cancels_during_on_disconnect_waits_for_it() -> None:
    """The clean-up is the last that a connection does, and must not be cut."""

    async def scenario() -> None:
        server = FakeServer()
        task = asyncio.create_task(View(Slow)(server.scope, server.receive, server.send))
        while not steps:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(scenario)
    assert steps == ["begun", "ended"]


def test_an_event_loop_that_ends_ends_on_disconnect_too(caplog: pytest.LogCaptureFixture) -> None:
    """It cancels every task, and that is nobody's bug."""

    async def scenario() -> None:
        server = FakeServer()
        task = asyncio.create_task(View(Slow)(server.scope, server.receive, server.send))
        while not steps:
            await asyncio.sleep(0)
        for other in asyncio.all_tasks() - {asyncio.current_task()}:
            other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(scenario)
    assert steps == ["begun"]
    assert caplog.records == []


def test_a_server_that_cancels_again_and_again_waits_for_on_disconnect_too() -> None:
    """anyio's cancel scopes cancel at every turn of the loop."""

    async def scenario() -> None:
        server = FakeServer()
        task = asyncio.create_task(View(Slow)(server.scope, server.receive, server.send))
        while not steps:
            await asyncio.sleep(0)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0.001)
        assert task.cancelled()

    run(scenario)
    assert steps == ["begun", "ended"]
