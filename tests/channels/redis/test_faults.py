"""What readers see of a Redis server that is killed, paused, cut off, full or emptied."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bocadillo import BrokerError, PositionLost
from bocadillo.channels import Channels, HistoryLimits, Publication
from bocadillo.channels.redis import RedisBroker
from tests.channels.readers import Noting, delivered
from tests.channels.redis_server import RedisServer, require_redis

PATIENCE_S = 60


def run(scenario: Callable[[], Any]) -> None:
    """Run a scenario to its end; these take seconds."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scenario()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(bounded())


class Watching:
    """A reader that checks what it gets: nothing twice, nothing out of order, no hole untold."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.seen: list[Any] = []
        self.offset = 0
        self.epoch = ""
        self.mistakes: list[str] = []
        self.losses = 0
        self._may_skip = True
        self._payloads: set[Any] = set()

    def deliver(self, payload: Any) -> None:
        raise NotImplementedError

    def deliver_publication(self, publication: Publication) -> None:
        position = publication.position
        if publication.payload in self._payloads:
            self.mistakes.append(f"{publication} came twice")
        is_next = position.epoch != self.epoch or position.offset == self.offset + 1
        if not (is_next or (self._may_skip and position.offset > self.offset)):
            self.mistakes.append(f"{position} came after {self.offset}")
        self._may_skip = False
        self.offset, self.epoch = position.offset, position.epoch
        self._payloads.add(publication.payload)
        self.seen.append(publication.payload)

    def lose(self, loss: PositionLost) -> None:
        self.losses += 1
        self._may_skip = True


@asynccontextmanager
async def processes(
    server: RedisServer, count: int, *, timeout_s: float = 1, **options: Any
) -> AsyncIterator[list[Channels]]:
    """Yield channels as if of several processes."""
    made = [Channels(RedisBroker(server.url, timeout_s=timeout_s), **options) for _ in range(count)]
    try:
        yield made
    finally:
        await asyncio.gather(*(channels.close() for channels in made))


async def watching(channels: Channels, name: str, count: int) -> list[Watching]:
    readers = [Watching(f"{id(channels)} {n}") for n in range(count)]
    for reader in readers:
        await channels.join(reader, name, on_gap=reader.lose)
    return readers


async def publish_all_the_time(channels: Channels, name: str, per_second: int) -> None:
    """Publish numbers until cancelled, whatever fails."""
    n = 0
    while True:
        try:
            await channels.publish(name, f"{id(channels)} {n}")
        except BrokerError:
            await asyncio.sleep(0.01)
        n += 1
        await asyncio.sleep(1 / per_second)


async def published(channels: Channels, name: str, value: Any) -> None:
    """Publish as soon as that is possible."""
    while True:
        try:
            await channels.publish(name, value, codec="text")
            return
        except BrokerError:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("is_kept", [False, True], ids=["empty after", "as before"])
def test_a_server_that_is_killed_under_load_costs_nobody_order(
    is_kept: bool, tmp_path: Path
) -> None:
    """Nothing comes twice or out of order, and what cannot come is told."""
    require_redis()
    server = RedisServer(tmp_path, **({"appendonly": "yes"} if is_kept else {}))
    server.start()

    async def scenario() -> None:
        async with processes(server, 2) as (one, two):
            readers = [*await watching(one, "x", 25), *await watching(two, "x", 25)]
            loading = [
                asyncio.create_task(publish_all_the_time(channels, "x", 250))
                for channels in (one, two)
            ]
            for _ in range(2):
                await asyncio.sleep(0.3)
                server.kill()
                await asyncio.sleep(0.2)
                await asyncio.to_thread(server.start)
                before = len(readers[0].seen)
                while len(readers[0].seen) < before + 50:
                    await asyncio.sleep(0.01)
            for load in loading:
                load.cancel()
            await asyncio.wait(loading)
            await published(one, "x", "last")
            while any(reader.seen[-1] != "last" for reader in readers):
                await asyncio.sleep(0.01)

            assert [reader.mistakes for reader in readers] == [[]] * 50
            assert {reader.losses for reader in readers} <= {1, 2, 3}
            assert one.counters.outages >= 2
            assert len({tuple(reader.seen[-50:]) for reader in readers}) == 1

    try:
        run(scenario)
    finally:
        server.kill()


def test_a_server_that_is_paused_is_waited_for(redis_server: RedisServer) -> None:
    """Publishing gives up in time, and what was published meanwhile comes afterwards."""

    async def scenario() -> None:
        async with processes(redis_server, 2, timeout_s=1) as (one, two):
            readers = await watching(one, "x", 3)
            await two.publish("x", "before", codec="text")
            await delivered_to(readers, 1)
            redis_server.pause()

            began = time.monotonic()
            with pytest.raises(BrokerError, match=r"has not answered within 1 s"):
                await two.publish("x", "during", codec="text")
            assert time.monotonic() - began < 5
            while not one.counters.outages:
                await asyncio.sleep(0.01)
            redis_server.resume()
            await published(two, "x", "after")
            while readers[0].seen[-1] != "after":
                await asyncio.sleep(0.01)

            for reader in readers:
                assert reader.seen in (["before", "after"], ["before", "during", "after"])
                assert (reader.mistakes, reader.losses) == ([], 0)

    run(scenario)


def test_a_server_that_sleeps_for_less_than_the_time_out_is_not_lost(
    redis_server: RedisServer,
) -> None:
    """A slow command of somebody else is no outage."""

    async def scenario() -> None:
        async with processes(redis_server, 1, timeout_s=3) as [channels]:
            readers = await watching(channels, "x", 1)
            redis_server.pause()
            asyncio.get_running_loop().call_later(0.5, redis_server.resume)
            await channels.publish("x", "patient", codec="text")
            await delivered_to(readers, 1)

            assert channels.counters.outages == 0

    run(scenario)


def test_connections_that_are_cut_come_back_and_nothing_is_missed(
    redis_server: RedisServer,
) -> None:
    """A reset in the network is not seen by readers."""

    async def scenario() -> None:
        async with processes(redis_server, 2) as (one, two):
            readers = [*await watching(one, "x", 3), *await watching(two, "x", 3)]
            loading = asyncio.create_task(publish_all_the_time(one, "x", 300))

            for outages in range(1, 6):
                for kind in ("pubsub", "normal"):
                    await asyncio.to_thread(redis_server.ask, "CLIENT", "KILL", "TYPE", kind)
                while min(one.counters.outages, two.counters.outages) < outages:
                    await asyncio.sleep(0.01)
                # Both are back, for a connection that is not there cannot be cut.
                await delivered_to(readers, max(len(reader.seen) for reader in readers) + 10)
            loading.cancel()
            await asyncio.wait({loading})
            await published(two, "x", "last")
            while any(reader.seen[-1] != "last" for reader in readers):
                await asyncio.sleep(0.01)

            for reader in readers:
                assert (reader.mistakes, reader.losses) == ([], 0)
                assert reader.seen == readers[0].seen

    run(scenario)


def test_a_server_without_memory_refuses_and_recovers(redis_server: RedisServer) -> None:
    """Publishing says so; who reads is still connected."""

    async def scenario() -> None:
        async with processes(redis_server, 1) as [channels]:
            readers = await watching(channels, "x", 1)
            await channels.publish("x", "before", codec="text")
            redis_server.ask("CONFIG", "SET", "maxmemory", "1")

            with pytest.raises(BrokerError, match="refuses a command: .*maxmemory"):
                await channels.publish("x", "full", codec="text")
            with pytest.raises(BrokerError, match="maxmemory"):
                await channels.join(Noting("ada"), "x", presence={})
            await channels.leave("ada", "x")
            assert len(await channels.history("x")) == 1
            redis_server.ask("CONFIG", "SET", "maxmemory", "0")
            await channels.publish("x", "after", codec="text")
            await delivered_to(readers, 2)

            assert readers[0].seen == ["before", "after"]
            assert (readers[0].mistakes, readers[0].losses) == ([], 0)
            assert channels.counters.outages == 0

    run(scenario)


def test_a_new_connection_to_a_server_without_memory_is_one(redis_server: RedisServer) -> None:
    """Reading and listening need no memory of it."""

    async def scenario() -> None:
        redis_server.ask("CONFIG", "SET", "maxmemory", "1")
        async with processes(redis_server, 1) as [channels]:
            await channels.join(Noting("ada"), "x")
            assert await channels.history("x") == []

    run(scenario)


def test_flushall_begins_a_new_epoch(redis_server: RedisServer) -> None:
    """Who is there misses nothing; who comes back with an old position is told."""

    async def scenario() -> None:
        async with processes(redis_server, 1) as [channels]:
            readers = await watching(channels, "x", 1)
            old = (await channels.publish("x", "old", codec="text")).position
            redis_server.ask("FLUSHALL")

            new = (await channels.publish("x", "new", codec="text")).position
            await delivered_to(readers, 2)

            assert (new.offset, new.epoch == old.epoch) == (1, False)
            assert readers[0].seen == ["old", "new"]
            assert (readers[0].mistakes, readers[0].losses) == ([], 0)
            with pytest.raises(PositionLost, match="emptied or restarted"):
                await channels.join(Noting("ada"), "x", since=old)

    run(scenario)


def test_a_server_that_went_back_to_a_snapshot_repeats_no_offset(tmp_path: Path) -> None:
    """Else readers would take what is new for what they have seen."""
    require_redis()
    server = RedisServer(tmp_path)
    server.start()

    async def scenario() -> None:
        async with processes(server, 1) as [channels]:
            readers = await watching(channels, "x", 1)
            await channels.publish("x", "in the snapshot", codec="text")
            server.ask("SAVE")
            for n in range(3):
                await channels.publish("x", f"not in it {n}", codec="text")
            await delivered_to(readers, 4)
            server.kill()
            await asyncio.to_thread(server.start)

            for n in range(5):
                await published(channels, "x", f"new {n}")
            while readers[0].seen[-1] != "new 4":
                await asyncio.sleep(0.01)

            assert readers[0].seen[4:] == [f"new {n}" for n in range(5)]
            assert (readers[0].mistakes, readers[0].losses) == ([], 1)
            kept = [known.payload for known in await channels.history("x")]
            assert kept == ["in the snapshot", *(f"new {n}" for n in range(5))]

    try:
        run(scenario)
    finally:
        server.kill()


def test_presence_that_was_flushed_comes_back(redis_server: RedisServer) -> None:
    """Those who are there are seen again after the next refresh."""

    async def scenario() -> None:
        broker = RedisBroker(redis_server.url, presence_ttl_s=0.3)
        async with Channels(broker) as channels:
            await channels.join(Noting("ada"), "x", presence={"n": 1})
            redis_server.ask("FLUSHALL")
            while not await channels.presence("x"):
                await asyncio.sleep(0.01)

            [present] = await channels.presence("x")
            assert (present.id, present.info) == ("ada", {"n": 1})

    run(scenario)


def test_who_leaves_while_the_server_is_away_is_gone_when_it_is_back(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Leaving never fails, and is made up for."""

    async def scenario() -> None:
        broker = RedisBroker(redis_server.url, presence_ttl_s=1, timeout_s=1)
        async with Channels(broker) as channels:
            await channels.join(Noting("ada"), "x", presence={})
            await channels.join(Noting("bob"), "x", presence={})
            redis_server.pause()
            await channels.leave("ada", "x")
            redis_server.resume()

            while [known.id for known in await seen(channels)] != ["bob"]:
                await asyncio.sleep(0.01)

    async def seen(channels: Channels) -> Any:
        try:
            return await channels.presence("x")
        except BrokerError:
            return []

    run(scenario)
    assert "ada has left 'x', but presence shows it still" in caplog.text


