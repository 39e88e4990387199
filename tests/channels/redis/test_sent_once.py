"""A command goes to Redis at most once, whatever becomes of the connection it goes by."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias

import pytest

from bocadillo import BrokerError
from bocadillo.channels import HistoryLimits
from bocadillo.channels.redis import RedisBroker
from tests.channels.redis_server import RedisServer
from tests.fakes import run

LIMITS = HistoryLimits()
TIMEOUT_S = 1

Trouble: TypeAlias = Literal["cut before the answer", "no answer", "cut within the answer"]


class Proxy:
    """Hands on what clients and a Redis server say, until there is trouble.

    Attributes:
        trouble: What happens to the next answer, if anything.
        published: How often the script that publishes was asked for.
    """

    def __init__(self, redis: RedisServer) -> None:
        self.trouble: Trouble | None = None
        self.published = 0
        self._redis = redis
        self._under_way: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Run it, and give its URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        finally:
            server.close()
            for task in self._under_way:
                task.cancel()
            if self._under_way:
                await asyncio.wait(self._under_way)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        there, to_there = await asyncio.open_connection("127.0.0.1", self._redis.port)
        asking = asyncio.create_task(self._ask(reader, to_there))
        try:
            await self._answer(there, writer)
        finally:
            asking.cancel()
            for stream in (writer, to_there):
                stream.close()
                with contextlib.suppress(OSError):
                    await stream.wait_closed()
            self._under_way.discard(task)

    async def _ask(self, reader: asyncio.StreamReader, to_there: asyncio.StreamWriter) -> None:
        while asked := await reader.read(65536):
            self.published += asked.count(b"EVAL")
            to_there.write(asked)
        to_there.write_eof()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answer := await there.read(65536):
            trouble, self.trouble = self.trouble, None  # who tries again finds none
            if trouble == "cut within the answer":
                writer.write(answer[:3])
            if trouble in ("cut before the answer", "cut within the answer"):
                return
            if trouble is None:
                writer.write(answer)


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
                proxy.published = 0
                proxy.trouble = trouble

                began = time.monotonic()
                with pytest.raises(BrokerError):
                    await broker.publish("x", "lost", limits=LIMITS)
                took_s = time.monotonic() - began

                assert not proxy.trouble
                assert proxy.published == 1
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
