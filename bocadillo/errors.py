"""The tree of exceptions, each knowing its close code or HTTP status.

Two families. *Yours* (`ConfigurationError`, `ConnectionStateError`, …) are raised to
the developer, loudly, at import time where possible. *Theirs* (`InvalidMessage`,
`InvalidParameters`, `WebSocketDisconnect`) come from what a client did: they are
answered on the wire and logged at info, without a traceback.
"""

import json
from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocketDisconnect as StarletteDisconnect

from bocadillo.close import cut_reason, is_sendable, meaning

# One error of a validation: {"loc": [path], "msg": text, "type": short name}.
ErrorDetail = dict[str, Any]

# What a client did is told in lines of bounded length.
MAX_TOLD = 10
MAX_TEXT = 500


class BocadilloError(Exception):
    """The root of all exceptions of bocadillo."""


class ConfigurationError(BocadilloError, ValueError):
    """A route, view or option cannot work as it was written."""


class ExpectedAsync(ConfigurationError):
    """A view was given that is not an `async def` function."""


class ConnectionStateError(BocadilloError, RuntimeError):
    """The connection is in a state that does not allow what was tried."""


class ConcurrencyError(BocadilloError, RuntimeError):
    """Two tasks tried to receive from one connection at the same time."""


class BrokerError(BocadilloError, RuntimeError):
    """What carries publications between processes cannot be reached, or refuses.

    Of a `publish` that raises this, nobody knows whether it was carried out.
    """


class PositionLost(BocadilloError, LookupError):
    """Not all publications after a position can be had any more.

    Args:
        channel: Where.
        why: "epoch changed": the broker has forgotten the channel, or was restarted;
            "trimmed": the history does not reach back so far; "too slow": the reader did
            not take them in time.
        since: The position; the last that was seen.
    """

    def __init__(self, channel: str, why: str, since: Any) -> None:
        super().__init__(channel, why, since)
        self.channel = channel
        self.why = why
        self.since = since

    def __str__(self) -> str:
        told = _WHY_LOST.get(self.why, self.why)
        return f"publications on {self.channel!r} after {self.since} are lost: {told}"


_WHY_LOST = {
    "epoch changed": "the broker was emptied or restarted since, or has forgotten the channel",
    "trimmed": "the history of the channel does not reach back so far",
    "too slow": "the reader did not take them in time",
}


class InvalidMessage(BocadilloError, ValueError):
    """The client sent a message that is not of the expected type.

    Args:
        text: What is wrong, for people.
        errors: All errors found, each `{"loc": [...], "msg": ..., "type": ...}`.
        code: The close code when nobody catches the exception: 1007 for a payload
            that cannot be decoded or is not of the type, 1003 for the wrong kind
            of frame (RFC 6455 §7.4.1).
    """

    def __init__(
        self, text: str, *, errors: Sequence[ErrorDetail] | None = None, code: int = 1007
    ) -> None:
        super().__init__(printable(text))
        self.code = code
        self.errors: list[ErrorDetail] = (
            [{"loc": [], "msg": text, "type": "invalid_message"}] if errors is None else [*errors]
        )


class InvalidJson(InvalidMessage, json.JSONDecodeError):
    """The client sent text that is not JSON; also a `json.JSONDecodeError`."""

    def __init__(self, cause: json.JSONDecodeError) -> None:
        json.JSONDecodeError.__init__(self, cause.msg, cause.doc, cause.pos)
        self.code = 1007
        self.errors = [{"loc": [], "msg": str(self), "type": "json_invalid"}]

    def __reduce__(self) -> tuple[Any, ...]:
        return InvalidJson, (json.JSONDecodeError(self.msg, self.doc, self.pos),)


