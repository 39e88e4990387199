"""The one lifecycle of every connection: bind, origin, accept, handle, close.

| the handler                       | the client sees                                   |
|-----------------------------------|---------------------------------------------------|
| returns                           | 1000                                              |
| raises WebSocketException         | its code and reason; before accept HTTP 403       |
| raises HTTPException              | before accept that answer; after it 1008 or 1011  |
| lets InvalidMessage escape        | 1007, or 1003 for the wrong kind of frame         |
| raises anything else              | 1011; before accept HTTP 500                      |

What a client did is logged at info; a bug of the handler's once, with its traceback.
Nothing is raised to the server, which would log it again. What this room closes by
itself never raises.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect as StarletteDisconnect

from bocadillo.errors import ConfigurationError, InvalidMessage, InvalidParameters, closing
from bocadillo.leaving import SERVICE_RESTART, Cancellation, Times, Watch
from bocadillo.origins import Origins
from bocadillo.params import name_of
from bocadillo.states import State
from bocadillo.websockets import WebSocket

logger = logging.getLogger("bocadillo")

AnyWebSocket = WebSocket[Any, Any]
ExceptionHandler = Callable[[AnyWebSocket, Exception], Any]

# A client chooses how long its Origin is.
MAX_LOGGED_ORIGIN = 200

# The key of a scope under which the clients of `bocadillo.testing` put a list, to be
# given the exceptions that are bugs.
BUGS_KEY = "bocadillo.bugs"


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

    def bind(self, ws: AnyWebSocket) -> Callable[[], Awaitable[object]]:
        """Return the call of the handler; raise `InvalidParameters` for bad input."""


async def run(steps: Steps, ws: AnyWebSocket) -> None:
    """Serve one connection from match to close."""
    try:
        handle = steps.bind(ws)
    except InvalidParameters as exc:
        logger.info("%s: refused with HTTP 400: %s", _label(steps, ws), exc)
        await ws.reject(400, {"errors": exc.errors})
        return
    except Exception as exc:
        await _raised(steps, ws, exc)
        return
    if not steps.origins.admit(ws):
        await _refuse_origin(steps, ws)
        return
    ws._leave_open = lambda exc: _is_handled(ws, exc)
    watch = Watch(ws, steps.times)
    try:
        if ws.auto_accept:
            await ws.accept(_choose(steps.subprotocols, ws))
        await handle()
    except asyncio.CancelledError as exc:
        await _cancelled(steps, ws, watch, exc)
    except Exception as exc:
        await _raised(steps, ws, exc)
    else:
        await _returned(steps, ws)
    finally:
        watch.stop()
        ws._leave_open = None  # it knows the connection, and rings are freed late
        ws._inbox.close()


async def _refuse_origin(steps: Steps, ws: AnyWebSocket) -> None:
    logger.info(
        "%s: refused with HTTP 403: origin %s is not among allowed_origins",
        _label(steps, ws),
        ascii(ws.headers["origin"][:MAX_LOGGED_ORIGIN]),
    )
    await ws.reject(403, "origin not allowed\n")


async def _returned(steps: Steps, ws: AnyWebSocket) -> None:
    if ws._phase is State.CONNECTING:
        logger.warning(
            "%s: the view returned without accept() or reject(); refused with HTTP 403",
            _label(steps, ws),
        )
    await ws.ensure_closed()


async def _raised(steps: Steps, ws: AnyWebSocket, exc: Exception) -> None:
    exc = _leaving_in(exc) or exc
    try:
        if await _offer(ws, exc):
            await ws.ensure_closed(*((1000,) if ws.accepted else (403,)))
            return
    except Exception as failure:
        failure.__context__ = exc
        exc = failure
    await _answer(steps, ws, exc)


def _leaving_in(exc: BaseException) -> StarletteDisconnect | None:
    """Return the leaving that a task group has put into a group, if nothing else is in it."""
    if not isinstance(exc, BaseExceptionGroup):
        return exc if isinstance(exc, StarletteDisconnect) else None
    leavings = [_leaving_in(inner) for inner in exc.exceptions]
    return leavings[0] if all(leavings) else None


async def _answer(steps: Steps, ws: AnyWebSocket, exc: Exception) -> None:
    """Close as the table says for an exception that nobody handled."""
    label = _label(steps, ws)
    if isinstance(exc, StarletteDisconnect) and ws._ending is not None:
        if not ws._catches(exc):
            logger.info("%s: the client left with %s", label, exc)
        return
    if isinstance(exc, InvalidMessage):
        logger.info("%s: closed with %d: %s", label, exc.code, exc)
    elif isinstance(exc, WebSocketException):
        pass
    elif isinstance(exc, HTTPException):
        logger.info("%s: ended by HTTP %d: %s", label, exc.status_code, exc.detail)
        if not ws.accepted:
            try:
                await _reject(ws, exc.status_code, exc.detail, exc.headers)
            except (TypeError, ValueError) as failure:  # no status, or no headers, to refuse with
                failure.__context__ = exc
                _report(ws, label, failure)
                await _reject(ws, 500, "Internal Server Error\n")
            return
    else:
        _report(ws, label, exc)
        if not ws.accepted:
            await _reject(ws, 500, "Internal Server Error\n")
            return
    await ws.ensure_closed(*closing(exc))


async def _cancelled(
    steps: Steps, ws: AnyWebSocket, watch: Watch, exc: asyncio.CancelledError
) -> None:
    label, task = _label(steps, ws), asyncio.current_task()
    if watch.cancellation is not None and task is not None:
        task.uncancel()
        if watch.cancellation is Cancellation.LATE:
            logger.warning("%s: cancelled: %s", label, watch.cancellation.value)
            await _reject(ws, 503, "the handshake took too long\n")
        else:
            logger.info("%s: cancelled: %s %s", label, watch.cancellation.value, ws._disconnect())
    elif task is not None and task.cancelling():  # the server ends
        await ws.ensure_closed(SERVICE_RESTART)
        raise exc
    else:  # the handler waited for something that others cancelled
        _report(ws, label, exc)
        await ws.ensure_closed(1011)


async def _reject(
    ws: AnyWebSocket, status: int, body: Any, headers: Mapping[str, str] | None = None
) -> None:
    if ws._phase is State.CONNECTING:
        await ws.reject(status, body, headers)
    await ws.ensure_closed(1011)


def _report(ws: AnyWebSocket, label: str, exc: BaseException) -> None:
    bugs: list[BaseException] | None = ws.scope.get(BUGS_KEY)
    if bugs is not None:
        bugs.append(exc)
    logger.error("%s: the view failed", label, exc_info=exc)


def _label(steps: Steps, ws: AnyWebSocket) -> str:
    return f"[{ws.id}] {steps.name}"


def _choose(subprotocols: tuple[str, ...], ws: AnyWebSocket) -> str | None:
    offered = ws.scope.get("subprotocols", ())
    return next((name for name in subprotocols if name in offered), None)


# Exception handlers of the application


async def _offer(ws: AnyWebSocket, exc: Exception) -> bool:
    """Hand *exc* to the application's handler; return whether that settled it."""
    handler = _handler_of(ws, exc)
    if handler is None:
        return False
    if inspect.iscoroutinefunction(handler):
        answer = await handler(ws, exc)
    else:
        answer = await run_in_threadpool(handler, ws, exc)
        if inspect.isawaitable(answer):
            answer = await answer
    if not isinstance(answer, Response):
        return True
    if ws._phase is State.CONNECTING:
        if not hasattr(answer, "body"):
            raise ConfigurationError(
                f"{name_of(handler)}() returned a {type(answer).__name__}, whose body comes "
                "later; a connection is refused by a response that has its body, such as Response"
            )
        await ws.reject(answer.status_code, bytes(answer.body), answer.raw_headers)
        return True
    # A HTTP answer comes too late for an open connection, so the table decides.
    return not ws.is_open


def _is_handled(ws: AnyWebSocket, exc: BaseException) -> bool:
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
