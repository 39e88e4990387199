"""What a connection has joined reaches it whole, once and in order, while it is there."""

import asyncio
import gc
import json
import logging
from typing import Any
from weakref import ref

import pytest
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.testclient import TestClient

from bocadillo import (
    App,
    BrokerError,
    ConfigurationError,
    ConnectionStateError,
    PositionLost,
    WebSocket,
    WebSocketDisconnect,
)
from bocadillo.channels import Channels, HistoryLimits, Position, Present, presence_channel
from bocadillo.testing import ConnectionClosed, HandshakeRefused, connect
from tests.channels.readers import GatedBroker
from tests.fakes import FakeServer, run, settle
from tests.joining import Body, Slow, client, joined, reads, served, stay

# What arrives


@pytest.mark.parametrize(
    ("codec", "value", "payload"),
    [
        (None, {"a": 1}, '{"a":1}'),
        ("text", "a", "a"),
        ("bytes", b"a", b"a"),
        ("msgpack", [1], b"\x91\x01"),
    ],
)
def test_a_publication_arrives_as_its_codec_made_it(codec: Any, value: Any, payload: Any) -> None:
    """Text as text and binary as binary, whatever the view itself sends."""

    async def scenario() -> None:
        async with served(stay) as app, connect(app, "/") as ws:
            await joined(app, "x", 1)

            published = await app.channels.publish("x", value, codec=codec)

            assert published.readers_here == 1
            assert await ws.receive() == payload

    run(scenario)


def test_a_late_joiner_gets_the_newest_of_the_past_first() -> None:
    """Who opens a chat sees what was said last."""

    async def view(ws: WebSocket) -> None:
        await ws.join("x", history=2)
        await ws.receive()

    async def scenario() -> None:
        async with served(view) as app:
            for number in range(4):
                await app.channels.publish("x", number)
            async with connect(app, "/") as ws:
                await joined(app, "x", 1)
                await app.channels.publish("x", 4)

                assert [await ws.receive() for _ in range(3)] == ["2", "3", "4"]

    run(scenario)


def test_joiners_that_race_with_publishes_miss_nothing_and_get_nothing_twice() -> None:
    """Each sees an unbroken run of numbers from where its history begins."""
    last = 600

    async def view(ws: WebSocket) -> None:
        await ws.join("x", history=5)
        async for _ in ws:
            pass

    async def read(app: App) -> list[int]:
        numbers: list[int] = []
        async with connect(app, "/", timeout_s=5) as ws:
            while not numbers or numbers[-1] != last:
                numbers.append(int(await ws.receive()))
        return numbers

    async def scenario() -> None:
        async with served(view) as app:
            reading = []
            for number in range(last + 1):
                await app.channels.publish("x", number)
                if number % 10 == 0:
                    reading.append(asyncio.create_task(read(app)))
            for numbers in await asyncio.gather(*reading):
                assert numbers == [*range(numbers[0], last + 1)]

    run(scenario)


def test_since_a_position_a_client_gets_exactly_what_it_missed() -> None:
    """It tells where it was, and goes on from there."""

    async def view(ws: WebSocket) -> None:
        offset, epoch = (await ws.receive()).split()
        await ws.join("x", since=Position(int(offset), epoch))
        await ws.receive()

    async def scenario() -> None:
        async with served(view) as app:
            positions = [(await app.channels.publish("x", n)).position for n in range(5)]
            async with connect(app, "/") as ws:
                await ws.send(f"{positions[1].offset} {positions[1].epoch}")
                await joined(app, "x", 1)
                await app.channels.publish("x", 5)

                assert [await ws.receive() for _ in range(4)] == ["2", "3", "4", "5"]

    run(scenario)


@pytest.mark.parametrize(
    ("position", "why"), [(Position(1, ""), "trimmed"), (Position(5, "other"), "epoch changed")]
)
def test_a_position_that_is_lost_is_raised_and_nothing_is_joined(
    position: Position, why: str
) -> None:
    """The view loads everything anew, and knows that it has to."""

    async def view(ws: WebSocket) -> None:
        with pytest.raises(PositionLost) as lost:
            await ws.join("x", since=position)
        await ws.send(lost.value.why)
        await ws.receive()

    async def scenario() -> None:
        async with served(view, history=HistoryLimits(max_count=2)) as app:
            for number in range(5):
                await app.channels.publish("x", number)
            async with connect(app, "/") as ws:
                assert await ws.receive() == why
                assert app.channels.readers("x") == 0

    run(scenario)


