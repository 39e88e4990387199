"""Whatever is published, joined, left and trimmed in whichever order: readers see the model."""

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from bocadillo import PositionLost
from bocadillo.channels import Broker, Channels, HistoryLimits, MemoryBroker, Position
from bocadillo.channels.redis import RedisBroker
from bocadillo.testing.contracts.suite import new_name
from tests.channels.readers import Noting
from tests.channels.redis_server import RedisServer

MAX_COUNT = 4
CHANNELS = st.sampled_from(["a", "A", "b "])


class Conversation(RuleBasedStateMachine):
    """Channels beside a model of them: a list of payloads, and what each reader should have."""

    readers = Bundle("readers")
    url = "memory://"

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.channels = self.runner.run(self.start())
        self.published: dict[str, list[str]] = {}
        self.positions: dict[str, list[Position]] = {}
        self.expected: dict[Noting, list[str]] = {}
        self.joined: dict[Noting, set[str]] = {}

    async def start(self) -> Channels:
        broker: Broker = MemoryBroker()
        if self.url != "memory://":
            broker = RedisBroker(self.url, prefix=f"{new_name()}:")
        channels = Channels(broker, history=HistoryLimits(max_count=MAX_COUNT))
        await channels.start()
        return channels

    def teardown(self) -> None:
        self.runner.run(self.channels.close())
        self.runner.close()

    @rule(target=readers)
    def come(self) -> Noting:
        reader = Noting(f"{len(self.expected)}")
        self.expected[reader], self.joined[reader] = [], set()
        return reader

    @rule(channel=CHANNELS, exclude=st.none() | readers)
    def publish(self, channel: str, exclude: Noting | None) -> None:
        payload = f"{channel} {len(self.published.get(channel, []))}"
        published = self.runner.run(
            self.channels.publish(channel, payload, exclude=exclude, codec="text")
        )
        self.note(channel, payload, exclude)
        self.positions.setdefault(channel, []).append(published.position)
        assert published.position.offset == len(self.published[channel])

    @rule(channel=CHANNELS, count=st.integers(1, 9))
    def publish_at_once(self, channel: str, count: int) -> None:
        async def all_of_them() -> list[Any]:
            payload = f"{channel} x"
            offers = (self.channels.publish(channel, payload, codec="text") for _ in range(count))
            return await asyncio.gather(*offers)

        positions = [published.position for published in self.runner.run(all_of_them())]
        for position in sorted(positions, key=lambda position: position.offset):
            self.note(channel, f"{channel} x", None)
            self.positions.setdefault(channel, []).append(position)

    def note(self, channel: str, payload: str, exclude: Noting | None) -> None:
        self.published.setdefault(channel, []).append(payload)
        for reader, joined in self.joined.items():
            if channel in joined and reader is not exclude:
                self.expected[reader].append(payload)

    @rule(reader=readers, channel=CHANNELS, history=st.integers(0, MAX_COUNT + 2))
    def join(self, reader: Noting, channel: str, history: int) -> None:
        is_new = channel not in self.joined[reader]
        kept = self.runner.run(self.channels.history(channel))
        self.runner.run(self.channels.join(reader, channel, history=history))
        if is_new:
            self.joined[reader].add(channel)
            past = kept[max(len(kept) - history, 0) :]
            self.expected[reader] += [
                str(known.payload) for known in past if known._exclude != reader.id
            ]

    @rule(reader=readers, channel=CHANNELS, back=st.integers(0, MAX_COUNT + 3))
    def come_back(self, reader: Noting, channel: str, back: int) -> None:
        positions = self.positions.get(channel, [])
        if channel in self.joined[reader] or not 0 < back <= len(positions):
            return
        kept = self.runner.run(self.channels.history(channel))
        joining = self.channels.join(reader, channel, since=positions[-back])
        if back - 1 > MAX_COUNT:
            with pytest.raises(PositionLost):
                self.runner.run(joining)
            return
        self.runner.run(joining)
        self.joined[reader].add(channel)
        missed = kept[len(kept) - (back - 1) :]
        self.expected[reader] += [
            str(known.payload) for known in missed if known._exclude != reader.id
        ]

    @rule(reader=readers, channel=CHANNELS)
    def leave(self, reader: Noting, channel: str) -> None:
        self.runner.run(self.channels.leave(reader, channel))
        self.joined[reader].discard(channel)

    @rule(reader=consumes(readers))
    def go(self, reader: Noting) -> None:
        self.runner.run(self.channels.leave_all(reader))
        self.joined[reader].clear()

    @invariant()
    def everybody_got_what_they_should(self) -> None:
        async def arrived() -> None:
            async with asyncio.timeout(5):
                while any(
                    len(reader.payloads) < len(expected)
                    for reader, expected in self.expected.items()
                ):
                    await asyncio.sleep(0)

        self.runner.run(arrived())
        for reader, expected in self.expected.items():
            assert len(reader.payloads) == len(expected)
            for channel in ("a", "A", "b "):
                assert only(reader.payloads, channel) == only(expected, channel)

    @invariant()
    def history_is_the_end_of_what_was_published(self) -> None:
        for channel, published in self.published.items():
            kept = self.runner.run(self.channels.history(channel))
            assert [known.payload for known in kept] == published[-MAX_COUNT:]


def only(payloads: list[Any], channel: str) -> list[Any]:
    return [payload for payload in payloads if payload.startswith(f"{channel} ")]


def test_conversations_in_memory_are_as_in_the_model() -> None:
    """Late joiners, those who come back and those who stay all see the same."""
    run_state_machine_as_test(
        Conversation, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )


def test_conversations_on_redis_are_as_in_the_model(shared_redis: RedisServer) -> None:
    """The same on a server, where publications take another way than history."""

    class OnRedis(Conversation):
        url = shared_redis.url

    run_state_machine_as_test(
        OnRedis, settings=settings(max_examples=12, stateful_step_count=25, deadline=None)
    )
