"""What the tests of injection provide: one thing for each lifetime, and notes of it."""

from collections.abc import AsyncIterator
from typing import Any

from dishka import Provider, Scope

from bocadillo import Inject, WebSocket

# The same for use outside of annotations, where type checkers do not know it.
INJECT: Any = Inject


class Pool:
    """Lives with the application."""

    def __init__(self, name: str = "pool") -> None:
        self.name = name


class User:
    """Lives with one connection."""

    def __init__(self, ws: WebSocket[Any, Any], pool: Pool) -> None:
        self.ws = ws
        self.pool = pool


class Work:
    """Lives with one message."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool


class Unknown:
    """What nobody provides."""


def noting(steps: list[Any], name: str = "pool") -> Provider:
    """Return a provider of all three, which notes what it opens and closes, and why."""

    def note_closing(of: str, failure: BaseException | None) -> None:
        steps.append(f"{of} closed" if failure is None else f"{of} closed by {failure!r}")

    async def pool() -> AsyncIterator[Pool]:
        steps.append(f"{name} opened")
        failure = yield Pool(name)
        note_closing(name, failure)

    async def user(ws: WebSocket, pool: Pool) -> AsyncIterator[User]:
        steps.append("user opened")
        failure = yield User(ws, pool)
        note_closing("user", failure)

    async def work(pool: Pool) -> AsyncIterator[Work]:
        steps.append("work opened")
        failure = yield Work(pool)
        note_closing("work", failure)

    provider = Provider()
    provider.provide(pool, scope=Scope.APP)
    provider.provide(user, scope=Scope.SESSION)
    provider.provide(work, scope=Scope.REQUEST)
    return provider


def supplying(name: str) -> Provider:
    """Return a provider of a `Pool` of that name, and of nothing else."""
    provider = Provider(scope=Scope.APP)
    provider.provide(lambda: Pool(name), provides=Pool)
    return provider
