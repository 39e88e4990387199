"""TLS: a handshake that does not end is cut, and holds up nothing."""

import asyncio
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from bocadillo.server import Limits
from bocadillo.server.steady import SteadyServer
from bocadillo.serving import serve
from tests.servers.inside import Client, echo, on_both_loops, request, run
from tests.servers.test_server_sigterm import RUN, TLS, started

# asyncio's own time is 60 s.
TIMEOUT_S = 0.5
SLACK_S = 5

# TLS 1.2, a client's hello of 100 bytes, of which nothing comes.
HALF_A_HELLO = b"\x16\x03\x01\x00\x64\x01"


def tls_of(certificate: Path) -> dict[str, Any]:
    names = {"ssl_certfile": "cert.pem", "ssl_keyfile": "key.pem"}
    return {option: str(certificate / name) for option, name in names.items()}


async def cut_after(port: int, sent: bytes) -> float:
    """Return the seconds after which the server cuts a client that sends so much."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    client = Client(*await asyncio.open_connection("127.0.0.1", port))
    try:
        client.write(sent)
        await client.is_cut()
    finally:
        client.close()
    return loop.time() - began


async def echoed(port: int, certificate: Path) -> str:
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    client = Client(*await asyncio.open_connection("localhost", port, ssl=trusting))
    try:
        assert await client.answer(request()) == 101
        client.send("hello")
        return await client.text()
    finally:
        client.close()


@on_both_loops
@pytest.mark.parametrize("sent", [b"", HALF_A_HELLO], ids=["silent", "half a hello"])
def test_a_tls_handshake_that_does_not_end_is_cut(
    loop: str, sent: bytes, certificate: Path
) -> None:
    """Each would hold a descriptor for a minute; those who speak are served."""

    async def scenario() -> None:
        limits = Limits(handshake_timeout_s=TIMEOUT_S)
        options = {**tls_of(certificate), "lifespan": "off", "host": "localhost"}
        async with serve(echo, port=0, limits=limits, **options) as server:
            assert TIMEOUT_S * 0.9 < await cut_after(server.port, sent) < TIMEOUT_S + SLACK_S
            assert await echoed(server.port, certificate) == "hello"

    run(scenario, loop)


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_uvicorns_own_protocols_keep_their_time(http: Any, certificate: Path) -> None:
    """Who chooses them has chosen their limits."""
    config = uvicorn.Config(echo, http=http, log_config=None, lifespan="off", **tls_of(certificate))
    config.load()
    given: list[Any] = []

    async def scenario() -> None:
        server = SteadyServer(config)
        server.lifespan = config.lifespan_class(config)
        loop = asyncio.get_running_loop()
        create_server = loop.create_server

        async def listen(*args: Any, **options: Any) -> Any:
            given.append(options)
            return await create_server(*args, **options)

        loop.create_server = listen  # type: ignore[method-assign]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            await server.startup([listener])
            for listening in server.servers:
                listening.close()

    run(scenario, "asyncio")
    assert len(given) == 1
    assert "ssl_handshake_timeout" not in given[0]


def test_bocadillo_run_cuts_it_and_ends_in_spite_of_it(certificate: Path, tmp_path: Path) -> None:
    """`--handshake-timeout` holds for TLS; a shutdown does not wait for whoever says nothing."""

    async def scenario() -> None:
        _, staying = await asyncio.open_connection("127.0.0.1", server.port)
        assert 0.9 < await cut_after(server.port, b"") < 1 + SLACK_S
        staying.close()
        _, staying = await asyncio.open_connection("127.0.0.1", server.port)
        since = server.terminate()
        took_s = await asyncio.to_thread(server.seconds_to_end, since)
        assert took_s < SLACK_S
        staying.close()

    arguments = [*RUN, *TLS, "--handshake-timeout", "1"]
    with started(arguments, tmp_path, certificate) as server:
        run(scenario)
        assert server.process.returncode == -signal.SIGTERM
        assert "Traceback" not in server.log()
    assert server.left_behind("lifespan") == 1
