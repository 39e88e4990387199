"""A port for a server in a process of its own, which binds it a moment later."""

import random
import socket

# Below the ports that the system gives to clients, of which other tests open thousands.
LOWEST, HIGHEST = 10_000, 30_000


def free_port() -> int:
    """Return a TCP port of loopback that nobody uses."""
    chosen = random.SystemRandom()  # tests are run with one seed in several processes
    while True:
        port = chosen.randrange(LOWEST, HIGHEST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