def test_the_publisher_may_leave_itself_out() -> None:
    """By the connection, or by its id."""

    async def view(ws: WebSocket) -> None:
        await ws.join("x")
        async for message in ws:
            await ws.channels.publish("x", message, exclude=ws, codec="text")
            await ws.channels.publish("x", "all", exclude=None if message == "a" else ws.id)

    async def scenario() -> None:
        async with served(view) as app, connect(app, "/") as one, connect(app, "/") as other:
            await joined(app, "x", 2)
            await one.send("a")

            assert await one.receive() == '"all"'
            assert [await other.receive() for _ in range(2)] == ["a", '"all"']
            await one.send("b")
            assert [await other.receive() for _ in range(2)] == ["b", '"all"']
            await other.send("c")
            assert await one.receive() == "c"

    run(scenario)


def test_what_a_view_sends_and_publishes_arrives_in_its_order() -> None:
    """A client that is slow must not see the answer before the question."""

    async def view(ws: WebSocket) -> None:
        await ws.join("x")
        for number in range(0, 30, 3):
            await ws.send(str(number))
            await ws.channels.publish("x", number + 1)
            await ws.channels.publish("x", number + 2)
        await ws.close()

    async def scenario() -> None:
        async with served(view) as app:
            server = Slow()
            serving = asyncio.create_task(app(server.scope, server.receive, server.send))
            while not serving.done():
                server.takes.set()
                await asyncio.sleep(0)
                server.takes.clear()
                await settle()
            server.takes.set()

            assert server.got == [*map(str, range(30)), 1000]

    run(scenario)


def test_requests_and_background_tasks_publish() -> None:
    """What happens elsewhere in the application is told to its sockets."""
    app = App()
    app.websocket_route("/ws")(stay)

    async def publish(request: Request) -> JSONResponse:
        async def later() -> None:
            await app.channels.publish("x", "background")

        published = await app.channels.publish("x", "request")
        return JSONResponse(published.readers_here, background=BackgroundTask(later))

    app.add_route("/publish", publish)
    with TestClient(app) as client, client.websocket_connect("/ws") as ws:
        while client.get("/publish").json() == 0:
            pass

        assert [ws.receive_json() for _ in range(2)] == ["request", "background"]


# Leaving


def test_who_has_left_gets_nothing_more_of_that_channel() -> None:
    """And all of the others."""

    async def view(ws: WebSocket) -> None:
        await ws.leave("x")  # nothing is joined, and nothing happens
        await ws.join("x")
        await ws.join("y")
        async for message in ws:
            await ws.leave(message)

    async def scenario() -> None:
        async with served(view) as app, connect(app, "/") as ws:
            await joined(app, "y", 1)
            await app.channels.publish("x", 1)
            await ws.send("x")
            await joined(app, "x", 0)

            await app.channels.publish("x", 2)
            await app.channels.publish("y", 3)

            assert [await ws.receive() for _ in range(2)] == ["1", "3"]

    run(scenario)


def test_what_is_joined_twice_arrives_once() -> None:
    """Code that does not know whether it has joined just joins."""

    async def view(ws: WebSocket) -> None:
        await ws.join("x")
        await ws.join("x", history=10)
        await ws.receive()

    async def scenario() -> None:
        async with served(view) as app, connect(app, "/") as ws:
            await joined(app, "x", 1)
            await app.channels.publish("x", 1)
            await app.channels.publish("x", 2)

            assert [await ws.receive() for _ in range(2)] == ["1", "2"]

    run(scenario)


async def closes(ws: WebSocket[Any, Any]) -> None:
    await ws.close(4000)


async def fails(ws: WebSocket[Any, Any]) -> None:
    raise LookupError("oops")


async def is_cancelled(ws: WebSocket[Any, Any]) -> None:
    raise asyncio.CancelledError


async def returns(ws: WebSocket[Any, Any]) -> None:
    pass


@pytest.mark.parametrize("end", [closes, fails, is_cancelled, returns, reads])
def test_however_a_connection_ends_it_leaves_all_channels(end: Body) -> None:
    """Rooms, presence and memory would else fill with the dead."""

    async def view(ws: WebSocket) -> None:
        await ws.join("x", presence=1)
        await ws.join("y", history=3)
        await end(ws)

    async def scenario() -> None:
        async with served(view) as app:
            server = FakeServer()
            async with client(app, server):
                pass

            assert [app.channels.readers(name) for name in "xy"] == [0, 0]
            assert await app.channels.presence("x") == []
            assert len(asyncio.all_tasks()) == 1

    run(scenario)


def test_a_server_that_cancels_the_handler_leaves_nothing_behind() -> None:
    """A shutdown must take the presence with it."""

    async def view(ws: WebSocket) -> None:
        await ws.join("x", presence=1)
        await asyncio.sleep(60)

    async def scenario() -> None:
        async with served(view) as app:
            server = FakeServer()
            serving = asyncio.create_task(app(server.scope, server.receive, server.send))
            await joined(app, "x", 1)

            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving

            assert app.channels.readers("x") == 0
            assert await app.channels.presence("x") == []

    run(scenario)


