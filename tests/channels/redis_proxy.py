"""What stands between a broker and its Redis server, counts, and makes trouble."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias

from tests.channels.redis_server import RedisServer

Trouble: TypeAlias = Literal["cut before the answer", "no answer", "cut within the answer"]


class Proxy:
    """Hands on what clients and a Redis server say, until there is trouble.

    Attributes:
        trouble: What happens to the next answer, if anything.
        scripts: How often a script was asked for.
    """

    def __init__(self, redis: RedisServer) -> None:
        self.trouble: Trouble | None = None
        self.scripts = 0
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
            self.scripts += asked.count(b"EVAL")
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
