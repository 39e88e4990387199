"""How a connection ends: what an exception, a return or a cancellation makes of it.

| the handler                       | the client sees                                   |
|-----------------------------------|---------------------------------------------------|
| returns                           | 1000                                              |
| raises WebSocketException         | its code and reason; before accept HTTP 403       |
| raises HTTPException              | before accept that answer; after it 1008 or 1011  |
| lets InvalidMessage escape        | 1007, or 1003 for the wrong kind of frame         |
| lets BrokerError escape           | 1013; before accept HTTP 503                      |
| lets PositionLost escape          | 1013; before accept HTTP 410                      |
| raises anything else              | 1011; before accept HTTP 500                      |

An exception is first offered to the application's exception handlers. What a client did
is logged at info; a bug of the handler's once, with its traceback. Nothing is raised to
the server, which would log it again, and what is closed here never raises.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect as StarletteDisconnect

from bocadillo.close import is_sendable
from bocadillo.errors import (
    BrokerError,
    ConfigurationError,
    InvalidMessage,
    PositionLost,
    closing,
    printable,
)
from bocadillo.hints import name_of
from bocadillo.leaving import SERVICE_RESTART, Cancellation, Watch
from bocadillo.websockets import WebSocket

AnyWebSocket = WebSocket[Any, Any]
ExceptionHandler = Callable[[AnyWebSocket, Exception], Any]

# The key of a scope under which the clients of `bocadillo.testing` put a list, to be
# given the exceptions that are bugs.
BUGS_KEY = "bocadillo.bugs"


class Named(Protocol):
    """Whose connection it is."""

    @property
    def name(self) -> str:
        """The name of the route, for log lines."""

    @property
    def logger(self) -> logging.Logger:
        """Where log lines go."""


class ConnectionLog(logging.LoggerAdapter[logging.Logger]):
    """A view's logger whose lines begin with connection id and route name."""

    def __init__(self, view: Named, ws: AnyWebSocket) -> None:
        super().__init__(view.logger, {})
        self._prefix = f"[{ws.id}] {view.name}: ".replace("%", "%%")

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """Put the prefix before a line."""
        return self._prefix + msg, kwargs


async def returned(view: Named, ws: AnyWebSocket) -> None:
    """Close for a handler that has returned."""
    if ws.is_connecting:
        ConnectionLog(view, ws).warning(
            "the view returned without accept() or reject(); refused with HTTP 403"
        )
    await ws.ensure_closed()


async def raised(view: Named, ws: AnyWebSocket, exc: Exception) -> None:
    """Close for a handler that has raised."""
    exc = _leaving_in(exc) or exc
    try:
        if await _offer(ws, exc):
            await ws.ensure_closed(*((1000,) if ws.accepted else (403,)))
            return
    except Exception as failure:
        failure.__context__ = exc
        exc = failure
    await _answer(view, ws, exc)


def _is_told_by_code(ws: AnyWebSocket, exc: Exception) -> bool:
    """Tell whether an exception's own code may be sent; before accept none is."""
    if not isinstance(exc, WebSocketException):
        return False
    return not ws.accepted or (isinstance(exc.code, int) and is_sendable(exc.code))


def _leaving_in(exc: BaseException) -> StarletteDisconnect | None:
    """Return the leaving that a task group has put into a group, if nothing else is in it."""
    if not isinstance(exc, BaseExceptionGroup):
        return exc if isinstance(exc, StarletteDisconnect) else None
    leavings = [_leaving_in(inner) for inner in exc.exceptions]
    return leavings[0] if all(leavings) else None


