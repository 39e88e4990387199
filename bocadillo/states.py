"""Which ASGI event may follow which, for one WebSocket connection.

Pure rules: no await, no socket, no logging. `websockets` asks `advance` when the
state changes; sending and receiving only compare the state and come here for the
words of a refusal.
Source: ASGI "HTTP & WebSocket" specification, section WebSocket, and its
WebSocket Denial Response extension.
"""

import enum

from bocadillo.errors import ConnectionStateError


class State(enum.Enum):
    """Where a connection stands, as the application sees it."""

    CONNECTING = "connecting"  # the client asks to come in
    DENYING = "denying"  # a HTTP answer has begun
    OPEN = "open"
    LEFT = "left"  # the client has gone; what it sent before may still be read
    CLOSED = "closed"  # refused or closed by us


CONNECT = "websocket.connect"
ACCEPT = "websocket.accept"
SEND = "websocket.send"
CLOSE = "websocket.close"
DENIAL_START = "websocket.http.response.start"
DENIAL_BODY = "websocket.http.response.body"
LAST_DENIAL_BODY = "websocket.http.response.body, last"  # ASGI says it with more_body=False
DISCONNECT = "websocket.disconnect"

NEXT = {
    (State.CONNECTING, ACCEPT): State.OPEN,
    (State.CONNECTING, CLOSE): State.CLOSED,
    (State.CONNECTING, DENIAL_START): State.DENYING,
    (State.CONNECTING, DISCONNECT): State.LEFT,
    (State.DENYING, DENIAL_BODY): State.DENYING,
    (State.DENYING, LAST_DENIAL_BODY): State.CLOSED,
    (State.DENYING, DISCONNECT): State.LEFT,
    (State.OPEN, SEND): State.OPEN,
    (State.OPEN, CLOSE): State.CLOSED,
    (State.OPEN, DISCONNECT): State.LEFT,
    # Closing a connection that is gone is no error, and changes nothing.
    (State.LEFT, CLOSE): State.LEFT,
    (State.LEFT, DISCONNECT): State.LEFT,
    (State.CLOSED, DISCONNECT): State.CLOSED,
}


def advance(state: State, event: str) -> State:
    """Return the state that follows *event*.

    Raises:
        ConnectionStateError: *event* is not allowed in *state*.
    """
    try:
        return NEXT[state, event]
    except KeyError:
        raise ConnectionStateError(
            f"cannot send {event!r} while {state.value}; allowed now: {allowed(state)}"
        ) from None


def allowed(state: State) -> str:
    """Return the events that the application may send in *state*, for an error message."""
    events = sorted(event for at, event in NEXT if at is state and event != DISCONNECT)
    return ", ".join(events) or "nothing"
