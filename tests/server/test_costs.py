"""What hostile input costs: memory is bounded, and work grows with the bytes sent."""

import sys
import zlib
from collections.abc import Callable

import pytest

from bocadillo.server import messages, parser
from bocadillo.server.deflate import Inflate
from bocadillo.server.masking import Chunk, apply_mask
from bocadillo.server.parser import Parser
from bocadillo.server.violations import ProtocolError
from tests.server.clients import BINARY, CLOSE, CONTINUATION, PING, TEXT, client_frame
from tests.server.counting import calls, peak_bytes

MIB = 2**20
LIMIT = 16 * MIB


def one_kib_at_a_time(stream: bytes) -> list[bytes]:
    return [stream[start : start + 1024] for start in range(0, len(stream), 1024)]


def fed(chunks: list[bytes], inflate: bool = False, max_bytes: int = LIMIT) -> Parser:
    reader = Parser(max_bytes, Inflate() if inflate else None)
    for chunk in chunks:
        reader.feed(chunk)
    return reader


def endless(payload: bytes, count: int, opcode: int = TEXT) -> list[bytes]:
    """Return a message of *count* frames that is not finished."""
    begin = client_frame(opcode, payload, fin=False)
    return one_kib_at_a_time(begin + client_frame(CONTINUATION, payload, fin=False) * (count - 1))


def test_an_idle_parser_is_tiny() -> None:
    """There is one for each connection, and most connections are idle."""
    reader = fed([client_frame(TEXT, b"Hello")])

    assert sys.getsizeof(reader) <= 100
    assert not hasattr(reader, "__dict__")
    assert peak_bytes(lambda: [Parser(LIMIT) for _ in range(1000)]) < 1000 * 150


def test_fragments_of_one_byte_cost_little_more_than_their_bytes() -> None:
    """With an object for each, 200,000 of them would be 13 MB for one stranger."""
    chunks = endless(b"a", 50_000)
    reader = Parser(LIMIT)

    def feed() -> None:
        for chunk in chunks:
            reader.feed(chunk)

    assert peak_bytes(feed) < 100_000
    assert reader.buffered == 50_000


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_empty_fragments_cost_nothing(opcode: int) -> None:
    """They add nothing to a message, and must not be kept."""
    chunks = endless(b"", 30_000, opcode)

    assert peak_bytes(lambda: fed(chunks)) < 20_000


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_an_unfinished_frame_costs_what_has_come_of_it(opcode: int) -> None:
    """9 MiB of 9 MiB and 1 byte, in reads of 1 KiB."""
    chunks = one_kib_at_a_time(client_frame(opcode, b"a" * (9 * MIB), announced=9 * MIB + 1))

    assert peak_bytes(lambda: fed(chunks)) < 1.2 * 9 * MIB


def test_an_announced_frame_costs_nothing_before_it_comes() -> None:
    """A header of 14 bytes is not to reserve 16 MiB."""
    header = client_frame(BINARY, b"a", announced=LIMIT)

    assert peak_bytes(lambda: fed([header])) < 10_000


def test_a_message_is_held_twice_at_most_when_it_is_finished() -> None:
    """Put together and handed over; for a text that is its bytes and its characters."""
    chunks = one_kib_at_a_time(client_frame(TEXT, b"a" * (4 * MIB)))

    assert peak_bytes(lambda: fed(chunks)) < 2.2 * 4 * MIB


def bomb(inflated_mib: int) -> bytes:
    """Return about 1 KiB for each MiB that it inflates to."""
    stream = zlib.compressobj(9, wbits=-15)
    part = stream.compress(bytes(MIB)) + stream.flush(zlib.Z_FULL_FLUSH)
    return part * inflated_mib


def test_large_pieces_are_let_go_before_a_text_is_decoded() -> None:
    """Pieces, payload and text at once would be three times the message."""
    sent = client_frame(TEXT, b"a" * (4 * MIB))
    chunks = [sent[start : start + 65_536] for start in range(0, len(sent), 65_536)]

    assert peak_bytes(lambda: fed(chunks)) < 2.2 * 4 * MIB


@pytest.mark.parametrize("cut", [lambda stream: [stream], one_kib_at_a_time])
def test_a_bomb_of_256_mib_costs_no_more_than_twice_the_limit(
    cut: Callable[[bytes], list[bytes]],
) -> None:
    """A quarter of a MiB on the wire; the limit is on what it inflates to."""
    chunks = cut(client_frame(BINARY, bomb(256), rsv=4))
    reader = Parser(4 * MIB, Inflate())

    def feed() -> None:
        for chunk in chunks:
            reader.feed(chunk)

    assert peak_bytes(feed) < 2.1 * 4 * MIB
    assert reader.failure is not None
    assert reader.failure.code == 1009


def test_a_bomb_is_inflated_no_further_than_to_the_limit() -> None:
    """What it would cost beyond that is the point of it."""
    inflate, sent = Inflate(), bomb(256)

    def inflated() -> None:
        with pytest.raises(ProtocolError, match="too big when inflated"):
            inflate.piece(sent, 4 * MIB)

    assert calls(inflated, named="decompress") <= 3


@pytest.mark.parametrize("end", [b"\xff\xff", client_frame(CLOSE)])
def test_a_parser_that_has_ended_holds_nothing(end: bytes) -> None:
    """Until the connection is closed nobody needs the message, nor zlib's window."""
    inflate = Inflate(takeover=True)
    references = sys.getrefcount(inflate)
    reader = Parser(LIMIT, inflate)

    reader.feed(client_frame(TEXT, b"a" * MIB, fin=False) + end)

    assert reader.buffered == 0
    assert sys.getrefcount(inflate) == references


# One stream, and the same of twice the length
STREAMS: dict[str, Callable[[int], bytes]] = {
    "fragments of one byte": lambda n: b"".join(endless(b"a", n)),
    "empty fragments": lambda n: b"".join(endless(b"", n)),
    "pings": lambda n: client_frame(PING) * n,
    "pings inside of a message": lambda n: endless(b"a", 1)[0] + client_frame(PING, b"a" * 9) * n,
    "empty messages": lambda n: client_frame(TEXT) * n,
    "messages of 200 bytes": lambda n: client_frame(TEXT, b"a" * 200) * n,
    "one long text": lambda n: client_frame(TEXT, b"a" * 100 * n),
    "one long compressed": lambda n: client_frame(TEXT, b"\x03\x00" + bomb(2) * n, rsv=4),
}


@pytest.mark.parametrize("size", [1, 7, 1024])
@pytest.mark.parametrize("stream", STREAMS)
def test_work_grows_with_the_bytes_and_not_faster(stream: str, size: int) -> None:
    """Quadratic work lets one client stop a server by what looks like patience."""

    def feed(n: int) -> None:
        sent = STREAMS[stream](n)
        fed([sent[start : start + size] for start in range(0, len(sent), size)], True, MIB)

    few, many = calls(lambda: feed(50)), calls(lambda: feed(100))

    assert many < 2.2 * few


def test_each_byte_is_unmasked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are touched again with every read make large messages quadratic."""
    unmasked = 0

    def counted(payload: Chunk, mask: bytes) -> bytes:
        nonlocal unmasked
        unmasked += len(payload)
        return apply_mask(payload, mask)

    monkeypatch.setattr(parser, "apply_mask", counted)
    monkeypatch.setattr(messages, "apply_mask", counted)
    chunks = one_kib_at_a_time(client_frame(BINARY, bytes(MIB)) + client_frame(PING, b"a" * 9) * 9)

    fed(chunks)

    assert unmasked == MIB + 81
