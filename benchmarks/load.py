"""The load generator: builds load.c and runs it against a server."""

import json
import os
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rows import Scenario

SOURCE = Path(__file__).with_name("load.c")
SHARED = SOURCE.with_name("client.h")
BUILD = SOURCE.parent / "build"

# What a program needs of the compiler that speaks TLS, by its name.
TLS = ("-DWITH_TLS", "-lssl", "-lcrypto")

# Beyond warm-up and measuring, for opening connections and reporting.
GRACE_S = 45


class LoadError(Exception):
    """The load generator could not be built, or its run is not worth reporting."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of load.c saw; the latencies are None if no message was sent.

    `seconds` is the time measured, `messages` those received in it, and the CPU times are
    those of exactly that time. `bytes_per_connection` is what the server's memory grew by.
    """

    mode: str
    connections: int
    in_flight: int
    payload_bytes: int
    seconds: float
    messages: int
    errors: int
    p50_us: float | None
    p90_us: float | None
    p99_us: float | None
    max_us: float | None
    server_cpu_us: float
    load_cpu_us: float
    bytes_per_connection: float


def build(source: Path = SOURCE, *, with_tls: bool = False) -> Path:
    """Compile *source* if it, or client.h, is newer than what was compiled; return the program.

    Raises:
        LoadError: there is no gcc, or it fails.
    """
    program = BUILD / f"{source.stem}{'-tls' if with_tls else ''}"
    newest = max(file.stat().st_mtime for file in (source, SHARED))
    if program.exists() and program.stat().st_mtime >= newest:
        return program
    if shutil.which("gcc") is None:
        missing = "no gcc; install it (apt-get install gcc libc6-dev)"
        raise LoadError(f"cannot build {source.name}: {missing}")
    BUILD.mkdir(exist_ok=True)
    # Under a name of its own first: another run may be building or running it.
    fresh = program.with_name(f"{program.name}.{os.getpid()}")
    command = ["gcc", "-O2", "-o", fresh, source, *(TLS if with_tls else ())]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode != 0:
        raise LoadError(f"cannot build {source.name}:\n{built.stderr}")
    fresh.replace(program)
    return program


def run(
    scenario: Scenario,
    payload: bytes,
    *,
    port: int,
    pids: Collection[int],
    seconds: float,
    warmup_s: float,
    answer: bytes | None = None,
) -> Load:
    """Run *scenario* against the server on *port*, whose processes are *pids*.

    Where the scenario is compressed, *payload* is, and *answer* is what comes back for it.

    Raises:
        LoadError: it failed, a connection was lost, or nothing came back.
    """
    program = build(with_tls=scenario.is_tls)
    command: list[str | Path] = [program, "-p", str(port), "-m", scenario.mode]
    command += ["-c", str(scenario.connections), "-w", str(scenario.in_flight)]
    command += ["-d", str(seconds), "-u", str(warmup_s)]
    if scenario.is_tls:
        command += ["-t"]
    if answer is not None:
        command += ["-z", str(len(payload))]
    for pid in pids:
        command += ["-s", str(pid)]
    try:
        ended = subprocess.run(
            command,
            input=payload + (answer or b""),
            capture_output=True,
            timeout=seconds + warmup_s + GRACE_S,
        )
    except subprocess.TimeoutExpired as exc:
        raise LoadError(f"the load generator did not end in {exc.timeout:.0f} s") from None
    if ended.returncode != 0:
        raise LoadError(ended.stderr.decode().strip() or f"load ended with {ended.returncode}")
    load = Load(**json.loads(ended.stdout.splitlines()[-1]))
    if load.errors:
        raise LoadError(f"{load.errors} connections were lost:\n{ended.stderr.decode().strip()}")
    if load.mode != "idle" and not load.messages:
        raise LoadError(f"nothing came back in {load.seconds:.1f} s")
    return load
