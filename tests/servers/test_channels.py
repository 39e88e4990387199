"""Channels over two real servers and a real Redis."""

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from websockets import ConnectionClosedError
from websockets.asyncio.client import ClientConnection

from bocadillo.channels import Channels, presence_channel
from tests.channels.redis_server import RedisServer, require_redis
from tests.servers.running import RunningServer, end_of, eventually, run, running

APP = "tests.servers.channelled:app"

# More than the kernel takes for a socket that nobody reads.
FILL_BYTES = 8_000_000

JOINERS = 40


class Cluster:
    """Two processes of one application, and what carries between them."""

    def __init__(self, redis: RedisServer, servers: list[RunningServer]) -> None:
        self.redis = redis
        self.servers = servers

    def show(self, channel: str) -> list[Any]:
        return [server.get(f"/channels/{channel}") for server in self.servers]

    def readers(self, channel: str) -> list[int]:
        return [shown["readers"] for shown in self.show(channel)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    require_redis()
    directory: Path = tmp_path_factory.mktemp("channels")
    redis = RedisServer(directory)
    with ExitStack() as stack:
        redis.start()
        stack.callback(redis.kill)
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("BROKER", redis.url)
        servers = []
        for name in ("one", "two"):
            (directory / name).mkdir()
            servers.append(stack.enter_context(running("uvicorn", directory / name, APP)))
        yield Cluster(redis, servers)


@pytest.fixture
def channel() -> str:
    """A channel of the test's own."""
    return uuid4().hex


async def join(
    server: RunningServer, channel: str, query: str = ""
) -> tuple[ClientConnection, str]:
    """Return a connection that has joined, and its id."""
    ws = await server.connect(f"/joins/{channel}?{query}", ping_interval=None, close_timeout=1)
    word, id = str(await ws.recv()).split()
    assert word == "joined"
    return ws, id


async def read(ws: ClientConnection, count: int) -> list[Any]:
    async with asyncio.timeout(20):
        return [await ws.recv() for _ in range(count)]


def reset(ws: ClientConnection) -> None:
    """Lose the connection without a word."""
    ws.transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    ws.transport.abort()


def publish(server: RunningServer, channel: str, first: int, last: int, **query: Any) -> Any:
    return requests.get(
        server.url(f"/publish/{channel}"),
        params={"first": first, "last": last, **query},
        timeout=30,
    ).json()


def test_what_one_process_publishes_reaches_the_sockets_of_all(
    cluster: Cluster, channel: str
) -> None:
    """But not the one that is left out, wherever it is."""

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            clients = []
            for server in cluster.servers:
                for _ in range(2):
                    ws, _ = await join(server, channel)
                    stack.push_async_callback(ws.close)
                    clients.append(ws)

            await clients[0].send("others")
            assert await clients[3].recv() == "others"
            await clients[3].send("all")

            assert [await read(ws, 1) for ws in clients[:1]] == [["all"]]
            assert [await read(ws, 2) for ws in clients[1:3]] == [["others", "all"]] * 2
            assert await read(clients[3], 1) == ["all"]

    run(scenario())


def test_requests_background_tasks_and_other_programs_publish(
    cluster: Cluster, channel: str
) -> None:
    """A job of the night reaches those who are online."""

    async def scenario() -> None:
        ws, id = await join(cluster.servers[1], channel)
        other, _ = await join(cluster.servers[0], channel)
        async with ws, other:
            await asyncio.to_thread(publish, cluster.servers[0], channel, 0, 2, later="later")
            assert await read(ws, 3) == ["0", "1", '"later"']
            async with Channels(cluster.redis.url) as channels:
                await channels.publish(channel, {"from": "elsewhere"})
                await channels.publish(channel, b"\x00\xff", codec="bytes")
                await channels.publish(channel, "without it", exclude=id)
                await channels.publish(channel, "last", codec="text")

            assert await read(ws, 3) == ['{"from":"elsewhere"}', b"\x00\xff", "last"]
            assert (await read(other, 7))[3:] == [
                *('{"from":"elsewhere"}', b"\x00\xff", '"without it"', "last")
            ]

    run(scenario())


def test_joiners_that_race_with_publishes_miss_nothing_and_get_nothing_twice(
    cluster: Cluster, channel: str
) -> None:
    """On both processes; each sees an unbroken run of numbers from where its history begins."""
    last = 999

    async def read_all(server: RunningServer) -> list[int]:
        path = f"/joins/{channel}?history=20&quiet=1"
        numbers: list[int] = []
        async with server.connect(path, ping_interval=None, max_queue=None) as ws:
            while not numbers or numbers[-1] != last:
                numbers.append(int(await ws.recv()))
        return numbers

    async def scenario() -> None:
        publishing = asyncio.create_task(
            asyncio.to_thread(publish, cluster.servers[0], channel, 0, last)
        )
        reading: list[asyncio.Task[list[int]]] = []
        while not publishing.done() and len(reading) < JOINERS:
            reading += [asyncio.create_task(read_all(server)) for server in cluster.servers]
            await asyncio.wait({publishing}, timeout=0.01)
        await publishing
        assert len(reading) > JOINERS / 4
        await asyncio.to_thread(publish, cluster.servers[1], channel, last, last + 1)
        async with asyncio.timeout(30):
            for numbers in await asyncio.gather(*reading):
                assert numbers == [*range(numbers[0], last + 1)]

    run(scenario())


def test_since_a_position_a_client_gets_exactly_what_it_missed_from_any_process(
    cluster: Cluster, channel: str
) -> None:
    """A balancer sends it elsewhere when it comes back."""

    async def scenario() -> None:
        positions = await asyncio.to_thread(publish, cluster.servers[0], channel, 0, 10)
        offset, epoch = positions[6]
        query = f"offset={offset}&epoch={epoch}&quiet=1"
        async with cluster.servers[1].connect(f"/joins/{channel}?{query}") as ws:
            assert await read(ws, 3) == ["7", "8", "9"]

    run(scenario())


def test_who_has_left_a_channel_gets_no_more_of_it(cluster: Cluster, channel: str) -> None:
    """And is not counted any more."""

    async def scenario() -> None:
        ws, _ = await join(cluster.servers[0], channel)
        async with ws:
            await ws.send("leave")
            assert await ws.recv() == "left"
            await asyncio.to_thread(publish, cluster.servers[1], channel, 0, 3)
            await ws.send("leave")
            assert await ws.recv() == "left"

            assert await asyncio.to_thread(cluster.readers, channel) == [0, 0]

    run(scenario())


def test_presence_is_one_list_for_all_processes(cluster: Cluster, channel: str) -> None:
    """With an event for each who comes and goes, by the id of the connection."""

    async def scenario() -> None:
        async with (
            Channels(cluster.redis.url) as channels,
            channels.subscribe(presence_channel(channel)) as events,
        ):
            one, one_id = await join(cluster.servers[0], channel, "name=Ada")
            other, other_id = await join(cluster.servers[1], channel, "name=Bob")
            shown = [known["present"] for known in await asyncio.to_thread(cluster.show, channel)]
            reset(one)
            await eventually(
                lambda: cluster.show(channel)[1]["present"], lambda found: len(found) == 1, 10
            )
            await other.close()
            async with asyncio.timeout(10):
                told = [json.loads((await anext(events)).payload) for _ in range(4)]

        assert shown == [[[one_id, "Ada"], [other_id, "Bob"]]] * 2
        assert [(event["event"], event["id"], event["info"]) for event in told] == [
            ("join", one_id, "Ada"),
            ("join", other_id, "Bob"),
            ("leave", one_id, "Ada"),
            ("leave", other_id, "Bob"),
        ]

    run(scenario())


@pytest.mark.parametrize("how", ["bug", "cancelled", "closed", "leaves", "reset"])
def test_however_a_connection_ends_it_leaves(cluster: Cluster, channel: str, how: str) -> None:
    """Nobody talks to the dead."""

    async def scenario() -> None:
        ws = await cluster.servers[0].connect(f"/ends/{channel}?how={how}", ping_interval=None)
        if how in ("leaves", "reset"):
            await eventually(lambda: cluster.readers(channel), lambda found: sum(found) == 1, 10)
        if how == "reset":
            reset(ws)
        await ws.close()

        await eventually(
            lambda: cluster.show(channel),
            lambda shown: shown == [{"readers": 0, "present": []}] * 2,
            10,
        )

    run(scenario())


def test_who_is_refused_has_joined_nothing(cluster: Cluster, channel: str) -> None:
    """Though the view has published for it."""
    assert cluster.servers[0].handshake(f"/refused/{channel}").status_code == 401
    assert cluster.readers(channel) == [0, 0]


def test_one_that_takes_nothing_is_closed_and_the_others_get_all(
    cluster: Cluster, channel: str
) -> None:
    """Publishing waits for nobody; `on_disconnect` sees why it ended."""
    server, message = cluster.servers[0], "x" * 100_000

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            deaf = await stack.enter_async_context(
                server.connect(
                    f"/joins/{channel}?fill={FILL_BYTES}",
                    ping_interval=None,
                    max_size=None,
                    close_timeout=1,
                )
            )
            deaf.transport.pause_reading()
            await eventually(lambda: cluster.readers(channel), lambda found: sum(found) == 1, 20)
            others = []
            for number in range(99):
                ws, _ = await join(cluster.servers[number % 2], channel)
                stack.push_async_callback(ws.close)
                others.append(ws)
            reading = [asyncio.create_task(read(ws, 15)) for ws in others]
            for _ in range(15):
                await others[0].send(message)
            assert await asyncio.gather(*reading) == [[message] * 15] * 99
            deaf.transport.resume_reading()
            assert len(await deaf.recv()) == FILL_BYTES
            got: list[Any] = []

            async def read_on() -> None:
                while True:
                    got.append(await deaf.recv())

            with pytest.raises(ConnectionClosedError) as closed:
                await read_on()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "too slow")
            assert got == [message] * len(got)
            assert len(got) < 15

    before = Counter(server.get("/process")["ends"])
    run(scenario())
    after = Counter(server.get("/process")["ends"])
    assert (after - before)[1013] == 1


