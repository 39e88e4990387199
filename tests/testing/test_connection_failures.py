"""What `connect` says when something goes wrong in the application."""

import asyncio
import time

import pytest
from starlette.types import Receive, Scope, Send

from bocadillo import App, WebSocket
from bocadillo.testing import Connection, ConnectionClosed, HandshakeRefused, connect
from tests.testing.apps import ACCEPT, Stage, deny, echo, fail, fail_after_accept, sending, visit

# Time-outs


def test_time_out_tells_what_came_before_and_where_the_view_stands() -> None:
    """One sees from the message alone what the application is busy with."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.send", "text": "first"})
        await asyncio.sleep(3600)  # forever

    async def scenario() -> None:
        async with connect(app, "/x", timeout_s=0.01, end_timeout_s=0.01) as ws:
            await ws.receive()
            await ws.receive()

    with pytest.raises(TimeoutError) as info:
        asyncio.run(scenario())

    assert "no message within 0.01 s on '/x'; received before it: 'first'; " in str(info.value)
    assert "waits in app(), test_connection_failures.py:" in str(info.value)
    assert "await asyncio.sleep(3600)  # forever" in str(info.value)


def test_time_out_tells_only_the_last_of_many_messages() -> None:
    """A message that can be read."""

    async def scenario() -> None:
        async with connect(echo, "/", timeout_s=0.01) as ws:
            for number in range(7):
                await ws.send(str(number))
                await ws.receive()
            await ws.receive()

    with pytest.raises(TimeoutError, match="received 7 before, the last '2', '3', '4', '5', '6';"):
        asyncio.run(scenario())


def test_time_out_loses_no_message() -> None:
    """What comes late comes to the next `receive`."""

    async def scenario() -> str:
        async with connect(echo, "/", timeout_s=0.01) as ws:
            with pytest.raises(TimeoutError, match="received before it: nothing"):
                await ws.receive()
            await ws.send("late")
            return await ws.receive_text()

    assert asyncio.run(scenario()) == "late"


def test_what_comes_at_the_last_moment_comes_in_time() -> None:
    """A machine that was busy fails no test whose application has answered."""

    async def answers_next_turn(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        await echo(scope, receive, send)

    async def scenario() -> Connection:
        asyncio.get_running_loop().call_soon(time.sleep, 0.05)
        return await visit(answers_next_turn, timeout_s=0.01)

    assert asyncio.run(scenario()).close_code == 1000


def test_handshake_that_takes_too_long_is_an_error() -> None:
    """The application is cancelled, and the message says where it was."""
    ends = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(3600)  # which the event loop holds on to
        finally:
            ends.append("cancelled")

    with pytest.raises(TimeoutError, match="no answer to the handshake within 0.01 s on '/'"):
        asyncio.run(visit(app, timeout_s=0.01))

    assert ends == ["cancelled"]


def test_application_that_stays_is_cancelled_and_told_of() -> None:
    """A view that does not notice that its client left is found out."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await asyncio.sleep(3600)  # which the event loop holds on to

    with pytest.raises(TimeoutError, match="on '/' did not end within 0.01 s .* waits in app()"):
        asyncio.run(visit(app, end_timeout_s=0.01))


