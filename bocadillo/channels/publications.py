"""What is published, where it stands in its channel, and how much of it is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bocadillo.codecs import Payload
from bocadillo.errors import ConfigurationError, PositionLost


@dataclass(frozen=True, slots=True)
class Position:
    """Where a publication stands in its channel.

    Attributes:
        offset: 1 for the first publication, then one more for each.
        epoch: A name for the time in which offsets can be compared. It changes when the
            broker has forgotten the channel; "" before anything was published.
    """

    offset: int
    epoch: str


START = Position(0, "")


@dataclass(frozen=True, slots=True)
class Publication:
    """One payload on one channel.

    Attributes:
        channel: Where it was published.
        payload: `str` or `bytes`, as the codec made it.
        position: Where it stands there.
        time: When, in seconds since 1970, by the broker's clock.
    """

    channel: str
    payload: Payload
    position: Position
    time: float
    _exclude: str | None = field(default=None, repr=False)  # the id of who does not get it


class Published(NamedTuple):
    """What `publish` tells.

    Attributes:
        position: Where the publication stands in its channel.
        readers_here: How many readers of this process it was for; who was joining yet
            is not counted.
    """

    position: Position
    readers_here: int


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """How much of each channel is kept.

    Args:
        max_count: Most publications kept; 0 for none.
        max_age_s: Seconds after which a publication is forgotten.

    Raises:
        ConfigurationError: a limit is negative.
    """

    max_count: int = 100
    max_age_s: float = 600

    def __post_init__(self) -> None:
        if self.max_count < 0 or self.max_age_s < 0:
            raise ConfigurationError(
                f"history limits must not be negative, got {self.max_count} and {self.max_age_s}"
            )


class Past(NamedTuple):
    """What a channel's history holds of what was asked for.

    Attributes:
        publications: Oldest first.
        newest: The position of the last that was ever published, kept or not.
    """

    publications: list[Publication]
    newest: Position


def select(
    channel: str,
    kept: Sequence[Publication],
    newest: Position,
    limit: int | None,
    since: Position | None,
) -> Past:
    """Return what was asked for of the publications that are *kept*, oldest first.

    Without *since*, the newest *limit*; with it, the first *limit* after it.

    Raises:
        PositionLost: not all of those after *since* are kept.
    """
    if since is None:
        chosen = kept if limit is None else kept[max(len(kept) - limit, 0) :]
        return Past([*chosen], newest)
    if since.epoch not in ("", newest.epoch) or since.offset > newest.offset:
        raise PositionLost(channel, "epoch changed", since)
    missed = newest.offset - since.offset
    after = [*kept[max(len(kept) - missed, 0) :]] if missed else []
    # A broker that was restarted counts on; what it kept from before is of another epoch.
    if len(after) < missed or any(known.position.epoch != newest.epoch for known in after):
        raise PositionLost(channel, "trimmed", since)
    return Past(after[:limit], newest)


def unseen(past: Past, seen: Position) -> list[Publication]:
    """Return what is left in a history for a reader that has lost its position.

    Nothing of it is older than what the reader has seen.
    """
    kept = past.publications
    if not any(known.position.epoch == seen.epoch for known in kept):
        return [known for known in kept if known.position.epoch == past.newest.epoch]
    for index in range(len(kept) - 1, -1, -1):
        position = kept[index].position
        if position.epoch == seen.epoch and position.offset <= seen.offset:
            return kept[index + 1 :]
    return kept
