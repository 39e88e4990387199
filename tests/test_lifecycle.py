"""The lifecycle's own decisions; what a client sees of them is in tests/servers/."""

import asyncio
import gc
import logging
import weakref
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message
from starlette.websockets import WebSocketDisconnect as StarletteDisconnect

from bocadillo import App, InvalidMessage, WebSocket, WebSocketRoute
from bocadillo.endings import BUGS_KEY
from bocadillo.views import View, ViewOptions
from tests.fakes import CONNECT, FakeServer, left, run, settle, text


class OutOfStock(Exception):
    """An application's own exception."""


def types(server: FakeServer) -> list[str]:
    return [event["type"].removeprefix("websocket.") for event in server.sent]


def ending(server: FakeServer) -> tuple[str, Any, Any]:
    """Return the last event's type with what tells it apart."""
    last = server.sent[-1]
    if last["type"] == "websocket.close":
        return ("close", last["code"], last["reason"])
    start = server.sent[-2]
    return ("http", start["status"], last["body"])


def serve(app: ASGIApp, *events: Message, **scope: Any) -> FakeServer:
    """Serve one connection and return what the server saw."""

    async def scenario() -> FakeServer:
        server = FakeServer(*events, **scope)
        await app(server.scope, server.receive, server.send)
        return server

    return run(scenario)


def raising(error: BaseException, **options: Any) -> View:
    async def view(ws: WebSocket) -> None:
        raise error

    return View(view, options=ViewOptions(**options))


BEFORE = {"auto_accept": False}

ENDS = [
    (WebSocketException(4001, "why"), ("close", 4001, "why"), ("close", 4001, "why")),
    (HTTPException(401, "who"), ("close", 1008, "who"), ("http", 401, b"who")),
    (HTTPException(403, "no"), ("close", 1008, "no"), ("http", 403, b"no")),
    (HTTPException(404, "what"), ("close", 1011, "what"), ("http", 404, b"what")),
    (LookupError("secret"), ("close", 1011, ""), ("http", 500, b"Internal Server Error\n")),
    (InvalidMessage("bad"), ("close", 1007, "bad"), ("close", 1007, "bad")),
    (InvalidMessage("bad", code=1003), ("close", 1003, "bad"), ("close", 1003, "bad")),
    (StarletteDisconnect(1000), ("close", 1011, ""), ("http", 500, b"Internal Server Error\n")),
]


@pytest.mark.parametrize(("error", "after", "before"), ENDS, ids=lambda value: repr(value))
def test_every_exception_has_its_ending(error: Exception, after: Any, before: Any) -> None:
    """The table of the architecture page, before accept and after it."""
    assert ending(serve(raising(error))) == after
    assert ending(serve(raising(error, **BEFORE))) == before


def test_a_view_that_returns_is_closed_with_1000() -> None:
    """Servers leave that to the application; without it the client sees 1006."""

    async def view(ws: WebSocket) -> None:
        pass

    assert ending(serve(View(view))) == ("close", 1000, "")


def test_a_view_that_returns_without_an_answer_refuses_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Forgetting `accept()` must not look like a server error."""

    async def view(ws: WebSocket) -> None:
        pass

    server = serve(View(view, options=ViewOptions(auto_accept=False)))

    assert types(server) == ["close"]
    assert "returned without accept() or reject()" in caplog.text


def test_a_bug_is_logged_once_with_traceback_route_and_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And is not raised to the server, which would log it again."""
    view = raising(LookupError("oops"))

    serve(view)

    (record,) = caplog.records
    assert record.name == "bocadillo"
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.getMessage().endswith("] view: the view failed")
    assert record.getMessage()[0] == "["


@pytest.mark.parametrize(
    "error", [WebSocketException(4001), HTTPException(401), InvalidMessage("bad")]
)
def test_what_a_client_did_leaves_no_traceback(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A log full of tracebacks hides the one that matters."""
    caplog.set_level(logging.INFO)

    serve(raising(error))

    assert all(record.levelno == logging.INFO for record in caplog.records)
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize(
    ("event", "lines"), [(left(1000, ""), 0), (left(4000, "tired"), 1), (left(1006), 1)]
)
def test_a_leaving_is_silent_or_one_line_at_info(
    event: Message, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is sent to a client that has gone."""
    caplog.set_level(logging.INFO)

    async def view(ws: WebSocket) -> None:
        await ws.receive()

    server = serve(View(view), event)

    assert types(server) == ["accept"]
    assert len(caplog.records) == lines
    assert all("the client left with" in record.getMessage() for record in caplog.records)


def test_a_leaving_inside_a_task_group_is_a_leaving(caplog: pytest.LogCaptureFixture) -> None:
    """A task group wraps it in an exception group; a bug beside it stays a bug."""
    caplog.set_level(logging.INFO)

    async def failing(error: Exception) -> None:
        raise error

    async def view(ws: WebSocket, bug: bool = False) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing(LookupError()) if bug else ws.receive())
            group.create_task(ws.receive())

    for query, level in ((b"", logging.INFO), (b"bug=1", logging.ERROR)):
        caplog.clear()
        serve(View(view), left(4000, "tired"), query_string=query)
        assert [record.levelno for record in caplog.records] == [level]


