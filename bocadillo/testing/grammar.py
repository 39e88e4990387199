"""Which ASGI events a WebSocket application may send, and what must be in them.

A law of its own, apart from `bocadillo.states`: what is tested does not judge itself.
Source: ASGI "HTTP & WebSocket" specification, section WebSocket, and its WebSocket
Denial Response extension.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from bocadillo.close import MAX_REASON_BYTES, SENDABLE, is_sendable

CONNECTING = "connecting"
DENYING = "in the middle of a HTTP answer"
OPEN = "open"
ENDED = "closed or refused by the application"

ALLOWED = {
    CONNECTING: ("websocket.accept", "websocket.close", "websocket.http.response.start"),
    DENYING: ("websocket.http.response.body",),
    OPEN: ("websocket.send", "websocket.close"),
    ENDED: (),
}


class AsgiGrammarError(AssertionError):
    """The application sent something that ASGI does not allow."""


def check(event: Any, state: str, subprotocols: Collection[str]) -> None:
    """Check one event that the application sends.

    Args:
        event: What was given to `send`.
        state: A key of `ALLOWED`: where the connection stands.
        subprotocols: Those that the client offered.

    Raises:
        AsgiGrammarError: ASGI does not allow it, with what it does allow.
    """
    kind = event.get("type") if isinstance(event, Mapping) else None
    if not isinstance(kind, str):
        raise AsgiGrammarError(f"an event must be a dict with a 'type', got {event!r}")
    if kind not in ALLOWED[state]:
        allowed = ", ".join(ALLOWED[state]) or "nothing"
        raise AsgiGrammarError(f"{kind!r} sent while {state}; allowed now: {allowed}")
    problem = _CHECKS[kind](event, state, subprotocols)
    if problem:
        raise AsgiGrammarError(f"{kind!r} {problem}")


def _accept(event: Mapping[str, Any], _: str, subprotocols: Collection[str]) -> str | None:
    subprotocol = event.get("subprotocol")
    if subprotocol is not None and subprotocol not in subprotocols:
        offered = ", ".join(map(repr, subprotocols)) or "none"
        return f"has subprotocol {subprotocol!r}; the client offered: {offered}"
    problem = _headers(event)
    if problem is None and b"sec-websocket-protocol" in dict(event.get("headers", ())):
        return "has the subprotocol among its headers; it has a key of its own"
    return problem


def _send(event: Mapping[str, Any], *_: object) -> str | None:
    text, payload = event.get("text"), event.get("bytes")
    if (text is None) == (payload is None):
        return f"must have either text or bytes, has {'none' if text is None else 'both'} of them"
    if text is None:
        return None if type(payload) is bytes else f"has bytes of type {_name(payload)}"
    if not isinstance(text, str):
        return f"has text of type {_name(text)}"
    return None if _is_utf8(text) else f"has text that UTF-8 cannot carry: {text!r}"


def _close(event: Mapping[str, Any], state: str, _: object) -> str | None:
    code, reason = event.get("code", 1000), event.get("reason")
    if not isinstance(code, int):
        return f"has a code of type {_name(code)}"
    if state == OPEN and not is_sendable(code):  # before, no code reaches the client
        return f"has code {code}, which may not be sent; allowed: {SENDABLE}"
    if reason is None:
        return None
    if not isinstance(reason, str):
        return f"has a reason of type {_name(reason)}"
    if not _is_utf8(reason):
        return f"has a reason that UTF-8 cannot carry: {reason!r}"
    size = len(reason.encode())
    if size > MAX_REASON_BYTES:
        return f"has a reason of {size} bytes; RFC 6455 allows {MAX_REASON_BYTES}"
    return None


def _denial_start(event: Mapping[str, Any], *_: object) -> str | None:
    status = event.get("status")
    if not isinstance(status, int):
        return f"has a status of type {_name(status)}"
    if not 200 <= status <= 599:
        return f"has status {status}; a refusal is answered by 200 to 599"
    return _headers(event)


def _denial_body(event: Mapping[str, Any], *_: object) -> str | None:
    body, more_body = event.get("body", b""), event.get("more_body", False)
    if type(body) is not bytes:
        return f"has a body of type {_name(body)}"
    return None if isinstance(more_body, bool) else f"has more_body of type {_name(more_body)}"


def _headers(event: Mapping[str, Any]) -> str | None:
    headers = event.get("headers", ())
    if not isinstance(headers, list | tuple):
        return f"has headers of type {_name(headers)}; ASGI wants pairs of bytes"
    for pair in headers:
        is_pair = isinstance(pair, list | tuple) and len(pair) == 2
        if not is_pair or not all(type(part) is bytes for part in pair):
            return f"has the header {pair!r}; ASGI wants pairs of bytes"
        if pair[0] != pair[0].lower():
            return f"has the header name {pair[0]!r}; ASGI wants lower case"
        if any(char in part for part in pair for char in b"\r\n\0"):
            return f"has a line break or NUL in the header {pair!r}"
    return None


_CHECKS: dict[str, Callable[[Mapping[str, Any], str, Collection[str]], str | None]] = {
    "websocket.accept": _accept,
    "websocket.send": _send,
    "websocket.close": _close,
    "websocket.http.response.start": _denial_start,
    "websocket.http.response.body": _denial_body,
}


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _name(value: object) -> str:
    return type(value).__name__
