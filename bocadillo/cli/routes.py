"""`bocadillo routes`: a table of an application's routes."""

import re
import sys
from functools import partial
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bocadillo.cli.listing import Listed, routes_of
from bocadillo.cli.target import load
from bocadillo.views import View

# Wide enough that no line is folded where another program reads the table.
PIPE_WIDTH = 2000

HEADINGS = ("kind", "path", "name", "view", "receives", "sends", "accepts")


@click.command(short_help="List the routes of MODULE:APP.")
@click.argument("target", metavar="MODULE:APP")
@click.option(
    "--app-dir",
    type=click.Path(exists=True, file_okay=False),
    default=".",
    show_default=True,
    help="Directory that is searched for MODULE first.",
)
@click.option("--factory", is_flag=True, help="APP is a function that returns the application.")
def routes(target: str, app_dir: str, factory: bool) -> None:
    """List the routes of MODULE:APP, those below mounts among them.

    Shown is in which order they are tried, what the view of a WebSocket route receives
    and sends, and whether the route accepts connections by itself.
    """
    listed = routes_of(load(target, app_dir, is_factory=factory))
    if not listed:
        click.echo(f"{target} tells of no routes")
        return
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(_table([_row(route) for route in listed]))


def _table(rows: list[tuple[str, ...]]) -> Table:
    """Return a table of the columns in which any row has something."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    filled = [index for index in range(len(HEADINGS)) if any(row[index] for row in rows)]
    for index in filled:
        table.add_column(HEADINGS[index], overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[index]) for index in filled))
    return table


def _row(route: Listed) -> tuple[str, ...]:
    view = route.endpoint
    if not isinstance(view, View):
        return route.kind, route.path, route.name, _named(view), "", "", ""
    receives, sends = _value_type(view.receive_codec), _value_type(view.send_codec)
    accepts = "by itself" if view.auto_accept else "in the view"
    return route.kind, route.path, route.name, _named(view.handler), receives, sends, accepts


def _named(endpoint: Any) -> str:
    while isinstance(endpoint, partial):
        endpoint = endpoint.func
    known = endpoint if hasattr(endpoint, "__qualname__") else type(endpoint)
    return f"{known.__module__}.{known.__qualname__}"


def _value_type(codec: Any) -> str:
    """Return a value type as it was written: `text`, `Message`, `list[int]`, `Ping | Pong`."""
    value_type = getattr(codec, "value_type", codec)
    if isinstance(value_type, str):
        return value_type
    if isinstance(value_type, type):
        return value_type.__qualname__
    if hasattr(value_type, "decode"):  # a codec
        return type(value_type).__qualname__
    return re.sub(r"(\w+\.)+", "", repr(value_type))
