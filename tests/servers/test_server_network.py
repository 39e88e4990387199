"""A network that loses, delays and swallows packets, between real TCP on both sides."""

import asyncio
import errno
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bocadillo.server.limits import Limits
from tests.server.clients import close
from tests.servers.inside import (
    Client,
    Inside,
    echo,
    on_both_loops,
    open_files,
    request,
    run,
    serving,
    tracebacks,
    until,
)
from tests.servers.wire import Side, Wire, listen_on, made_sides

MESSAGES = 300


@asynccontextmanager
async def behind_a_wire(
    server: Inside, loss: float = 0, delay_s: float = 0
) -> AsyncIterator[tuple[Wire, Client]]:
    """Connect a client to a server in another network."""
    theirs, ours = made_sides()
    wire = Wire((theirs, ours), loss, delay_s)
    try:
        await listen_on(server, theirs.socket, theirs.address)
        ours.socket.setblocking(False)
        await asyncio.get_running_loop().sock_connect(ours.socket, (theirs.address, 80))
        client = Client(*await asyncio.open_connection(sock=ours.socket))
        assert await client.answer(request()) == 101
        yield wire, client
        client.close()
        if not wire.is_cut:
            await server.until_idle()
    finally:
        wire.close()


@on_both_loops
def test_every_message_arrives_in_order_over_a_network_that_loses(loop: str) -> None:
    """10 % of the packets are lost, at 50 ms; keepalive cuts nobody for it."""

    async def scenario() -> None:
        async with (
            serving(echo, limits=Limits(), ws_ping_interval=20, ws_ping_timeout=20) as server,
            behind_a_wire(server, loss=0.1, delay_s=0.05) as (wire, client),
        ):
            texts = [f"{n} " + "x" * (n * 7 % 3000) for n in range(MESSAGES)]

            async def send() -> None:
                for text in texts:
                    client.send(text)
                    await client.writer.drain()
                    await asyncio.sleep(0.005)  # or few packets would carry them all

            sending = asyncio.create_task(send())
            assert [await client.text() for _ in texts] == texts
            await sending
            client.write(close(1000))
            assert await client.close_code() == 1000
            assert wire.lost > 10

    run(scenario, loop)


@on_both_loops
@pytest.mark.parametrize("has_unsent", [False, True], ids=["quiet", "with much to send"])
def test_a_client_in_a_black_hole_is_cut_in_time(
    loop: str, has_unsent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """No packet comes back, no reset either; 1006, and the descriptor is freed."""
    interval_s = timeout_s = 0.5
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while has_unsent:
                await send({"type": "websocket.send", "bytes": bytes(100_000)})
        except OSError:
            pass
        told.append(await receive())

    async def scenario() -> None:
        options: dict[str, Any] = {"ws_ping_interval": interval_s, "ws_ping_timeout": timeout_s}
        async with (
            serving(app, limits=Limits(send_timeout_s=60), **options) as server,
            behind_a_wire(server) as (wire, _),
        ):
            files = open_files()
            carried = wire.carried
            await until(lambda: not has_unsent or wire.carried > carried + 100)
            wire.is_cut = True
            began = time.monotonic()
            await server.until_idle()
            took_s = time.monotonic() - began

            assert told == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]
            assert took_s < interval_s + timeout_s + 1
            assert open_files() == files - 1

    run(scenario, loop)
    assert caplog.text.count("WebSocket aborted: no answer to a ping for 0.5 s") == 1
    assert tracebacks(caplog) == 0


@on_both_loops
def test_a_network_that_comes_back_in_time_has_lost_nothing(loop: str) -> None:
    """A train in a tunnel: TCP sends again what was lost, and nobody was cut."""

    async def scenario() -> None:
        async with (
            serving(echo, limits=Limits(), ws_ping_interval=20, ws_ping_timeout=20) as server,
            behind_a_wire(server) as (wire, client),
        ):
            wire.is_cut = True
            for n in range(20):
                client.send(f"{n}")
            await until(lambda: wire.lost > 2)
            wire.is_cut = False

            assert [await client.text() for _ in range(20)] == [f"{n}" for n in range(20)]

    run(scenario, loop)


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (PermissionError(errno.EPERM, "cannot make a network namespace"), "Skipped"),
        (FileNotFoundError(errno.ENOENT, "no such file", "/dev/net/tun"), "Skipped"),
        (FileNotFoundError(errno.ENOENT, "no such file", "ip"), "Failed"),
        (subprocess.CalledProcessError(1, "ip"), "Failed"),
    ],
)
def test_only_what_ci_installs_is_missed_there(
    failure: Exception, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anywhere else, and where a machine has no such devices, the tests are skipped, aloud."""

    def fail(side: Side) -> None:
        raise failure

    monkeypatch.setattr(Side, "make", fail)
    for ci, expected in (("1", outcome), (None, "Skipped")):
        monkeypatch.delenv("CI", raising=False)
        if ci:
            monkeypatch.setenv("CI", ci)
        with pytest.raises(BaseException, match="NO NETWORK THAT LOSES PACKETS") as raised:
            made_sides()
        assert type(raised.value).__name__ == expected