def test_a_history_that_is_larger_than_the_outbox_arrives_whole(
    cluster: Cluster, channel: str
) -> None:
    """Who asks for much is not too slow for it, and hears what follows."""
    kept = [f"{number} {'x' * 100_000}" for number in range(30)]

    async def scenario() -> None:
        async with Channels(cluster.redis.url) as channels:
            for text in kept:
                await channels.publish(channel, text, codec="text")
            path = f"/joins/{channel}?history=100&quiet=1"
            async with cluster.servers[0].connect(path, ping_interval=None) as ws:
                assert await read(ws, 30) == kept
                await channels.publish(channel, "new", codec="text")
                assert await ws.recv() == "new"

    run(scenario())


def test_a_broadcast_of_a_class_crosses_processes(cluster: Cluster) -> None:
    """More workers must not make a chat smaller."""

    async def scenario() -> None:
        async with (
            cluster.servers[0].connect("/broadcasts") as one,
            cluster.servers[1].connect("/broadcasts") as other,
        ):
            assert [await one.recv(), await other.recv()] == ["joined", "joined"]

            await one.send('"hello"')

            assert await read(one, 1) == await read(other, 1) == ['"hello"']

    run(scenario())


def test_nothing_is_left_of_connections_that_have_gone(cluster: Cluster) -> None:
    """Neither tasks nor rooms nor subscriptions, however they went."""
    server = cluster.servers[0]

    def subscriptions() -> int:
        return len(cluster.redis.ask("PUBSUB", "SHARDCHANNELS")) + len(
            cluster.redis.ask("PUBSUB", "CHANNELS")
        )

    async def visit(number: int) -> None:
        ws, _ = await join(server, uuid4().hex, "name=n&history=3")
        if number % 2:
            reset(ws)
        else:
            await ws.close()

    async def scenario() -> None:
        before = await eventually(
            lambda: server.get("/process"), lambda shown: shown["rooms"] == 0, 10
        )
        subscribed = subscriptions()
        for _ in range(20):
            await asyncio.gather(*map(visit, range(20)))

        after = await eventually(
            lambda: server.get("/process"),
            lambda shown: (
                (shown["rooms"], shown["members"]) == (0, 0)
                and shown["tasks"] <= before["tasks"] + 1
            ),
            20,
        )
        assert after["tasks"] <= before["tasks"] + 1
        await eventually(subscriptions, lambda count: count == subscribed, 10)

    run(scenario())


def test_a_broker_that_is_down_at_start_is_told_and_the_server_ends(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of serving sockets that hear nothing."""
    port = RedisServer(tmp_path).port
    monkeypatch.setenv("BROKER", f"redis://:secret@127.0.0.1:{port}/0")

    server = RunningServer("uvicorn", tmp_path / "log", APP)
    try:
        assert server.process.wait(20) != 0
    finally:
        server.stop()

    assert f"127.0.0.1:{port}" in server.log()
    assert "secret" not in server.log()
    assert server.tracebacks() == 0


def test_a_broker_that_goes_down_later_closes_with_1013_and_refuses_with_503(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    """Nothing hangs: neither handlers nor the shutdown."""
    require_redis()
    redis = RedisServer(tmp_path)
    redis.start()
    try:
        monkeypatch.setenv("BROKER", redis.url)
        with running("uvicorn", tmp_path, APP) as server:

            async def scenario() -> None:
                ws, _ = await join(server, channel)
                redis.kill()
                await ws.send("hello?")
                code, _ = await end_of(ws)
                assert code == 1013

            run(scenario())
            assert server.handshake(f"/refused/{channel}").status_code == 503
        assert server.process.returncode is not None
        assert server.tracebacks() == 0
    finally:
        redis.kill()
