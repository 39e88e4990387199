"""The server protocol on a transport of the test's: what is written when, and exact times."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState

from bocadillo.server.limits import Limits
from bocadillo.server.protocol import WebSocketProtocol
from tests.server.clients import CONTINUATION, TEXT, client_frame

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Transport:
    """A transport that keeps what it is told, and takes everything."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.calls: list[str] = []
        self.unsent = 0

    def write(self, chunk: bytes) -> None:
        self.calls.append("write")
        self.written.append(chunk)

    def writelines(self, chunks: list[bytes]) -> None:
        self.calls.append("writelines")
        self.written += chunks

    def is_closing(self) -> bool:
        return "close" in self.calls or "abort" in self.calls

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def can_write_eof(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name not in ("pause_reading", "resume_reading", "write_eof", "close", "abort"):
            raise AttributeError(name)
        return lambda: self.calls.append(name)


class App:
    """An application whose sends are the test's."""

    def __init__(self) -> None:
        self.sends: list[Callable[[Any], Awaitable[None]]] = []
        self.receives: list[Callable[[], Awaitable[Any]]] = []
        self.is_over = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.sends.append(send)
        self.receives.append(receive)
        await self.is_over.wait()


class Rig:
    """Connections of one server, without a server."""

    def __init__(self, limits: Limits | None = None, **options: Any) -> None:
        self.app = App()
        options = {"log_config": None, "proxy_headers": False, **options}
        self.config = uvicorn.Config(self.app, **options)
        self.config.load()
        self.state = ServerState()
        self.limits = limits or Limits()

    async def open(self) -> tuple[WebSocketProtocol, Transport]:
        """Return a connection that is open, and its transport, with nothing written."""
        connection = WebSocketProtocol(self.config, self.state, {}, limits=self.limits)
        transport = Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        connection.data_received(REQUEST)
        number = len(self.app.sends)
        while len(self.app.sends) == number:
            await asyncio.sleep(0)
        transport.written.clear()
        transport.calls.clear()
        return connection, transport


def read(connection: WebSocketProtocol, chunk: bytes) -> None:
    """Have a connection read, as asyncio does."""
    buffer = connection.get_buffer(-1)
    buffer[: len(chunk)] = chunk
    connection.buffer_updated(len(chunk))


def text(content: str) -> dict[str, str]:
    return {"type": "websocket.send", "text": content}


def test_what_is_sent_in_one_turn_is_one_write() -> None:
    """A system call for each message is what makes servers slow."""

    async def scenario() -> None:
        rig = Rig()
        _, transport = await rig.open()

        for number in range(100):
            await rig.app.sends[0](text(str(number)))

        assert transport.written == []
        await asyncio.sleep(0)
        assert transport.written == [b"".join(b"\x81%c%d" % (len(str(n)), n) for n in range(100))]

    asyncio.run(scenario())


def test_one_callback_flushes_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not one for each."""

    async def scenario() -> None:
        rig = Rig()
        opened = [await rig.open() for _ in range(10)]
        loop = asyncio.get_running_loop()
        scheduled: list[Any] = []
        call_soon = loop.call_soon

        def counting(callback: Any, *args: Any, **options: Any) -> Any:
            scheduled.append(callback)
            return call_soon(callback, *args, **options)

        monkeypatch.setattr(loop, "call_soon", counting)
        for send in rig.app.sends:
            await send(text("x"))
        monkeypatch.undo()

        assert len(scheduled) == 1
        await asyncio.sleep(0)
        assert [transport.written for _, transport in opened] == [[b"\x81\x01x"]] * 10

    asyncio.run(scenario())


def test_a_large_payload_is_written_as_it_is() -> None:
    """It is not copied behind its header."""

    async def scenario() -> None:
        rig = Rig()
        _, transport = await rig.open()
        payload = bytes(100_000)

        await rig.app.sends[0]({"type": "websocket.send", "bytes": payload})

        assert transport.calls == ["writelines"]
        assert transport.written[1] is payload

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [10, 5000, 100_000])
def test_a_sender_that_never_waits_lets_others_have_their_turn(size: int) -> None:
    """Also where the peer takes everything at once."""

    async def scenario() -> None:
        rig = Rig()
        await rig.open()
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        running = asyncio.create_task(other())
        for _ in range(10_000):
            await rig.app.sends[0](text("x" * size))
            if turns:
                break
        running.cancel()
        assert turns

    asyncio.run(scenario())


def test_an_idle_connection_holds_nothing_for_what_may_come() -> None:
    """Memory of an idle connection: no queue, no list, no message, no compressor."""

    async def scenario() -> None:
        rig = Rig()
        connection, _ = await rig.open()
        read(connection, client_frame(TEXT, b"x"))
        await rig.app.receives[0]()
        await rig.app.sends[0](text("x"))
        await asyncio.sleep(0)

        held = ["_queue", "_unflushed", "_drains", "_waiter", "_compress", "_deflate"]
        held += ["_handshake", "_scope", "_app_state", "_unfinished"]
        assert {name: getattr(connection, name) for name in held} == dict.fromkeys(held)
        assert not hasattr(connection, "__dict__")

    asyncio.run(scenario())


def test_messages_wait_in_the_order_in_which_they_came() -> None:
    """However reads and receives are mixed."""

    async def scenario() -> None:
        rig = Rig()
        connection, _ = await rig.open()
        receive = rig.app.receives[0]
        got = []
        for number in range(0, 90, 3):
            read(
                connection,
                b"".join(client_frame(TEXT, b"%d" % n) for n in range(number, number + 3)),
            )
            got += [(await receive())["text"], (await receive())["text"]]
        got += [(await receive())["text"] for _ in range(30)]

        assert [int(one) for one in got] == [*range(90)]

    asyncio.run(scenario())


def test_reading_pauses_at_the_high_mark_and_goes_on_at_a_quarter() -> None:
    """`ws_max_queue` is the mark, in messages."""

    async def scenario() -> None:
        rig = Rig(ws_max_queue=32)
        connection, transport = await rig.open()
        receive = rig.app.receives[0]

        read(connection, client_frame(TEXT, b"x") * 31)
        assert transport.calls == []
        read(connection, client_frame(TEXT, b"x"))
        assert transport.calls == ["pause_reading"]
        for _ in range(23):
            await receive()
        assert transport.calls == ["pause_reading"]
        await receive()
        assert transport.calls == ["pause_reading", "resume_reading"]

    asyncio.run(scenario())


# Times, as the sweep finds them


def test_a_quiet_peer_is_pinged_and_then_aborted() -> None:
    """Whatever comes shows that it is there; a message as well as a pong."""

    async def scenario() -> None:
        rig = Rig(ws_ping_interval=20, ws_ping_timeout=10)
        connection, transport = await rig.open()
        now = asyncio.get_running_loop().time()

        def written_at(seconds: float) -> list[bytes]:
            transport.written.clear()
            connection.look(now + seconds)
            connection.flush()
            return list(transport.written)

        assert written_at(0) == []  # heard: the handshake
        assert written_at(19) == []
        assert written_at(19.5) == [b"\x89\x00"]  # up to a sweep early, and not late
        assert written_at(28) == []
        read(connection, client_frame(TEXT, b"x"))
        assert written_at(29) == []
        assert written_at(48.5) == [b"\x89\x00"]
        assert written_at(58) == []
        assert "abort" not in transport.calls
        assert written_at(58.5) == []
        assert "abort" in transport.calls
        connection.connection_lost(None)

    asyncio.run(scenario())


def test_a_stuck_peer_is_aborted_when_nothing_moves_any_more() -> None:
    """`send_timeout_s` begins again with each byte that is taken."""

    async def scenario() -> None:
        rig = Rig(Limits(send_timeout_s=30))
        connection, transport = await rig.open()
        now = asyncio.get_running_loop().time()
        transport.unsent = 100_000
        connection.pause_writing()

        connection.look(now + 29)
        transport.unsent = 90_000
        connection.look(now + 35)
        connection.look(now + 64)
        assert "abort" not in transport.calls
        connection.look(now + 65)
        assert "abort" in transport.calls
        with pytest.raises(ClientDisconnected):
            await rig.app.sends[0](text("x"))

    asyncio.run(scenario())


def test_a_message_that_trickles_in_is_ended_and_a_new_one_has_its_own_time() -> None:
    """`message_timeout_s` is for one message."""

    async def scenario() -> None:
        rig = Rig(Limits(message_timeout_s=60), ws_ping_interval=None)
        connection, transport = await rig.open()
        now = asyncio.get_running_loop().time()
        begin = client_frame(TEXT, b"x", fin=False)
        more = client_frame(CONTINUATION, b"x", fin=False)

        for seconds in (0, 50):
            read(connection, begin)
            connection.look(now + seconds)
            connection.look(now + seconds + 40)
            read(connection, client_frame(CONTINUATION, b"x"))
        read(connection, begin)
        connection.look(now + 100)
        read(connection, more)
        connection.look(now + 159)
        assert transport.written == []
        connection.look(now + 160)
        assert transport.written[0][2:4] == (1008).to_bytes(2)

    asyncio.run(scenario())


def test_paused_reading_is_no_fault_of_the_peer() -> None:
    """While the application does not read, no ping is due and no message late."""

    async def scenario() -> None:
        rig = Rig(Limits(message_timeout_s=1), ws_max_queue=1)
        connection, transport = await rig.open()
        now = asyncio.get_running_loop().time()
        read(connection, client_frame(TEXT, b"x") + client_frame(TEXT, b"x", fin=False))

        for seconds in range(0, 1000, 5):
            connection.look(now + seconds)

        assert transport.calls == ["pause_reading"]

    asyncio.run(scenario())
