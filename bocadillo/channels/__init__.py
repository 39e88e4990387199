"""Channels: what is published by a name reaches all who read it, in every process."""

from bocadillo.channels.broker import Broker, Listener
from bocadillo.channels.by_loop import ChannelsByLoop
from bocadillo.channels.counters import Counters, OutboxCounters
from bocadillo.channels.hub import Channels
from bocadillo.channels.members import Group, Reader
from bocadillo.channels.memory import MemoryBroker
from bocadillo.channels.presence import Change, PresenceStore, Present, presence_channel
from bocadillo.channels.publications import (
    HistoryLimits,
    Past,
    Position,
    Publication,
    Published,
)
from bocadillo.channels.subscriptions import Publications

__all__ = [
    "Broker",
    "Change",
    "Channels",
    "ChannelsByLoop",
    "Counters",
    "Group",
    "HistoryLimits",
    "Listener",
    "MemoryBroker",
    "OutboxCounters",
    "Past",
    "Position",
    "PresenceStore",
    "Present",
    "Publication",
    "Publications",
    "Published",
    "Reader",
    "presence_channel",
]
