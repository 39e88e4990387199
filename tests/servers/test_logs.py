"""What servers' logs show of a connection: bugs once, clients' doings never as one."""

from pathlib import Path

import pytest

from tests.servers.running import ALL, RunningServer, end_of, run, running


async def ask_for_trouble(server: RunningServer) -> None:
    """Do all that a client can do wrong, and be refused in every way."""
    for path in ("/nowhere", "/before/rejects", "/before/rejects/401", "/converts/x"):
        assert server.handshake(path).status_code >= 400
    for path, message in (("/invalid/payload", "{"), ("/invalid/frame", b"x")):
        async with server.connect(path) as ws:
            await ws.send(message)
            await end_of(ws)
    for path in ("/echo", "/tells/log", "/works/log", "/raises/websocket-exception"):
        async with server.connect(path) as ws:
            if path == "/echo":
                ws.transport.abort()
    async with server.connect("/echo") as ws:
        await ws.close(4000, "tired")


@ALL
def test_what_a_client_does_leaves_no_traceback_and_no_error(name: str, tmp_path: Path) -> None:
    """A log full of tracebacks hides the one that matters."""
    with running(name, tmp_path) as server:
        run(ask_for_trouble(server))

    assert server.tracebacks() == 0, server.log()
    assert "ERROR" not in server.log()


@ALL
@pytest.mark.parametrize("path", ["/raises/bug", "/before/bug"])
def test_a_bug_leaves_exactly_one_traceback(name: str, path: str, tmp_path: Path) -> None:
    """uvicorn alone would show it twice, hypercorn three times."""

    async def meet(server: RunningServer) -> None:
        if path.startswith("/before"):
            assert server.handshake(path).status_code == 500
        else:
            async with server.connect(path) as ws:
                assert await end_of(ws) == (1011, "")

    with running(name, tmp_path) as server:
        run(meet(server))

    assert server.tracebacks() == 1, server.log()
    assert server.log().count("LookupError: a secret") == 1
