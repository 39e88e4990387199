"""permessage-deflate: inflating within a limit, compressing, with takeover and without."""

import random
import sys
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from bocadillo.server.deflate import (
    MAX_FINAL_BLOCKS,
    SLICE_BYTES,
    Compress,
    Deflate,
    DeflateOptions,
    Inflate,
    compress_once,
)
from bocadillo.server.violations import ProtocolError

LIMIT = 2**20


def whole(inflate: Inflate, *pieces: bytes, room: int = LIMIT) -> bytes:
    inflated = b""
    for piece in pieces:
        inflated += inflate.piece(piece, room - len(inflated))
    inflate.end()
    return inflated


def failure(inflate: Inflate, *pieces: bytes, room: int = LIMIT) -> ProtocolError:
    with pytest.raises(ProtocolError) as raised:
        whole(inflate, *pieces, room=room)
    return raised.value


def compressed(*parts: bytes, mode: int = zlib.Z_SYNC_FLUSH, window_bits: int = 15) -> bytes:
    """Compress *parts*, with a flush of *mode* after each, as RFC 7692 §7.2.1 says."""
    stream = zlib.compressobj(wbits=-window_bits)
    flushed = [stream.compress(part) + stream.flush(mode) for part in parts]
    return b"".join(flushed).removesuffix(b"\x00\x00\xff\xff")


# Inflating


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ("f248cdc9c90700", b"Hello"),  # §7.2.3.1
        ("000500faff48656c6c6f00", b"Hello"),  # §7.2.3.3, no compression
        ("f348cdc9c9070000", b"Hello"),  # §7.2.3.4, BFINAL
        ("f348cdc9c90700", b"Hello"),  # the same, and nothing behind
        ("f248050000 00ffffcac9c90700", b"Hello"),  # §7.2.3.5, two blocks
        ("f348cdc9c90700" * 3 + "00", b"Hello" * 3),  # final blocks, one after the other
        ("00", b""),  # §7.2.3.6
        ("", b""),
    ],
)
def test_the_examples_of_the_rfc_are_read(kept: str, expected: bytes) -> None:
    """RFC 7692 §7.2.3, each whole and byte by byte."""
    sent = bytes.fromhex(kept)
    for takeover in (False, True):
        inflate = Inflate(takeover=takeover)

        assert whole(inflate, sent) == expected
        assert whole(inflate, *(sent[i : i + 1] for i in range(len(sent)))) == expected


def test_a_second_message_may_refer_to_the_first_where_takeover_is_agreed() -> None:
    """RFC 7692 §7.2.3.2: that is what takeover is for."""
    first, second = bytes.fromhex("f248cdc9c90700"), bytes.fromhex("f200110000")
    inflate = Inflate(takeover=True)

    assert whole(inflate, first) == b"Hello"
    assert whole(inflate, second) == b"Hello"


def test_without_takeover_a_message_that_refers_to_another_is_refused() -> None:
    """The window is gone; a guess would be another message."""
    first, second = bytes.fromhex("f248cdc9c90700"), bytes.fromhex("f200110000")
    inflate = Inflate()

    assert whole(inflate, first) == b"Hello"
    assert failure(inflate, second).code == 1007


def test_without_takeover_nothing_is_held_between_messages() -> None:
    """Ten thousand idle connections would hold 400 MB of windows."""
    inflate, compress = Inflate(), Compress(15, 6)

    whole(inflate, compress.compress(b"Hello"))

    for end in (inflate, compress):
        assert [getattr(end, name) for name in end.__slots__ if name == "_stream"] == [None]


@given(st.lists(st.binary(max_size=100) | st.just(b"abc" * 4000), max_size=5), st.booleans())
def test_what_one_end_compresses_the_other_inflates(payloads: list[bytes], takeover: bool) -> None:
    """Every payload, the empty one among them, in a row."""
    compress = Compress(12, 1, takeover=takeover)
    inflate = Inflate(12, takeover=takeover)

    for payload in payloads:
        assert whole(inflate, compress.compress(payload)) == payload


@pytest.mark.parametrize("takeover", [False, True])
def test_websockets_reads_what_is_compressed_here(takeover: bool) -> None:
    """Both ends being ours could hide the same mistake twice."""
    rival = PerMessageDeflate(not takeover, not takeover, 12, 12)
    compress = Compress(12, 1, takeover=takeover)
    inflate = Inflate(12, takeover=takeover)

    for payload in (b"", b"Hello", b"Hello", bytes(100_000), b""):
        ours = Frame(Opcode.BINARY, compress.compress(payload), rsv1=True)
        assert bytes(rival.decode(ours).data) == payload
        theirs = rival.encode(Frame(Opcode.BINARY, payload))
        assert whole(inflate, bytes(theirs.data)) == payload


@pytest.mark.parametrize("mode", [zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH])
@pytest.mark.parametrize("size", [SLICE_BYTES - 1, SLICE_BYTES, SLICE_BYTES + 1, 100_000])
def test_any_way_to_flush_inside_of_a_message_is_read(mode: int, size: int) -> None:
    """Clients flush when they want; RFC 7692 §7.2.1."""
    noise = random.Random(size).randbytes(size)
    sent = compressed(noise, b"a" * size, b"", noise, mode=mode)

    assert whole(Inflate(), sent) == noise + b"a" * size + noise


def test_a_payload_of_exactly_the_room_fits() -> None:
    """The limit is the last that is taken."""
    for size in (0, 1, 5000, 100_000):
        sent = compressed(b"a" * size)

        assert whole(Inflate(), sent, room=size) == b"a" * size
        if size:
            assert failure(Inflate(), sent, room=size - 1).code == 1009


