"""What `RedisBroker` has on a server, and how clearly it says what is wrong with one."""

import asyncio
import itertools
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from bocadillo import BrokerError, ConfigurationError
from bocadillo.channels import Channels, HistoryLimits, Publication
from bocadillo.channels.redis import RedisBroker
from bocadillo.channels.redis.calls import _run_id, without_password
from bocadillo.testing.contracts import Heard
from bocadillo.testing.contracts.suite import new_name
from tests.channels.readers import Noting, delivered
from tests.channels.redis_server import RedisServer, require_redis
from tests.fakes import run

KEPT = HistoryLimits(max_count=5, max_age_s=60)


def using(server: RedisServer, **options: Any) -> RedisBroker:
    """Return a broker on a server, with keys of its own."""
    return RedisBroker(server.url, prefix=f"{new_name()}:", **options)


def keys(server: RedisServer, broker: RedisBroker) -> list[str]:
    """Return the keys that a broker has on a server."""
    return sorted(key.decode() for key in server.ask("KEYS", broker._prefix.decode() + "*"))


# What is on the server


def test_reading_creates_no_keys(shared_redis: RedisServer) -> None:
    """Else anybody who may ask can fill the memory of the server."""

    async def scenario() -> None:
        broker = using(shared_redis)
        await broker.start(Heard())

        for n in range(20):
            await broker.subscribe(f"{n}")
            await broker.history(f"{n}", limit=5)
            await broker.newest([f"{n}"])
            await broker.presence.present(f"{n}")
            await broker.presence.leave(f"{n}", "me")
            await broker.unsubscribe(f"{n}")
        await broker.presence.leave_all()

        assert keys(shared_redis, broker) == [f"{broker._prefix.decode()}run"]
        await broker.close()

    run(scenario)


def test_all_keys_of_a_channel_expire(shared_redis: RedisServer) -> None:
    """A server is not filled by names that were used once."""

    async def scenario() -> None:
        broker = using(shared_redis)
        await broker.start(Heard())
        prefix = broker._prefix.decode()

        await broker.publish("x", "1", limits=HistoryLimits(max_count=1, max_age_s=60))
        await broker.publish("y", "1", limits=HistoryLimits(max_count=0))

        assert keys(shared_redis, broker) == [
            prefix + name for name in ("f:x", "f:y", "h:x", "run")
        ]
        assert 0 < shared_redis.ask("PTTL", f"{prefix}h:x") <= 60_000
        for name in ("f:x", "f:y"):
            assert 86_000_000 < shared_redis.ask("PTTL", prefix + name) <= 86_400_000
        await broker.close()

    run(scenario)


def test_what_is_too_old_does_not_come_back_by_longer_limits(shared_redis: RedisServer) -> None:
    """What was said in passing is gone, whoever changes the settings."""

    async def scenario() -> None:
        broker = using(shared_redis)
        await broker.start(Heard())
        short, long = HistoryLimits(max_age_s=0.3), HistoryLimits(max_age_s=60)
        await broker.publish("x", "old", limits=short)
        await asyncio.sleep(0.2)  # time itself: the two are of different ages
        await broker.publish("x", "younger", limits=short)
        while "old" in [known.payload for known in (await broker.history("x")).publications]:
            await asyncio.sleep(0.001)

        await broker.publish("x", "new", limits=long)

        kept = [known.payload for known in (await broker.history("x")).publications]
        assert "old" not in kept
        assert kept[-1] == "new"
        await broker.close()

    run(scenario)


def test_presence_leaves_no_keys(shared_redis: RedisServer) -> None:
    """Neither those of channels nor those of processes."""

    async def scenario() -> None:
        broker = using(shared_redis)
        await broker.start(Heard())

        await broker.presence.enter("x", "a", None)
        await broker.presence.enter("x", "b", None)
        await broker.presence.leave("x", "a")
        await broker.presence.leave_all()

        assert keys(shared_redis, broker) == [f"{broker._prefix.decode()}run"]
        await broker.close()

    run(scenario)


