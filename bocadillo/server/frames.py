"""Frames of RFC 6455 (§5): what control frames say, and how a server writes every frame."""

from dataclasses import dataclass
from struct import Struct

from bocadillo.close import check_code, cut_reason

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

FIN, RSV1 = 0x80, 0x40  # bits of the first byte

MAX_CONTROL_BYTES = 125  # RFC 6455 §5.5

NO_CODE = 1005  # stands for a close frame without a code (RFC 6455 §7.1.5)


@dataclass(slots=True)
class Ping:
    """A ping; to be answered by a pong with the same payload."""

    payload: bytes


@dataclass(slots=True)
class Pong:
    """A pong, asked for or not."""

    payload: bytes


@dataclass(slots=True)
class Close:
    """A close frame: the peer's code, or 1005 where it has none, and its reason."""

    code: int
    reason: str


_short_header = Struct("!BB").pack
_medium_header = Struct("!BBH").pack
_long_header = Struct("!BBQ").pack

TEXT_HEADERS = [_short_header(FIN | TEXT, length) for length in range(126)]
_BINARY_HEADERS = [_short_header(FIN | BINARY, length) for length in range(126)]


def header(opcode: int, length: int, rsv1: bool = False) -> bytes:
    """Return the first 2, 4 or 10 bytes of an unfragmented frame of *length* bytes of payload."""
    first = FIN | RSV1 | opcode if rsv1 else FIN | opcode
    if length < 126:
        return _short_header(first, length)
    if length < 65_536:
        return _medium_header(first, 126, length)
    return _long_header(first, 127, length)


def frame(opcode: int, payload: bytes, rsv1: bool = False) -> bytes:
    """Return an unfragmented frame; *rsv1* says that *payload* is compressed.

    It copies *payload*: what is large is better written after its `header`.
    """
    return header(opcode, len(payload), rsv1) + payload


def text_frame(text: str) -> bytes:
    """Return *text* as a frame.

    Raises:
        UnicodeEncodeError: It has half of a surrogate pair, which UTF-8 cannot carry.
    """
    payload = text.encode()
    length = len(payload)
    if length < 126:
        return TEXT_HEADERS[length] + payload
    return header(TEXT, length) + payload


def binary_frame(payload: bytes) -> bytes:
    """Return *payload* as a frame."""
    length = len(payload)
    if length < 126:
        return _BINARY_HEADERS[length] + payload
    return header(BINARY, length) + payload


def ping_frame(payload: bytes = b"") -> bytes:
    """Return a ping.

    Raises:
        ValueError: *payload* has more than 125 bytes.
    """
    return _control_frame(PING, payload)


def pong_frame(payload: bytes = b"") -> bytes:
    """Return a pong.

    Raises:
        ValueError: *payload* has more than 125 bytes.
    """
    return _control_frame(PONG, payload)


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame; the reason is cut to 123 bytes.

    Code 1005 gives one without code and reason, which answers such a one.

    Raises:
        ValueError: *code* may not be sent.
    """
    if code == NO_CODE:
        return _control_frame(CLOSE, b"")
    return _control_frame(CLOSE, check_code(code).to_bytes(2) + cut_reason(reason).encode())


def _control_frame(opcode: int, payload: bytes) -> bytes:
    if len(payload) > MAX_CONTROL_BYTES:
        raise ValueError(
            f"a control frame carries at most {MAX_CONTROL_BYTES} bytes, got {len(payload)}"
        )
    return frame(opcode, payload)
