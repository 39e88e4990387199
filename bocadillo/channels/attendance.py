"""`Attendance`: enters and leaves the presence store, and tells of it on channels."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from bocadillo.channels.presence import Change, PresenceStore, event_payload, presence_channel
from bocadillo.errors import BrokerError

LOGGER = logging.getLogger("bocadillo.channels")

# Refreshes per time-to-live: two may fail, and nobody is thought dead.
REFRESHES_PER_TTL = 3


class Attendance:
    """Who of this process is where.

    Args:
        store: Where all processes' entries are.
        publish: Publishes a payload on a channel.

    One task refreshes the entries; it exists from the first use of presence on, as long
    as the store's entries expire.
    """

    def __init__(
        self, store: PresenceStore, publish: Callable[[str, str], Awaitable[object]]
    ) -> None:
        self._store = store
        self._publish = publish
        self._to_leave: dict[tuple[str, str], None] = {}
        self._refreshing: asyncio.Task[None] | None = None

    async def enter(self, channel: str, id: str, info: Any) -> None:
        """Enter, and tell of it; an id that is in already gets a new info."""
        self.watch()
        self._to_leave.pop((channel, id), None)
        await self._tell(await self._store.enter(channel, id, info))

    async def leave(self, channel: str, id: str) -> None:
        """Leave, and tell of it; where the broker is away, later."""
        self._to_leave[channel, id] = None
        try:
            change = await self._store.leave(channel, id)
            self._to_leave.pop((channel, id), None)
            await self._tell(change)
        except BrokerError as exc:
            self.watch()
            LOGGER.warning("%s has left %r, but presence shows it still: %s", id, channel, exc)

    def watch(self) -> None:
        """See to it that processes which died are noticed."""
        if self._refreshing is None and self._store.ttl_s is not None:
            interval_s = self._store.ttl_s / REFRESHES_PER_TTL
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh(interval_s))

    async def close(self) -> None:
        """Take all of this process out, and tell of it."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})
        for change in await self._store.leave_all():
            await self._tell(change)

    async def _refresh(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            try:
                for change in await self._store.refresh():
                    await self._tell(change)
                for channel, id in [*self._to_leave]:
                    left = await self._store.leave(channel, id)
                    self._to_leave.pop((channel, id), None)
                    await self._tell(left)
            except Exception as exc:
                LOGGER.warning("cannot refresh presence, trying again: %s", exc)

    async def _tell(self, change: Change | None) -> None:
        if change is not None:
            try:
                await self._publish(presence_channel(change.channel), event_payload(change))
            except BrokerError as exc:
                LOGGER.warning(
                    "nobody was told of a %s on %r: %s", change.kind, change.channel, exc
                )
