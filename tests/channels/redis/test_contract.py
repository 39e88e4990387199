"""`RedisBroker` keeps the contracts of a broker and of a store of presence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bocadillo.channels import Broker
from bocadillo.channels.redis import RedisBroker
from bocadillo.testing.contracts import BrokerContract, PresenceContract
from bocadillo.testing.contracts.suite import new_name
from tests.channels.redis_server import RedisServer

# Tests of silence wait for it; the others must not, on a machine that is busy.
TIMEOUT_S = 2


class TestContract(BrokerContract):
    is_shared = True

    @pytest.fixture(autouse=True)
    def server(self, shared_redis: RedisServer) -> None:
        self.redis = shared_redis
        self.prefix = f"{new_name()}:"

    def make(self) -> Broker:
        return RedisBroker(self.redis.url, prefix=self.prefix, timeout_s=TIMEOUT_S)

    async def break_connection(self) -> None:
        for kind in ("pubsub", "normal"):
            await asyncio.to_thread(self.redis.ask, "CLIENT", "KILL", "TYPE", kind)

    @asynccontextmanager
    async def silenced(self) -> AsyncIterator[None]:
        self.redis.pause()
        try:
            yield
        finally:
            self.redis.resume()

    async def forget_everything(self) -> None:
        await asyncio.to_thread(self.redis.ask, "DEL", *await self.names_kept())

    async def names_kept(self) -> set[str]:
        keys = await asyncio.to_thread(self.redis.ask, "KEYS", f"{self.prefix}*")
        return {key.decode() for key in keys}


class TestPresence(PresenceContract):
    is_shared = True

    @pytest.fixture(autouse=True)
    def server(self, shared_redis: RedisServer) -> None:
        self.url = shared_redis.url
        self.prefix = f"{new_name()}:"

    def make(self) -> Broker:
        return RedisBroker(self.url, prefix=self.prefix, presence_ttl_s=1)
