"""What a connection may use, beyond uvicorn's own options: times and sizes."""

from dataclasses import dataclass, fields

from bocadillo.server.deflate import DEFAULT_OPTIONS, DeflateOptions


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of every connection.

    Args:
        send_timeout_s: Seconds in which a peer has to take some of what waits for it;
            then it is aborted.
        close_timeout_s: Seconds in which a peer has to answer a close frame.
        message_timeout_s: Seconds in which a message that has begun has to come whole; then
            the connection is closed with 1008.
        handshake_timeout_s: Seconds in which a whole request has to come, from the
            connection's or, where it is kept alive, from the request's first byte on.
        linger_timeout_s: Seconds in which a peer has to close its side once the server
            has said its last.
        max_queued_bytes: Bytes of messages that wait for the application before reading
            pauses, beside uvicorn's `ws_max_queue`, which counts messages. Texts are
            counted in characters.
        max_early_bytes: Bytes that a client may send before it is accepted; then reading
            pauses.
        max_line_bytes: Most bytes of a request's target; more is answered with 414.
        max_header_bytes: Most bytes of a request's headers together; more is answered
            with 431.
        max_headers: Most headers of a request; more is answered with 431.
        compress_from_bytes: Messages that are smaller are not compressed.
        deflate: What to agree on where compression is on, uvicorn's
            `ws_per_message_deflate`.

    Raises:
        ValueError: a number is not positive.

    The times and sizes of a request apply with `HTTPProtocol` only.
    """

    send_timeout_s: float = 30
    close_timeout_s: float = 10
    message_timeout_s: float = 120
    handshake_timeout_s: float = 10
    linger_timeout_s: float = 2
    max_queued_bytes: int = 256 * 1024
    max_early_bytes: int = 64 * 1024
    max_line_bytes: int = 8 * 1024
    max_header_bytes: int = 64 * 1024
    max_headers: int = 128
    compress_from_bytes: int = 256
    deflate: DeflateOptions = DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("compress_from_bytes", "deflate") and not value > 0:
                raise ValueError(f"{field.name} must be more than 0, got {value!r}")


DEFAULT_LIMITS = Limits()
