"""A data message that comes in several frames or reads: what of it is here, within its limit."""

import codecs

from bocadillo.server.deflate import Inflate
from bocadillo.server.masking import Chunk, apply_mask

# Text that comes in pieces is checked while it comes, up to this size, so that an invalid one
# is refused at once; and all of it at its end. Checking 64 KiB of ASCII once more took 5 µs,
# a tenth of what its whole echo costs.
EAGER_BYTES = 4096

# Pieces from this size on stay as they are: one object per 16 KiB is next to nothing, and
# spares two copies. What is smaller is put together in a growing buffer.
LARGE_PIECE_BYTES = 16_384

_Utf8Decoder = codecs.getincrementaldecoder("utf-8")


class Message:
    """A text or binary message of which a part has come.

    Args:
        is_text: Whether it becomes a `str`.
        max_bytes: Most bytes of the message, after inflating.
        inflate: What inflates it, where its first frame has RSV1.

    It costs at most 1.2 times the bytes that came, and the same once more for a moment
    when it is finished, whatever the number of pieces.
    """

    __slots__ = (
        "_decoder",
        "_inflate",
        "_is_text",
        "_mask",
        "_max_bytes",
        "_pieces",
        "announced",
        "held",
        "is_last_frame",
        "missing",
    )

    def __init__(self, is_text: bool, max_bytes: int, inflate: Inflate | None = None) -> None:
        self.announced = 0  # payload bytes of all frames so far, as their headers said
        self.held = 0  # bytes kept here, after inflating
        self.missing = 0  # payload bytes of the present frame that have not come
        self.is_last_frame = False
        self._is_text = is_text
        self._max_bytes = max_bytes
        self._inflate = inflate
        self._mask = b""
        self._pieces: list[bytes | bytearray] = []
        self._decoder: codecs.IncrementalDecoder | None = None

    @property
    def is_compressed(self) -> bool:
        """Whether the payloads are inflated."""
        return self._inflate is not None

    def begin_frame(self, length: int, mask: bytes, is_last: bool) -> None:
        """Take note of the next frame's header: *length* bytes of payload will come."""
        self.announced += length
        self.missing = length
        self.is_last_frame = is_last
        self._mask = mask

    def add(self, masked: Chunk) -> None:
        """Take a piece, at least 1 byte, of the present frame's payload.

        Raises:
            ProtocolError: It cannot be inflated (1007), or becomes too large (1009).
            UnicodeDecodeError: The text so far cannot become UTF-8 any more.
        """
        size = len(masked)
        piece = apply_mask(masked, self._mask)
        self.missing -= size
        shift = size & 3
        if shift:
            self._mask = self._mask[shift:] + self._mask[:shift]
        if self._inflate is not None:
            piece = self._inflate.piece(piece, self._max_bytes - self.held)
        self._keep(piece)

    def finish(self) -> str | bytes:
        """Return the whole message; call it once, after its last frame.

        Raises:
            ProtocolError: What was inflated has no end (1007).
            UnicodeDecodeError: The text is not UTF-8.
        """
        if self._inflate is not None:
            self._inflate.end()
        pieces = self._pieces
        whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return whole.decode() if self._is_text else bytes(whole)

    def _keep(self, piece: bytes) -> None:
        self.held += len(piece)
        if self._is_text and (self.missing or not self.is_last_frame):
            self._check(piece)
        if len(piece) >= LARGE_PIECE_BYTES:
            self._pieces.append(piece)
        elif self._pieces and isinstance(self._pieces[-1], bytearray):
            self._pieces[-1] += piece
        else:
            self._pieces.append(bytearray(piece))

    def _check(self, piece: bytes) -> None:
        if self.held <= EAGER_BYTES:
            if self._decoder is None:
                self._decoder = _Utf8Decoder()
            self._decoder.decode(piece)
