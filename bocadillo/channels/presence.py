"""Presence: the contract of a store of who is in which channel, and the events of it."""

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bocadillo.codecs import encode_json

# Channels of events begin so; nobody else may publish there.
EVENTS_PREFIX = "presence:"


@dataclass(frozen=True, slots=True)
class Present:
    """One connection that is in a channel.

    Attributes:
        id: The id of the connection.
        info: What it told of itself when it joined: any JSON value.
        since: When it joined, in seconds since 1970, by the broker's clock.
    """

    id: str
    info: Any
    since: float


class Change(NamedTuple):
    """Someone who came to a channel, or left it."""

    kind: Literal["join", "leave"]
    channel: str
    present: Present


def presence_channel(channel: str) -> str:
    """Return the channel on which joins and leaves of *channel* are published.

    Each is a text payload, a JSON object `{"event": "join" | "leave", "id": …,
    "info": …, "since": …}`.
    """
    return EVENTS_PREFIX + channel


def event_payload(change: Change) -> str:
    """Return the payload that tells of a change."""
    who = change.present
    return encode_json({"event": change.kind, "id": who.id, "info": who.info, "since": who.since})


def info_text(info: Any) -> str:
    """Return an info as JSON text; what cannot be written so is a `TypeError`."""
    return encode_json(info)


def info_value(text: str | bytes) -> Any:
    """Return the info in JSON text."""
    return json.loads(text)


class PresenceStore(ABC):
    """Who is in which channel, of all processes; part of a broker.

    What a process entered goes when it leaves, or when the process has not called
    `refresh` for `ttl_s`. `bocadillo.testing.contracts.PresenceContract` checks it.

    Attributes:
        ttl_s: Seconds after which the entries of a process that died are gone; None
            where no other process can have any, and `refresh` is of no use.
    """

    ttl_s: float | None

    @abstractmethod
    async def enter(self, channel: str, id: str, info: Any) -> Change | None:
        """Enter *id* in *channel*; return the change, or None where it was in already.

        Then only the info is a new one.

        Raises:
            BrokerError: it may or may not be entered.
            TypeError: *info* cannot be written as JSON.
        """

    @abstractmethod
    async def leave(self, channel: str, id: str) -> Change | None:
        """Take *id* out of *channel*; return the change, or None where it was not in.

        Without effect on an entry that another process made later for the same id.

        Raises:
            BrokerError: it may still be entered, until the next `refresh` has succeeded.
        """

    @abstractmethod
    async def refresh(self) -> list[Change]:
        """Keep all entries of this process for another `ttl_s`, in one call.

        Returns what has to be told: entries of processes that died, each of them to
        one process only, and our own ones that had to be entered again because the
        store had lost them.

        Raises:
            BrokerError: nothing may have been refreshed.
        """

    @abstractmethod
    async def leave_all(self) -> list[Change]:
        """Take out all entries of this process, in one call.

        Raises:
            BrokerError: they may be there until `ttl_s` is over.
        """

    @abstractmethod
    async def present(self, channel: str) -> list[Present]:
        """Return who is in *channel*, in the order of their coming.

        Raises:
            BrokerError: it cannot be read.
        """