def test_a_server_that_is_gone_keeps_no_program_from_ending(redis_server: RedisServer) -> None:
    """Closing has a deadline, be the server dead or paused."""

    async def scenario() -> None:
        for make_trouble in (redis_server.pause, redis_server.kill):
            async with processes(redis_server, 1, timeout_s=1) as [channels]:
                await channels.join(Noting("ada"), "x", presence={})
                make_trouble()
                began = time.monotonic()
                await channels.leave_all("ada")
            assert time.monotonic() - began < 10
            redis_server.resume() if make_trouble == redis_server.pause else None

    run(scenario)


def test_joining_while_the_server_is_away_fails_in_time(redis_server: RedisServer) -> None:
    """A handler is not held up; the next try after the return works."""

    async def scenario() -> None:
        async with processes(redis_server, 1, timeout_s=1) as [channels]:
            await channels.start()
            redis_server.kill()
            ada = Noting("ada")
            with pytest.raises(BrokerError, match=f"127.0.0.1:{redis_server.port}"):
                await channels.join(ada, "x")
            with pytest.raises(BrokerError, match="cannot reach"):
                await channels.publish("x", 1)
            await asyncio.to_thread(redis_server.start)
            while not channels.readers("x"):
                try:
                    await channels.join(ada, "x")
                except BrokerError:
                    await asyncio.sleep(0.01)
            await published(channels, "x", "here")
            await delivered([ada], 1)

    run(scenario)


