"""Messages and endings of the server protocol on a real uvicorn, in and out of order."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import websockets
from uvicorn.protocols.utils import ClientDisconnected

from bocadillo.server.limits import Limits
from tests.server.clients import CLOSE, TEXT, client_frame, close
from tests.servers.inside import (
    ACCEPT,
    QUICK,
    echo,
    lines,
    on_both_loops,
    run,
    saying,
    serving,
    tracebacks,
    until,
)

BUSY = 4  # times that a machine which does other things may take longer


def recorder(events: list[Any]) -> Callable[..., Any]:
    """Return an application that accepts and keeps all that it is told."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        while not events or events[-1]["type"] != "websocket.disconnect":
            events.append(await receive())

    return app


# Messages


@on_both_loops
@pytest.mark.parametrize("deflate", [False, True])
def test_messages_of_all_sizes_come_back(loop: str, deflate: bool) -> None:
    """Each size takes another way: copied, or written behind its header; one read or many."""

    async def scenario() -> None:
        async with serving(echo, ws_per_message_deflate=deflate) as server:
            url = f"ws://127.0.0.1:{server.port}"
            compression = "deflate" if deflate else None
            async with websockets.connect(url, compression=compression, max_size=None) as ws:
                for size in (0, 1, 125, 126, 16_383, 16_384, 65_535, 65_536, 3_000_000):
                    for payload in ("é" * (size // 2), bytes(size)):
                        await ws.send(payload)
                        assert await ws.recv() == payload

    run(scenario, loop)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_is_sent_is_what_it_was_when_it_was_sent(kind: Callable[[Any], Any]) -> None:
    """Frames are written at the end of the turn; a buffer may have changed by then."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        buffer = bytearray(b"x" * 100_000)
        payload = buffer if kind is bytearray else kind(buffer)
        await send({"type": "websocket.send", "bytes": payload})
        buffer[:] = b"y" * 100_000
        await receive()

    async def scenario() -> None:
        async with serving(app) as server:
            client = await server.open()
            assert await client.frame() == (0x82, b"x" * 100_000)

    run(scenario)


WRONG = [
    ({"type": "websocket.accept"}, RuntimeError, "cannot send 'websocket.accept' while open"),
    ({"type": "websocket.http.response.start", "status": 200}, RuntimeError, "while open"),
    ({"type": "websocket.send"}, ValueError, "needs a value"),
    ({"type": "websocket.send", "bytes": 5}, TypeError, "must be bytes"),
    ({"type": "websocket.send", "text": "\ud800"}, UnicodeEncodeError, "surrogates"),
    ({"type": "websocket.close", "code": 1005}, ValueError, "1005"),
    ({"type": "websocket.close", "code": 999}, ValueError, "999"),
]


@pytest.mark.parametrize(("event", "error", "words"), WRONG)
def test_what_may_not_be_sent_is_an_error_and_no_end(
    event: dict[str, Any], error: type[Exception], words: str
) -> None:
    """A mistake that the application catches leaves the connection as it was."""
    raised: list[BaseException] = []

    async def scenario() -> None:
        after = {"type": "websocket.send", "text": "still here"}
        async with serving(saying(ACCEPT, event, after, raised=raised)) as server:
            client = await server.open()
            assert await client.text() == "still here"
            assert await client.close_code() == 1000

    run(scenario)
    assert [type(one) for one in raised] == [error]
    assert words in str(raised[0])


# The end


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        (close(1000, b"bye"), 1000, "bye"),
        (close(4999, "é".encode()), 4999, "é"),
        (client_frame(CLOSE), 1005, ""),
        (b"", 1006, ""),
    ],
)
@on_both_loops
def test_the_application_is_told_the_clients_code(
    sent: bytes, code: int, reason: str, loop: str
) -> None:
    """1005 for a close without a code, and 1006 for a connection that was lost."""
    events: list[Any] = []

    async def scenario() -> None:
        async with serving(recorder(events)) as server:
            client = await server.open(behind=client_frame(TEXT, b"last"))
            client.write(sent)
            if sent:
                assert await client.close_code() == code
                assert await client.end() == b""
            client.close()
            await server.until_idle()

    run(scenario, loop)
    assert events == [
        {"type": "websocket.receive", "text": "last"},
        {"type": "websocket.disconnect", "code": code, "reason": reason},
    ]


@on_both_loops
@pytest.mark.parametrize("end", ["reset", "fin", "half"])
def test_a_lost_connection_is_told_within_a_second_and_not_a_line_in_the_log(
    loop: str, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By RST, or by FIN without a close frame, of both sides or one."""
    events: list[Any] = []

    async def scenario() -> None:
        async with serving(recorder(events), limits=Limits(), ws_ping_interval=None) as server:
            client = await server.open()
            if end == "reset":
                client.reset()
            elif end == "fin":
                client.close()
            else:
                client.writer.write_eof()
            async with asyncio.timeout(1):
                await until(lambda: bool(events))
                await server.until_idle()

    run(scenario, loop)
    assert events == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]
    assert len(lines(caplog)) == 1  # accepted


@on_both_loops
def test_what_comes_after_the_clients_close_is_ignored(loop: str) -> None:
    """The close is answered once, and the server ends the connection."""
    events: list[Any] = []

    async def scenario() -> None:
        async with serving(recorder(events)) as server:
            client = await server.open()
            client.write(close(1000) + client_frame(TEXT, b"late") + close(1001))
            assert await client.close_code() == 1000
            client.write(client_frame(TEXT, b"later") * 1000)
            assert await client.end() == b""
            client.close()
            await server.until_idle()

    run(scenario, loop)
    assert [event["type"] for event in events] == ["websocket.disconnect"]


ENDINGS = {
    "returns": (1000, 0),
    "raises": (1011, 1),
    "closes": (4001, 0),
    "closes without code": (1000, 0),
    "raises OSError of ours": (1000, 0),
}


@pytest.mark.parametrize("ending", ENDINGS)
@on_both_loops
def test_every_ending_has_its_close_frame(
    ending: str, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No bare end of the stream, and one traceback for a bug."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.send", "text": "last words"})
        if ending == "raises":
            raise LookupError("a bug")
        if ending == "closes":
            await send({"type": "websocket.close", "code": 4001, "reason": "r" * 200})
        if ending == "closes without code":
            await send({"type": "websocket.close"})
        if ending == "raises OSError of ours":
            raise ClientDisconnected

    async def scenario() -> None:
        async with serving(app) as server:
            client = await server.open()
            assert await client.text() == "last words"
            assert await client.close_code() == ENDINGS[ending][0]
            client.write(close(ENDINGS[ending][0]))
            assert await client.end() == b""
            client.close()
            await server.until_idle()

    run(scenario, loop)
    assert tracebacks(caplog) == ENDINGS[ending][1]


