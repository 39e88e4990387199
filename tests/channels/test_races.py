"""Joins and leaves race with publications: who stays misses nothing, and nothing is left over."""

import asyncio
import os
import random
import tracemalloc
from typing import Any

import pytest

from bocadillo.channels import Broker, Channels, HistoryLimits, MemoryBroker
from bocadillo.channels.redis import RedisBroker
from bocadillo.testing.contracts.suite import new_name
from tests.channels.readers import Noting
from tests.channels.redis_server import RedisServer

# CI races for longer; see .ci/run.
RACE_S = float(os.environ.get("BOCADILLO_RACE_S", "3"))
NAMES = [f"{n}" for n in range(5)]


async def race(channels: Channels, others: Channels) -> None:
    """Publish, join and leave all at once; check all who stay, and who come and go."""
    staying = [Noting(f"{id(channels)} staying {name}") for name in NAMES]
    for reader, name in zip(staying, NAMES, strict=True):
        await channels.join(reader, name)
    is_over = asyncio.Event()
    gone: list[Noting] = []
    counts = dict.fromkeys(NAMES, 0)

    async def publish(name: str) -> None:
        while not is_over.is_set():
            counts[name] += 1
            sender = random.choice([channels, others])
            await sender.publish(name, f"{counts[name]}", codec="text")
            await asyncio.sleep(random.uniform(0, 0.01))

    async def come_and_go(n: int) -> None:
        visit = 0
        while not is_over.is_set():
            visit += 1
            reader = Noting(f"{id(channels)} {n} {visit}")
            gone.append(reader)
            # Some come to channels where somebody is, others to ones that begin and end.
            name = random.choice([*NAMES, "empty"])
            presence = random.choice([n, None])
            joining = asyncio.create_task(channels.join(reader, name, history=5, presence=presence))
            if random.random() < 0.3:
                await asyncio.sleep(random.uniform(0, 0.002))
            else:
                await joining
                await asyncio.sleep(random.uniform(0, 0.05))
            await channels.leave_all(reader)
            await asyncio.gather(joining)
            await asyncio.sleep(random.uniform(0, 0.02))

    tasks = [asyncio.create_task(publish(name)) for name in NAMES]
    tasks += [asyncio.create_task(come_and_go(n)) for n in range(15)]
    await asyncio.sleep(RACE_S)
    is_over.set()
    await asyncio.gather(*tasks)

    for reader, name in zip(staying, NAMES, strict=True):
        while len(reader.payloads) < counts[name]:
            await asyncio.sleep(0.001)
        assert reader.payloads == [f"{n}" for n in range(1, counts[name] + 1)]
    for reader in gone:
        numbers = [int(payload) for payload in reader.payloads]
        assert numbers == [*range(numbers[0], numbers[0] + len(numbers))] if numbers else True
    assert len(gone) > 100 * RACE_S
    assert [await channels.presence(name) for name in NAMES] == [[]] * 5
    assert sum(len(reader.payloads) for reader in gone) > 1000
    await nothing_left(channels, staying)


async def nothing_left(channels: Channels, staying: list[Any]) -> None:
    for reader in staying:
        await channels.leave_all(reader)
    while channels._rooms.by_name:
        await asyncio.sleep(0.001)
    assert (channels._rooms._channels_of, channels._present) == ({}, set())
    assert not channels._catch_up._behind
    assert channels.counters.gaps == 0


def run_race(make: Any, is_shared: bool) -> None:
    async def scenario() -> None:
        limits = HistoryLimits(max_count=5)
        async with Channels(make(), history=limits) as channels:
            if is_shared:
                async with Channels(make(), history=limits) as others:
                    await race(channels, others)
            else:
                await race(channels, channels)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_joins_and_leaves_race_with_publications_in_memory() -> None:
    """Connections come and go while others talk, all day long."""
    run_race(MemoryBroker, False)


def test_joins_and_leaves_race_with_publications_on_redis(shared_redis: RedisServer) -> None:
    """The same where history and publications come by different connections."""
    prefix = f"{new_name()}:"

    def make() -> Broker:
        return RedisBroker(shared_redis.url, prefix=prefix)

    run_race(make, True)

    names = shared_redis.ask("PUBSUB", "CHANNELS", f"{prefix}*")
    left = {key.decode()[len(prefix) :][:2] for key in shared_redis.ask("KEYS", f"{prefix}*")}
    assert (names, left) == ([], {"f:", "h:", "ru"})


@pytest.mark.parametrize("is_spoken_to", [False, True])
def test_channels_with_one_reader_each_are_small(is_spoken_to: bool) -> None:
    """A channel for each user is an ordinary thing to have, be they 100,000."""
    count = 10_000

    class Plain:
        __slots__ = ()

        def deliver(self, payload: Any) -> None:
            pass

    async def scenario() -> float:
        async with Channels() as channels:
            tracemalloc.start()
            for n in range(count):
                await channels.join(Plain(), f"user:{n}")
                if is_spoken_to:
                    await channels.publish(f"user:{n}", n)
            used, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return used / count

    assert asyncio.run(scenario()) < 3000  # bytes for each channel with its reader
