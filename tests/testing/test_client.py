"""`create_client`, and the names of `bocadillo.testing`."""

import asyncio
import importlib
import subprocess
import sys

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import WebSocketDenialResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

import bocadillo.testing
from bocadillo import App, WebSocket
from bocadillo.testing import client as client_room
from bocadillo.testing import create_client

app = App()


@app.websocket_route("/echo")
async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


@app.websocket_route("/bug")
async def bug(ws: WebSocket) -> None:
    raise LookupError("oops")


@app.websocket_route("/early-bug", auto_accept=False)
async def early_bug(ws: WebSocket) -> None:
    raise LookupError("oops")


@app.websocket_route("/late-bug")
async def late_bug(ws: WebSocket) -> None:
    async for _ in ws:
        pass
    await asyncio.sleep(0.01)
    raise LookupError("oops")


@app.websocket_route("/refuse", auto_accept=False)
async def refuse(ws: WebSocket) -> None:
    await ws.reject(418, "teapot")


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


app.add_route("/", hello)


def test_client_speaks_to_views() -> None:
    """Without a server, and without asyncio in the test."""
    with create_client(app).websocket_connect("/echo") as ws:
        ws.send_text("a")

        assert ws.receive_text() == "a"


def test_client_speaks_http_too() -> None:
    """It is Starlette's in everything else."""
    assert create_client(app, base_url="http://example.org").get("/").text == "hello"


def test_application_and_lifespan_are_at_hand() -> None:
    """`client.app` is the application itself, and `with` runs its lifespan."""
    with create_client(app) as client:
        assert client.app is app


def test_bug_of_a_view_is_raised_in_the_test() -> None:
    """A test fails of it, even if it did not look at the close code."""

    def visit() -> None:
        with create_client(app).websocket_connect("/bug") as ws:
            with pytest.raises(WebSocketDisconnect) as info:
                ws.receive_text()
            assert info.value.code == 1011

    with pytest.raises(LookupError, match="oops"):
        visit()


def test_bug_before_accept_is_raised_in_the_test() -> None:
    """Rather than the HTTP 500 that a client would see."""
    with (
        pytest.raises(LookupError, match="oops"),
        create_client(app).websocket_connect("/early-bug"),
    ):
        pass


def test_bug_after_the_clients_leaving_is_raised_in_the_test() -> None:
    """Starlette's client alone would cancel the view instead."""
    with (
        pytest.raises(LookupError, match="oops"),
        create_client(app).websocket_connect("/late-bug"),
    ):
        pass


def test_bugs_can_be_left_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """As Starlette's option says of HTTP."""
    client = create_client(app, raise_server_exceptions=False)

    with client.websocket_connect("/bug") as ws, pytest.raises(WebSocketDisconnect):
        ws.receive_text()

    assert "the view failed" in caplog.text


def test_what_a_client_is_refused_is_no_bug() -> None:
    """HTTP answers of the handshake are Starlette's exception."""
    with (
        pytest.raises(WebSocketDenialResponse) as info,
        create_client(app).websocket_connect("/refuse"),
    ):
        pass

    assert (info.value.status_code, info.value.text) == (418, "teapot")


def test_exception_of_another_application_is_raised() -> None:
    """The client is for any ASGI application."""

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        raise LookupError("oops")

    with pytest.raises(LookupError, match="oops"), create_client(fails).websocket_connect("/"):
        pass


def test_view_that_does_not_end_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says where it is."""
    monkeypatch.setattr(client_room, "END_TIMEOUT_S", 0.05)

    async def stays(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await asyncio.sleep(3600)  # which the event loop holds on to

    with (
        pytest.raises(TimeoutError, match=r"did not end within 0.05 s .* waits in stays\(\)"),
        create_client(stays).websocket_connect("/"),
    ):
        pass


# The package


def test_names_are_imported_when_they_are_used() -> None:
    """`dir` shows them all, and each is there."""
    assert {*bocadillo.testing.__all__} <= {*dir(bocadillo.testing)}
    for name in bocadillo.testing.__all__:
        assert getattr(bocadillo.testing, name).__name__ == name


def test_unknown_name_is_an_attribute_error() -> None:
    """As of every module."""
    with pytest.raises(AttributeError, match="'bocadillo.testing' has no attribute 'Nothing'"):
        _ = bocadillo.testing.Nothing


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what to install."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    monkeypatch.delitem(sys.modules, "bocadillo.testing.client")

    with pytest.raises(ImportError) as info:
        importlib.import_module("bocadillo.testing.client")

    assert str(info.value) == "create_client needs the extra 'test': pip install 'bocadillo[test]'"


def test_rest_can_do_without_the_extra() -> None:
    """A server and a client in process are there in every installation."""
    program = (
        "import sys\n"
        "sys.modules.update(httpx2=None, pytest=None, requests=None)\n"
        "from bocadillo.testing import LiveServer, connect\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
