"""Polls: some vote, others watch. Run it: `bocadillo run examples.controllers:app`.

All connections share one `Polls`, which is given the votes by a provider. These are in
the memory of one process; a database would be another provider.
"""

import asyncio
from collections import Counter
from typing import Any

from dishka import Provider, Scope

from bocadillo import App, Inject, RoutedPath, WebSocket, controller, websocket_mapping


class Votes:
    """How often each choice of each poll was taken."""

    def __init__(self) -> None:
        self.of_polls = {
            "lunch": {"soup": 0, "salad": 0},
            "drink": {"coffee": 0, "tea": 0},
        }

    def add(self, poll: str, choice: str) -> None:
        """Count one vote; raises `KeyError` for a choice that there is not."""
        self.of_polls[poll][choice] += 1


@controller("/polls")
class Polls:
    """Lists, shows and takes the votes of polls."""

    def __init__(self, votes: Inject[Votes]) -> None:
        self.votes = votes
        self.here: Counter[str] = Counter()  # connections to each poll
        self.changed = asyncio.Condition()

    # Above "/{poll}", which takes any name.
    @websocket_mapping("/open")
    async def list_open(self, ws: WebSocket) -> None:
        await ws.send_json([*self.votes.of_polls])

    @websocket_mapping("/{poll}")
    async def watch(self, ws: WebSocket, poll: str) -> None:
        """Send the state of a poll now and after changes; who is slow misses some."""
        shown = None
        while True:
            async with self.changed:
                while (state := self.state_of(poll)) == shown:
                    await self.changed.wait()
            await ws.send_json(state)
            shown = state

    @websocket_mapping("/{poll}/votes")
    async def vote(self, ws: WebSocket, poll: str) -> None:
        """Take votes, each a message with the choice."""
        async for choice in ws:
            try:
                self.votes.add(poll, choice)
            except KeyError:
                await ws.close(4000, "no such choice")
            else:
                await self.tell_watchers()

    # For the connections of all three

    def process_request(self, path: RoutedPath) -> tuple[int, dict[str, str], str] | None:
        poll = path.params.get("poll")
        if poll is None or poll in self.votes.of_polls:
            return None
        return 404, {}, "no such poll\n"

    async def on_connect(self, path: RoutedPath) -> None:
        if poll := path.params.get("poll"):
            self.here[poll] += 1
            await self.tell_watchers()

    async def on_disconnect(self, path: RoutedPath) -> None:
        if poll := path.params.get("poll"):
            self.here[poll] -= 1
            await self.tell_watchers()

    # For its own use

    def state_of(self, poll: str) -> dict[str, Any]:
        return {"votes": {**self.votes.of_polls[poll]}, "here": self.here[poll]}

    async def tell_watchers(self) -> None:
        async with self.changed:
            self.changed.notify_all()


provider = Provider(scope=Scope.APP)
provider.provide(Votes)

app = App(providers=[provider], controllers=[Polls])