@pytest.mark.parametrize("kept", ["ffff", "07", "00050000004865", "f348cdc9c90700ffff"])
def test_what_is_no_deflate_is_refused(kept: str) -> None:
    """RFC 6455 §7.4.1: 1007, and no traceback of zlib in the log."""
    refused = failure(Inflate(), bytes.fromhex(kept))

    assert (refused.code, refused.reason) == (1007, "compressed message is not valid")


def test_a_message_that_ends_inside_of_a_block_is_refused() -> None:
    """Otherwise the four bytes that are put behind it would become its end."""
    stored = b"\x00\x0a\x00\xf5\xff" + b"12345"

    refused = failure(Inflate(), stored)

    assert (refused.code, refused.reason) == (
        1007,
        "compressed message ends in the middle of a block",
    )


def test_the_number_of_final_blocks_in_a_message_is_bounded() -> None:
    """Each costs a microsecond, and two bytes: 16 MiB of them would be ten seconds."""
    final = b"\x03\x00"

    assert whole(Inflate(), final * MAX_FINAL_BLOCKS) == b""
    assert failure(Inflate(), final * (MAX_FINAL_BLOCKS + 1)).code == 1008
    pieces = [final * SLICE_BYTES] * 2
    assert "more than 1000 final blocks" in failure(Inflate(), *pieces).reason


def test_final_blocks_are_counted_for_each_message() -> None:
    """A client that ends each message by one is served for as long as it likes."""
    inflate = Inflate(takeover=True)

    for _ in range(3):
        assert whole(inflate, b"\x03\x00" * (MAX_FINAL_BLOCKS - 1)) == b""


@given(st.binary(max_size=200), st.booleans())
def test_noise_is_inflated_or_refused(noise: bytes, takeover: bool) -> None:
    """Whatever comes, nothing but a `ProtocolError` is raised."""
    inflate = Inflate(takeover=takeover)
    try:
        inflated = whole(inflate, noise, room=1000)
    except ProtocolError:
        return
    assert len(inflated) <= 1000


# Compressing


@pytest.mark.parametrize("window_bits", range(9, 16))
@pytest.mark.parametrize("level", [1, 6, 9])
def test_every_window_and_level_is_read_back(window_bits: int, level: int) -> None:
    """Each pair that can be negotiated, with more than one window of text."""
    payload = b"".join(b"%d bottles of beer; " % number for number in range(4000))

    sent = compress_once(payload, window_bits, level)

    assert len(sent) < len(payload) // 2
    assert whole(Inflate(window_bits), sent) == payload


def test_a_client_with_a_window_of_8_bits_is_read_by_byte() -> None:
    """zlib makes 9 bits of 8, and looks back by no more than 250 bytes with them."""
    payload = b"".join(b"%d bottles of beer; " % number for number in range(1000))
    sent = compress_once(payload, 9, 9)

    assert whole(Inflate(8), *(sent[i : i + 1] for i in range(len(sent)))) == payload


@pytest.mark.parametrize("takeover", [False, True])
def test_an_empty_message_is_one_zero_byte(takeover: bool) -> None:
    """RFC 7692 §7.2.3.6, also where the stream has nothing new to flush."""
    compress = Compress(15, 6, takeover=takeover)

    sent = [compress.compress(payload) for payload in (b"", b"a", b"", b"")]

    assert [sent[0], *sent[2:]] == [b"\x00"] * 3


def test_takeover_makes_a_repeated_message_smaller() -> None:
    """Its gain, for which a connection pays by holding a compressor."""
    payload = b"the quick brown fox jumps over the lazy dog"
    compress = Compress(15, 6, takeover=True)

    sizes = [len(compress.compress(payload)) for _ in range(3)]

    assert sizes[1] < sizes[0] // 2


def test_what_is_compressed_once_fits_all_connections_that_agree() -> None:
    """A broadcast pays once; with takeover each connection needs its own."""
    agreed = Deflate(False, True, 12, 15, 6)

    assert agreed.shared == (12, 6)
    assert agreed.compress().compress(b"Hello") == compress_once(b"Hello", *agreed.shared)
    assert agreed._replace(server_takeover=True).shared is None


def test_an_agreement_makes_both_ends() -> None:
    """The server's ends take over what was agreed, each its own side."""
    agreed = Deflate(True, False, 9, 15, 6)
    inflate, compress = agreed.inflate(), agreed.compress()

    first, second = (compress.compress(b"Hello Hello") for _ in range(2))

    assert len(second) < len(first)
    assert whole(inflate, first) == b"Hello Hello"
    assert failure(inflate, second).code == 1007


def test_the_ends_of_an_idle_connection_are_small() -> None:
    """Without takeover they are all that compression costs it."""
    agreed = Deflate(False, False, 12, 15, 6)

    assert sys.getsizeof(agreed.inflate()) + sys.getsizeof(agreed.compress()) < 200


# Options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server_max_window_bits", 8),
        ("server_max_window_bits", 16),
        ("client_max_window_bits", 8),
        ("client_max_window_bits", 16),
        ("level", 0),
        ("level", 10),
    ],
)
def test_an_option_out_of_range_is_refused_when_it_is_made(name: str, value: int) -> None:
    """At start, and not when the first client connects."""
    options: dict[str, Any] = {name: value}

    with pytest.raises(ValueError, match=rf"{name} must be from \d+ to \d+, got {value}"):
        DeflateOptions(**options)
