"""`create_client`: Starlette's test client, which also raises what a view raised."""

import asyncio
from typing import Any

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from bocadillo.endings import BUGS_KEY
from bocadillo.testing.tasks import doing

try:
    import httpx2  # noqa: F401 - Starlette's client is made of it, and would fall back on httpx
    from starlette.testclient import TestClient
except ImportError:
    raise ImportError(
        "create_client needs the extra 'test': pip install 'bocadillo[test]'"
    ) from None

# How long a view may go on after the test's `with` block has ended.
END_TIMEOUT_S = 5.0


def create_client(app: ASGIApp, **options: Any) -> TestClient:
    """Return a Starlette `TestClient` for *app*, to be used by tests without asyncio.

    What a view raised by mistake, which a server's client sees as 1011 or HTTP 500, is
    raised in the test when the connection's `with` block ends.

    Args:
        app: ASGI application.
        options: As Starlette's `TestClient` takes them; `raise_server_exceptions=False`
            leaves views' exceptions to the log.
    """
    raises = options.get("raise_server_exceptions", True)
    client = TestClient(_RaisesBugs(app) if raises else app, **options)
    client.app = app  # the one that a test would look for here
    return client


class _RaisesBugs:
    """An application that raises, when a connection is over, what its view raised."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        bugs: list[BaseException] = []
        scope[BUGS_KEY] = bugs
        await _left_alone(self._app(scope, receive, send), bugs)


async def _left_alone(serving: Any, bugs: list[BaseException]) -> None:
    """Await *serving*, which the client's leaving must not cancel; no server does that.

    Starlette's client cancels the application right after the disconnect event, so that
    a view would seldom come to its end.
    """
    task = asyncio.ensure_future(serving)
    try:
        await asyncio.wait({task})
    finally:
        with anyio.CancelScope(shield=True):
            await asyncio.wait({task}, timeout=END_TIMEOUT_S)
            if not task.done():
                place = doing(task)
                task.cancel()
                await asyncio.wait({task}, timeout=END_TIMEOUT_S)
                raise TimeoutError(
                    f"the view did not end within {END_TIMEOUT_S} s of the client's leaving: "
                    f"it {place}"
                )
        if bugs:
            raise bugs[0]
        task.result()
