"""The one lifecycle of every connection, from match to disconnect.

bind → origin → hooks → accept → connect → handle → close → disconnect → release.
Conversion and hooks come before accept: a client that may not come in never sees an open
socket. How each step can end the connection is told in `endings`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from bocadillo import endings
from bocadillo.endings import AnyWebSocket, ConnectionLog, awaited
from bocadillo.errors import InvalidParameters
from bocadillo.finishing import finish
from bocadillo.leaving import Cancellation, Times, Watch
from bocadillo.origins import Origins

# A client chooses how long its Origin is.
MAX_LOGGED_ORIGIN = 200

Hook = Callable[[], Any]
Release = Callable[[BaseException | None], Awaitable[object]]


@dataclass(slots=True)
class Calls:
    """What is called for one connection, every argument bound.

    Args:
        handle: The view's body.
        hooks: Asked during the handshake, outermost first; each returns None to go on
            or `(status, headers, body)` to refuse, and may be a coroutine function.
        enter: Called before `connect`; if it raises, neither that nor `disconnect` is.
        connect: Called before `handle`.
        origins: Which web pages may connect, where the way to the view says more than
            the view does.
        disconnect: Called once after it, if `connect` was begun and the connection was
            accepted; shielded from cancellation.
        release: Called last, however the connection ended, with the exception of the
            view or None; shielded from cancellation, and bounded by itself.
    """

    handle: Callable[[], Awaitable[object]]
    hooks: Sequence[tuple[str, Hook]] = ()
    enter: Hook | None = None
    connect: Hook | None = None
    disconnect: Hook | None = None
    origins: Origins | None = None
    release: Release | None = None


class Steps(Protocol):
    """What a view brings to the lifecycle."""

    @property
    def name(self) -> str:
        """The name of the route, for log lines."""

    @property
    def times(self) -> Times:
        """How long to wait for what."""

    @property
    def origins(self) -> Origins:
        """Which web pages may connect."""

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """Subprotocols that the server speaks, the best first."""

    @property
    def logger(self) -> logging.Logger:
        """Where log lines go."""

    def bind(self, ws: AnyWebSocket) -> Calls:
        """Return what to call; raise `InvalidParameters` for bad input."""


async def run(steps: Steps, ws: AnyWebSocket) -> None:
    """Serve one connection from match to disconnect."""
    ws._leave_open = endings.is_handled
    watch = Watch(ws, steps.times)
    course = _Course(steps, ws)
    try:
        try:
            handled = await course.open()
            if handled is not None:
                await handled
        except Exception as exc:
            course.fail(exc)
            await endings.raised(steps, ws, exc)
        else:
            await endings.returned(steps, ws)
    except asyncio.CancelledError as exc:
        course.fail(exc)
        await endings.cancelled(steps, ws, watch, exc)
    finally:
        watch.stop()
        if watch.cancellation is Cancellation.DEAF:
            await ws._abort()
        try:
            await course.end()
        finally:
            # They know the connection, and rings are freed late.
            ws._leave_open = ws._memberships = None
            ws._inbox.close()


class _Course:
    """What comes before and after the view's body, for one connection."""

    def __init__(self, steps: Steps, ws: AnyWebSocket) -> None:
        self._steps = steps
        self._ws = ws
        self._disconnect: Hook | None = None
        self._release: Release | None = None
        self._failure: BaseException | None = None

    def fail(self, exc: BaseException) -> None:
        """Remember what the view ended by, for those who are to release something."""
        if self._release is not None:  # else it would keep a ring of frames alive
            self._failure = exc

    async def open(self) -> Awaitable[object] | None:
        """Go up to the view's body; return it, to be awaited, unless the connection has ended.

        What was needed up to here is forgotten: connections that wait would hold it.
        """
        steps, ws = self._steps, self._ws
        try:
            calls = await self._shake_hands()
        except InvalidParameters as exc:
            ConnectionLog(steps, ws).info("refused with HTTP 400: %s", exc)
            await ws.reject(400, {"errors": exc.errors})
            return None
        if calls is None:
            return None
        if ws.auto_accept and not ws.accepted:
            await ws.accept(_choose(steps.subprotocols, ws))
        if calls.enter is not None:
            await calls.enter()
        self._disconnect = calls.disconnect
        if calls.connect is not None:
            await awaited(calls.connect())
        return None if ws.is_closed else calls.handle()  # by `on_connect`

    async def _shake_hands(self) -> Calls | None:
        """Return what to call, or None for a client that was refused."""
        calls = self._steps.bind(self._ws)
        self._release = calls.release
        if not (calls.origins or self._steps.origins).admit(self._ws):
            await _refuse_origin(self._steps, self._ws)
            return None
        for name, hook in calls.hooks:
            if await self._is_refused(name, hook):
                return None
        return calls

    async def _is_refused(self, name: str, hook: Hook) -> bool:
        answer = await awaited(hook())
        if not (self._ws.is_connecting or self._ws.is_open):
            return True  # by the hook itself
        if answer is None:
            return False
        try:
            status, headers, body = answer
            if not isinstance(body, bytes | str):
                raise TypeError
            await self._ws.reject(status, body, headers)
        except (TypeError, ValueError):
            ConnectionLog(self._steps, self._ws).error(
                "%s returned %r; possible: None to go on, or (status, headers, body) with a "
                "status from 200 to 599, headers as a mapping or pairs, a body of bytes or str",
                name,
                answer,
            )
            await endings.refuse(self._ws, 500, "Internal Server Error\n")
        return True

    async def end(self) -> None:
        """Call `on_disconnect` and release, to their ends, whoever cancels meanwhile."""
        disconnect = self._disconnect if self._ws.accepted else None
        release, self._release = self._release, None
        if disconnect is None and release is None and self._ws._memberships is None:
            return
        await finish(self._end(disconnect, release))

    async def _end(self, disconnect: Hook | None, release: Release | None) -> None:
        if disconnect is not None:
            await self._call("on_disconnect", partial(self._bounded, "on_disconnect", disconnect))
        if self._ws._memberships is not None:
            leave = self._ws._memberships.end
            await self._call("leaving channels", partial(self._bounded, "leaving channels", leave))
        if release is not None:
            failure, self._failure = self._failure, None
            await self._call("closing what was injected", partial(release, failure))

    async def _bounded(self, what: str, hook: Hook) -> None:
        seconds = self._steps.times.disconnect_timeout
        try:
            async with asyncio.timeout(seconds) as bound:
                await awaited(hook())
        except TimeoutError:
            if not bound.expired():  # one of the user's own
                raise
            log = ConnectionLog(self._steps, self._ws)
            log.error("%s took more than %g s, and was cancelled", what, seconds)

    async def _call(self, what: str, hook: Hook) -> None:
        try:
            await hook()
        except (Exception, asyncio.CancelledError) as exc:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # the event loop ends
                raise
            endings.report_bug(self._steps, self._ws, exc, f"{what} failed")


async def _refuse_origin(steps: Steps, ws: AnyWebSocket) -> None:
    ConnectionLog(steps, ws).info(
        "refused with HTTP 403: origin %s is not among allowed_origins",
        ascii(ws.headers["origin"][:MAX_LOGGED_ORIGIN]),
    )
    await ws.reject(403, "origin not allowed\n")


def _choose(subprotocols: tuple[str, ...], ws: AnyWebSocket) -> str | None:
    offered = ws.scope.get("subprotocols", ())
    return next((name for name in subprotocols if name in offered), None)
