"""uvicorn with the server protocol, in the loop of a test; and a client that does as told."""

import asyncio
import functools
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop

from bocadillo.server.http_h11 import H11Guarded
from bocadillo.server.http_httptools import HTTPToolsGuarded
from bocadillo.server.limits import Limits
from bocadillo.server.protocol import WebSocketProtocol
from tests.server.clients import CLOSE, TEXT, client_frame

Scenario = Callable[[], Awaitable[None]]

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
HTTPS = {"httptools": HTTPToolsGuarded, "h11": H11Guarded}

on_both_loops = pytest.mark.parametrize("loop", LOOPS)
on_both_https = pytest.mark.parametrize("http", HTTPS)

# Times for tests: short, and long enough for a machine that is busy.
QUICK = Limits(
    send_timeout_s=0.4, close_timeout_s=0.4, handshake_timeout_s=0.4, linger_timeout_s=0.4
)

TIMEOUT_S = 60

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="

HANDSHAKE = {
    "Host": b"localhost",
    "Connection": b"Upgrade",
    "Upgrade": b"websocket",
    "Sec-WebSocket-Version": b"13",
    "Sec-WebSocket-Key": KEY,
}


def run(scenario: Scenario, loop: str = "uvloop") -> None:
    """Run a scenario on a loop of its own, for so long at most."""

    async def bounded() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await scenario()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(bounded())


class Inside:
    """A server that runs in the loop of the test."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        self.server = server
        self.port = port
        self._clients: list[Client] = []

    @property
    def state(self) -> Any:
        return self.server.server_state

    async def stop(self) -> None:
        """Stop as uvicorn does, without its pauses of a tenth of a second."""
        for listening in self.server.servers:
            listening.close()
        for connection in list(self.state.connections):
            connection.shutdown()
        await until(lambda: not self.state.connections)
        for task in list(self.state.tasks):
            task.cancel()
        await until(lambda: not self.state.tasks)

    async def connect(self, **options: Any) -> "Client":
        """Open a connection of TCP or, with `ssl`, of TLS, and nothing more."""
        reader, writer = await asyncio.open_connection(
            "localhost", self.port, family=socket.AF_INET, **options
        )
        self._clients.append(Client(reader, writer))
        return self._clients[-1]

    def close_clients(self) -> None:
        """Close what the test has opened."""
        for client in self._clients:
            client.close()

    async def open(
        self, path: str = "/", headers: dict[str, bytes] | None = None, behind: bytes = b""
    ) -> "Client":
        """Open a WebSocket."""
        client = await self.connect()
        client.write(request(path, headers) + behind)
        await client.read_head()
        assert client.status == 101, client.head
        return client

    async def until_idle(self) -> None:
        """Wait until no connection and no task is left."""
        await until(lambda: not self.state.connections and not self.state.tasks)


@asynccontextmanager
async def serving(
    app: Any, *, http: str = "httptools", limits: Limits = QUICK, **options: Any
) -> AsyncIterator[Inside]:
    """Run a server for the time of a block; `http="own h11"` is uvicorn's own."""
    config = uvicorn.Config(
        app,
        **{
            "ws": functools.partial(WebSocketProtocol, limits=limits),
            "http": functools.partial(HTTPS[http], limits=limits) if http in HTTPS else http[4:],
            "lifespan": "off",
            "log_config": None,
            "log_level": "info",
            "timeout_graceful_shutdown": 5,
            "ws_per_message_deflate": False,
            **options,
        },
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    await server.on_tick(0)
    await server.startup(sockets=[listening])
    inside = Inside(server, listening.getsockname()[1])
    try:
        yield inside
    finally:
        inside.close_clients()
        await inside.stop()


class Client:
    """A client that sends what the test says, byte by byte if need be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = b""

    def write(self, chunk: bytes) -> None:
        self.writer.write(chunk)

    async def read_head(self) -> bytes:
        """Read an answer's status line and headers."""
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        return self.head

    @property
    def status(self) -> int:
        return int(self.head.split(b" ")[1])

    def header(self, name: str) -> list[bytes]:
        """Return the values of a header of the answer."""
        lines = [line.partition(b": ") for line in self.head.split(b"\r\n")[1:]]
        return [value for given, _, value in lines if given.lower() == name.encode()]

    async def answer(self, chunk: bytes) -> int:
        """Send bytes, and return the status of the answer."""
        self.write(chunk)
        await self.read_head()
        return self.status

    def send(self, text: str) -> None:
        self.write(client_frame(TEXT, text.encode()))

    async def frame(self) -> tuple[int, bytes]:
        """Return the next frame's first byte and payload."""
        first, length = await self.reader.readexactly(2)
        if length > 125:
            extended = await self.reader.readexactly(2 if length == 126 else 8)
            length = int.from_bytes(extended)
        return first, await self.reader.readexactly(length)

    async def text(self) -> str:
        """Return the next message, which has to be text."""
        first, payload = await self.frame()
        assert first == 0x80 | TEXT, (first, payload)
        return payload.decode()

    async def close_code(self) -> int:
        """Return the code of the close frame that comes next, or 1005."""
        first, payload = await self.frame()
        assert first == 0x80 | CLOSE, (first, payload)
        return int.from_bytes(payload[:2]) if payload else 1005

    async def end(self) -> bytes:
        """Return what comes until the server has closed its side."""
        return await self.reader.read()

    async def is_cut(self) -> bool:
        """Wait for the server to end the connection, in whatever way."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """End the connection by RST."""
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    @property
    def socket(self) -> Any:
        return self.writer.get_extra_info("socket")


def request(
    path: str = "/",
    headers: dict[str, bytes] | None = None,
    *,
    method: str = "GET",
    version: str = "1.1",
    without: tuple[str, ...] = (),
) -> bytes:
    """Return an opening handshake, with headers more, others, or less."""
    wanted = {**HANDSHAKE, **(headers or {})}
    lines = [f"{method} {path} HTTP/{version}".encode()]
    lines += [f"{name}: ".encode() + wanted[name] for name in wanted if name not in without]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so; the test's time-out ends it."""
    while not is_so():
        await asyncio.sleep(0.005)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Send back what comes; over HTTP the path."""
    if scope["type"] == "http":
        body = scope["path"].encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def tracebacks(caplog: pytest.LogCaptureFixture) -> int:
    """Return how many tracebacks the log has."""
    return sum(record.exc_info is not None for record in caplog.records)


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    """Return what uvicorn has logged, beside its starting and stopping."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "uvicorn.error" and record.levelno >= level and "%s" in str(record.msg)
    ]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return all lines that anybody has logged, beside uvicorn's starting and stopping."""
    return [
        record.getMessage()
        for record in caplog.records
        if "Uvicorn running on" not in record.getMessage()
    ]


ACCEPT = {"type": "websocket.accept"}


def saying(*events: dict[str, Any], raised: list[BaseException] | None = None) -> Any:
    """Return an application that sends these events; what is raised is kept."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for event in events:
            try:
                await send(event)
            except Exception as error:
                if raised is None:
                    raise
                raised.append(error)

    return app