def test_foreign_bytes_are_dropped_and_counted(shared_redis: RedisServer) -> None:
    """Whoever else writes to the server can break nothing, and is noticed."""

    async def scenario() -> None:
        broker, heard = using(shared_redis), Heard()
        await broker.start(heard)
        await broker.subscribe("x")
        name = broker._prefix.decode() + "c:x"

        for foreign in ("", "hello", "b1", "b1 1 e 1 t \xff", "b1 x e 1 t \n", "b1 1 e 1 z \n"):
            shared_redis.ask("PUBLISH", name, foreign)
        await broker.publish("x", "ours", limits=KEPT)
        await heard.wait_for(1)

        assert heard.payloads("x") == ["ours"]
        assert broker.foreign == 6
        await broker.close()

    run(scenario)


def test_a_server_that_forgot_the_scripts_is_taught_again(shared_redis: RedisServer) -> None:
    """A restart, or somebody's SCRIPT FLUSH, is nothing special."""

    async def scenario() -> None:
        broker = using(shared_redis)
        await broker.start(Heard())
        await broker.publish("x", "1", limits=KEPT)

        shared_redis.ask("SCRIPT", "FLUSH")
        position = await broker.publish("x", "2", limits=KEPT)

        assert position.offset == 2
        await broker.close()

    run(scenario)


def test_one_subscription_serves_all_readers_of_a_process(shared_redis: RedisServer) -> None:
    """The server does the same work for one reader and for a thousand."""

    async def scenario() -> None:
        broker = using(shared_redis)
        name = broker._prefix.decode() + "c:x"
        async with Channels(broker) as channels:
            readers = [Noting(f"{n}") for n in range(50)]
            await asyncio.gather(*(channels.join(reader, "x") for reader in readers))
            assert shared_redis.ask("PUBSUB", "NUMSUB", name) == [name.encode(), 1]

            await channels.publish("x", 1)
            await delivered(readers, 1)
            await channels.leave_all(readers[0])
            assert shared_redis.ask("PUBSUB", "NUMSUB", name) == [name.encode(), 1]
            for reader in readers:
                await channels.leave_all(reader)
            while shared_redis.ask("PUBSUB", "NUMSUB", name) != [name.encode(), 0]:
                await asyncio.sleep(0.001)

    run(scenario)


# What is wrong with a server


def test_a_server_that_is_not_there_is_told_without_its_password() -> None:
    """Who starts the program reads which one, and what to do; logs keep no secrets."""

    async def scenario() -> None:
        channels = Channels("redis://ada:secret@127.0.0.1:1/0", timeout_s=1)

        with pytest.raises(BrokerError) as caught:
            await channels.start()

        assert "cannot reach redis://127.0.0.1:1/0" in str(caught.value)
        assert "start the server there, or give another URL" in str(caught.value)
        assert "secret" not in str(caught.value)
        await channels.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario)


def test_a_server_that_does_not_answer_is_told_in_time() -> None:
    """Something may listen there and be no Redis."""

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        async def scenario() -> None:
            channels = Channels(f"redis://127.0.0.1:{port}", timeout_s=0.1)
            with pytest.raises(BrokerError, match=f"127.0.0.1:{port} has not answered within"):
                await channels.start()
            await channels.close()

        run(scenario)


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    """As what it is, and not as a server that is not there."""
    require_redis()
    server = RedisServer(tmp_path, requirepass="right")
    server.start()
    place = f"127.0.0.1:{server.port}"

    async def scenario() -> None:
        for user in ("", ":wrong@"):
            channels = Channels(f"redis://{user}{place}")
            with pytest.raises(BrokerError, match=f"redis://{place} refuses the user or password"):
                await channels.publish("x", 1)
            await channels.close()
        async with Channels(f"redis://:right@{place}") as channels:
            await channels.publish("x", 1)

    try:
        run(scenario)
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("redis://localhost/?protocol=3", {}, "with the option 'protocol'"),
        ("redis://localhost/?decode_responses=yes", {}, "with the option 'decode_responses'"),
        ("redis://localhost/?socket_timeout=x", {}, "cannot use the broker"),
        ("redis://localhost", {"timeout_s": 0}, "more than 0 seconds, got 0 and"),
        ("redis://localhost", {"presence_ttl_s": -1}, "got 5 and -1"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(
    url: str, options: dict[str, Any], message: str
) -> None:
    """At once, and not at the first connection."""
    with pytest.raises(ConfigurationError, match=message):
        RedisBroker(url, **options)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://ada:secret@host:1/0", "redis://host:1/0"),
        ("rediss://:p@ss@host", "rediss://host"),
        ("unix:///tmp/x?password=secret", "unix:///tmp/x"),
        ("redis://[secret", "redis://…"),
    ],
)
def test_passwords_are_never_told(url: str, told: str) -> None:
    """Wherever they are in the URL."""
    assert without_password(url) == told


