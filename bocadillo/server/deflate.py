"""permessage-deflate (RFC 7692): agreeing on it, inflating within a limit, compressing.

The default is that neither side keeps its window from one message to the next
("no context takeover"). An idle connection then holds no zlib state at all, and a
broadcast is compressed once for all peers.
"""

import re
import zlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bocadillo.server.violations import ProtocolError

NAME = "permessage-deflate"

# RFC 7692 §7.2.1: a sync flush ends with these four bytes, which are not sent.
TAIL = b"\x00\x00\xff\xff"
MOST_FROM_TAIL = 1032 * len(TAIL)  # deflate makes at most 1032 bytes of one

# Compressed bytes given to zlib at once. They inflate to 4 MiB at most, which bounds what
# one call can allocate before the limit is looked at.
SLICE_BYTES = 4096

# RFC 7692 §7.2.3.4 allows final blocks in a message. Each costs a new zlib stream, and
# takes 2 bytes on the wire, so that their number wants a bound.
MAX_FINAL_BLOCKS = 1000

# zlib's memory for compressing is (4 << window_bits) + (512 << memory_level) bytes: 32 KiB for 12
# and 5 here, made anew for every message without takeover. At zlib's default, 256 KiB, 1 KB took
# 55 µs to compress in place of 8, and became as small.
MEMORY_LEVEL = 5

# An offer ends at a comma outside of quotes. Each character is looked at once.
_OFFER = re.compile(r'(?:[^",]|"[^"]*"?)+')

# RFC 7692 §7.1.2: decimal, without leading zeros.
_WINDOW_BITS = {str(bits): bits for bits in range(8, 16)}


@dataclass(frozen=True, slots=True)
class DeflateOptions:
    """What this server wishes; a client may ask for less, never for more.

    Args:
        server_takeover: Keep one compressor per connection (about 32 KiB at 12 bits), where
            the client does not forbid it.
        client_takeover: Let the client do so; costs one window per connection (32 KiB at 15).
        server_max_window_bits: The window for compressing, 9 to 15.
        client_max_window_bits: The window that clients are asked to keep to, 9 to 15.
        level: zlib's, 1 (fast) to 9 (small). 1 KB of JSON took 24 µs and 610 bytes with 1,
            and 31 µs and 602 bytes with 6.

    Raises:
        ValueError: A number is out of its range.
    """

    server_takeover: bool = False
    client_takeover: bool = False
    server_max_window_bits: int = 12
    client_max_window_bits: int = 15
    level: int = 1

    def __post_init__(self) -> None:
        _check_range("server_max_window_bits", self.server_max_window_bits, 9, 15)
        _check_range("client_max_window_bits", self.client_max_window_bits, 9, 15)
        _check_range("level", self.level, 1, 9)


