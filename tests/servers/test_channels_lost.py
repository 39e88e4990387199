"""A client that comes back too late, by a position that is lost: told, and no bug of ours."""

import asyncio
import logging
from pathlib import Path
from uuid import uuid4

import pytest

from bocadillo import App, Position, WebSocket
from bocadillo.testing import ConnectionClosed, HandshakeRefused, connect
from tests.servers.running import ALL, end_of, run, running

APP = "tests.servers.channelled:app"

app = App()


@app.websocket_route("/accepted/{epoch}")
async def accepted(ws: WebSocket, epoch: str) -> None:
    await ws.join("x", since=Position(1, epoch))


@app.websocket_route("/asked/{epoch}", auto_accept=False)
async def asked(ws: WebSocket, epoch: str) -> None:
    await ws.channels.history("x", since=Position(1, epoch))


@ALL
def test_a_stale_position_closes_with_1013_and_no_traceback(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any client can send one, so it must not fill the log of whoever is on call."""
    monkeypatch.setenv("BROKER", "memory://")

    async def scenario(path: str) -> None:
        async with server.connect(path, ping_interval=None) as ws:
            assert await end_of(ws) == (1013, "publications were lost")

    with running(name, tmp_path, APP) as server:
        run(scenario(f"/joins/{uuid4().hex}?offset=7&epoch=stale"))
    assert server.tracebacks() == 0
    assert "the view failed" not in server.log()


def test_it_is_one_line_at_info(caplog: pytest.LogCaptureFixture) -> None:
    """With the reason; what the client made up is cut, and cannot forge lines."""

    async def scenario() -> None:
        async with connect(app, "/accepted/" + "%0A" + 1000 * "x") as ws:
            with pytest.raises(ConnectionClosed) as closed:
                await ws.receive()
        assert (closed.value.code, closed.value.reason) == (1013, "publications were lost")

    with caplog.at_level(logging.INFO, "bocadillo"):
        asyncio.run(scenario())
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("INFO", None)
    assert "accepted: closed with 1013: publications on 'x' after " in record.getMessage()
    assert "\n" not in record.getMessage()
    assert len(record.getMessage()) < 700


def test_before_accept_it_is_http_410(caplog: pytest.LogCaptureFixture) -> None:
    """It is gone, and to try the same again is of no use."""

    async def scenario() -> None:
        with pytest.raises(HandshakeRefused) as refused:
            await connect(app, "/asked/stale").__aenter__()
        assert (refused.value.status, refused.value.body) == (410, b"Gone\n")

    with caplog.at_level(logging.INFO, "bocadillo"):
        asyncio.run(scenario())
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("INFO", None)
    assert "asked: refused with HTTP 410: publications on 'x' after " in record.getMessage()
