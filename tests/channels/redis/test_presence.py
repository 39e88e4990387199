"""What presence costs a Redis server, and that nothing of it stays there for ever."""

import asyncio
import sys

from bocadillo.channels.redis import RedisBroker
from bocadillo.testing.contracts import Heard
from bocadillo.testing.contracts.suite import new_name
from tests.channels.redis_proxy import Proxy
from tests.channels.redis_server import RedisServer
from tests.channels.test_attendance import PROCESS
from tests.fakes import run

ENTRIES = 300

# Times-to-live for which keys outlive the last process.
KEYS_LIVE = 10


def presence_keys(server: RedisServer, prefix: str) -> set[str]:
    """Return the keys of presence, without the prefix."""
    keys = {key.decode().removeprefix(prefix) for key in server.ask("KEYS", f"{prefix}*")}
    return {key for key in keys if key.startswith(("p:", "n:", "processes"))}


def test_all_entries_of_a_process_are_refreshed_by_one_call(redis_server: RedisServer) -> None:
    """Else a thousand connections were a thousand calls, three times per time-to-live."""

    async def scenario() -> None:
        proxy = Proxy(redis_server)
        async with proxy.running() as url:
            broker = RedisBroker(url, presence_ttl_s=60)
            await broker.start(Heard())
            for number in range(ENTRIES):
                await broker.presence.enter(f"room {number % 100}", f"{number}", None)
            await broker.presence.refresh()  # now the server knows the script
            before = proxy.scripts

            assert await broker.presence.refresh() == []

            assert proxy.scripts - before == 1
            assert len(await broker.presence.present("room 7")) == ENTRIES / 100
            await broker.close()

    run(scenario)


def test_presence_of_processes_that_were_all_killed_expires(shared_redis: RedisServer) -> None:
    """Nobody is left who could take their entries out."""
    ttl_s, prefix = 0.3, f"{new_name()}:"

    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        command = (sys.executable, "-c", PROCESS, shared_redis.url, prefix, str(ttl_s))
        processes = [
            await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            for _ in range(2)
        ]
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"joined\n"
        assert "p:x" in presence_keys(shared_redis, prefix)
        for process in processes:
            process.kill()
            await process.communicate()  # to the end, so that nothing of it is left open
        died = clock()

        while presence_keys(shared_redis, prefix):
            await asyncio.sleep(0.05)

        assert clock() - died < KEYS_LIVE * ttl_s + 1

    run(scenario)


def test_keys_of_a_process_that_lives_are_kept(shared_redis: RedisServer) -> None:
    """Who stays in a room for hours without a word is seen all the time."""
    ttl_s, prefix = 60, f"{new_name()}:"

    def live_s(key: str) -> float:
        return float(shared_redis.ask("PTTL", prefix + key)) / 1000

    async def scenario() -> None:
        broker = RedisBroker(shared_redis.url, prefix=prefix, presence_ttl_s=ttl_s)
        await broker.start(Heard())
        for channel in ("one", "other"):
            await broker.presence.enter(channel, "me", None)
        keys = presence_keys(shared_redis, prefix)
        assert len(keys) == 4
        for left in (0.8, 0.6):  # of their time; they are told to stay at less than 0.7
            for key in keys:
                life_ms = round(left * KEYS_LIVE * ttl_s * 1000)
                shared_redis.ask("PEXPIRE", prefix + key, str(life_ms))

            assert await broker.presence.refresh() == []

            renewed = {key for key in keys if live_s(key) > 0.95 * KEYS_LIVE * ttl_s}
            assert renewed == ({"processes"} if left == 0.8 else keys)
        await broker.presence.leave_all()
        assert presence_keys(shared_redis, prefix) == set()
        await broker.close()

    run(scenario)


def test_who_comes_later_does_not_keep_the_keys_of_the_others(shared_redis: RedisServer) -> None:
    """A set of what a process has entered goes with the oldest channel in it, or before."""
    prefix = f"{new_name()}:"

    async def scenario() -> None:
        broker = RedisBroker(shared_redis.url, prefix=prefix, presence_ttl_s=60)
        await broker.start(Heard())
        await broker.presence.enter("early", "me", None)
        [entered] = [key for key in presence_keys(shared_redis, prefix) if key.startswith("n:")]
        for key in (entered, "p:early"):
            shared_redis.ask("PEXPIRE", prefix + key, "100000")

        await broker.presence.enter("late", "me", None)
        assert shared_redis.ask("PTTL", prefix + entered) <= 100_000
        await broker.presence.refresh()

        assert shared_redis.ask("PTTL", prefix + "p:early") > 500_000
        await broker.close()

    run(scenario)


def test_what_has_expired_while_a_process_was_cut_off_is_entered_again(
    shared_redis: RedisServer,
) -> None:
    """Whoever is connected is seen, however long the network was away."""
    prefix = f"{new_name()}:"

    async def scenario() -> None:
        broker = RedisBroker(shared_redis.url, prefix=prefix, presence_ttl_s=60)
        await broker.start(Heard())
        await broker.presence.enter("x", "me", {"n": 1})
        for key in presence_keys(shared_redis, prefix) - {"processes"}:
            shared_redis.ask("DEL", prefix + key)

        [change] = await broker.presence.refresh()

        assert (change.kind, change.present.id, change.present.info) == ("join", "me", {"n": 1})
        assert [known.id for known in await broker.presence.present("x")] == ["me"]
        await broker.close()

    run(scenario)
