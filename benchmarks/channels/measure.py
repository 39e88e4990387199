"""One measurement: starts the broker and the servers of a row, puts a load on, and ends them."""

import contextlib
from dataclasses import dataclass

from benchmarks import machine
from benchmarks.channels import readers
from benchmarks.channels.readers import Seen
from benchmarks.channels.redis import RedisServer, redis_server
from benchmarks.channels.rows import Row, Scenario
from benchmarks.load import LoadError
from benchmarks.measure import Server, started


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row under one scenario, once."""

    row: Row
    scenario: Scenario
    seen: Seen

    @property
    def cost(self) -> float:
        """CPU of all servers per delivery, user and system, in microseconds."""
        return self.seen.servers_cpu_us / max(1, self.seen.deliveries)

    @property
    def cost_above_rest(self) -> float:
        """The same without what the servers take when nothing is published."""
        resting_us = self.seen.resting_share * self.seen.seconds * 1e6
        return self.cost - resting_us / max(1, self.seen.deliveries)

    @property
    def broker_cost(self) -> float:
        """CPU of Redis per delivery, in microseconds; 0 where there is none."""
        return self.seen.broker_cpu_us / max(1, self.seen.deliveries)

    @property
    def share(self) -> float:
        """How much of their core the servers had."""
        return self.seen.servers_cpu_us / 1e6 / self.seen.seconds

    @property
    def lost(self) -> int:
        """How many deliveries did not come."""
        return self.seen.expected - self.seen.delivered

    def is_of(self, row: Row, scenario: Scenario) -> bool:
        """Say whether it is of this row under this scenario."""
        return self.row is row and self.scenario is scenario


def measure(
    row: Row,
    scenario: Scenario,
    *,
    server_core: int,
    load_core: int,
    seconds: float,
    warmup_s: float,
) -> Measurement:
    """Measure *row* under *scenario* on fresh servers, which share *server_core*.

    Redis runs on *load_core*: so it takes nothing from the servers, whose core is then theirs
    alone, and what it costs is counted by itself.

    Raises:
        LoadError: a server does not start, or the load fails.
    """
    try:
        with contextlib.ExitStack() as stack:
            broker = _start_broker(scenario, load_core, stack)
            url = "memory://" if broker is None else broker.url
            servers = [
                stack.enter_context(_server(row, url, server_core)) for _ in range(scenario.servers)
            ]
            seen = readers.run(
                row,
                scenario,
                ports=[server.port for server in servers],
                server_pids=[pid for server in servers for pid in machine.group(server.pid)],
                broker_pids=[] if broker is None else [broker.pid],
                seconds=seconds,
                warmup_s=warmup_s,
            )
    except LoadError as exc:
        raise LoadError(f"row {row.name} in scenario {scenario.name}: {exc}") from None
    return Measurement(row, scenario, seen)


def _start_broker(scenario: Scenario, core: int, stack: contextlib.ExitStack) -> RedisServer | None:
    return stack.enter_context(redis_server(core)) if scenario.broker == "redis" else None


def _server(row: Row, url: str, core: int) -> contextlib.AbstractContextManager[Server]:
    module = "benchmarks.channels.server"
    return started(module, row.name, "--core", str(core), "--broker", url)
