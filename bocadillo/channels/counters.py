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
    """

    published: int
    received: int
    delivered: int
    outages: int
    made_up: int
    gaps: int
    foreign: int