def test_an_ended_connection_is_freed_at_once() -> None:
    """A weak set of clients must not hold those who left until the garbage collector runs."""
    clients: weakref.WeakSet[WebSocket] = weakref.WeakSet()

    async def view(ws: WebSocket) -> None:
        clients.add(ws)
        async for _ in ws:
            pass

    gc.disable()
    try:
        serve(View(view), text("a"), left(1000, ""))
        assert len(clients) == 0
    finally:
        gc.enable()


def test_a_leaving_during_the_handshake_runs_no_view() -> None:
    """The view would only find out at its first send."""
    ran = []

    async def view(ws: WebSocket) -> None:
        ran.append(ws)

    async def scenario() -> None:
        server = FakeServer()
        server.queue.get_nowait()
        server.queue.put_nowait(left(1006))
        await View(view)(server.scope, server.receive, server.send)
        assert server.sent == []

    run(scenario)
    assert ran == []


def test_bad_parameters_are_answered_before_anything_else() -> None:
    """HTTP 400 with the errors as JSON; the view never runs."""
    ran = []

    async def view(ws: WebSocket, limit: int = 1) -> None:
        ran.append(limit)

    server = serve(View(view), query_string=b"limit=many")

    assert ending(server)[:2] == ("http", 400)
    assert b'"loc":["query","limit"]' in ending(server)[2]
    assert ran == []


def test_the_first_subprotocol_that_the_client_offered_is_chosen() -> None:
    """The server's order counts."""

    async def view(ws: WebSocket) -> None:
        pass

    options = ViewOptions(subprotocols=("v3", "v2", "v1"))
    for offered, chosen in ((["v1", "v2"], "v2"), (["v0"], None), ([], None)):
        server = serve(View(view, options=options), subprotocols=offered)
        assert server.sent[0]["subprotocol"] == chosen


def test_a_cancelled_server_closes_with_1012_and_stays_cancelled() -> None:
    """hypercorn ends connections by cancelling their tasks."""

    async def view(ws: WebSocket) -> None:
        await asyncio.sleep(60)

    async def scenario() -> None:
        server = FakeServer()
        task = asyncio.create_task(View(view)(server.scope, server.receive, server.send))
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ending(server) == ("close", 1012, "")

    run(scenario)


def test_a_cancellation_from_within_is_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    """Awaiting a task that others cancelled is not the end of the server."""

    async def view(ws: WebSocket) -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    assert ending(serve(View(view))) == ("close", 1011, "")
    assert "the view failed" in caplog.text


