"""`bocadillo run --send-timeout 5`: limits of bocadillo's server as options of a command."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from bocadillo.server.limits import DEFAULT_LIMITS, Limits


class Seconds(click.FloatRange):
    """A time of more than 0 seconds, or of 0 for none."""

    def __init__(self, *, may_be_none: bool = False) -> None:
        super().__init__(min=0, min_open=not may_be_none)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the seconds, or fail with the option's name."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):  # which is in every range
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return seconds


class LimitOption(NamedTuple):
    """An option of the command line, and the field of `Limits` that it sets."""

    flag: str
    field: str
    type: click.FloatRange | click.IntRange
    help: str

    @property
    def name(self) -> str:
        """What click calls its value."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def default(self) -> Any:
        """What it is where nobody says otherwise."""
        return getattr(DEFAULT_LIMITS, self.field)


SECONDS = Seconds()
SECONDS_OR_NONE = Seconds(may_be_none=True)
COUNT = click.IntRange(min=1)

# In words of the command line: the fields' docstrings, and docs/server.md, say more.
OPTIONS = (
    LimitOption(
        "--handshake-timeout",
        "handshake_timeout_s",
        SECONDS,
        "Seconds for a client's request to come whole.",
    ),
    LimitOption(
        "--message-timeout",
        "message_timeout_s",
        SECONDS,
        "Seconds for a message that has begun to come whole.",
    ),
    LimitOption(
        "--send-timeout",
        "send_timeout_s",
        SECONDS,
        "Seconds for a client to take some of what waits for it.",
    ),
    LimitOption(
        "--close-timeout",
        "close_timeout_s",
        SECONDS,
        "Seconds for a client to answer a close frame.",
    ),
    LimitOption(
        "--max-queued-bytes",
        "max_queued_bytes",
        COUNT,
        "Bytes of messages that wait for a handler before reading pauses.",
    ),
    LimitOption(
        "--max-header-bytes",
        "max_header_bytes",
        COUNT,
        "Most bytes of a request's headers.",
    ),
    LimitOption(
        "--compress-from-bytes",
        "compress_from_bytes",
        COUNT,
        "Messages that are smaller are not compressed; needs --compress.",
    ),
)


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with the options."""
    for option in reversed(OPTIONS):
        command = click.option(
            option.flag,
            type=option.type,
            default=option.default,
            show_default=True,
            help=option.help,
        )(command)
    return command


def take_limits(options: dict[str, Any]) -> Limits | None:
    """Take the limits out of a command's options; None where none was given.

    Raises:
        click.UsageError: a limit was given, and other protocols than bocadillo's; or one of
            compression without compression.
    """
    source_of = click.get_current_context().get_parameter_source
    values = {option.field: options.pop(option.name) for option in OPTIONS}
    given = [opt.flag for opt in OPTIONS if source_of(opt.name) is not ParameterSource.DEFAULT]
    if not given:
        return None
    if options["ws"] != "bocadillo":
        raise click.UsageError(
            f"{', '.join(given)}: a limit of bocadillo's own protocol, which "
            f"--ws {options['ws']} has not; leave out either"
        )
    if "--compress-from-bytes" in given and not options["compress"]:
        raise click.UsageError("--compress-from-bytes needs --compress")
    return Limits(**values)