def test_a_task_that_joins_for_a_connection_that_is_gone_leaves_nothing_behind() -> None:
    """A view need not wait for the tasks that it started."""
    joining: list[asyncio.Task[None]] = []
    broker = GatedBroker()

    async def view(ws: WebSocket) -> None:
        joining.append(asyncio.create_task(ws.join("x", presence=1)))
        await asyncio.sleep(0)

    async def scenario() -> None:
        app = App(broker=broker)
        app.websocket_route("/")(view)
        go_on = broker.shut("start")
        async with connect(app, "/"):
            pass
        go_on()
        await asyncio.wait(joining)
        await settle()

        assert app.channels.readers("x") == 0
        assert await app.channels.presence("x") == []
        await app.channels.close()

    run(scenario)


def test_thousands_of_connections_leave_nothing_behind() -> None:
    """A server runs for months."""
    keys = []
    connections: list[Any] = []

    async def view(ws: WebSocket) -> None:
        connections.append(ref(ws))
        keys.append(ref(key := lambda payload: len(payload)))
        await ws.join("x", history=2, presence={"name": "n"}, when_full="latest", key=key)
        await ws.join(f"own:{ws.id}")
        await ws.channels.publish("x", "hello")
        await ws.receive()

    async def visit(app: App) -> None:
        async with connect(app, "/", timeout_s=8) as ws:
            await ws.receive()

    async def scenario() -> None:
        async with served(view) as app:
            for _ in range(20):
                await asyncio.gather(*(visit(app) for _ in range(100)))
            await settle()
            gc.collect()

            assert len(asyncio.all_tasks()) == 1
            assert app.channels._rooms.by_name == {}
            assert app.channels._rooms._channels_of == {}
            assert await app.channels.presence("x") == []
            assert [known for known in connections if known() is not None] == []
            assert [known for known in keys if known() is not None] == []

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())
    assert len(connections) == 2_000


# Presence


def test_presence_shows_who_is_there_and_tells_who_comes_and_goes() -> None:
    """Each connection once, by its id, with what it told of itself."""
    ids: list[str] = []

    async def view(ws: WebSocket) -> None:
        ids.append(ws.id)
        await ws.join("x", presence={"name": ws.query_params["name"]})
        async for _ in ws:
            pass

    async def scenario() -> None:
        async with (
            served(view) as app,
            app.channels.subscribe(presence_channel("x")) as events,
        ):
            async with connect(app, "/?name=Ada"):
                await joined(app, "x", 1)
                async with connect(app, "/?name=Bob"):
                    await joined(app, "x", 2)
                    present = await app.channels.presence("x")
            told = [(await anext(events)).payload for _ in range(4)]

            assert [known.id for known in present] == ids
            assert [known.info for known in present] == [{"name": "Ada"}, {"name": "Bob"}]
            events_told = [(json.loads(text)["event"], json.loads(text)["id"]) for text in told]
            ada, bob = ids
            assert events_told == [("join", ada), ("join", bob), ("leave", bob), ("leave", ada)]

    run(scenario)


def test_joining_again_changes_what_others_see() -> None:
    """A name is changed without leaving the room."""

    async def view(ws: WebSocket) -> None:
        await ws.join("x")
        for info in ("a", "b"):
            await ws.join("x", presence=info)
        shown = await ws.channels.presence("x")
        assert [Present(ws.id, "b", known.since) for known in shown] == shown
        await ws.send(str(len(shown)))

    async def scenario() -> None:
        async with served(view) as app, connect(app, "/") as ws:
            assert await ws.receive() == "1"

    run(scenario)


# What was lost


async def on_gap(policy: Any, send_type: str = "text") -> tuple[list[Any], Channels]:
    """Return what a client gets when publications on two channels are lost and one is not."""
    broker = GatedBroker()
    channels: list[Channels] = []
    limits = HistoryLimits(max_count=1)

    async def view(ws: WebSocket) -> None:
        await ws.join("x", on_gap=policy)
        await ws.join("y", on_gap=policy)
        channels.append(ws.channels)
        async for _ in ws:
            pass

    async with served(view, broker, send_type=send_type, history=limits) as app:
        server = Slow()
        async with client(app, server):
            await joined(app, "y", 1)
            await app.channels.publish("x", 0)
            broker.lose()
            for channel in ("x", "y"):
                for number in (1, 2):
                    await broker.miss(channel, str(number), limits)
            broker.restore()
            await settle()
            await settle()
        return server.got, channels[0]


def test_a_gap_is_only_counted_as_long_as_nobody_says_otherwise() -> None:
    """What is left of the history still arrives."""

    async def scenario() -> None:
        got, channels = await on_gap("continue")

        assert got == ["0", "2", "2"]
        assert channels.counters.gaps == 2

    run(scenario)


