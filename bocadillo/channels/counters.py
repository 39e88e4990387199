"""What happened on the channels of a process, in numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Counters:
    """What happened since the channels were made, in this process.

    Attributes:
        published: Publications made here.
        received: Publications on channels that have readers here.
        delivered: Deliveries to readers, each publication once for each.
        outages: How often the broker was lost.
        made_up: Publications delivered late, out of the history, after a loss.
        gaps: How often the readers of a channel were told that publications are lost.
        foreign: What came from the broker and was none of ours; it was dropped.
        dropped: Payloads that readers lost because they were too slow; those of a reader
            that is closed for it are not among them.
        conflated: Payloads of which a newer one of the same key took the place.
    """

    published: int
    received: int
    delivered: int
    outages: int
    made_up: int
    gaps: int
    foreign: int
    dropped: int
    conflated: int


@dataclass(frozen=True)
class OutboxCounters:
    """What became of payloads that a connection did not take in time.

    Attributes:
        dropped: How many it has lost.
        conflated: How many were replaced by a newer one of the same key.
    """

    dropped: int = 0
    conflated: int = 0


@dataclass
class Losses:
    """The same for all readers of a process together; each adds its own."""

    dropped: int = 0
    conflated: int = 0
