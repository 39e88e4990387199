"""Controllers on a real server: built once, tried again, and hooks however it ends."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.servers.running import RunningServer, end_of, eventually, run, running
from tests.servers.test_class_views import reset

APP = "tests.servers.controlled:app"

BOTH = pytest.mark.parametrize("hooks", ["sync", "async"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running("uvicorn", tmp_path_factory.mktemp("controllers"), APP) as server:
        yield server


async def first_message(server: RunningServer, path: str) -> Any:
    async with server.connect(path) as ws:
        return await ws.recv()


def test_two_first_connections_at_once_share_one_instance(tmp_path: Path) -> None:
    """A pool that is opened twice is one that nobody closes."""

    async def scenario(server: RunningServer) -> list[Any]:
        clients = [first_message(server, "/slow") for _ in range(2)]
        return [*await asyncio.gather(*clients), await first_message(server, "/slow")]

    with running("uvicorn", tmp_path, APP) as server:
        one, two, later = run(scenario(server))
        steps = server.get("/steps/slow")

    assert one == two == later
    assert steps == ["pool", "built"]
    assert server.tracebacks() == 0, server.log()


def test_a_constructor_that_fails_is_tried_again_by_the_next_client(tmp_path: Path) -> None:
    """One is told HTTP 500, and the log has it once; nobody has to restart anything."""
    with running("uvicorn", tmp_path, APP) as server:
        answer = server.handshake("/flaky")
        served = [run(first_message(server, "/flaky")) for _ in range(2)]

    assert (answer.status_code, answer.text) == (500, "Internal Server Error\n")
    assert served == ["served", "served"]
    assert server.tracebacks() == 1, server.log()
    assert "LookupError: not up yet" in server.log()


# How it ends, and the close code that `on_disconnect` is told.
ENDINGS: dict[str, int] = {
    "returns": 1000,
    "closes": 4001,
    "raises": 1011,
    "leaves": 4000,
    "dies": 1006,
    "sleeps": 4000,
}


@BOTH
@pytest.mark.parametrize("how", ENDINGS)
def test_hooks_run_once_for_each_accepted_connection(
    server: RunningServer, hooks: str, how: str
) -> None:
    """What `on_connect` noted of a client is taken back, whoever ended it and why."""
    key, code = uuid4().hex, ENDINGS[how]
    path = f"/{hooks}/{how}/{key}"
    begun = ["connected", *(["sleeping"] if how == "sleeps" else [])]
    ended = [path, code]

    def steps() -> list[Any]:
        return list(server.get(f"/steps/{key}"))

    async def scenario() -> list[Any]:
        async with server.connect(path) as ws:
            if how in ("returns", "closes", "raises"):
                assert (await end_of(ws))[0] == code
            else:
                await eventually(steps, lambda now: now == begun, 5)
                if how == "dies":
                    reset(ws)
                else:
                    await ws.close(4000)
        await eventually(steps, lambda now: ended in now, 5)
        # Whatever the server had to say after it comes now.
        async with server.connect(f"/{hooks}/returns/{uuid4().hex}") as ws:
            await end_of(ws)
        return steps()

    assert run(scenario()) == [*begun, ended]


@BOTH
def test_a_failing_on_disconnect_never_masks_the_first_error(
    server: RunningServer, hooks: str
) -> None:
    """The client sees 1011 for the first, and the log tells of both."""
    key = uuid4().hex

    async def scenario() -> tuple[int, str]:
        async with server.connect(f"/{hooks}/raises-twice/{key}") as ws:
            ending = await end_of(ws)
        await eventually(server.log, lambda log: f"the second of {key}" in log, 5)
        return ending

    assert run(scenario()) == (1011, "")
    log = server.log()
    assert log.count(f"LookupError: the first of {key}") == 1
    assert log.count(f"OSError: the second of {key}") == 1
    assert log.index(f"the first of {key}") < log.index(f"the second of {key}")
