"""One measurement: starts a row's server, puts a scenario's load on it, and ends it."""

import contextlib
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import handshake, load, machine
from benchmarks.load import Load, LoadError
from benchmarks.rows import Row, Scenario

ROOT = Path(__file__).parent.parent
START_TIMEOUT_S = 30
END_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Server:
    """A server process that is listening."""

    pid: int
    port: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row under one scenario, once."""

    row: Row
    scenario: Scenario
    load: Load

    @property
    def cpu_us(self) -> float:
        """Server CPU per message, user and system, in microseconds."""
        return self.load.server_cpu_us / max(1, self.load.messages)

    @property
    def cost(self) -> float:
        """What the scenario compares: CPU in microseconds, or memory in KB per connection."""
        if self.scenario.mode == "idle":
            return self.load.bytes_per_connection / 1000
        return self.cpu_us

    @property
    def messages_per_s(self) -> float:
        """Messages per second."""
        return self.load.messages / self.load.seconds

    @property
    def server_share(self) -> float:
        """How much of its core the server had; well below 1, something else held it up."""
        return self.load.server_cpu_us / 1e6 / self.load.seconds

    def is_of(self, row: Row, scenario: Scenario) -> bool:
        """Say whether it is of this row under this scenario."""
        return self.row is row and self.scenario is scenario


def measure(
    row: Row, scenario: Scenario, *, core: int, seconds: float, warmup_s: float
) -> Measurement:
    """Measure *row* under *scenario* on a fresh server, which runs on *core*.

    Raises:
        LoadError: the server does not start, or the load fails.
    """
    payload = row.payload(scenario.payload_bytes)
    with serving(row, core) as server:
        try:
            answer = None
            handshake.await_server(server.port, START_TIMEOUT_S, is_tls=scenario.is_tls)
            if scenario.is_compressed:
                payload, answer = handshake.compressed_echo(server.port, payload)
            seen = load.run(
                scenario,
                payload,
                port=server.port,
                pids=machine.group(server.pid),
                seconds=seconds,
                warmup_s=warmup_s,
                answer=answer,
            )
        except LoadError as exc:
            raise LoadError(f"row {row.name} in scenario {scenario.name}: {exc}") from None
    return Measurement(row, scenario, seen)


@contextlib.contextmanager
def serving(row: Row, core: int) -> Iterator[Server]:
    """Serve *row* in a process of its own for as long as the context lasts."""
    with started("benchmarks.server", row.name, "--core", str(core)) as server:
        yield server


@contextlib.contextmanager
def started(module: str, row: str, *options: str) -> Iterator[Server]:
    """Run *module*, which serves the *row* and prints its port, for as long as the context lasts.

    Raises:
        LoadError: it does not say its port.
    """
    # Without warnings, as uvicorn says of one of its protocols that it is deprecated.
    command = [sys.executable, "-W", "ignore", "-m", module, row, *options]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Server(process.pid, _read_port(process, row))
    finally:
        try:
            process.communicate(timeout=END_TIMEOUT_S)  # closes its stdin, which ends it
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _read_port(process: subprocess.Popen[str], row: str) -> int:
    assert process.stdout is not None
    is_ready, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
    line = process.stdout.readline() if is_ready else ""
    if not line:
        raise LoadError(f"the server of row {row} did not start; why is above, if it said")
    return int(line)