async def _answer(view: Named, ws: AnyWebSocket, exc: Exception) -> None:
    """Close as the table says for an exception that nobody handled."""
    log = ConnectionLog(view, ws)
    if isinstance(exc, StarletteDisconnect) and ws.close_code is not None:
        if not ws._catches(exc):
            log.info("the client left with %s", exc)
        return
    if isinstance(exc, InvalidMessage):
        log.info("closed with %d: %s", exc.code, exc)
    elif isinstance(exc, BrokerError):
        log.error("%s: %s", "closed with 1013" if ws.accepted else "refused with HTTP 503", exc)
        if not ws.accepted:
            await refuse(ws, 503, "Service Unavailable\n")
            return
    elif isinstance(exc, PositionLost):  # of a client that came back too late
        told = printable(str(exc))
        log.info("%s: %s", "closed with 1013" if ws.accepted else "refused with HTTP 410", told)
        if not ws.accepted:
            await refuse(ws, 410, "Gone\n")
            return
    elif isinstance(exc, HTTPException):
        log.info("ended by HTTP %d: %s", exc.status_code, printable(str(exc.detail)))
        if not ws.accepted:
            try:
                await refuse(ws, exc.status_code, exc.detail, exc.headers)
            except (TypeError, ValueError) as failure:  # no status, or no headers, to refuse with
                failure.__context__ = exc
                report_bug(view, ws, failure)
                await refuse(ws, 500, "Internal Server Error\n")
            return
    elif not _is_told_by_code(ws, exc):
        report_bug(view, ws, exc)
        if not ws.accepted:
            await refuse(ws, 500, "Internal Server Error\n")
            return
    await ws.ensure_closed(*closing(exc))


async def cancelled(
    view: Named, ws: AnyWebSocket, watch: Watch, exc: asyncio.CancelledError
) -> None:
    """Close for a handler that ended in a cancellation.

    Raises:
        asyncio.CancelledError: it was the server's.
    """
    log, task = ConnectionLog(view, ws), asyncio.current_task()
    if watch.cancellation is Cancellation.LATE:
        log.warning("cancelled: %s", Cancellation.LATE.value)
        await refuse(ws, 503, "the handshake took too long\n")
    elif watch.cancellation is not None:
        log.info("cancelled: %s %s", watch.cancellation.value, ws._disconnect())
    elif task is not None and task.cancelling():
        await ws.ensure_closed(SERVICE_RESTART)
        raise exc
    else:  # the handler waited for something that others cancelled
        report_bug(view, ws, exc)
        await ws.ensure_closed(1011)


async def refuse(
    ws: AnyWebSocket, status: int, body: Any, headers: Mapping[str, str] | None = None
) -> None:
    """Refuse the connection by a HTTP answer, or close it with 1011 if that comes too late."""
    if ws.is_connecting:
        await ws.reject(status, body, headers)
    await ws.ensure_closed(1011)


def report_bug(
    view: Named, ws: AnyWebSocket, exc: BaseException, what: str = "the view failed"
) -> None:
    """Log an exception with its traceback, and hand it to a test that asked for it."""
    bugs: list[BaseException] | None = ws.scope.get(BUGS_KEY)
    if bugs is not None:
        bugs.append(exc)
    ConnectionLog(view, ws).error(what, exc_info=exc)


async def awaited(answer: Any) -> Any:
    """Return what a function that may be sync or async has to say."""
    return await answer if inspect.isawaitable(answer) else answer


# Exception handlers of the application


async def _offer(ws: AnyWebSocket, exc: Exception) -> bool:
    """Hand *exc* to the application's handler; return whether that settled it."""
    handler = _handler_of(ws, exc)
    if handler is None:
        return False
    if inspect.iscoroutinefunction(handler):
        answer = await handler(ws, exc)
    else:
        answer = await awaited(await run_in_threadpool(handler, ws, exc))
    if not isinstance(answer, Response):
        return True
    if ws.is_connecting:
        if not hasattr(answer, "body"):
            raise ConfigurationError(
                f"{name_of(handler)}() returned a {type(answer).__name__}, whose body comes "
                "later; a connection is refused by a response that has its body, such as Response"
            )
        await ws.reject(answer.status_code, bytes(answer.body), answer.raw_headers)
        return True
    # A HTTP answer comes too late for an open connection, so the table decides.
    return not ws.is_open


def is_handled(ws: AnyWebSocket, exc: BaseException) -> bool:
    """Tell whether `async with ws` should leave the closing to the lifecycle."""
    return not isinstance(exc, Exception) or _handler_of(ws, exc) is not None


def _handler_of(ws: AnyWebSocket, exc: Exception) -> ExceptionHandler | None:
    by_class, by_status = ws.scope.get("starlette.exception_handlers", ({}, {}))
    handler = by_status.get(exc.status_code) if isinstance(exc, HTTPException) else None
    if handler is None:
        handler = next((by_class[c] for c in type(exc).__mro__ if c in by_class), None)
    # Starlette's own defaults say less than the table does.
    if isinstance(getattr(handler, "__self__", None), ExceptionMiddleware):
        return None
    return handler
