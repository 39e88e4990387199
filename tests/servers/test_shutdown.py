"""What clients and views see when the server ends."""

import signal
from pathlib import Path
from uuid import uuid4

import pytest

from tests.servers.running import COMMANDS, RunningServer, end_of, run, running


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "granian"])
def test_a_server_that_ends_closes_with_1012_and_is_gone_within_its_grace(
    name: str, tmp_path: Path
) -> None:
    """1012 is "service restart": the client may come back (IANA registry)."""

    async def scenario(server: RunningServer) -> tuple[int, str]:
        async with (
            server.connect(f"/shutdown/{uuid4().hex}") as ws,
            server.connect(f"/sleeps/{uuid4().hex}"),
        ):
            assert await ws.recv() == "ready"
            server.process.send_signal(signal.SIGTERM)
            return await end_of(ws)

    with running(name, tmp_path) as server:
        assert run(scenario(server)) == (1012, "")
        assert server.process.wait(8) is not None

    # hypercorn 0.18 logs its own cancellation, which no application can prevent.
    assert server.tracebacks() == 0 or name == "hypercorn", server.log()
    assert "lifecycle.py" not in server.log()
