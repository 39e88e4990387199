"""The size and time that `HTTPProtocol` gives a request, on a real uvicorn."""

import asyncio
from typing import Any

import pytest

from bocadillo.server.limits import Limits
from tests.servers.inside import (
    echo,
    on_both_https,
    on_both_loops,
    open_files,
    request,
    run,
    said,
    serving,
    until,
)

pytestmark = on_both_https

TOO_LARGE = {
    "line": (request("/" + "x" * 128 * 1024), {414, 431}),
    "line of HTTP": (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {414}),
    "line without end": (b"GET /" + b"x" * 200_000, {414, 431}),
    "headers": (request(headers={f"X-{number}": b"x" for number in range(5000)}), {431}),
    "one header": (request(headers={"X": b"x" * 70_000}), {431}),
    "header without end": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000, {431}),
}


@pytest.mark.parametrize("what", TOO_LARGE)
@on_both_loops
def test_a_request_that_is_too_large_is_answered_and_closed(
    http: str, what: str, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No request makes the server keep more than its limits."""

    async def scenario() -> None:
        async with serving(echo, http=http) as server:
            client = await server.connect()

            status = await client.answer(TOO_LARGE[what][0])

            assert status in TOO_LARGE[what][1]
            await client.end()
            await server.until_idle()

    run(scenario, loop)
    assert len(said(caplog)) <= 1, said(caplog)


@on_both_loops
def test_refused_clients_that_stay_are_cut(http: str, loop: str) -> None:
    """200 refused upgrades hold no descriptor, even where the client closes nothing."""

    async def scenario() -> None:
        async with serving(echo, http=http, limits=Limits(linger_timeout_s=0.4)) as server:
            before = open_files()
            clients = [await server.connect() for _ in range(200)]
            bad = request(headers={"X": b"x" * 20_000, "Content-Length": b"10"})

            statuses = [await client.answer(bad) for client in clients]
            await server.until_idle()

            assert set(statuses) == {400}
            # The clients' own are still open; the server's are not.
            await until(lambda: open_files() <= before + 200)
            for client in clients:
                client.close()

    run(scenario, loop)


SLOW = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "half a head": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "empty lines": b"\r\n\r\n",
}


@pytest.mark.parametrize("sent", SLOW)
@on_both_loops
def test_half_a_request_is_cut_in_time(
    http: str, sent: str, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection without a request is not kept."""

    async def scenario() -> None:
        async with serving(echo, http=http) as server:
            client = await server.connect()
            client.write(SLOW[sent])

            answer = await client.end()

            # h11 takes an empty line for a broken request.
            expected = (
                b"HTTP/1.1 4" if http == "h11" and sent == "empty lines" else b"HTTP/1.1 408 "
            )
            assert answer.startswith(expected if sent != "nothing" else b"")
            assert bool(answer) is (sent != "nothing")
            await server.until_idle()

    run(scenario, loop)
    assert len(said(caplog)) <= 1, said(caplog)


@pytest.mark.parametrize("sent", ["half a line", "empty lines"])
def test_half_a_second_request_is_cut_in_time(http: str, sent: str) -> None:
    """To have been served once is no way around it."""

    async def scenario() -> None:
        async with serving(echo, http=http, timeout_keep_alive=60) as server:
            client = await server.connect()
            await client.answer(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            client.write(SLOW[sent])

            await client.end()

            await server.until_idle()

    run(scenario)


def test_a_request_in_time_is_not_cut(http: str) -> None:
    """The deadline is for the request: what comes later has its own."""

    async def scenario() -> None:
        limits = Limits(handshake_timeout_s=0.2)

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(0.6)
            await echo(scope, receive, send)

        async with serving(slow, http=http, limits=limits) as server:
            client = await server.connect()
            assert await client.answer(b"GET /abc HTTP/1.1\r\nHost: x\r\n\r\n") == 200
            assert await client.reader.readexactly(4) == b"/abc"
            assert await client.answer(request()) == 101

    run(scenario)