def test_a_server_may_keep_its_run_to_itself() -> None:
    """Those that only speak as Redis does tell less of themselves."""
    assert _run_id(b"# Server\r\nrun_id:abc12\r\n") == b"abc12"
    assert _run_id(b"# Server\r\n") == b"unknown"


def test_a_flood_of_publications_lets_others_run(shared_redis: RedisServer) -> None:
    """Else nobody could write what is in the outboxes, and readers that are fast were closed."""

    async def scenario() -> None:
        broker, heard = using(shared_redis), Heard()
        await broker.start(heard)
        await broker.subscribe("x")
        waits: list[int] = []

        async def count() -> None:
            while len(heard.publications) < 2000:
                waits.append(len(heard.publications))
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        envelope = r"b1 1 e 1 t \n"
        flood = f"for n = 1, 2000 do redis.call('PUBLISH', KEYS[1], '{envelope}') end"
        name = f"{broker._prefix.decode()}c:x"
        await asyncio.to_thread(shared_redis.ask, "EVAL", flood, "1", name)
        await counting

        assert max(b - a for a, b in itertools.pairwise(waits)) <= 100
        await broker.close()

    run(scenario)


def test_a_server_that_hides_its_run_is_used_all_the_same(tmp_path: Path) -> None:
    """Hosted servers forbid INFO."""
    require_redis()
    server = RedisServer(tmp_path)
    server.start()
    server.ask("ACL", "SETUSER", "poor", "on", ">p", "~*", "&*", "+@all", "-info")

    async def scenario() -> None:
        broker = RedisBroker(f"redis://poor:p@127.0.0.1:{server.port}")
        async with Channels(broker) as channels, channels.subscribe("x") as publications:
            await channels.publish("x", 1)
            assert (await anext(publications)).payload == "1"
        assert broker._server.run == b"unknown"

    try:
        run(scenario)
    finally:
        server.kill()


def test_a_unix_socket_is_as_good(tmp_path: Path) -> None:
    """On one machine it is the faster way."""
    require_redis()
    server = RedisServer(tmp_path, unixsocket=str(tmp_path / "redis.sock"))
    server.start()

    async def scenario() -> None:
        channels = Channels(f"unix://{tmp_path}/redis.sock")
        async with channels, channels.subscribe("x") as publications:
            await channels.publish("x", 1)
            assert (await anext(publications)).payload == "1"

    try:
        run(scenario)
    finally:
        server.kill()