def test_leaving_that_is_given_up_cancels_the_application() -> None:
    """A time-out around the whole leaves no task behind."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await asyncio.sleep(3600)  # which the event loop holds on to

    async def scenario() -> int:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(visit(app), 0.01)
        return len(asyncio.all_tasks())

    assert asyncio.run(scenario()) == 1


# Refusals


def test_refusal_carries_status_headers_and_body() -> None:
    """As HTTP clients see it."""

    async def scenario() -> HandshakeRefused:
        with pytest.raises(HandshakeRefused, match="refused by HTTP 404") as info:
            await visit(Stage(deny))
        return info.value

    refused = asyncio.run(scenario())

    assert (refused.status, refused.body) == (404, b"not\n")
    assert refused.headers["X-Room"] == "full"


def test_refusal_without_headers_or_body_is_allowed() -> None:
    """ASGI lets both out."""
    app = sending(
        {"type": "websocket.http.response.start", "status": 204},
        {"type": "websocket.http.response.body"},
    )

    with pytest.raises(HandshakeRefused) as info:
        asyncio.run(visit(app))

    assert (info.value.status, info.value.body, len(info.value.headers)) == (204, b"", 0)


def test_failing_before_accept_is_http_500_and_the_cause_is_there() -> None:
    """The test's output shows the application's traceback."""
    with pytest.raises(HandshakeRefused) as info:
        asyncio.run(visit(Stage(fail)))

    assert (info.value.status, info.value.body) == (500, b"Internal Server Error")
    assert isinstance(info.value.__cause__, ValueError)


# What goes wrong in the application


def test_exception_of_the_application_is_raised_in_the_test() -> None:
    """No bug passes unseen."""

    async def scenario() -> None:
        async with connect(Stage(fail_after_accept), "/") as ws:
            with pytest.raises(ConnectionClosed, match="1006") as info:
                await ws.receive()
            assert isinstance(info.value.__cause__, ValueError)

    with pytest.raises(ValueError, match="oops"):
        asyncio.run(scenario())


def test_bug_of_a_view_is_raised_in_the_test() -> None:
    """bocadillo logs it and answers 1011; the test still fails."""
    app = App()

    @app.websocket_route("/")
    async def view(ws: WebSocket) -> None:
        raise ValueError("oops")

    async def scenario() -> None:
        async with connect(app, "/") as ws:
            with pytest.raises(ConnectionClosed, match="1011"):
                await ws.receive()

    with pytest.raises(ValueError, match="oops"):
        asyncio.run(scenario())


def test_bug_before_accept_is_the_cause_of_the_refusal() -> None:
    """HTTP 500 is what a client sees, and why is what a developer needs."""
    app = App()

    @app.websocket_route("/", auto_accept=False)
    async def view(ws: WebSocket) -> None:
        raise ValueError("oops")

    with pytest.raises(HandshakeRefused, match="500") as info:
        asyncio.run(visit(app))

    assert isinstance(info.value.__cause__, ValueError)


def test_failed_test_keeps_its_exception_and_gets_a_note() -> None:
    """The test's own exception is not hidden, and neither is the application's."""

    async def scenario() -> None:
        async with connect(Stage(fail_after_accept), "/"):
            raise KeyError("of the test")

    with pytest.raises(KeyError, match="of the test") as info:
        asyncio.run(scenario())

    assert info.value.__notes__ == ["The application on '/' failed, too: ValueError('oops')"]


def test_failed_test_stays_as_it_is_when_the_application_is_well() -> None:
    """No note without a reason."""

    async def scenario() -> None:
        async with connect(echo, "/"):
            raise KeyError("of the test")

    with pytest.raises(KeyError, match="of the test") as info:
        asyncio.run(scenario())

    assert not hasattr(info.value, "__notes__")


def test_failure_in_the_view_by_pytest_is_the_tests() -> None:
    """`pytest.fail`, which is no `Exception`, may be called from a view."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        pytest.fail("from the view")

    with pytest.raises(pytest.fail.Exception, match="from the view"):
        asyncio.run(visit(app))


def test_end_of_the_program_passes_through_the_application() -> None:
    """Ctrl+C ends the test run, not a connection."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(visit(app))


def test_cancellation_that_escapes_is_an_error() -> None:
    """The test is not cancelled for it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="let a CancelledError escape"):
        asyncio.run(visit(app))


def test_sending_to_a_client_that_left_is_a_way_to_end() -> None:
    """uvicorn takes it in silence, so no test fails of it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        await send({"type": "websocket.send", "text": "late"})
        raise AssertionError("send() must have raised")

    asyncio.run(visit(app))
