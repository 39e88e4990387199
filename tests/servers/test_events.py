"""Events on a real server: whatever clients send, and however connections end."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import websockets
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostile import payloads
from tests.hostile_views import EVENTS, FIELDS, check_answer
from tests.servers.running import RunningServer, end_of, eventually, run, running
from tests.talking import LAST

APP = "tests.servers.events:app"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running("uvicorn", tmp_path_factory.mktemp("events"), APP) as server:
        yield server


async def ask(ws: Any, **message: Any) -> Any:
    """Send an event, and return the answer."""
    await ws.send(json.dumps(message))
    async with asyncio.timeout(5):
        return json.loads(await ws.recv())


async def hear_all(ws: Any, sent: list[str | bytes]) -> None:
    """Send payloads, and read what comes back to the end, or to a clean close."""
    try:
        for payload in (*sent, json.dumps({"type": LAST})):
            await ws.send(payload)
        async with asyncio.timeout(10):
            while True:
                answer = await ws.recv()
                check_answer(answer)
                errors = json.loads(answer).get("errors") or [{}]
                if (errors[0].get("ctx") or {}).get("given") == LAST:
                    return
    except websockets.ConnectionClosed as exc:
        if exc.rcvd is None or exc.rcvd.code == 1011:
            raise


def test_no_input_ends_the_handler_or_leaves_a_traceback(tmp_path: Path) -> None:
    """Arbitrary JSON and arbitrary bytes, as text and binary; and the next client is served."""

    @settings(max_examples=500, deadline=None)
    @given(
        st.sampled_from(["/pydantics", "/structs"]),
        st.lists(payloads(EVENTS, FIELDS), min_size=1, max_size=8),
    )
    def every(path: str, sent: list[str | bytes]) -> None:
        async def scenario() -> None:
            async with served.connect(path, max_size=None) as ws:
                await hear_all(ws, sent)
            async with served.connect("/chat/next") as ws:
                assert await ask(ws, type="who", ref=1) == {"type": "who", "ref": 1, "key": "next"}

        run(scenario())

    with running("uvicorn", tmp_path, APP) as served:
        every()

    assert served.tracebacks() == 0, served.log()
    assert "ERROR" not in served.log()


def test_a_bug_leaves_one_traceback_and_nothing_on_the_wire(tmp_path: Path) -> None:
    """The client sees 1011, and no answer before it."""

    async def scenario() -> Any:
        async with served.connect("/chat/bug") as ws:
            await ws.send(json.dumps({"type": "bug", "ref": 1}))
            return await end_of(ws)

    with running("uvicorn", tmp_path, APP) as served:
        ending = run(scenario())

    assert ending == (1011, "")
    assert served.tracebacks() == 1, served.log()
    assert served.log().count("LookupError: a secret") == 1


def test_errors_leave_the_connection_open(server: RunningServer) -> None:
    """B-g2, B-g3 and B-g4 of the original were crashes that any client could cause."""

    async def scenario() -> list[Any]:
        heard = []
        async with server.connect("/chat/errors") as ws:
            for payload in ("{", "[1]", b"\xff", '{"type": "who", "self": 1}', '{"type": 5}'):
                await ws.send(payload)
                heard.append(json.loads(await ws.recv())["errors"][0]["type"])
            for event in ("forbidden", "unsendable"):
                heard.append((await ask(ws, type=event))["errors"][0]["type"])
            heard.append((await ask(ws, type="who"))["key"])
        return heard

    assert run(scenario()) == [
        *("json_invalid", "object_type", "json_invalid", "extra_forbidden", "string_type"),
        *("forbidden", "unsendable", "errors"),
    ]


# How it ends, and the close code that `on_disconnect` is told.
ENDINGS = {"goodbye": (4001, "bye"), "bug": (1011, ""), "leaves": (4005, "")}


@pytest.mark.parametrize("how", ENDINGS)
def test_on_disconnect_runs_once_with_the_close_code(server: RunningServer, how: str) -> None:
    """B-g5: the original left without a close frame, and the client saw 1006."""
    key, ending = uuid4().hex, ENDINGS[how]

    def steps() -> list[Any]:
        return list(server.get(f"/steps/{key}"))

    async def scenario() -> list[Any]:
        async with server.connect(f"/chat/{key}") as ws:
            await ask(ws, type="who")
            if how == "leaves":
                await ws.close(4005)
            else:
                await ws.send(json.dumps({"type": how}))
                assert await end_of(ws) == ending
        await eventually(steps, lambda now: len(now) > 1, 5)
        return steps()

    assert run(scenario()) == ["connect", ending[0]]


def test_a_stream_ends_when_its_client_leaves(server: RunningServer) -> None:
    """One that never waits for anything, too; it would keep the loop from all others."""
    key = uuid4().hex

    def steps() -> list[Any]:
        return list(server.get(f"/steps/{key}"))

    async def scenario() -> list[Any]:
        async with server.connect(f"/chat/{key}") as ws:
            await ask(ws, type="forever")
            ws.transport.abort()
        await eventually(steps, lambda now: len(now) > 3, 10)
        return steps()

    ended = run(scenario())
    assert ended[:3] == ["connect", "streaming", "closed"]
    assert len(ended) == 4


def test_a_view_that_closes_instead_of_accepting_refuses(server: RunningServer) -> None:
    """B-g1: the original went on to wait for messages."""
    assert server.handshake("/refusing").status_code == 403
