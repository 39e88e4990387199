"""What a parser makes of chunks, in a form that is compared at a glance."""

from bocadillo.server.deflate import Inflate
from bocadillo.server.masking import Chunk
from bocadillo.server.parser import Parser, Received
from bocadillo.server.violations import ProtocolError

LIMIT = 2**20


def told(received: list[Received]) -> list[object]:
    """Return what was received, with the code in place of a failure."""
    return [item.code if isinstance(item, ProtocolError) else item for item in received]


def read(*chunks: Chunk, max_bytes: int = LIMIT, inflate: Inflate | None = None) -> list[object]:
    """Return all that comes of *chunks*, in order."""
    parser = Parser(max_bytes, inflate)
    return [item for chunk in chunks for item in told(parser.feed(chunk))]


def one_by_one(stream: bytes) -> list[bytes]:
    """Return *stream* as the slowest network brings it."""
    return [stream[index : index + 1] for index in range(len(stream))]
