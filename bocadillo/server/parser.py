"""Reading what a client sends: bytes become messages, control frames, or a protocol error.

Pure: no I/O, no event loop, no logging. Source: RFC 6455 §5 to §8, RFC 7692 §6.
"""

from struct import Struct
from typing import TypeAlias

from bocadillo.close import is_sendable
from bocadillo.server.deflate import Inflate
from bocadillo.server.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    MAX_CONTROL_BYTES,
    NO_CODE,
    PING,
    PONG,
    RSV1,
    TEXT,
    Close,
    Ping,
    Pong,
)
from bocadillo.server.masking import Chunk, apply_mask
from bocadillo.server.messages import Message
from bocadillo.server.violations import ProtocolError

Received: TypeAlias = str | bytes | Ping | Pong | Close | ProtocolError

RSV2_AND_RSV3, OPCODE = 0x30, 0x0F  # bits of the first byte
MASKED = 0x80  # bit of the second

FIN_TEXT, FIN_BINARY = FIN | TEXT, FIN | BINARY


def _violation(first: int) -> str | None:
    """Return what RFC 6455 §5.2 has against a frame that begins with the byte *first*.

    RSV1 is let through where an extension may use it (RFC 7692 §6).
    """
    opcode = first & OPCODE
    if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
        return f"opcode {opcode} is reserved"
    if opcode >= CLOSE and not first & FIN:
        return "control frames are not to be fragmented"
    if first & RSV2_AND_RSV3:
        return "RSV2 and RSV3 are set, which no extension uses"
    if first & RSV1 and opcode not in (TEXT, BINARY):
        return "RSV1 is set, and this frame does not begin a message"
    return None


_VIOLATIONS = [_violation(first) for first in range(256)]

# By the second byte of a frame of less than 126 bytes: what reads first byte, mask and payload.
# One call is faster than slicing twice (100 ns, 144 ns), and reads any kind of buffer.
_SHORT_FRAMES = [Struct(f"Bx4s{second & 0x7F}s").unpack_from for second in range(254)]

_read_16_bits = Struct("!H").unpack_from
_read_64_bits = Struct("!Q").unpack_from


