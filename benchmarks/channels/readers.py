"""The load generator: builds readers.c and runs it against the servers of a row."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load
from benchmarks.channels.rows import Row, Scenario
from benchmarks.load import LoadError

SOURCE = Path(__file__).with_name("readers.c")

# Beyond warm-up and measuring, for opening, joining, waiting for the last ones, and reporting.
GRACE_S = 90


@dataclass(frozen=True, slots=True)
class Seen:
    """What one run of readers.c saw; see its head for what the fields are.

    The latencies are None if nothing came.
    """

    readers: int
    seconds: float
    behind_s: float
    published: int
    deliveries: int
    expected: int
    delivered: int
    doubled: int
    misordered: int
    closed: int
    p50_us: float | None
    p99_us: float | None
    max_us: float | None
    servers_cpu_us: float
    broker_cpu_us: float
    load_cpu_us: float
    resting_share: float


def build() -> Path:
    """Compile readers.c where that is needed, and return the program; see `load.build`."""
    return load.build(SOURCE)


def run(
    row: Row,
    scenario: Scenario,
    *,
    ports: Sequence[int],
    server_pids: Sequence[int],
    broker_pids: Sequence[int],
    seconds: float,
    warmup_s: float,
) -> Seen:
    """Put the load of *scenario* on the servers of *row*.

    Raises:
        LoadError: it failed, or nothing was received.
    """
    command: list[str | Path] = [build(), "-r", row.path, "-c", str(scenario.readers)]
    command += ["-f", str(scenario.rate), "-u", str(warmup_s), "-d", str(seconds)]
    for option, values in (("-p", ports), ("-s", server_pids), ("-k", broker_pids)):
        command += [word for value in values for word in (option, str(value))]
    command += [word for text in row.preamble for word in ("-j", text)]
    if row.question is not None and row.answer is not None:
        command += ["-a", row.question, "-A", row.answer]
    try:
        ended = subprocess.run(
            command,
            input=row.publication.encode(),
            capture_output=True,
            timeout=seconds + warmup_s + GRACE_S,
        )
    except subprocess.TimeoutExpired as exc:
        raise LoadError(f"the readers did not end in {exc.timeout:.0f} s") from None
    if ended.returncode != 0:
        raise LoadError(ended.stderr.decode().strip() or f"readers ended with {ended.returncode}")
    seen = Seen(**json.loads(ended.stdout))
    if not seen.deliveries:
        raise LoadError(f"nothing came to any reader in {seen.seconds:.1f} s")
    return seen