def test_a_view_whose_client_left_is_cancelled_quietly(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the server's task goes on as if the view had returned."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("bocadillo.leaving.SWEEP_INTERVAL_S", 0.01)
    app = App(leave_grace_s=0.01)
    steps = []

    @app.websocket_route("/")
    async def view(ws: WebSocket) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            steps.append("cleaned up")

    async def scenario() -> None:
        server = FakeServer(left(1001, ""))
        await app(server.scope, server.receive, server.send)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run(scenario)
    assert steps == ["cleaned up"]
    assert "cancelled: the client left with 1001" in caplog.text


def test_a_handshake_that_takes_too_long_is_refused(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client must not wait for ever, and not hold a view for ever."""
    monkeypatch.setattr("bocadillo.leaving.SWEEP_INTERVAL_S", 0.01)
    app = App(handshake_timeout_s=0.02)

    @app.websocket_route("/", auto_accept=False)
    async def view(ws: WebSocket) -> None:
        await asyncio.sleep(60)

    assert ending(serve(app)) == ("http", 503, b"the handshake took too long\n")
    assert "the handshake took too long" in caplog.text


def test_a_caller_gets_the_bugs_it_asked_for() -> None:
    """The clients of `bocadillo.testing` raise them in the test."""
    bugs: list[BaseException] = []

    serve(raising(LookupError("mine")), **{BUGS_KEY: bugs})
    serve(raising(InvalidMessage("theirs")), **{BUGS_KEY: bugs})

    assert [str(bug) for bug in bugs] == ["mine"]


# Exception handlers of the application


def app_with(handler: Any, key: Any = OutOfStock, **route: Any) -> Starlette:
    async def view(ws: WebSocket) -> None:
        raise OutOfStock("apples")

    routes = [WebSocketRoute("/", view, **route)]
    return Starlette(routes=routes, exception_handlers={key: handler})


def test_an_exception_handler_gets_our_websocket_before_anything_is_closed() -> None:
    """It may send a last message and close as it likes."""

    async def handler(ws: Any, exc: Exception) -> None:
        assert type(ws) is WebSocket
        await ws.send(f"no {exc}")
        await ws.close(4000)

    server = serve(app_with(handler))

    assert types(server) == ["accept", "send", "close"]
    assert ending(server) == ("close", 4000, "")


def test_what_a_handler_leaves_open_is_closed_with_1000() -> None:
    """The exception was handled; so the view has ended well."""

    async def handler(ws: Any, exc: Exception) -> None:
        pass

    assert ending(serve(app_with(handler))) == ("close", 1000, "")
    assert ending(serve(app_with(handler, **BEFORE))) == ("close", 403, "")


def test_a_response_of_a_handler_answers_the_handshake() -> None:
    """One handler for HTTP and WebSockets."""

    def handler(ws: HTTPConnection, exc: Exception) -> Response:
        return JSONResponse({"detail": str(exc)}, status_code=409)

    server = serve(app_with(handler, **BEFORE))

    assert ending(server) == ("http", 409, b'{"detail":"apples"}')


def test_a_response_whose_body_comes_later_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """A refusal is sent at once."""

    async def handler(ws: HTTPConnection, exc: Exception) -> Response:
        return StreamingResponse(iter(["x"]))

    server = serve(app_with(handler, **BEFORE))

    assert ending(server) == ("http", 500, b"Internal Server Error\n")
    assert "handler() returned a StreamingResponse" in caplog.text


def test_a_response_comes_too_late_for_an_open_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The table decides then."""

    async def handler(ws: HTTPConnection, exc: Exception) -> Response:
        return JSONResponse({}, status_code=409)

    assert ending(serve(app_with(handler))) == ("close", 1011, "")


def test_async_with_leaves_a_handled_exception_to_its_handler() -> None:
    """The block closes all others by itself."""

    async def handler(ws: Any, exc: Exception) -> None:
        await ws.close(4009)

    async def view(ws: WebSocket) -> None:
        async with ws:
            raise OutOfStock

    routes = [WebSocketRoute("/", view)]
    app = Starlette(routes=routes, exception_handlers={OutOfStock: handler})

    assert ending(serve(app)) == ("close", 4009, "")
    assert ending(serve(Starlette(routes=routes))) == ("close", 1011, "")


def test_a_handler_for_a_status_answers_http_exceptions() -> None:
    """As Starlette's do for requests."""

    def handler(ws: HTTPConnection, exc: Exception) -> Response:
        return Response(b"teapot", status_code=418)

    routes = [raising(HTTPException(418), **BEFORE)]
    app = Starlette(routes=[WebSocketRoute("/", routes[0])], exception_handlers={418: handler})

    assert ending(serve(app)) == ("http", 418, b"teapot")


def test_starlettes_own_default_handlers_leave_it_to_the_table() -> None:
    """They know no close codes."""
    view = raising(HTTPException(401, "who", {"WWW-Authenticate": "Bearer"}), **BEFORE)

    server = serve(Starlette(routes=[WebSocketRoute("/", view)]))

    assert ending(server) == ("http", 401, b"who")
    assert (b"www-authenticate", b"Bearer") in server.sent[0]["headers"]


def test_a_handler_that_fails_is_the_bug_that_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the exception it was called for as its context."""

    async def handler(ws: Any, exc: Exception) -> None:
        raise ZeroDivisionError

    assert ending(serve(app_with(handler))) == ("close", 1011, "")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)
    assert isinstance(record.exc_info[1].__context__, OutOfStock)


def test_a_sync_handler_that_returns_an_awaitable_is_awaited() -> None:
    """A lambda around a coroutine function, say."""

    async def close(ws: Any) -> None:
        await ws.close(4010)

    assert ending(serve(app_with(lambda ws, exc: close(ws)))) == ("close", 4010, "")


def test_a_view_with_unread_messages_and_a_bug_is_closed_all_the_same() -> None:
    """Whatever is pending on either side."""

    async def view(ws: WebSocket) -> None:
        await ws.receive()
        raise LookupError

    server = serve(View(view), text("a"), text("b"))

    assert ending(server) == ("close", 1011, "")
    assert CONNECT["type"] == "websocket.connect"


def test_a_websocket_exception_whose_code_may_not_be_sent_is_a_bug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In silence, nobody would know why clients see 1011."""
    assert ending(serve(raising(WebSocketException(1006)))) == ("close", 1011, "")
    assert "the view failed" in caplog.text


def test_a_detail_cannot_write_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """It may repeat what the client wrote in the URL."""
    caplog.set_level(logging.INFO)

    serve(raising(HTTPException(404, "no room a\r\nERROR: forged"), **BEFORE))

    assert caplog.records[0].getMessage().isprintable()


def test_an_exception_handler_is_watched_as_the_view_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its client may leave, too."""
    monkeypatch.setattr("bocadillo.leaving.SWEEP_INTERVAL_S", 0.01)

    async def handler(ws: Any, exc: Exception) -> None:
        await asyncio.sleep(60)

    app = App(exception_handlers={OutOfStock: handler}, leave_grace_s=0.01)

    @app.websocket_route("/")
    async def view(ws: WebSocket) -> None:
        raise OutOfStock

    assert types(serve(app, left(1001, ""))) == ["accept"]
