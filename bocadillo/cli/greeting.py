"""Where to connect: the lines that are printed once, before the server starts."""

from typing import Any

from rich.console import Console
from rich.text import Text

from bocadillo import __version__
from bocadillo.cli.listing import WEBSOCKET, routes_of

# With more routes than this, what matters would scroll away.
MAX_SHOWN_ROUTES = 10

# Addresses to listen on that are none to connect to, and what is one.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def greet(app: Any, target: str, address: tuple[str, int], *, is_tls: bool, more: str) -> None:
    """Print the URL of *app*, and those of its WebSocket routes.

    Args:
        app: The application.
        target: How it was named on the command line.
        address: Host and port that the server listens on.
        is_tls: Whether the server speaks TLS.
        more: The command that lists all routes, should there be too many.
    """
    console = Console(highlight=False)
    # Soft-wrapped: a terminal can open a URL only when it was not cut in two.
    console.print(Text(f"bocadillo {__version__} serves {target}", "bold"), soft_wrap=True)
    for line in lines(app, address, is_tls=is_tls, more=more):
        console.print(Text(f"  {line}", "cyan" if "://" in line else ""), soft_wrap=True)


def lines(app: Any, address: tuple[str, int], *, is_tls: bool, more: str) -> list[str]:
    """Return what `greet` prints below the first line."""
    host, port = address
    shown = EVERYWHERE.get(host, host)
    authority = f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"
    secure = "s" if is_tls else ""
    paths = [route.path for route in routes_of(app) if route.kind == WEBSOCKET]
    told = [f"http{secure}://{authority}"]
    # What is below a `Host` begins with that host's name, and no path with anything but "/".
    told += [
        f"ws{secure}://{authority if path.startswith('/') else ''}{path}"
        for path in paths[:MAX_SHOWN_ROUTES]
    ]
    if len(paths) > MAX_SHOWN_ROUTES:
        told.append(f"and {len(paths) - MAX_SHOWN_ROUTES} more: {more}")
    if host in EVERYWHERE:
        told.append(f"and on every other address of this machine, port {port}")
    return told
