"""`ChannelsByLoop`: each event loop has channels of its own, made late and closed once."""

import asyncio
import gc
from typing import Any
from weakref import ref

import pytest

from bocadillo import BrokerError, ConfigurationError
from bocadillo.channels import Channels, ChannelsByLoop, HistoryLimits, MemoryBroker
from tests.channels.redis_server import RedisServer
from tests.fakes import run


def test_one_loop_has_one_and_another_loop_another() -> None:
    """Tests, and servers with a loop per thread, share an application."""
    channels = ChannelsByLoop()
    found: list[Channels] = []

    async def scenario() -> None:
        assert channels.here() is channels.here()
        found.append(channels.here())

    run(scenario)
    run(scenario)
    assert found[0] is not found[1]


def test_without_a_loop_there_are_none() -> None:
    """They could not be used."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        ChannelsByLoop().here()


def test_closed_ones_are_followed_by_fresh_ones() -> None:
    """A lifespan may begin again in the same loop, and finds nothing of the last."""

    async def scenario() -> None:
        channels = ChannelsByLoop()
        await channels.close()  # there are none, and nothing happens
        first = channels.here()
        await first.publish("x", 1)
        await channels.close()
        await channels.close()

        assert channels.here() is not first
        assert await channels.here().history("x") == []
        await channels.close()

    run(scenario)


def test_the_channels_of_a_loop_that_has_ended_are_not_kept() -> None:
    """Where no lifespan runs nobody closes them."""
    channels = ChannelsByLoop()
    found = []

    async def scenario() -> None:
        await channels.here().publish("x", 1)
        found.append(ref(channels.here()))

    for _ in range(3):
        run(scenario)
    gc.collect()

    assert [known() is None for known in found] == [True, True, False]


def test_the_history_is_bounded_as_it_was_said() -> None:
    """In every loop."""
    channels = ChannelsByLoop(history=HistoryLimits(max_count=2))

    async def scenario() -> None:
        for number in range(5):
            await channels.here().publish("x", number)
        kept = await channels.here().history("x")
        assert [known.payload for known in kept] == ["3", "4"]
        await channels.close()

    run(scenario)
    run(scenario)


@pytest.mark.parametrize(
    ("broker", "is_local"),
    [
        ("memory://", True),
        (MemoryBroker(), True),
        ("redis://localhost:6379/0", False),
        ("rediss://localhost", False),
        ("unix:///run/redis.sock", False),
    ],
)
def test_only_memory_is_local(broker: Any, is_local: bool) -> None:
    """More than one process needs something else."""
    assert ChannelsByLoop(broker).is_local is is_local


@pytest.mark.parametrize(
    ("broker", "told"),
    [
        ("kafka://x", "unknown broker 'kafka'; possible: 'memory://', 'redis://host:6379/0'"),
        ("memory:", "unknown broker"),
        ("", "unknown broker ''"),
        (7, "broker takes a URL or a Broker, got 7"),
        (MemoryBroker, "broker takes a URL or a Broker, got <class"),
    ],
)
def test_what_is_no_broker_is_refused_at_once(broker: Any, told: str) -> None:
    """At import, and not with the first publication."""
    with pytest.raises(ConfigurationError, match=told):
        ChannelsByLoop(broker)


def test_a_broker_that_is_not_there_is_an_error_at_the_start(redis_server: RedisServer) -> None:
    """And nothing is left over."""
    redis_server.kill()

    async def scenario() -> None:
        channels = ChannelsByLoop(redis_server.url)
        with pytest.raises(BrokerError, match=f"127.0.0.1:{redis_server.port}"):
            await channels.start()
        await channels.close()
        assert len(asyncio.all_tasks()) == 1

    run(scenario)


def test_a_broker_that_is_there_is_used_and_let_go(redis_server: RedisServer) -> None:
    """Its connections end with the application."""

    async def scenario() -> None:
        channels = ChannelsByLoop(redis_server.url)
        await channels.start()
        published = await channels.here().publish("x", 1)
        assert published.position.offset == 1
        await channels.close()
        assert len(asyncio.all_tasks()) == 1

    run(scenario)
