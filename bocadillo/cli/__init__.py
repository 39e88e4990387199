"""The command `bocadillo`."""

import click

from bocadillo import __version__
from bocadillo.cli import routes, run

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bocadillo", message="%(prog)s %(version)s")
def main() -> None:
    """WebSockets for Python: serve an application, or list its routes."""


main.add_command(run.run)
main.add_command(routes.routes)