def test_a_history_that_is_trimmed_during_an_outage_is_told(redis_server: RedisServer) -> None:
    """Who was cut off for too long gets what is left, and knows that it is not all."""

    async def scenario() -> None:
        limits = HistoryLimits(max_count=3)
        async with processes(redis_server, 2, history=limits) as (one, two):
            readers = await watching(one, "x", 1)
            await two.publish("x", "first", codec="text")
            await delivered_to(readers, 1)
            broker: Any = one._broker
            go_on = asyncio.Event()
            reconnect = broker._listening._connect

            async def connect_later() -> Any:
                await go_on.wait()
                return await reconnect()

            broker._listening._connect = connect_later
            redis_server.ask("CLIENT", "KILL", "TYPE", "pubsub")
            while not one.counters.outages:
                await asyncio.sleep(0.01)
            for n in range(5):
                await two.publish("x", f"{n}", codec="text")
            go_on.set()
            while readers[0].seen[-1] != "4":
                await asyncio.sleep(0.01)

            assert readers[0].seen == ["first", "2", "3", "4"]
            assert (readers[0].mistakes, readers[0].losses) == ([], 1)

    run(scenario)


async def delivered_to(readers: list[Watching], count: int) -> None:
    while any(len(reader.seen) < count for reader in readers):
        await asyncio.sleep(0.001)