def _check_range(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise ValueError(f"{name} must be from {lowest} to {highest}, got {value!r}")


DEFAULT_OPTIONS = DeflateOptions()


class Deflate(NamedTuple):
    """What one connection has agreed on; makes its two ends. Windows are in bits."""

    server_takeover: bool
    client_takeover: bool
    server_max_window_bits: int
    client_max_window_bits: int
    level: int

    @property
    def shared(self) -> tuple[int, int] | None:
        """Window and level: connections where these are equal can share a compressed payload.

        None with `server_takeover`: there each payload depends on those before.
        """
        return None if self.server_takeover else (self.server_max_window_bits, self.level)

    def inflate(self) -> "Inflate":
        """Return what inflates this connection's messages; one per connection."""
        return Inflate(self.client_max_window_bits, takeover=self.client_takeover)

    def compress(self) -> "Compress":
        """Return what compresses this connection's messages; one per connection."""
        return Compress(self.server_max_window_bits, self.level, takeover=self.server_takeover)


# Negotiation


def negotiate(
    header_values: Iterable[str], options: DeflateOptions = DEFAULT_OPTIONS
) -> tuple[str, Deflate] | tuple[None, None]:
    """Accept the first usable offer of permessage-deflate (RFC 7692 §5.1, §7.1).

    Args:
        header_values: Each `Sec-WebSocket-Extensions` header of the request.

    Returns:
        The response's header value and what it agrees on; `(None, None)` where no
        offer can be accepted. It never raises: an offer that is wrong, or wants what
        zlib cannot do, is passed over. The time it takes grows with the headers' length only.
    """
    for offer in _offers(header_values):
        wanted = _read_offer(offer)
        if wanted is not None:
            agreed = _agree(wanted, options)
            return _response(agreed, wanted), agreed
    return None, None


class _Wanted(NamedTuple):
    """A valid offer. None stands for a parameter that is absent or, in the last, free."""

    server_no_takeover: bool
    client_no_takeover: bool
    server_bits: int | None
    client_bits: int | None
    may_limit_client: bool


def _offers(header_values: Iterable[str]) -> Iterator[list[str]]:
    for value in header_values:
        for offer in _OFFER.findall(value):
            name, *parameters = offer.split(";")
            if name.strip(" \t") == NAME:
                yield parameters


def _read_offer(parameters: list[str]) -> _Wanted | None:
    """Return what an offer wants, or None if it is invalid or cannot be had."""
    seen: dict[str, str | None] = {}
    for parameter in parameters:
        name, equals, value = (part.strip(" \t") for part in parameter.partition("="))
        unquoted = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
        known = _ACCEPTED.get(name)
        if known is None or name in seen or (unquoted if equals else None) not in known:
            return None
        seen[name] = unquoted if equals else None
    return _Wanted(
        "server_no_context_takeover" in seen,
        "client_no_context_takeover" in seen,
        _WINDOW_BITS.get(seen.get("server_max_window_bits") or ""),
        _WINDOW_BITS.get(seen.get("client_max_window_bits") or ""),
        "client_max_window_bits" in seen,
    )


# Parameters of an offer, with the values each may have; None is a parameter without value.
# A server's window of 8 bits is declined: zlib makes 9 of it, and RFC 7692 §7.1.2.1
# lets a server answer with as many bits or fewer only.
_ACCEPTED: dict[str, Container[str | None]] = {
    "server_no_context_takeover": {None},
    "client_no_context_takeover": {None},
    "server_max_window_bits": {*_WINDOW_BITS} - {"8"},
    "client_max_window_bits": {None, *_WINDOW_BITS},
}


def _agree(wanted: _Wanted, options: DeflateOptions) -> Deflate:
    # §7.1.2.2: a client that does not say that it can limit its window is not to be asked.
    client_wish = options.client_max_window_bits if wanted.may_limit_client else 15
    return Deflate(
        server_takeover=options.server_takeover and not wanted.server_no_takeover,
        client_takeover=options.client_takeover and not wanted.client_no_takeover,
        server_max_window_bits=min(options.server_max_window_bits, wanted.server_bits or 15),
        client_max_window_bits=min(client_wish, wanted.client_bits or 15),
        level=options.level,
    )


def _response(agreed: Deflate, wanted: _Wanted) -> str:
    said = [NAME]
    if not agreed.server_takeover:
        said.append("server_no_context_takeover")
    if not agreed.client_takeover:
        said.append("client_no_context_takeover")
    # §7.1.2.1: what was offered for the server's window has to be answered, even 15.
    if agreed.server_max_window_bits < 15 or wanted.server_bits is not None:
        said.append(f"server_max_window_bits={agreed.server_max_window_bits}")
    if agreed.client_max_window_bits < 15:
        said.append(f"client_max_window_bits={agreed.client_max_window_bits}")
    return "; ".join(said)


# The two ends


class Inflate:
    """Inflates the messages of one connection, piece by piece.

    Args:
        window_bits: The client's window, 8 to 15.
        takeover: Whether it goes on from one message to the next. Without, nothing is
            held between messages.

    After a `ProtocolError` it is not to be used any more.
    """

    __slots__ = ("_final_blocks", "_stream", "_takeover", "_window_bits")

    def __init__(self, window_bits: int = 15, *, takeover: bool = False) -> None:
        self._window_bits = window_bits
        self._takeover = takeover
        self._final_blocks = 0
        self._stream: zlib._Decompress | None = None

    def piece(self, compressed: bytes, room: int) -> bytes:
        """Return what *compressed*, a part of a message, inflates to.

        Args:
            room: Most bytes that it may inflate to.

        Raises:
            ProtocolError: There is more than *room* (1009), it is no deflate (1007), or it
                has more than 1000 final blocks (1008).

        It allocates at most 2 * *room* bytes, and stops where *room* is used up.
        """
        if len(compressed) <= SLICE_BYTES:
            return self._inflate(compressed, room)
        pieces = []
        left = room
        for start in range(0, len(compressed), SLICE_BYTES):
            pieces.append(self._inflate(compressed[start : start + SLICE_BYTES], left))
            left -= len(pieces[-1])
        return b"".join(pieces)

    def end(self) -> None:
        """Finish a message, which lets go of the window unless it is taken over.

        Raises:
            ProtocolError: The message ended in the middle of a block (1007), as far as
                zlib can see that.
        """
        # The stream is absent after a final block, and for a message without a byte.
        if self._stream is not None and self._inflate(TAIL, MOST_FROM_TAIL):
            raise ProtocolError(1007, "compressed message ends in the middle of a block")
        self._final_blocks = 0
        if not self._takeover:
            self._stream = None

    def _inflate(self, compressed: bytes, room: int) -> bytes:
        """Inflate so few bytes that the output may be made at once."""
        pieces = []
        while compressed:
            stream = self._stream
            if stream is None:
                stream = self._stream = zlib.decompressobj(-self._window_bits)
            try:
                # For zlib 0 means no limit. A byte more than allowed tells of too many.
                pieces.append(stream.decompress(compressed, room + 1))
            except zlib.error:
                raise ProtocolError(1007, "compressed message is not valid") from None
            room -= len(pieces[-1])
            if room < 0:
                raise ProtocolError(1009, "compressed message is too big when inflated")
            if not stream.eof:
                break
            compressed = stream.unused_data
            self._leave_final_block()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _leave_final_block(self) -> None:
        """Note that a block had BFINAL (RFC 7692 §7.2.3.4), which ends zlib's stream."""
        self._stream = None
        self._final_blocks += 1
        if self._final_blocks > MAX_FINAL_BLOCKS:
            reason = f"compressed message has more than {MAX_FINAL_BLOCKS} final blocks"
            raise ProtocolError(1008, reason)


class Compress:
    """Compresses the messages of one connection.

    Args:
        window_bits: 9 to 15, as agreed.
        level: zlib's, 1 to 9.
        takeover: Whether the window goes on from one message to the next.
    """

    __slots__ = ("_level", "_stream", "_takeover", "_window_bits")

    def __init__(self, window_bits: int, level: int, *, takeover: bool = False) -> None:
        self._window_bits = window_bits
        self._level = level
        self._takeover = takeover
        self._stream: zlib._Compress | None = None

    def compress(self, payload: bytes) -> bytes:
        """Return the payload of a frame with RSV1.

        With takeover, every result must be sent, in the order of the calls.
        """
        if not self._takeover:
            return compress_once(payload, self._window_bits, self._level)
        if self._stream is None:
            self._stream = _new_stream(self._window_bits, self._level)
        return _flush(self._stream, payload)


def compress_once(payload: bytes, window_bits: int, level: int) -> bytes:
    """Return the payload of a frame with RSV1, for all peers without takeover."""
    return _flush(_new_stream(window_bits, level), payload)


def _new_stream(window_bits: int, level: int) -> "zlib._Compress":
    return zlib.compressobj(level, zlib.DEFLATED, -window_bits, MEMORY_LEVEL)


def _flush(stream: "zlib._Compress", payload: bytes) -> bytes:
    return (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[: -len(TAIL)]
