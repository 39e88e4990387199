"""`Heard`: a listener that notes what a broker brings, and lets a test wait for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from bocadillo.channels.publications import Position, Publication

# Seconds until a test gives up; far more than any of them needs.
PATIENCE_S = 20


class Heard:
    """Notes what a broker brings.

    Attributes:
        publications: In the order of their coming.
        news: "lost" and "restored", in the order of their coming.
    """

    def __init__(self) -> None:
        self.publications: list[Publication] = []
        self.news: list[str] = []

    def receive(self, publication: Publication) -> None:
        """Note a publication."""
        self.publications.append(publication)

    def lost(self, reason: str) -> None:
        """Note that; a reason is always told."""
        assert reason
        self.news.append("lost")

    def restored(self) -> None:
        """Note that."""
        self.news.append("restored")

    def payloads(self, channel: str) -> list[Any]:
        """Return what came on one channel."""
        return [known.payload for known in self.publications if known.channel == channel]

    @property
    def positions(self) -> list[Position]:
        """Where the publications stand in their channels."""
        return [known.position for known in self.publications]

    async def wait_for(self, count: int) -> None:
        """Return when so many publications have come."""
        await until(lambda: len(self.publications) >= count)

    async def wait_for_position(self, position: Position) -> None:
        """Return when the last publication is the one at that position."""
        await until(lambda: self.positions[-1:] == [position])

    async def wait_for_news(self, word: str, count: int = 1) -> None:
        """Return when that has been told so often."""
        await until(lambda: self.news.count(word) >= count)


async def until(is_so: Callable[[], bool]) -> None:
    """Return when that is so."""
    while not is_so():
        await asyncio.sleep(0.001)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario to its end, within the patience of a test, and leave no task over."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scenario()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks are left over: {left}"

    asyncio.run(bounded())
