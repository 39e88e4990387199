"""`Listening`: one connection over which a process hears of all channels it subscribes to."""

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis.exceptions import RedisError

from bocadillo.channels.redis.calls import Server
from bocadillo.errors import BrokerError

LOGGER = logging.getLogger("bocadillo.channels")

# Seconds before another try to connect, at most.
RECONNECT_AFTER_S = 0.05
MAX_RECONNECT_AFTER_S = 5.0

# Channels in one command when all are subscribed again.
CHANNELS_AT_ONCE = 1000

# Messages taken before others may run, who write them to readers: their outboxes are bounded.
MESSAGES_AT_ONCE = 50


class Listening:
    """Keeps one connection and its subscriptions, and makes it anew when it is lost.

    Args:
        server: Whose.
        on_message: Called with the name of a channel and what came there.
        on_lost: Called with the reason when the connection is lost.
        on_restored: Called when it is there again, with all subscriptions.
        timeout_s: Seconds in which the server has to answer.

    One task owns it, and asks the server once per `timeout_s` whether it is there. So one that
    says nothing any more is lost after one to two times that.
    """

    def __init__(
        self,
        server: Server,
        on_message: Callable[[bytes, bytes], object],
        on_lost: Callable[[str], object],
        on_restored: Callable[[], object],
        timeout_s: float,
    ) -> None:
        self._server = server
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_restored = on_restored
        self._timeout_s = timeout_s
        self._connection: Any = None  # while it is there
        self._wanted: dict[bytes, None] = {}
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._heard = False  # whether anything came since the last ping
        self._owner: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerError: that is not possible.
        """
        connection = await self._connect()
        self._owner = asyncio.get_running_loop().create_task(self._keep(connection))

    async def close(self) -> None:
        """End it all."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.cancel()
            await asyncio.wait({owner})
        if self._connection is not None:  # the owner may not even have begun
            await self._disconnect(self._connection)
            self._connection = None

    async def subscribe(self, name: bytes) -> None:
        """Hear of a channel from now on.

        Raises:
            BrokerError: the connection is not there; nothing is subscribed.
        """
        async with self._server.answering():
            acknowledged = self._waiting[name] = asyncio.get_running_loop().create_future()
            self._wanted[name] = None
            try:
                if self._connection is not None:
                    await self._send(self._connection, "SUBSCRIBE", name)
                await acknowledged
            except BaseException:
                self._wanted.pop(name, None)
                raise
            finally:
                del self._waiting[name]

    async def unsubscribe(self, name: bytes) -> None:
        """Hear no more of a channel.

        Raises:
            BrokerError: the command has not gone out.
        """
        self._wanted.pop(name, None)
        if self._connection is not None:
            async with self._server.answering():
                await self._send(self._connection, "UNSUBSCRIBE", name)

    # The owner

    async def _keep(self, connection: Any) -> None:
        while True:
            try:
                await self._listen(connection)
            except BrokerError as exc:
                reason = str(exc)
            except Exception as exc:
                LOGGER.exception("the connection to the broker is made anew")
                reason = repr(exc)
            self._connection = None
            self._on_lost(reason)
            connection = await self._reconnect()
            self._on_restored()

    async def _reconnect(self) -> Any:
        for delay_s in reconnect_delays_s():
            await asyncio.sleep(delay_s)
            try:
                return await self._connect()
            except BrokerError as exc:
                LOGGER.info("the broker is still lost: %s", exc)

    async def _connect(self) -> Any:
        """Return a connection on which all is subscribed that is wanted."""
        connection = self._server.make_connection()
        try:
            async with self._server.answering():
                await connection.connect()
            # What is subscribed from here on is either among these or sends for itself.
            self._connection = connection
            names = [*self._wanted]
            for start in range(0, len(names), CHANNELS_AT_ONCE):
                await self._subscribe_again(connection, names[start : start + CHANNELS_AT_ONCE])
        except BaseException:
            self._connection = None
            await self._disconnect(connection)
            raise
        return connection

    async def _subscribe_again(self, connection: Any, names: Sequence[bytes]) -> None:
        async with self._server.answering():
            await self._send(connection, "SUBSCRIBE", *names)
            missing = {*names}
            while missing:
                kind, name, content = await connection.read_response()
                if kind == b"subscribe":
                    missing.discard(name)
                self._take(kind, name, content)

    async def _listen(self, connection: Any) -> None:
        """Read until the connection breaks or is silent, which raises."""
        reading = asyncio.get_running_loop().create_task(self._read(connection))
        try:
            while not reading.done():
                self._heard = False
                async with self._server.answering():
                    await self._send(connection, "PING")
                # Twice, for after a stall of the event loop time is over before all is read.
                for _ in range(2):
                    await asyncio.wait({reading}, timeout=self._timeout_s / 2)
                if not (self._heard or reading.done()):
                    raise BrokerError(f"{self._server.url} is silent for {self._timeout_s} s")
            await reading
        finally:
            reading.cancel()
            await asyncio.wait({reading})
            await self._disconnect(connection)

    async def _read(self, connection: Any) -> None:
        for count in itertools.count(1):
            if count % MESSAGES_AT_ONCE == 0:  # what is there already is read without a pause
                await asyncio.sleep(0)
            try:
                answer = await connection.read_response()
            except (RedisError, OSError) as exc:
                raise BrokerError(f"{self._server.url}: {exc}") from exc
            self._heard = True
            if isinstance(answer, list):  # and not the answer to a ping without subscriptions
                self._take(*answer)

    def _take(self, kind: bytes, name: bytes, content: Any = None) -> None:
        if kind == b"message":
            self._on_message(name, content)
        elif kind == b"subscribe":
            waiting = self._waiting.get(name)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    async def _send(self, connection: Any, *command: Any) -> None:
        # To send on a lost one would connect it again, behind the owner's back.
        if connection.is_connected:
            await connection.send_command(*command, check_health=False)

    async def _disconnect(self, connection: Any) -> None:
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await connection.disconnect(nowait=True)


def reconnect_delays_s() -> Iterator[float]:
    """Yield seconds to wait before each try to connect, without end.

    They double up to the last, and are jittered, so that not all processes come at once.
    """
    longest_s = RECONNECT_AFTER_S
    while True:
        yield longest_s * random.uniform(0.5, 1)
        longest_s = min(longest_s * 2, MAX_RECONNECT_AFTER_S)
