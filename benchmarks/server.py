"""The server process: `python -m benchmarks.server ROW` serves one row until stdin ends.

It prints the port that it listens on, on 127.0.0.1. The driver holds the other end of stdin,
so the server ends with it, even if it is killed.
"""

import argparse
import contextlib
import os
import resource
import signal
import socket
import threading

from benchmarks.rows import ROWS

BACKLOG = 2048


def main() -> None:
    options = _options()
    ROWS[options.row].serve(listen(options.core))


def listen(core: int | None) -> socket.socket:
    """Listen, tell the port, run on *core* alone, and end when stdin does."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    _end_with_stdin()
    _allow_many_files()
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    print(listener.getsockname()[1], flush=True)
    return listener


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--core", type=int, help="the only core to run on")
    return parser.parse_args()


def _allow_many_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _end_with_stdin() -> None:
    # A group of its own, so that worker processes end with it, too, and are counted.
    with contextlib.suppress(PermissionError):  # it leads a session, and so a group
        os.setpgrp()
    threading.Thread(target=_await_end, daemon=True).start()


def _await_end() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
