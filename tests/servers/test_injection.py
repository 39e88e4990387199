"""Injection on a real server: what was opened is closed, however the connection ends."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.servers.running import RunningServer, end_of, eventually, run, running
from tests.servers.test_class_views import reset

APP = "tests.servers.injected:app"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running("uvicorn", tmp_path_factory.mktemp("injection"), APP) as server:
        yield server


# How it ends, the close code that `on_disconnect` is told, and what the provider is told.
ENDINGS: dict[str, tuple[int, str]] = {
    "returns": (1000, "lease closed"),
    "closes": (4001, "lease closed"),
    "raises": (1011, "lease closed by LookupError"),
    "leaves": (4000, "lease closed by WebSocketDisconnect"),
    "dies": (1006, "lease closed by WebSocketDisconnect"),
    "sleeps": (4000, "lease closed by CancelledError"),
    "dies-asleep": (1006, "lease closed by CancelledError"),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_what_lives_with_a_connection_is_closed_once_and_after_on_disconnect(
    server: RunningServer, how: str
) -> None:
    """A lease that is not given back is one that the next client does not get."""
    key, (code, closed) = uuid4().hex, ENDINGS[how]
    view = "sleeps" if how == "dies-asleep" else how
    begun = ["lease opened", "connected", *(["sleeping"] if view == "sleeps" else [])]

    def steps() -> list[Any]:
        return list(server.get(f"/steps/{key}"))

    async def scenario() -> list[Any]:
        async with server.connect(f"/ends/{view}/{key}") as ws:
            if how in ("returns", "closes", "raises"):
                assert (await end_of(ws))[0] == code
            else:
                await eventually(steps, lambda now: now == begun, 5)
                if how.startswith("dies"):
                    reset(ws)
                else:
                    await ws.close(4000)
        await eventually(steps, lambda now: closed in now, 5)
        # Whatever the server had to say after it comes now.
        async with server.connect(f"/ends/returns/{uuid4().hex}") as ws:
            await end_of(ws)
        return steps()

    assert run(scenario()) == [*begun, code, closed]


def test_what_a_hook_asked_for_is_closed_when_it_refuses(server: RunningServer) -> None:
    """Whoever is turned away a thousand times must leave nothing behind."""
    key = uuid4().hex

    answer = server.handshake(f"/ends/refused/{key}")

    assert (answer.status_code, answer.text) == (403, "refused\n")
    expected = ["lease opened", "lease closed"]
    assert run(steps_of(server, key, expected)) == expected


def test_a_provider_refuses_before_the_connection_is_accepted(server: RunningServer) -> None:
    """The client gets its HTTP answer; what was opened for it is closed."""
    key = uuid4().hex

    answer = server.handshake(f"/ticket/{key}")

    assert (answer.status_code, answer.text) == (401, "no ticket\n")
    expected = ["lease opened", "lease closed by HTTPException"]
    assert run(steps_of(server, key, expected)) == expected


async def steps_of(server: RunningServer, key: str, expected: list[str]) -> Any:
    """Return the steps of a key, once there are as many as expected."""
    return await eventually(
        lambda: server.get(f"/steps/{key}"), lambda now: len(now) >= len(expected), 5
    )


def test_a_bug_leaves_one_traceback_and_no_other_ending_any(tmp_path: Path) -> None:
    """Providers that are told of an exception do not log it again."""

    async def meet(server: RunningServer) -> None:
        for how in ("returns", "closes", "raises"):
            async with server.connect(f"/ends/{how}/{how}") as ws:
                await end_of(ws)
        async with server.connect("/ends/leaves/leaves") as ws:
            await ws.close(4000)

    with running("uvicorn", tmp_path, APP) as server:
        run(meet(server))
        assert server.handshake("/ticket/key").status_code == 401

    assert server.tracebacks() == 1, server.log()
    assert server.log().count("LookupError: a secret") == 1


def test_what_lives_with_the_application_is_closed_last_at_a_shutdown(tmp_path: Path) -> None:
    """A pool says goodbye to its database, after the connections that use it."""
    both = ("one", "two")

    async def scenario(server: RunningServer) -> None:
        async with (
            server.connect("/ends/leaves/one") as one,
            server.connect("/ends/leaves/two") as two,
        ):
            for key in both:
                await steps_of(server, key, ["lease opened", "connected"])
            server.process.send_signal(signal.SIGTERM)
            ends = await asyncio.gather(end_of(one), end_of(two))
            assert [*ends] == [(1012, ""), (1012, "")]

    with running("uvicorn", tmp_path, APP) as server:
        run(scenario(server))
        assert server.process.wait(8) is not None

    told = [line.split()[-2:] for line in server.log().splitlines()]
    assert [words for words in told if words[0] in ("pool", "lease")] == [
        ["pool", "opened"],
        *[["lease", "closed"]] * 2,
        ["pool", "closed"],
    ]
    assert server.tracebacks() == 0, server.log()