def test_a_gap_may_be_told_by_a_value() -> None:
    """The page knows that it has to load everything anew."""

    async def scenario() -> None:
        assert (await on_gap({"lost": True}, "json"))[0] == [
            *("0", '{"lost":true}', "2", '{"lost":true}', "2")
        ]

    run(scenario)


def test_a_gap_may_close_the_connection_which_it_does_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However many of its channels have gaps."""

    async def scenario() -> None:
        got, _ = await on_gap("close")

        assert got == ["0", 1013]

    run(scenario)
    assert "never retrieved" not in caplog.text


def test_a_value_for_gaps_that_cannot_be_sent_is_refused() -> None:
    """At once, and not when the broker is lost."""

    async def view(ws: WebSocket) -> None:
        with pytest.raises(ConfigurationError, match="cannot be sent: the view sends raw events"):
            await ws.join("x", on_gap="lost")

    async def scenario() -> None:
        async with served(view, send_type="event") as app, connect(app, "/"):
            pass

    run(scenario)


# Where there is nothing to join


def test_nothing_is_joined_before_accept() -> None:
    """What came then could not be sent."""

    async def view(ws: WebSocket) -> None:
        with pytest.raises(ConnectionStateError, match="while connecting"):
            await ws.join("x")
        await ws.reject(401)

    async def scenario() -> None:
        async with served(view, auto_accept=False) as app:
            with pytest.raises(HandshakeRefused):
                await connect(app, "/").__aenter__()
            assert app.channels.readers("x") == 0

    run(scenario)


def test_nothing_is_joined_when_the_client_has_gone() -> None:
    """The view is told of the leaving, as by a send."""
    told: list[int] = []

    async def view(ws: WebSocket) -> None:
        try:
            await ws.receive()
        except WebSocketDisconnect:
            try:
                await ws.join("x")
            except WebSocketDisconnect as exc:
                told.append(exc.code)

    async def scenario() -> None:
        async with served(view) as app:
            async with client(app, FakeServer()):
                pass
            assert app.channels.readers("x") == 0

    run(scenario)
    assert told == [1000]


def test_a_connection_of_another_framework_has_no_channels() -> None:
    """The error says whose routes have some."""

    async def scenario() -> None:
        ws = await FakeServer().accepted()

        with pytest.raises(ConnectionStateError, match="come with a route of an App or Router"):
            await ws.join("x")
        with pytest.raises(ConnectionStateError, match="come with a route of an App or Router"):
            _ = ws.channels
        await ws.leave("x")

    run(scenario)


# A broker that fails


def test_a_broker_that_fails_closes_with_1013_and_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client may come back later; a traceback would tell nobody more."""
    broker = GatedBroker()

    async def scenario() -> None:
        async with served(stay, broker) as app:
            broker.failure = BrokerError("the broker is away")
            async with connect(app, "/") as ws:
                with pytest.raises(ConnectionClosed) as closed:
                    await ws.receive()
            broker.failure = None

            assert closed.value.code == 1013
            assert app.channels.readers("x") == 0

    with caplog.at_level(logging.INFO, "bocadillo"):
        run(scenario)
    (record,) = caplog.records
    assert record.getMessage().endswith("stay: closed with 1013: the broker is away")
    assert record.exc_info is None


def test_a_broker_that_fails_before_accept_is_http_503(caplog: pytest.LogCaptureFixture) -> None:
    """A balancer tries another server."""
    broker = GatedBroker()

    async def view(ws: WebSocket) -> None:
        await ws.channels.publish("x", 1)

    async def scenario() -> None:
        async with served(view, broker, auto_accept=False) as app:
            broker.failure = BrokerError("the broker is away")
            with pytest.raises(HandshakeRefused) as refused:
                await connect(app, "/").__aenter__()
            broker.failure = None

            assert refused.value.status == 503

    with caplog.at_level(logging.INFO, "bocadillo"):
        run(scenario)
    (record,) = caplog.records
    assert "the broker is away" in record.getMessage()
    assert record.exc_info is None


def test_a_request_sees_that_the_broker_fails() -> None:
    """It can be answered by what is right for it."""
    broker = GatedBroker()
    app = App(broker=broker)

    async def publish(request: Request) -> PlainTextResponse:
        try:
            await app.channels.publish("x", 1)
        except BrokerError as exc:
            return PlainTextResponse(str(exc), 503)
        return PlainTextResponse("published")

    app.add_route("/", publish)
    with TestClient(app) as http:
        assert http.get("/").text == "published"
        broker.failure = BrokerError("the broker is away")
        assert (http.get("/").status_code, http.get("/").text) == (503, "the broker is away")
        broker.failure = None
