"""What is compared, and under which load: the two tables that all else here reads.

A new peer is a factory in `peers`, and a line here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from starlette.types import ASGIApp

from benchmarks.channels import ours, peers
from benchmarks.servers import Serve, on_bocadillo, on_uvicorn

MakeApp = Callable[[str], ASGIApp]
On = Callable[[Callable[[], ASGIApp]], Serve]

# What is published: 64 bytes, with room for the time and the number that readers.c writes.
TEXT = '{"id":1,"text":"bench:00000000000000000000:0000000000:xxxxxxxx"}'


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load: so many *readers* on so many *servers*, so many publications a second.

    Those for *ours* alone show how our own cost grows.
    """

    name: str
    broker: Literal["memory", "redis"]
    readers: int
    rate: float
    servers: int = 1
    is_ours_alone: bool = False

    @property
    def title(self) -> str:
        """The load in words."""
        where = {"memory": "in memory", "redis": "on Redis"}[self.broker]
        spread = f", {self.servers} processes" if self.servers > 1 else ""
        return f"{self.readers:,} readers{spread}, {where}, {self.rate:g} publications/s"


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("memory-1000", "memory", 1000, rate=20),
        Scenario("redis-1000", "redis", 1000, rate=20),
        Scenario("redis-2x500", "redis", 1000, rate=20, servers=2),
        # So few that even the slowest peers keep up.
        Scenario("memory-1000-calm", "memory", 1000, rate=2),
        Scenario("redis-1000-calm", "redis", 1000, rate=2),
        Scenario("redis-2x500-calm", "redis", 1000, rate=2, servers=2),
        # As many deliveries a second in all three: 20,000.
        Scenario("growth-100", "memory", 100, rate=200, is_ours_alone=True),
        Scenario("growth-1000", "memory", 1000, rate=20, is_ours_alone=True),
        Scenario("growth-10000", "memory", 10_000, rate=2, is_ours_alone=True),
    )
}


@dataclass(frozen=True, slots=True)
class Row:
    """A program to measure.

    Args:
        name: What `--rows` calls it.
        title: What the report calls it.
        make_app: Makes the application that uses the broker of a URL.
        needs: The modules without which it cannot run.
        on: The server; uvicorn as it is by default.
        brokers: The brokers that it can use.
        is_peer: Whether it is someone else's, which the goals compare ours with.
        has_goals: Whether the goals are about it.
        path: Where its clients connect.
        publication: What the publisher sends.
        preamble: What every client sends first.
        question, answer: A text that clients get now and then, and what they answer.
    """

    name: str
    title: str
    make_app: MakeApp
    needs: tuple[str, ...] = ()
    on: On = on_uvicorn
    brokers: tuple[str, ...] = ("memory", "redis")
    is_peer: bool = True
    has_goals: bool = False
    path: str = "/"
    publication: str = TEXT
    preamble: tuple[str, ...] = ()
    question: str | None = None
    answer: str | None = None

    def serve(self, broker: str) -> Serve:
        """Return what serves it with the broker of a URL."""
        return self.on(lambda: self.make_app(broker))

    def missing(self) -> list[str]:
        """Return the modules that it needs and that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]

    def runs(self, scenario: Scenario) -> bool:
        """Say whether it is measured under a *scenario*."""
        return scenario.broker in self.brokers and (
            self.name in GROWING or not scenario.is_ours_alone
        )


# What takes part in the scenarios for ours alone.
GROWING = ("ours", "bocadillo")


def _ours(name: str, title: str, make_app: MakeApp, on: On) -> Row:
    has_goals = on is on_bocadillo
    return Row(name, title, make_app, on=on, is_peer=False, has_goals=has_goals)


CHANX_TEXT = f'{{"action":"line","payload":{TEXT}}}'

ROWS = {
    row.name: row
    for row in (
        _ours("ours", "ours: bocadillo", ours.join, on_bocadillo),
        _ours("ours-view", "ours: WebSocketView", ours.view, on_bocadillo),
        _ours("bocadillo", "bocadillo", ours.join, on_uvicorn),
        Row("litestar", "Litestar", peers.litestar, needs=("litestar",)),
        Row(
            "socketio",
            "python-socketio",
            peers.socketio,
            needs=("socketio",),
            path="/socket.io/?EIO=4&transport=websocket",
            publication=f'42["line",{TEXT}]',
            preamble=("40",),
            question="2",
            answer="3",
        ),
        Row("broadcaster", "broadcaster", peers.broadcaster, needs=("broadcaster",)),
        Row("django", "Django Channels", peers.django, needs=("channels", "channels_redis")),
        Row(
            "django-pubsub",
            "Django Channels, Pub/Sub",
            peers.django_pubsub,
            needs=("channels", "channels_redis"),
            brokers=("redis",),
        ),
        Row(
            "chanx",
            "chanx",
            peers.chanx,
            needs=("chanx", "fast_channels", "cryptography"),
            publication=CHANX_TEXT,
        ),
        Row(
            "chanx-pubsub",
            "chanx, Pub/Sub",
            peers.chanx_pubsub,
            needs=("chanx", "fast_channels", "cryptography"),
            brokers=("redis",),
            publication=CHANX_TEXT,
        ),
    )
}
