"""The application that the tests of controllers serve: connections end as the client says."""

import asyncio
from collections import defaultdict
from typing import Any

from dishka import Provider, Scope
from starlette.requests import Request
from starlette.responses import JSONResponse

from bocadillo import App, Inject, RoutedPath, WebSocket, controller, websocket_mapping

# What connections went through, by the key that the client chose.
steps: dict[str, list[Any]] = defaultdict(list)

# Clients of the controller that is slow to build, and whether there are two.
waiting: list[str] = []
both_are_here = asyncio.Event()


class Pool:
    """What takes its time."""


async def pool() -> Pool:
    await both_are_here.wait()
    steps["slow"].append("pool")
    return Pool()


provider = Provider(scope=Scope.APP)
provider.provide(pool)


def arrive(path: RoutedPath) -> None:
    waiting.append(path)
    if len(waiting) == 2:
        both_are_here.set()


@controller("/slow")
class Slow:
    def __init__(self, pool: Inject[Pool]) -> None:
        steps["slow"].append("built")

    @websocket_mapping(process_request=arrive)
    async def view(self, ws: WebSocket) -> None:
        await ws.send(str(id(self)))


@controller("/flaky")
class Flaky:
    failures = 0

    def __init__(self) -> None:
        if Flaky.failures < 1:
            Flaky.failures += 1
            raise LookupError("not up yet")

    @websocket_mapping
    async def view(self, ws: WebSocket) -> None:
        await ws.send("served")


async def end(ws: WebSocket, key: str, how: str) -> None:
    if how == "closes":
        await ws.close(4001)
    elif how.startswith("raises"):
        raise LookupError(f"the first of {key}")
    elif how == "sleeps":
        steps[key].append("sleeping")
        await asyncio.sleep(60)
    elif how != "returns":
        await ws.receive()


@controller("/sync")
class SyncHooks:
    @websocket_mapping("/{how}/{key}")
    async def view(self, ws: WebSocket, key: str, how: str) -> None:
        await end(ws, key, how)

    def on_connect(self, ws: WebSocket, key: str) -> None:
        steps[key].append("connected" if ws.is_open else "too early")

    def on_disconnect(self, key: str, how: str, path: RoutedPath, close_code: int) -> None:
        steps[key].append([path, close_code])
        if how == "raises-twice":
            raise OSError(f"the second of {key}")


@controller("/async")
class AsyncHooks(SyncHooks):
    async def on_connect(self, ws: WebSocket, key: str) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().on_connect(ws, key)

    async def on_disconnect(  # type: ignore[override]
        self, key: str, how: str, path: RoutedPath, close_code: int
    ) -> None:
        await asyncio.sleep(0.05)  # long enough for a cancellation to come in between
        super().on_disconnect(key, how, path, close_code)


app = App(
    providers=[provider],
    controllers=[Slow, Flaky, SyncHooks, AsyncHooks],
    leave_grace_s=0.5,
    shutdown_grace_s=1,
)


async def show_steps(request: Request) -> JSONResponse:
    return JSONResponse(steps[request.path_params["key"]])


app.add_route("/steps/{key}", show_steps)
