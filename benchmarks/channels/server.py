"""The server process: `python -m benchmarks.channels.server ROW` serves one row of these tables."""

import argparse

from benchmarks.channels.rows import ROWS
from benchmarks.server import listen


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.channels.server")
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--broker", default="memory://", metavar="URL")
    parser.add_argument("--core", type=int, help="the only core to run on")
    options = parser.parse_args()
    ROWS[options.row].serve(options.broker)(listen(options.core))


if __name__ == "__main__":
    main()
