"""Where a connection stands, from the server's side."""

from enum import IntEnum


class State(IntEnum):
    """Where a connection stands."""

    NEW = 0  # no request has come
    CONNECTING = 1  # the application has neither accepted nor refused
    OPEN = 2
    DENYING = 3  # the application is answering with HTTP
    CLOSING = 4  # a close frame was sent; the peer's is awaited
    ENDED = 5  # both close frames, or an HTTP answer, or nothing more to come


NEW, CONNECTING, OPEN, DENYING, CLOSING, ENDED = State
