"""Redis is killed again and again under load; two real servers, fifty readers."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from tests.channels.redis_server import RedisServer, require_redis
from tests.servers.running import RunningServer, eventually, run, running

APP = "tests.servers.channelled:app"

READERS_PER_PROCESS = 25
PUBLICATIONS_PER_SECOND = 500
KILLS = 4

# What is sent to a reader that has missed what cannot be had any more.
GAP = "gap"

# New messages that each reader has to get after a restart, before the next kill.
MESSAGES_BETWEEN = 100

# What a process may grow by from the first recovery to the last: it keeps nothing of either.
MAX_GROWTH_BYTES = 8_000_000


class Reading:
    """One client, and all that it has got."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self._wanted = 0
        self._has_enough = asyncio.Event()

    async def read(self, server: RunningServer, channel: str) -> None:
        """Read until cancelled; a connection that is closed is an error."""
        path = f"/joins/{channel}?on_gap={GAP}"
        async with server.connect(path, ping_interval=None, max_queue=None) as ws:
            assert str(await ws.recv()).startswith("joined")
            async for message in ws:
                self.got.append(str(message))
                if len(self.got) >= self._wanted:
                    self._has_enough.set()
        raise AssertionError(f"the server has closed the connection: {ws.close_code}")

    async def more(self, count: int) -> None:
        """Return when so many more messages have come."""
        self._wanted = len(self.got) + count
        self._has_enough.clear()
        await self._has_enough.wait()

    @property
    def messages(self) -> list[str]:
        return [message for message in self.got if message != GAP]

    @property
    def runs(self) -> list[list[str]]:
        """What came between gaps that were told."""
        runs: list[list[str]] = [[]]
        for message in self.got:
            if message == GAP:
                runs.append([])
            else:
                runs[-1].append(message)
        return runs


def begin_load(server: RunningServer, channel: str, name: str) -> None:
    path = f"/load/{channel}?name={name}&per_second={PUBLICATIONS_PER_SECOND / 2}"
    requests.get(server.url(path), timeout=10).raise_for_status()


def memory_of(server: RunningServer) -> int:
    """Return how many bytes of memory a process has, where the system tells."""
    try:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
    except FileNotFoundError:
        return 0
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def check_order(readings: Sequence[Reading]) -> None:
    """Nothing came twice to anybody, and all saw the same order."""
    longest = max((reading.messages for reading in readings), key=len)
    place = {message: index for index, message in enumerate(longest)}
    for reading in readings:
        assert len(set(reading.messages)) == len(reading.messages)
        places = [place[message] for message in reading.messages if message in place]
        assert places == sorted(places)
        for name in ("one", "other"):
            numbers = [int(m.split()[1]) for m in reading.messages if m.startswith(f"{name} ")]
            assert numbers == sorted(numbers)


def check_holes(reading: Reading, published: dict[str, set[int]]) -> None:
    """What was published for certain is only missing where a gap was told."""
    for messages in reading.runs:
        for name, certain in published.items():
            got = [int(m.split()[1]) for m in messages if m.startswith(f"{name} ")]
            if got:
                assert {n for n in certain if got[0] <= n <= got[-1]} <= {*got}


@pytest.mark.parametrize("is_kept", [False, True], ids=["nothing on disk", "append-only file"])
def test_redis_is_killed_under_load_and_nobody_gets_anything_twice_or_out_of_order(
    is_kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is still to be had comes, what is lost is told, and the servers do not grow."""
    require_redis()
    redis = RedisServer(tmp_path, appendonly="yes" if is_kept else "no")
    channel = uuid4().hex
    monkeypatch.setenv("BROKER", redis.url)

    async def recovered(readings: Sequence[Reading]) -> None:
        async with asyncio.timeout(20):
            await asyncio.gather(*(reading.more(MESSAGES_BETWEEN) for reading in readings))

    async def scenario(servers: Sequence[RunningServer]) -> None:
        readings = [Reading() for _ in range(2 * READERS_PER_PROCESS)]
        async with asyncio.TaskGroup() as tasks:
            clients = [
                tasks.create_task(reading.read(servers[number % 2], channel))
                for number, reading in enumerate(readings)
            ]
            await eventually(
                lambda: [server.get(f"/channels/{channel}")["readers"] for server in servers],
                lambda counts: counts == [READERS_PER_PROCESS] * 2,
                20,
            )
            for server, name in zip(servers, ("one", "other"), strict=True):
                await asyncio.to_thread(begin_load, server, channel, name)
            memory: list[list[int]] = []
            for _ in range(KILLS):
                await recovered(readings)
                redis.kill()
                await asyncio.to_thread(redis.start)
                await recovered(readings)
                memory.append([memory_of(server) for server in servers])
            published = {
                name: {*await asyncio.to_thread(server.get, f"/unload/{channel}")}
                for server, name in zip(servers, ("one", "other"), strict=True)
            }
            kept = await asyncio.to_thread(servers[0].get, f"/history/{channel}")
            async with asyncio.timeout(20):
                while any(reading.got[-1] != kept[-1] for reading in readings):
                    await asyncio.sleep(0.01)
            for client in clients:
                client.cancel()

        check_order(readings)
        for reading in readings:
            check_holes(reading, published)
            assert reading.got.count(GAP) >= KILLS  # each restart begins a new epoch
            assert reading.messages[-len(kept) :] == kept
        for first, last in zip(memory[0], memory[-1], strict=True):
            assert last - first < MAX_GROWTH_BYTES
        for server in servers:
            assert server.get("/process")["counters"]["outages"] >= KILLS

    redis.start()
    try:
        with ExitStack() as stack:
            servers = []
            for name in ("one", "other"):
                (tmp_path / name).mkdir()
                servers.append(stack.enter_context(running("uvicorn", tmp_path / name, APP)))
            run(scenario(servers))
        for server in servers:
            assert server.process.returncode in (0, -15)  # it was not ended by force
            assert server.tracebacks() == 0
    finally:
        redis.kill()
