"""`RedisPresence`: who is in which channel of all processes, on a Redis server.

| key                     | what                                                            |
|-------------------------|-----------------------------------------------------------------|
| `<prefix>p:<channel>`   | hash: id → process, since when, info                            |
| `<prefix>n:<process>`   | set of what a process has entered                               |
| `<prefix>processes`     | sorted set: process → until when it lives, in milliseconds      |

So a process refreshes all of its entries by one number. Who finds the number of another in
the past takes its entries out, in one step, so that one process only learns of each. Where
no process is left that could, the keys expire, after ten times the time-to-live.
"""

import uuid
from typing import Any

from bocadillo.channels.presence import Change, PresenceStore, Present, info_text, info_value
from bocadillo.channels.redis.calls import Script, Server

_ENTER = Script("enter.lua")
_LEAVE = Script("leave.lua")
_PRESENT = Script("present.lua")
_REFRESH = Script("refresh.lua")


class RedisPresence(PresenceStore):
    """Who is in which channel.

    Args:
        server: Where it is noted.
        prefix: What all keys begin with.
        ttl_s: Seconds after which the entries of a process that does not refresh are gone.
    """

    ttl_s: float

    def __init__(self, server: Server, prefix: bytes, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self._server = server
        self._channels = prefix + b"p:"
        self._entries_of = prefix + b"n:"
        self._processes = prefix + b"processes"
        self._process = uuid.uuid4().hex.encode()
        self._ours: dict[tuple[str, str], str] = {}  # channel and id: info
        self._is_noted = False  # whether the server may know of this process

    async def enter(self, channel: str, id: str, info: Any) -> Change | None:
        """See `PresenceStore.enter`."""
        told = info_text(info)
        self._ours[channel, id] = told
        return await self._enter(channel, id, told)

    async def leave(self, channel: str, id: str) -> Change | None:
        """See `PresenceStore.leave`."""
        self._ours.pop((channel, id), None)
        name = _name_of(channel)
        entry = await self._server.run_script(
            _LEAVE,
            [self._channels + name, self._entries_of + self._process],
            _name_of(id),
            self._process,
            _entry_name(channel, id),
        )
        return None if entry is None else Change("leave", channel, _present(id, entry))

    async def leave_all(self) -> list[Change]:
        """See `PresenceStore.leave_all`."""
        self._ours.clear()
        if not self._is_noted:
            return []
        self._is_noted = False
        return (await self._refresh(0))[1]

    async def refresh(self) -> list[Change]:
        """See `PresenceStore.refresh`."""
        self._is_noted = True
        is_known, changes = await self._refresh(self.ttl_s)
        if not is_known:  # the server was emptied, or took us for dead
            for (channel, id), told in [*self._ours.items()]:
                if (channel, id) in self._ours:
                    change = await self._enter(channel, id, told)
                    changes += [] if change is None else [change]
        return changes

    async def present(self, channel: str) -> list[Present]:
        """See `PresenceStore.present`."""
        found = await self._server.run_script(
            _PRESENT, [self._channels + _name_of(channel), self._processes]
        )
        pairs = zip(found[::2], found[1::2], strict=True)
        known = [_present(_text_of(id), entry) for id, entry in pairs]
        return sorted(known, key=lambda present: present.since)

    async def _enter(self, channel: str, id: str, told: str) -> Change | None:
        self._is_noted = True
        name = _name_of(channel)
        is_new, since_ms = await self._server.run_script(
            _ENTER,
            [self._channels + name, self._entries_of + self._process, self._processes],
            _name_of(id),
            self._process,
            round(self.ttl_s * 1000),
            _entry_name(channel, id),
            told,
        )
        present = Present(id, info_value(told), int(since_ms) / 1000)
        return Change("join", channel, present) if is_new else None

    async def _refresh(self, ttl_s: float) -> tuple[bool, list[Change]]:
        is_known, *found = await self._server.run_script(
            _REFRESH,
            [self._processes],
            self._process,
            round(ttl_s * 1000),
            self._channels,
            self._entries_of,
        )
        triples = zip(found[::3], found[1::3], found[2::3], strict=True)
        return bool(is_known), [
            Change("leave", _text_of(channel), _present(_text_of(id), entry))
            for channel, id, entry in triples
        ]


def _name_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text_of(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")


def _entry_name(channel: str, id: str) -> bytes:
    name = _name_of(channel)
    return b"%d:%b%b" % (len(name), name, _name_of(id))


def _present(id: str, entry: bytes) -> Present:
    _, since_ms, told = entry.split(b" ", 2)
    return Present(id, info_value(told), int(since_ms) / 1000)
