"""Presence across processes: deaths are noticed by the others, and told once."""

import asyncio
import json
import signal
import sys
from typing import Any

import pytest

from bocadillo import BrokerError
from bocadillo.channels import Channels, MemoryBroker
from bocadillo.channels.attendance import Attendance
from bocadillo.channels.memory import MemoryPresence
from bocadillo.channels.presence import Change, PresenceStore, Present
from bocadillo.channels.redis import RedisBroker
from bocadillo.testing.contracts.suite import new_name
from tests.channels.readers import Noting
from tests.channels.redis_server import RedisServer
from tests.fakes import run, settle

PROCESS = """
import asyncio, sys
from bocadillo.channels import Channels
from bocadillo.channels.redis import RedisBroker

class Reader:
    id = "of the process that dies"
    def deliver(self, payload):
        pass

async def main():
    url, prefix, ttl_s = sys.argv[1:]
    broker = RedisBroker(url, prefix=prefix, presence_ttl_s=float(ttl_s))
    async with Channels(broker) as channels:
        await channels.join(Reader(), "x", presence={"n": 1})
        print("joined", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_process_that_is_killed_goes_within_its_time_to_live_and_is_told_once(
    shared_redis: RedisServer,
) -> None:
    """Nobody is shown for long who is not there, and everybody is told the same."""
    ttl_s, prefix = 1.2, f"{new_name()}:"

    async def scenario() -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROCESS, shared_redis.url, prefix, str(ttl_s)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"joined\n"
        loop = asyncio.get_running_loop()

        def make() -> Channels:
            return Channels(RedisBroker(shared_redis.url, prefix=prefix, presence_ttl_s=ttl_s))

        async with make() as one, make() as two:
            watchers = []
            for channels in (one, two):
                watcher = Noting(f"watcher {id(channels)}")
                await channels.join(watcher, "presence:x")
                await channels.join(Noting(f"{id(channels)}"), "x", presence=None)
                watchers.append(watcher)
            await asyncio.sleep(1.5 * ttl_s)
            assert len(await one.presence("x")) == 1, "it refreshes while it lives"

            process.send_signal(signal.SIGKILL)
            await process.communicate()  # to the end, so that nothing of it is left open
            died = loop.time()
            while await one.presence("x"):
                await asyncio.sleep(0.01)
            assert loop.time() - died < ttl_s + 1
            while not all(watcher.payloads for watcher in watchers):
                await asyncio.sleep(0.01)
            assert loop.time() - died < 2 * ttl_s + 2
            await asyncio.sleep(ttl_s)

            for watcher in watchers:
                [event] = [json.loads(payload) for payload in watcher.payloads]
                assert (event["event"], event["id"]) == ("leave", "of the process that dies")
                assert event["info"] == {"n": 1}

    run(scenario)


class Store(MemoryPresence):
    """A store that a test makes fail, and that another process has left things in."""

    ttl_s = 0.003

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self.dead: list[Change] = []
        self.refreshes = 0

    async def leave(self, channel: str, id: str) -> Change | None:
        if self.failure is not None:
            raise self.failure
        return await super().leave(channel, id)

    async def refresh(self) -> list[Change]:
        self.refreshes += 1
        if self.failure is not None:
            raise self.failure
        dead, self.dead = self.dead, []
        return dead


def make(store: PresenceStore) -> tuple[Attendance, list[str]]:
    told: list[str] = []

    async def publish(channel: str, payload: str) -> None:
        if "fails" in channel:
            raise BrokerError("down")
        told.append(f"{channel} {json.loads(payload)['event']} {json.loads(payload)['id']}")

    return Attendance(store, publish), told


def test_what_cannot_be_left_now_is_left_at_a_later_refresh() -> None:
    """A handler that ends does not wait for the broker's return."""

    async def scenario() -> None:
        store = Store()
        attendance, told = make(store)
        for id in ("ada", "bob"):
            await attendance.enter("x", id, None)
        store.failure = BrokerError("down")
        for id in ("ada", "bob"):
            await attendance.leave("x", id)
        await attendance.enter("x", "bob", None)
        failed = store.refreshes
        while store.refreshes < failed + 2:
            await asyncio.sleep(0.001)
        store.failure = None
        while store.refreshes < failed + 5:
            await asyncio.sleep(0.001)
        assert [known.id for known in await store.present("x")] == ["bob"]
        await attendance.close()

        assert told == [
            "presence:x join ada",
            "presence:x join bob",
            "presence:x leave ada",
            "presence:x leave bob",
        ]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario)


def test_what_other_processes_left_is_told() -> None:
    """By whoever finds it."""

    async def scenario() -> None:
        store = Store()
        attendance, told = make(store)
        store.dead = [Change("leave", "x", Present("ada", None, 1.0))]
        attendance.watch()
        while not told:
            await asyncio.sleep(0.001)
        await attendance.close()

        assert told == ["presence:x leave ada"]

    run(scenario)


def test_a_change_that_cannot_be_told_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It has happened all the same, and who asks sees it."""

    async def scenario() -> None:
        attendance, told = make(MemoryPresence())
        await attendance.enter("fails", "ada", None)
        await attendance.close()

        assert told == []

    run(scenario)
    assert "nobody was told of a leave on 'fails': down" in caplog.text


def test_in_memory_there_is_no_task() -> None:
    """There is nobody else whose death one could notice."""

    async def scenario() -> None:
        async with Channels(MemoryBroker()) as channels:
            await channels.join(Noting("ada"), "x", presence=1)
            await settle()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario)


@pytest.mark.parametrize("info", [0, "", [], {}, False], ids=repr)
def test_any_info_but_none_is_one(info: Any) -> None:
    """What is false is something to be seen, too."""

    async def scenario() -> None:
        async with Channels() as channels:
            await channels.join(Noting("ada"), "x", presence=info)
            [present] = await channels.presence("x")
            assert present.info == info

    run(scenario)
