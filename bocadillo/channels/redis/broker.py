"""`RedisBroker`: publications and history on a Redis server.

| key                         | what                                  | goes                      |
|-----------------------------|---------------------------------------|---------------------------|
| `<prefix>f:<channel>`       | hash: `epoch`, `offset`, `run`, `age` | see `FACTS_LIVE_S`        |
| `<prefix>h:<channel>`       | list of envelopes                     | after `max_age_s`         |
| `<prefix>run`               | the run of the server                 | never; there is one       |
| `<prefix>c:<channel>`       | no key: where envelopes are published | -                         |
| `<prefix>c<db>:<channel>`   | the same, in a database other than 0  | -                         |

Keys of presence are in `presence`. A name of a channel is in its keys as it is, in UTF-8.
"""

import uuid
from collections.abc import Sequence

from redis.asyncio.connection import parse_url

from bocadillo.channels.broker import Broker, Listener
from bocadillo.channels.publications import HistoryLimits, Past, Position, select
from bocadillo.channels.redis.calls import Script, Server
from bocadillo.channels.redis.envelope import seal, unseal
from bocadillo.channels.redis.listening import Listening
from bocadillo.channels.redis.presence import RedisPresence
from bocadillo.codecs import Payload
from bocadillo.errors import ConfigurationError

# Seconds for which offsets of a silent channel are remembered, if its history does not last
# longer. After that it begins anew, and a loss of connection counts as a loss of publications.
FACTS_LIVE_S = 24 * 3600

_APPEND = Script("append.lua")
_HISTORY = Script("history.lua")


class RedisBroker(Broker):
    """Carries publications between processes by Redis, and keeps a history there.

    Args:
        url: "redis://[[user]:password@]host[:port][/database]", "rediss://…" for TLS, or
            "unix:///path"; options of redis-py may follow as a query.
        timeout_s: Seconds after which a call gives up.
        prefix: What all keys begin with; brokers with different ones share nothing.
        presence_ttl_s: Seconds after which the presence of a process that died is gone.

    A process has one connection to listen and up to 16 to call. Redis Cluster is not
    supported: scripts use keys of several slots.

    Raises:
        ConfigurationError: the URL or an option cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 5,
        prefix: str = "bocadillo:",
        presence_ttl_s: float = 30,
    ) -> None:
        if timeout_s <= 0 or presence_ttl_s <= 0:
            raise ConfigurationError(
                "timeout_s and presence_ttl_s must be more than 0 seconds, "
                f"got {timeout_s} and {presence_ttl_s}"
            )
        self.timeout_s = timeout_s
        self.foreign = 0
        self._prefix = name_of(prefix)
        self._run_key = self._prefix + b"run"
        self._server = Server(url, self._run_key, timeout_s)
        # Redis publishes to all its databases; keys are apart by themselves.
        database = parse_url(url).get("db", 0)
        self._names = self._prefix + (b"c%d:" % database if database else b"c:")
        self.presence = RedisPresence(self._server, self._prefix, presence_ttl_s)
        self._listener: Listener  # from start on; nothing comes before
        self._listening = Listening(
            self._server, self._on_message, self._on_lost, self._on_restored, timeout_s
        )

    async def start(self, listener: Listener) -> None:
        """See `Broker.start`."""
        self._listener = listener
        await self._listening.start()

    async def close(self) -> None:
        """See `Broker.close`."""
        await self._listening.close()
        await self._server.close()

    async def publish(
        self,
        channel: str,
        payload: Payload,
        *,
        exclude: str | None = None,
        limits: HistoryLimits,
    ) -> Position:
        """See `Broker.publish`. One round trip."""
        name = name_of(channel)
        age_ms = round(limits.max_age_s * 1000)
        offset, epoch = await self._server.run_script(
            _APPEND,
            [self._prefix + b"f:" + name, self._prefix + b"h:" + name, self._run_key],
            self._names + name,
            uuid.uuid4().hex,
            self._server.run,
            limits.max_count,
            age_ms,
            max(FACTS_LIVE_S * 1000, 2 * age_ms),
            seal(payload, exclude),
        )
        return _position(offset, epoch)

    async def subscribe(self, channel: str) -> Position:
        """See `Broker.subscribe`. Two round trips."""
        name = self._names + name_of(channel)
        async with self._server.answering():  # the two together
            await self._listening.subscribe(name)
            try:
                return (await self.newest([channel]))[0]
            except BaseException:
                await self._listening.unsubscribe(name)
                raise

    async def unsubscribe(self, channel: str) -> None:
        """See `Broker.unsubscribe`."""
        await self._listening.unsubscribe(self._names + name_of(channel))

    async def history(
        self, channel: str, *, limit: int | None = None, since: Position | None = None
    ) -> Past:
        """See `Broker.history`. One round trip."""
        name = name_of(channel)
        offset, epoch, *envelopes = await self._server.run_script(
            _HISTORY,
            [self._prefix + b"f:" + name, self._prefix + b"h:" + name],
            -1 if limit is None else limit,
            -1 if since is None else since.offset,
        )
        found = (unseal(channel, envelope) for envelope in envelopes)
        kept = [known for known in found if known is not None]
        return select(channel, kept, _position(offset, epoch), limit, since)

    async def newest(self, channels: Sequence[str]) -> list[Position]:
        """See `Broker.newest`. One round trip."""
        facts = [
            ("HMGET", self._prefix + b"f:" + name_of(channel), "offset", "epoch")
            for channel in channels
        ]
        return [
            _position(offset or b"0", epoch or b"")
            for offset, epoch in await self._server.call_many(facts)
        ]

    # What comes

    def _on_message(self, name: bytes, envelope: bytes) -> None:
        channel = name.removeprefix(self._names).decode("utf-8", "surrogatepass")
        publication = unseal(channel, envelope)
        if publication is None:
            self.foreign += 1
        else:
            self._listener.receive(publication)

    def _on_lost(self, reason: str) -> None:
        self._listener.lost(reason)

    def _on_restored(self) -> None:
        self._listener.restored()


def name_of(channel: str) -> bytes:
    """Return the name of a channel as bytes; different ones for different channels."""
    return channel.encode("utf-8", "surrogatepass")


def _position(offset: bytes, epoch: bytes) -> Position:
    return Position(int(offset), epoch.decode())
