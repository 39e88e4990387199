"""A client that talks to a view of events, and hears all that it is answered."""

from collections.abc import Sequence
from typing import Any

from dishka import Provider
from starlette.types import ASGIApp

from bocadillo import App, EventView
from bocadillo.testing import Connection, connect
from tests.fakes import run

# No view has this event, so it is answered by an error that tells it: the last answer.
LAST = "the last one"


def app_of(view: type[EventView], providers: Sequence[Provider] = (), **options: Any) -> App:
    """Return an application with one view of events."""
    app = App(providers=list(providers))
    app.websocket_route("/", **options)(view)
    return app


async def say(ws: Connection, message: Any) -> None:
    """Send text, bytes, or any other value as JSON."""
    if isinstance(message, str | bytes):
        await ws.send(message)
    else:
        await ws.send_json(message)


async def hear(ws: Connection, *messages: Any, mode: Any = "text") -> list[Any]:
    """Send messages one after another, and return all that comes back."""
    for message in (*messages, {"type": LAST}):
        await say(ws, message)
    heard: list[Any] = []
    while True:
        answer = await ws.receive_json(mode)
        errors = answer.get("errors") or [{}]
        if isinstance(errors, list) and (errors[0].get("ctx") or {}).get("given") == LAST:
            return heard
        heard.append(answer)


def answers_of(app: ASGIApp, *messages: Any, mode: Any = "text") -> list[Any]:
    """Return what one client of an application is sent for its messages."""

    async def scenario() -> list[Any]:
        async with connect(app, "/") as ws:
            return await hear(ws, *messages, mode=mode)

    return run(scenario)


def answers(
    view: type[EventView], *messages: Any, providers: Sequence[Provider] = (), mode: Any = "text"
) -> list[Any]:
    """Return what one client of a view is sent for its messages."""
    return answers_of(app_of(view, providers), *messages, mode=mode)


def ending_of(view: type[EventView], *messages: Any) -> tuple[int | None, str, BaseException]:
    """Return the close code, the reason and the exception that end a connection."""
    ending: list[Any] = []

    async def scenario() -> None:
        async with connect(app_of(view), "/") as ws:
            for message in messages:
                await say(ws, message)
            try:
                while True:
                    ending.append(await ws.receive())
            finally:
                ending.append((ws.close_code, ws.close_reason))

    try:
        run(scenario)
    except BaseException as exc:
        code, reason = ending.pop()
        assert ending == [], "the client was told something"
        return code, reason, exc
    raise AssertionError("the connection did not end")