@on_both_loops
def test_a_client_that_ignores_the_close_is_cut(loop: str) -> None:
    """After `close_timeout_s`, whatever it sends meanwhile."""

    async def scenario() -> None:
        async with serving(saying(ACCEPT, {"type": "websocket.close"})) as server:
            client = await server.open()
            assert await client.close_code() == 1000
            started = asyncio.get_running_loop().time()

            async def flood() -> None:
                while True:
                    client.write(client_frame(TEXT, b"x" * 1000))
                    await asyncio.sleep(0.02)

            flooding = asyncio.create_task(flood())
            await client.is_cut()
            flooding.cancel()

            took_s = asyncio.get_running_loop().time() - started
            # A sweep comes four times in the shortest time; the rest is for a busy machine.
            assert 0.8 < took_s / QUICK.close_timeout_s < 1.25 + BUSY
            await server.until_idle()

    run(scenario, loop)


def test_messages_before_the_applications_close_are_delivered_and_later_ones_are_not() -> None:
    """After its close an application sees what was on the way, then the end; RFC 6455 §1.4."""
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        events.append(await receive())
        await send({"type": "websocket.close", "code": 4000, "reason": "enough"})
        events.append(await receive())
        events.append(await receive())
        events.append(await receive())

    async def scenario() -> None:
        async with serving(app) as server:
            first, second = client_frame(TEXT, b"1"), client_frame(TEXT, b"2")
            client = await server.open(behind=first + second)
            assert await client.close_code() == 4000
            client.write(client_frame(TEXT, b"3") + close(4000))
            assert await client.end() == b""
            client.close()
            await server.until_idle()

    run(scenario)
    end = {"type": "websocket.disconnect", "code": 4000, "reason": "enough"}
    assert [event.get("text") for event in events] == ["1", "2", None, None]
    assert events[2:] == [end, end]


@pytest.mark.parametrize("kind", ["websocket.send", "websocket.close", "websocket.accept"])
def test_sending_after_the_own_close_is_a_mistake(kind: str) -> None:
    """A RuntimeError whenever it comes, be the peer's answer here or not."""
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await saying(
            ACCEPT,
            {"type": "websocket.close"},
            {"type": kind, "text": "late"},
            raised=raised,
        )(scope, receive, send)
        assert (await receive())["type"] == "websocket.disconnect"
        await until_gone.wait()
        with pytest.raises(RuntimeError, match="while closed; allowed now: nothing"):
            await send({"type": kind, "text": "later"})

    until_gone = asyncio.Event()

    async def scenario() -> None:
        async with serving(app) as server:
            client = await server.open()
            client.write(close(1000))
            await client.end()
            client.close()
            while server.state.connections:
                await asyncio.sleep(0.005)
            until_gone.set()
            await server.until_idle()

    run(scenario)
    assert [type(error) for error in raised] == [RuntimeError]


@pytest.mark.parametrize("kind", ["websocket.send", "websocket.close"])
def test_sending_to_a_client_that_left_is_an_oserror(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """ASGI 2.4; and an application that lets it through makes no line in the log."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        await send({"type": kind, "text": "for nobody"})
        raise AssertionError("not reached")

    async def scenario() -> None:
        async with serving(app) as server:
            client = await server.open()
            client.write(close(1000))
            await client.end()
            client.close()
            await server.until_idle()

    run(scenario)
    assert tracebacks(caplog) == 0


def test_abort_cuts_the_connection_at_once() -> None:
    """The extension `bocadillo.abort`: no close frame, nothing that waits."""
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["extensions"]["bocadillo.abort"] == {}
        await receive()
        await send(ACCEPT)
        await send({"type": "bocadillo.abort"})
        events.append(await receive())

    async def scenario() -> None:
        async with serving(app) as server:
            client = await server.open()
            with pytest.raises(ConnectionError):
                await client.end()
            await server.until_idle()

    run(scenario)
    assert events == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


def test_two_tasks_may_receive() -> None:
    """Each message goes to one of them, and a cancelled one takes none with it."""
    got: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

        async def read() -> None:
            got.append((await receive())["text"])

        first, second, third = (asyncio.create_task(read()) for _ in range(3))
        await asyncio.sleep(0)
        first.cancel()
        await send({"type": "websocket.send", "text": "ready"})
        await second
        await third

    async def scenario() -> None:
        async with serving(app) as server:
            client = await server.open()
            assert await client.text() == "ready"
            client.send("1")
            client.send("2")
            assert await client.close_code() == 1000

    run(scenario)
    assert sorted(got) == ["1", "2"]