class EventError(BocadilloError, ValueError):
    """What a handler of events raises to answer with an error; the connection stays open.

    Args:
        msg: What is wrong, for people.
        loc: Where it is wrong: the path in the message, such as `["to"]`.
        code: A short name for programs, sent as the error's `type`.
        ctx: More about it, anything that can be written as JSON.
    """

    def __init__(
        self,
        msg: str,
        *,
        loc: Sequence[str | int] = (),
        code: str = "event_error",
        ctx: Any = None,
    ) -> None:
        super().__init__(msg)
        path: list[str | int] = [loc] if isinstance(loc, str) else [*loc]
        self.errors: list[ErrorDetail] = [{"loc": path, "msg": msg, "type": code}]
        if ctx is not None:
            self.errors[0]["ctx"] = ctx


class InvalidResponse(BocadilloError, TypeError):
    """A handler of events returned what cannot be sent.

    Args:
        errors: All errors found; each `loc` begins with "response".
    """

    def __init__(self, errors: Sequence[ErrorDetail]) -> None:
        self.errors = [error | {"loc": ["response", *error["loc"]]} for error in errors]
        super().__init__(summary(self.errors))


class InvalidParameters(BocadilloError, ValueError):
    """The path or query parameters of a request cannot be converted: HTTP 400.

    Args:
        errors: All errors found, each `{"loc": ["query", name], "msg": ..., "type": ...}`.
    """

    status = 400

    def __init__(self, errors: Sequence[ErrorDetail]) -> None:
        self.errors = [*errors]
        super().__init__(summary(self.errors))

    def __reduce__(self) -> tuple[Any, ...]:
        return InvalidParameters, (self.errors,)


class WebSocketDisconnect(BocadilloError, StarletteDisconnect):
    """The client has left; a subclass of Starlette's exception of the same name.

    Attributes:
        code: The client's close code; 1005 when it gave none, 1006 when the
            connection was lost without a close frame (RFC 6455 §7.1.5).
        reason: The client's reason, or "".
    """

    def __init__(self, code: int = 1000, reason: str | None = None) -> None:
        StarletteDisconnect.__init__(self, int(code), reason)

    def __str__(self) -> str:
        told = f"{self.code} ({meaning(self.code)})"
        return f"{told}: {printable(self.reason)}" if self.reason else told


def describe(error: ErrorDetail) -> str:
    """Return one error as `where: what`, fit for a log line or a close reason."""
    where = ".".join(str(part) for part in error.get("loc", ()))
    what = str(error.get("msg", "invalid"))
    return printable(f"{where}: {what}" if where else what)


def summary(errors: Sequence[ErrorDetail]) -> str:
    """Return the first few errors in one line."""
    told = "; ".join(describe(error) for error in errors[:MAX_TOLD])
    more = len(errors) - MAX_TOLD
    return f"{told}; and {more} more" if more > 0 else told


def printable(text: str) -> str:
    """Return text that a client had a hand in, cut, and without control characters."""
    text = text[: MAX_TEXT + 1]
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def closing(exc: BaseException) -> tuple[int, str]:
    """Return the close code and reason that answer *exc* on an accepted connection.

    Nothing of an unexpected exception is told to the client: 1011 without a reason.
    """
    if isinstance(exc, InvalidMessage):
        code, reason = exc.code, describe(exc.errors[0]) if exc.errors else str(exc)
        return (code if _may_close(code) else 1007), cut_reason(reason)
    if isinstance(exc, WebSocketException) and _may_close(exc.code):
        return int(exc.code), cut_reason(_text(exc.reason))
    if isinstance(exc, HTTPException):
        code = 1008 if exc.status_code in (401, 403) else 1011
        return code, cut_reason(_text(exc.detail))
    if isinstance(exc, BrokerError):
        return 1013, "try again later"
    if isinstance(exc, PositionLost):
        return 1013, "publications were lost"
    return 1011, ""


def _may_close(code: Any) -> bool:
    return isinstance(code, int) and is_sendable(code)


def _text(reason: Any) -> str:
    """Return a reason as text; frameworks' exceptions may carry any value."""
    return reason if isinstance(reason, str) else "" if reason is None else str(reason)
