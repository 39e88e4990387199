"""A command goes to Redis at most once, whatever becomes of the connection it goes by."""

import asyncio
import time

import pytest

from bocadillo import BrokerError
from bocadillo.channels import HistoryLimits
from bocadillo.channels.redis import RedisBroker
from tests.channels.redis_proxy import Proxy, Trouble
from tests.channels.redis_server import RedisServer
from tests.fakes import run

LIMITS = HistoryLimits()
TIMEOUT_S = 1


@pytest.mark.parametrize("trouble", ["cut before the answer", "no answer", "cut within the answer"])
def test_what_may_have_been_carried_out_is_not_sent_again(
    redis_server: RedisServer, trouble: Trouble
) -> None:
    """The library's own retries would publish it twice; the caller decides."""

    async def scenario() -> None:
        proxy = Proxy(redis_server)
        async with proxy.running() as url:
            broker = RedisBroker(url, timeout_s=TIMEOUT_S)
            try:
                await broker.publish("x", "before", limits=LIMITS)
                proxy.scripts = 0
                proxy.trouble = trouble

                began = time.monotonic()
                with pytest.raises(BrokerError):
                    await broker.publish("x", "lost", limits=LIMITS)
                took_s = time.monotonic() - began

                assert not proxy.trouble
                assert proxy.scripts == 1
                assert took_s < 2 * TIMEOUT_S
                await broker.publish("x", "after", limits=LIMITS)
                kept = (await broker.history("x")).publications
                assert [known.payload for known in kept] == ["before", "lost", "after"]
            finally:
                await broker.close()

    run(scenario)


def test_nothing_waits_for_a_server_that_is_away(redis_server: RedisServer) -> None:
    """Each call fails in time, and what failed is not made up for behind the caller's back."""

    async def scenario() -> None:
        broker = RedisBroker(redis_server.url, timeout_s=TIMEOUT_S)
        try:
            await broker.publish("x", "before", limits=LIMITS)
            redis_server.kill()
            began = time.monotonic()
            for _ in range(20):
                with pytest.raises(BrokerError):
                    await broker.publish("x", "lost", limits=LIMITS)
            assert time.monotonic() - began < TIMEOUT_S
            await asyncio.to_thread(redis_server.start)

            await broker.publish("x", "after", limits=LIMITS)

            kept = (await broker.history("x")).publications
            assert [known.payload for known in kept] == ["after"]
        finally:
            await broker.close()

    run(scenario)