def test_a_subscription_whose_position_cannot_be_read_is_none(
    shared_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cannot be told what it misses does not read at all."""

    async def scenario() -> None:
        broker = using(shared_redis)
        await broker.start(Heard())

        async def fail(channels: Any) -> Any:
            raise BrokerError("down")

        with monkeypatch.context() as patch:
            patch.setattr(broker, "newest", fail)
            with pytest.raises(BrokerError, match="down"):
                await broker.subscribe("x")
        name = broker._prefix.decode() + "c:x"
        while shared_redis.ask("PUBSUB", "NUMSUB", name) != [name.encode(), 0]:
            await asyncio.sleep(0.001)
        await broker.close()

    run(scenario)


def test_a_subscription_takes_no_longer_than_one_call(
    shared_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is two of them, and a handler counts on the time-out that it was told of."""

    async def scenario() -> None:
        broker = using(shared_redis, timeout_s=0.5)
        await broker.start(Heard())

        async def answer_late(channels: Any) -> Any:
            await asyncio.sleep(60)

        monkeypatch.setattr(broker, "newest", answer_late)
        async with asyncio.timeout(5):
            with pytest.raises(BrokerError, match=r"has not answered within 0.5 s"):
                await broker.subscribe("x")
        name = broker._prefix.decode() + "c:x"
        while shared_redis.ask("PUBSUB", "NUMSUB", name) != [name.encode(), 0]:
            await asyncio.sleep(0.001)
        await broker.close()

    run(scenario)


def test_whatever_a_listener_raises_the_connection_is_made_anew(
    shared_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """No task ends unseen, and nobody waits for ever."""

    class Failing(Heard):
        def receive(self, publication: Publication) -> None:
            super().receive(publication)
            if publication.payload == "bad":
                raise ValueError("cannot take it")

    async def scenario() -> None:
        broker, heard = using(shared_redis), Failing()
        await broker.start(heard)
        await broker.subscribe("x")
        await broker.publish("x", "bad", limits=KEPT)
        while "restored" not in heard.news:
            await asyncio.sleep(0.001)

        await broker.publish("x", "good", limits=KEPT)
        await heard.wait_for(2)

        assert heard.payloads("x") == ["bad", "good"]
        assert heard.news == ["lost", "restored"]
        await broker.close()

    run(scenario)
    assert "cannot take it" in caplog.text


def test_a_command_that_is_forbidden_is_told(tmp_path: Path) -> None:
    """With the server's own words, for its administrator."""
    require_redis()
    server = RedisServer(tmp_path)
    server.start()
    server.ask("ACL", "SETUSER", "poor", "on", ">p", "~*", "&*", "+@all", "-subscribe")

    async def scenario() -> None:
        async with Channels(f"redis://poor:p@127.0.0.1:{server.port}", timeout_s=1) as channels:
            with pytest.raises(BrokerError):
                await channels.join(Noting("ada"), "x")

    try:
        run(scenario)
    finally:
        server.kill()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the extra, instead of an import error deep inside."""
    for name in [*sys.modules]:
        if name.startswith("bocadillo.channels.redis"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'bocadillo\[redis\]'"):
        Channels("redis://localhost")


def test_databases_of_one_server_are_apart(shared_redis: RedisServer) -> None:
    """`PUBLISH` knows no databases, and applications are told to use different ones."""
    name, prefix = new_name(), f"{new_name()}:"

    async def scenario() -> None:
        base = shared_redis.url.rsplit("/", 1)[0]
        brokers = [RedisBroker(f"{base}/{number}", prefix=prefix) for number in (0, 1)]
        async with Channels(brokers[0]) as one, Channels(brokers[1]) as other:
            reader = Noting("me")
            await one.join(reader, name)
            await other.publish(name, "of the other")
            await one.publish(name, "of its own")
            await delivered([reader], 1)

            assert reader.payloads == ['"of its own"']

    run(scenario)


def test_what_the_history_knows_nothing_of_stops_no_channel(shared_redis: RedisServer) -> None:
    """Who writes to Redis on his own must not have readers wait for what never was."""
    name, prefix = new_name(), f"{new_name()}:"

    async def scenario() -> None:
        async with Channels(RedisBroker(shared_redis.url, prefix=prefix)) as channels:
            reader = Noting("me")
            await channels.join(reader, name)
            await channels.publish(name, "before")
            forged = "b1 9 e 1000 t \nforged"
            await asyncio.to_thread(shared_redis.ask, "PUBLISH", f"{prefix}c:{name}", forged)
            await channels.publish(name, "after")
            await delivered([reader], 2)
            while channels.counters.foreign == 0:  # the broker is asked about it twice
                await asyncio.sleep(0.001)

            assert reader.payloads == ['"before"', '"after"']
            assert channels.counters.foreign == 1

    run(scenario)
