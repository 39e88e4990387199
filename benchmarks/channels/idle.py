"""Idle channels: what a channel with one reader takes of memory, in a process of its own.

`python -m benchmarks.channels.idle` prints one line of JSON. There are no sockets: counted is
by how much the resident memory grows from before the first to after the last of the channels
is joined. That is all there is in `Channels("memory://")` for a channel and its reader, the
channel's name and the reader itself, an object with nothing but `deliver`.
"""

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.load import LoadError
from benchmarks.options import at_least

NAME = "idle-channels"
DEFAULT_CHANNELS = 100_000
AT_MOST_BYTES = 3000
TIMEOUT_S = 120
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Idle:
    """What so many channels took: memory, and time of the thread to join each of them."""

    channels: int
    bytes_per_channel: float
    join_us: float


class Reader:
    """As little of a reader as there can be."""

    __slots__ = ()

    def deliver(self, payload: object) -> None:
        """Drop it."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.channels.idle")
    parser.add_argument("--channels", type=at_least(1, int), default=DEFAULT_CHANNELS)
    print(json.dumps(asdict(asyncio.run(_join_all(parser.parse_args().channels)))))


def measure(channels: int) -> Idle:
    """Measure so many channels in a fresh process.

    Raises:
        LoadError: it failed.
    """
    command = [sys.executable, "-m", "benchmarks.channels.idle", "--channels", str(channels)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S)
    if ended.returncode != 0:
        raise LoadError(f"{NAME}: {ended.stderr.strip()}")
    return Idle(**json.loads(ended.stdout))


async def _join_all(count: int) -> Idle:
    from bocadillo import Channels

    async with Channels("memory://") as channels:
        await channels.join(Reader(), "the first one, for what is made once")
        before, began = _resident_bytes(), time.thread_time()
        for number in range(count):
            await channels.join(Reader(), f"channel:{number}")
        seconds = time.thread_time() - began
        grown = _resident_bytes() - before
    return Idle(count, grown / count, seconds / count * 1e6)


def _resident_bytes() -> int:
    gc.collect()
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise LoadError("the kernel does not tell how much memory is resident")


if __name__ == "__main__":
    main()
