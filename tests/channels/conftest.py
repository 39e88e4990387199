"""Redis servers: one for all tests of a process, and one of a test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.channels.redis_server import RedisServer, require_redis


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server for tests that do it no harm; they use names of their own."""
    require_redis()
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, started."""
    require_redis()
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()
