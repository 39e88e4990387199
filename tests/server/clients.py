"""Frames as a client sends them, right or wrong on purpose."""

from bocadillo.server.masking import apply_mask_in_python

MASK = b"\x37\xfa\x21\x3d"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    announced: int | None = None,
    length_bits: int | None = None,
) -> bytes:
    """Return a frame.

    Args:
        rsv: The three reserved bits; 4 is RSV1.
        mask: None leaves the frame unmasked.
        announced: The length that the header tells, if not that of *payload*.
        length_bits: 7, 16 or 64, if not the fewest.
    """
    length = len(payload) if announced is None else announced
    if length_bits is None:
        length_bits = 7 if length < 126 else 16 if length < 2**16 else 64
    first = (fin << 7) | (rsv << 4) | opcode
    short = {7: length, 16: 126, 64: 127}[length_bits]
    second = (0 if mask is None else 0x80) | short
    extended = b"" if length_bits == 7 else length.to_bytes(length_bits // 8)
    masked = payload if mask is None else apply_mask_in_python(payload, mask)
    return bytes((first, second)) + extended + (mask or b"") + masked


def fragments(opcode: int, *payloads: bytes) -> bytes:
    """Return a message in as many frames as there are *payloads*."""
    last = len(payloads) - 1
    return b"".join(
        client_frame(CONTINUATION if number else opcode, payload, fin=number == last)
        for number, payload in enumerate(payloads)
    )


def close(code: int, reason: bytes = b"") -> bytes:
    """Return a close frame with any code."""
    return client_frame(CLOSE, code.to_bytes(2) + reason)
