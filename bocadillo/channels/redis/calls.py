"""`Server`: calls of one Redis server, each of which ends in time and fails as `BrokerError`."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bocadillo.errors import BrokerError, ConfigurationError

try:
    import redis.asyncio as aioredis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import (
        AuthenticationError,
        NoPermissionError,
        NoScriptError,
        RedisError,
        ResponseError,
    )
except ImportError:
    raise ConfigurationError(
        "the broker 'redis://' needs redis-py: pip install 'bocadillo[redis]'"
    ) from None

# Calls made at the same time; more wait for a connection.
MAX_CONNECTIONS = 16

UNKNOWN_RUN = b"unknown"


class Script:
    """A Lua script: its text, and the name by which the server knows it once it has it."""

    def __init__(self, name: str) -> None:
        self.text = Path(__file__).with_name(name).read_text(encoding="utf-8")
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Server:
    """One Redis server.

    Args:
        url: Where it is.
        run_key: Where it is noted which run of the server it is, so that every script sees
            whether the server was restarted. Each connection sees to that before it is used.
        timeout_s: Seconds after which a call gives up.

    Attributes:
        url: The same without its password.
        run: The run of the server as it was last seen.

    Raises:
        ConfigurationError: the URL cannot be used.
    """

    def __init__(self, url: str, run_key: bytes, timeout_s: float) -> None:
        self.url = without_password(url)
        self.run = UNKNOWN_RUN
        self._run_key = run_key
        self._timeout_s = timeout_s
        try:
            self._pool = aioredis.BlockingConnectionPool.from_url(
                url,
                max_connections=MAX_CONNECTIONS,
                timeout=timeout_s,
                # Nothing is sent twice behind our back: that would publish it twice.
                retry=Retry(NoBackoff(), 0),
                # Each call has a time-out as a whole.
                socket_timeout=None,
                socket_connect_timeout=timeout_s,
                redis_connect_func=self._on_connect,
                protocol=2,
            )
        except (ValueError, TypeError) as exc:
            raise ConfigurationError(f"cannot use the broker {self.url!r}: {exc}") from None
        for option in ("protocol", "decode_responses"):
            if self._pool.connection_kwargs.get(option) not in (None, False, 2):
                raise ConfigurationError(
                    f"cannot use the broker {self.url!r} with the option {option!r}; leave it out"
                )
        self._client: Any = aioredis.Redis(connection_pool=self._pool)  # hardly typed

    def make_connection(self) -> Any:
        """Return a connection apart from the others, not connected yet."""
        return self._client.connection_pool.make_connection()

    async def call_many(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the answers to commands that are sent together.

        Raises:
            BrokerError: they do not come in time, or one is an error.
        """
        async with self.answering(), self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = await pipeline.execute()
            return answers

    async def run_script(self, script: Script, keys: Sequence[bytes], *args: Any) -> Any:
        """Return what a script returns; raises as `call_many` does."""
        async with self.answering():
            rest = (len(keys), *keys, *args)
            try:
                return await self._client.execute_command("EVALSHA", script.sha, *rest)
            except NoScriptError:  # a server that is new to it, or has forgotten
                return await self._client.execute_command("EVAL", script.text, *rest)

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Turn what goes wrong within into a `BrokerError`; that nothing comes, too."""
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError:
            raise BrokerError(
                f"{self.url} has not answered within {self._timeout_s} s; see whether it is "
                "overloaded or paused, or raise timeout_s"
            ) from None
        except AuthenticationError as exc:
            raise BrokerError(
                f"{self.url} refuses the user or password: {exc}; give the right ones in the URL"
            ) from exc
        except (RedisError, OSError) as exc:
            raise BrokerError(self._told(exc)) from exc

    def _told(self, exc: Exception) -> str:
        if isinstance(exc, ResponseError | NoPermissionError):
            return f"{self.url} refuses a command: {exc}"
        return f"cannot reach {self.url}: {exc}; start the server there, or give another URL"

    async def close(self) -> None:
        """Let go of all connections."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._client.aclose()
                await self._pool.disconnect()
        except (TimeoutError, RedisError, OSError):
            pass  # they are closed, if not politely

    async def _on_connect(self, connection: Any) -> None:
        await connection.on_connect()
        try:
            self.run = _run_id(await _ask(connection, "INFO", "server"))
            if await _ask(connection, "GET", self._run_key) != self.run:
                await _ask(connection, "SET", self._run_key, self.run)
        except ResponseError:
            # INFO may be forbidden, and there may be no memory for SET. Then it is not seen
            # whether a server has gone back in time, by a restart from an old snapshot.
            pass


async def _ask(connection: Any, *command: Any) -> Any:
    await connection.send_command(*command, check_health=False)
    return await connection.read_response()


def _run_id(info: Any) -> bytes:
    """Return the id of the server's run from what INFO tells."""
    told = re.search(rb"run_id:(\w+)", info)
    return UNKNOWN_RUN if told is None else told[1]


def without_password(url: str) -> str:
    """Return *url*, fit for a log line."""
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
    except ValueError:
        return url.partition("://")[0] + "://…"
    return f"{parts.scheme}://{place}{parts.path}"