class Parser:
    """Reads what a client sends on one connection.

    Args:
        max_bytes: Most bytes of a message, on the wire and after inflating.
        inflate: What inflates compressed messages, if that was negotiated.

    Besides an unfinished message it holds at most 130 bytes.
    """

    __slots__ = (
        "_ended",
        "_inflate",
        "_longest_short",
        "_max_bytes",
        "_message",
        "_tail",
        "failure",
        "has_others",
    )

    def __init__(self, max_bytes: int, inflate: Inflate | None = None) -> None:
        self.failure: ProtocolError | None = None
        # Whether `feed` has returned anything but messages; to be set back by its caller, who
        # need not look at each message for that.
        self.has_others = False
        self._max_bytes = max_bytes
        self._inflate = inflate
        self._longest_short = min(MASKED + max_bytes, 0xFD)  # the second byte
        self._message: Message | None = None  # has begun, and is not complete
        self._tail = b""  # of the last chunk: a header or control frame, not complete
        self._ended = False

    @property
    def buffered(self) -> int:
        """How many bytes are held, after inflating, until a message is complete."""
        return len(self._tail) + (self._message.held if self._message is not None else 0)

    @property
    def unfinished(self) -> Message | None:
        """The message that has begun and is not complete: the same object until it is."""
        return self._message

    @property
    def in_progress(self) -> bool:
        """Whether a frame or message has begun and is not complete."""
        return self._message is not None or bool(self._tail)

    # Longer than a function should be: this is the loop that every message goes through. A text
    # of 64 bytes takes 0.3 µs in it, sixteen in a chunk; by way of `_read_frame` it takes 1.4.
    def feed(self, chunk: Chunk) -> list[Received]:
        """Return what *chunk* completes, in order; *chunk* is not kept, and may be reused.

        Texts are `str`, binary messages `bytes`. The first mistake of the peer is the last
        element, a `ProtocolError`, and `failure` from then on. What comes after it, or after a
        `Close`, is ignored. Nothing is raised.
        """
        if self._ended:
            return []
        if self._tail:
            chunk = self._tail + chunk
            self._tail = b""
        received: list[Received] = []
        append = received.append
        longest_short = self._longest_short
        position = 0
        end = len(chunk)
        last_start = end - 6  # a masked frame without payload has 6 bytes
        try:
            while position < end:
                if self._message is None:
                    # Whole, unfragmented, uncompressed messages. All others, and whatever is wrong,
                    # is left to `_read_frame`.
                    while position <= last_start:
                        second = chunk[position + 1]
                        if 0x80 <= second <= longest_short:
                            stop = position + second - 0x7A  # 6 bytes, and a length of 7 bits
                            if stop > end:
                                break
                            first, mask, payload = _SHORT_FRAMES[second](chunk, position)
                        elif second >= 0xFE:
                            if second == 0xFE:
                                length = chunk[position + 2] << 8 | chunk[position + 3]
                                start = position + 8
                                is_short = length < 126
                            elif end - position < 14:
                                break
                            else:
                                (length,) = _read_64_bits(chunk, position + 2)
                                start = position + 14
                                is_short = length < 65_536
                            stop = start + length
                            first = chunk[position]
                            if stop > end or is_short or length > self._max_bytes:
                                break
                            if first != FIN_TEXT and first != FIN_BINARY:
                                break
                            mask = bytes(chunk[start - 4 : start])
                            payload = chunk[start:stop]
                        else:
                            break
                        if first == FIN_TEXT:
                            append(apply_mask(payload, mask).decode())
                        elif first == FIN_BINARY:
                            append(apply_mask(payload, mask))
                        else:
                            break
                        position = stop
                    if position == end:
                        break
                position = self._read_frame(chunk, position, received)
        except ProtocolError as error:
            self._fail(error.code, error.reason, received)
        except UnicodeDecodeError:
            self._fail(1007, "text is not valid UTF-8", received)
        return received

    def _fail(self, code: int, reason: str, received: list[Received]) -> None:
        # Made anew: what was raised holds frames of the stack, and by them the chunk.
        self.failure = ProtocolError(code, reason)
        received.append(self.failure)
        self.has_others = True
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._message = None
        self._inflate = None

    def _wait(self, chunk: Chunk, position: int) -> int:
        """Keep what is too short to be read, until more comes."""
        self._tail = bytes(chunk[position:])
        return len(chunk)

    def _read_frame(self, chunk: Chunk, position: int, received: list[Received]) -> int:
        """Read any frame, or what of it is here; return where the next one begins."""
        message = self._message
        if message is not None and message.missing:
            return self._read_payload(message, chunk, position, received)
        end = len(chunk)
        if end - position < 2:
            return self._wait(chunk, position)
        first, second = chunk[position], chunk[position + 1]
        self._check_start(first, second)
        length = second & 0x7F
        start = position + 6
        if length > 125:
            start += 2 if length == 126 else 8
            if start - 4 > end:
                return self._wait(chunk, position)
            length = _extended_length(length, chunk, position + 2)
        is_control = first & OPCODE >= CLOSE
        if not is_control:
            self._check_size(first, length)
        if start > end or (is_control and start + length > end):
            return self._wait(chunk, position)
        mask = bytes(chunk[start - 4 : start])
        if is_control:
            payload = apply_mask(chunk[start : start + length], mask)
            return self._read_control(first, payload, start + length, end, received)
        if message is None:
            message = self._begin_message(first)
        message.begin_frame(length, mask, is_last=first >= FIN)
        return self._read_payload(message, chunk, start, received)

    def _check_start(self, first: int, second: int) -> None:
        """Look at what the first two bytes of a frame tell."""
        violation = _VIOLATIONS[first]
        if violation is not None:
            raise _broken(violation)
        if first & RSV1 and self._inflate is None:
            raise _broken("RSV1 is set, and compression was not negotiated")
        if second < MASKED:
            raise _broken("frames from a client are to be masked")
        opcode = first & OPCODE
        if opcode >= CLOSE:
            if second > MASKED | MAX_CONTROL_BYTES:
                raise _broken("control frames have at most 125 bytes of payload")
        elif opcode == CONTINUATION:
            if self._message is None:
                raise _broken("continuation frame without a message to continue")
        elif self._message is not None:
            raise _broken("new message in the middle of a fragmented one")

    def _check_size(self, first: int, length: int) -> None:
        """Refuse a data frame by what its header announces, before any payload comes."""
        message = self._message
        announced = length + (message.announced if message is not None else 0)
        limit = self._max_bytes
        if first & RSV1 or (message is not None and message.is_compressed):
            # What does not compress becomes larger, by 5 bytes in a block.
            limit += limit // 8 + 64
        if announced > limit:
            raise ProtocolError(
                1009, f"message has {announced} bytes or more; allowed are {self._max_bytes}"
            )

    def _begin_message(self, first: int) -> Message:
        inflate = self._inflate if first & RSV1 else None
        self._message = Message(first & OPCODE == TEXT, self._max_bytes, inflate)
        return self._message

    def _read_payload(
        self, message: Message, chunk: Chunk, position: int, received: list[Received]
    ) -> int:
        """Read what is here of a data frame's payload."""
        stop = min(position + message.missing, len(chunk))
        if stop > position:
            message.add(memoryview(chunk)[position:stop])
        if message.is_last_frame and not message.missing:
            received.append(message.finish())
            self._message = None
        return stop

    def _read_control(
        self, first: int, payload: bytes, stop: int, end: int, received: list[Received]
    ) -> int:
        self.has_others = True
        if first == FIN | PING:
            received.append(Ping(payload))
        elif first == FIN | PONG:
            received.append(Pong(payload))
        else:
            received.append(_read_close(payload))
            self._end()
            return end
        return stop


def _extended_length(kind: int, chunk: Chunk, position: int) -> int:
    """Read a length of 16 or 64 bits, which *kind*, 126 or 127, announced (RFC 6455 §5.2)."""
    length: int
    (length,) = (_read_16_bits if kind == 126 else _read_64_bits)(chunk, position)
    if length < (126 if kind == 126 else 65_536):
        raise _broken(f"length {length} is not written in as few bytes as it could be")
    if length >= 2**63:
        raise _broken("the first bit of a length of 64 bits is set")
    return length


def _read_close(payload: bytes) -> Close:
    """Read a close frame's payload (RFC 6455 §5.5.1, §7.4)."""
    if not payload:
        return Close(NO_CODE, "")
    if len(payload) == 1:
        raise _broken("close frame has half a code")
    code = int.from_bytes(payload[:2])
    if not is_sendable(code):
        raise _broken(f"close code {code} is not to be sent")
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError:
        raise ProtocolError(1007, "close reason is not valid UTF-8") from None


def _broken(reason: str) -> ProtocolError:
    return ProtocolError(1002, reason)
