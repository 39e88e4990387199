"""`Member`: one reader in one room, and `Newcomer`: one that has still to get the history.

A reader is anything with `deliver(payload)`, which takes a payload at once and never
waits. Optional attributes of a reader, looked at when it joins:

- `id: str`: by it publishers exclude it, and it can be present. Without one a reader is
  known by itself.
- `deliver_publication(publication)`: called instead of `deliver`, by who wants to see
  more than the payload.
- `group`: an object with `deliver_to(readers)`, which returns a function. All readers of a
  room that have the same group get a payload by one call of that function, instead of one
  call each: a server may write one frame to all of them. It is made anew when readers come
  or leave.
"""

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from bocadillo.channels.publications import START, Past, Position, Publication
from bocadillo.codecs import Payload
from bocadillo.errors import BrokerError, PositionLost

LOGGER = logging.getLogger("bocadillo.channels")

# Publications held back while others are to come before them: a bound of their memory.
MAX_HELD = 1000

OnGap = Callable[[PositionLost], object]
MakeRoom = Callable[[int, int], object]


class Reader(Protocol):
    """Who gets what is published; see the head of this room for what else it may have."""

    def deliver(self, payload: Payload, /) -> object:
        """Take a payload, at once."""


# Has some readers take a payload at once, but for one of them; returns whether none has to wait.
DeliverMany = Callable[[Payload, Reader | None], bool]


class Group(Protocol):
    """Takes payloads for many readers at once."""

    def deliver_to(self, readers: Sequence[Any], /) -> DeliverMany:
        """Return what delivers to *readers*, a sequence that does not change."""


class Member:
    """One reader in one room."""

    __slots__ = ("_make_room", "deliver", "on_gap", "reader")

    def __init__(
        self, reader: Reader, on_gap: OnGap | None = None, make_room: MakeRoom | None = None
    ) -> None:
        self.reader = reader
        self.deliver = reader.deliver  # bound once: publishing is a loop over these
        self.on_gap = on_gap
        self._make_room = make_room

    def give(self, publication: Publication) -> None:
        """Deliver one publication, by itself."""
        take = getattr(self.reader, "deliver_publication", None)
        try:
            if take is None:
                self.deliver(publication.payload)
            else:
                take(publication)
        except Exception:
            failed(self.reader)

    def make_room(self, count: int, size: int) -> None:
        """Tell how many publications, of how many bytes, are about to come at once.

        None of none means that those have come.
        """
        if self._make_room is not None:
            try:
                self._make_room(count, size)
            except Exception:
                failed(self.reader)

    def lose(self, loss: PositionLost) -> None:
        """Tell that publications were missed."""
        if self.on_gap is not None:
            try:
                self.on_gap(loss)
            except Exception:
                failed(self.reader)


class Newcomer:
    """A reader that joins: what is published meanwhile waits until it has the history."""

    __slots__ = ("_after", "_stale_epoch", "_waiting", "member")

    def __init__(self, member: Member) -> None:
        self.member = member
        self._waiting: list[Publication] | None = []
        self._after = START
        self._stale_epoch: str | None = None

    @property
    def has_arrived(self) -> bool:
        """Whether it has got the history, and gets what is published."""
        return self._waiting is None

    def receive(self, publication: Publication) -> bool:
        """Take a publication; return whether it, and so all that follow, are new."""
        if self._waiting is not None:
            self._waiting.append(publication)
            return False
        position = publication.position
        if position.epoch == self._after.epoch:
            is_new = position.offset > self._after.offset
        else:
            is_new = position.epoch != self._stale_epoch
        return is_new

    def arrive(self, past: Past, before: Position, seen: Position) -> bool:
        """Deliver the history, then what came since; return whether all that follows is new.

        Args:
            past: The history.
            before: The position of the last publication that the room had received when
                the history was asked for.
            seen: The same, now.

        Raises:
            BrokerError: more was published meanwhile than can be held.
        """
        waiting, self._waiting = self._waiting or [], None
        if len(waiting) > MAX_HELD:
            raise BrokerError(
                f"more than {MAX_HELD} publications came while the history was read; "
                "join without history, or publish less on one channel"
            )
        self._after = past.newest
        # Of a later epoch than what was seen before it was asked for: that one has ended.
        is_later = past.newest.epoch not in ("", before.epoch)
        self._stale_epoch = before.epoch if is_later else None
        self.member.make_room(*sizes_of([*past.publications, *waiting]))
        for publication in past.publications:
            self.give(publication)
        is_new = seen == past.newest
        for publication in waiting:
            if self.receive(publication):
                is_new = True
                self.give(publication)
        return is_new

    def give(self, publication: Publication) -> None:
        """Deliver a publication, unless it is the reader's own and excludes it."""
        if publication._exclude is None or publication._exclude != key_of(self.member.reader):
            self.member.give(publication)


def sizes_of(publications: Sequence[Publication]) -> tuple[int, int]:
    """Return how many there are, and how long their payloads are together."""
    return len(publications), sum(len(known.payload) for known in publications)


def key_of(reader: object) -> Hashable:
    """Return by what a reader is known: its id, or itself."""
    return getattr(reader, "id", reader)


def failed(who: object) -> None:
    """Log that a reader raised; the others get the publication all the same."""
    LOGGER.exception("%r failed to take a publication", who)
