"""What a client may send is read, whole or in pieces, compressed or not."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocadillo.server.deflate import Inflate, compress_once
from bocadillo.server.frames import Ping, Pong
from bocadillo.server.masking import Chunk
from bocadillo.server.messages import LARGE_PIECE_BYTES
from bocadillo.server.parser import Parser
from bocadillo.server.violations import ProtocolError
from tests.server.clients import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    client_frame,
    fragments,
)
from tests.server.corpus import CORPUS
from tests.server.reading import LIMIT, one_by_one, read

# What is right


@pytest.mark.parametrize("kept", CORPUS)
def test_every_kept_stream_has_its_answer(kept: str) -> None:
    """Whole and byte by byte: TCP may cut it anywhere."""
    stream, expected = CORPUS[kept]
    sent = bytes.fromhex(stream)

    assert read(sent) == expected
    assert read(*one_by_one(sent)) == expected


@pytest.mark.parametrize("mask", [b"\x00\x00\x00\x00", b"\x01\x02\x03\x04", b"\xff\x00\xfe\x81"])
@pytest.mark.parametrize("size", [0, 1, 5, 125, 126, 127, 4097, 65_535, 65_536, 70_001])
def test_a_message_of_any_length_is_read(size: int, mask: bytes) -> None:
    """At each border of the three forms of a length, however it comes."""
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]
    text = ("é" * size)[: size // 2] + "x" * (size % 2)
    sent = client_frame(BINARY, payload, mask=mask) + client_frame(TEXT, text.encode(), mask=mask)

    assert read(sent) == [payload, text]
    assert read(sent, sent) == [payload, text] * 2
    for cut in (1, 5, 13, len(sent) // 2, len(sent) - 1):
        assert read(sent[:cut], sent[cut:]) == [payload, text]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_chunk_may_be_any_buffer_and_is_reused_after(kind: type[Chunk]) -> None:
    """A server may read every connection into the same memory."""
    sent = b"".join(
        [
            client_frame(TEXT, b"short"),
            client_frame(BINARY, b"m" * 200),
            client_frame(PING, b"p"),
            client_frame(TEXT, b"l" * 70_000),
            fragments(TEXT, b"a", b"b"),
        ]
    )
    expected = ["short", b"m" * 200, Ping(b"p"), "l" * 70_000, "ab"]

    for size in (len(sent), 7, 1000, 50_000):
        parser = Parser(LIMIT)
        received = []
        for start in range(0, len(sent), size):
            buffer = bytearray(sent[start : start + size])
            received += parser.feed(kind(buffer))
            buffer[:] = b"\xff" * len(buffer)
        assert received == expected


def test_messages_are_bytes_and_str_themselves() -> None:
    """ASGI says so; a `bytearray` would go unnoticed until somebody hashes it."""
    sent = [
        client_frame(BINARY, b"a"),
        client_frame(BINARY, b"m" * 200),
        client_frame(BINARY, b"l" * 70_000),
        fragments(BINARY, b"a", b"b"),
        fragments(BINARY, b"", b""),
        client_frame(PING, b"p"),
    ]

    for stream in sent:
        for chunks in ([stream], one_by_one(stream)):
            (message,) = read(*chunks)
            payload = message.payload if isinstance(message, Ping) else message
            assert type(payload) is bytes


@pytest.mark.parametrize("size", [0, 1, 125])
def test_control_frames_may_come_between_fragments(size: int) -> None:
    """RFC 6455 §5.4: a long message does not hold up a ping."""
    payload = b"p" * size
    sent = b"".join(
        [
            client_frame(TEXT, b"a", fin=False),
            client_frame(PING, payload),
            client_frame(PONG, payload),
            client_frame(CONTINUATION, b"b"),
        ]
    )

    expected = [Ping(payload), Pong(payload), "ab"]
    assert read(sent) == expected
    assert read(*one_by_one(sent)) == expected


@given(st.data())
def test_where_a_stream_is_cut_makes_no_difference(data: st.DataObject) -> None:
    """TCP promises the bytes, and nothing about the reads."""
    sent = data.draw(streams)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=12)))

    borders = [0, *cuts, len(sent)]
    chunks = [sent[start:stop] for start, stop in itertools.pairwise(borders)]

    expected = read(sent, inflate=Inflate())
    assert read(*chunks, inflate=Inflate()) == expected
    assert read(*one_by_one(sent), inflate=Inflate()) == expected


payloads = st.one_of(st.binary(max_size=140), st.text(max_size=60).map(str.encode))
masks = st.binary(min_size=4, max_size=4)
good_frames = st.builds(
    client_frame,
    st.sampled_from([TEXT, BINARY, PING, PONG]),
    payloads.map(lambda payload: payload[:125]),
    mask=masks,
)
compressed_frames = st.builds(
    lambda opcode, payload: client_frame(opcode, compress_once(payload, 15, 6), rsv=4),
    st.sampled_from([TEXT, BINARY]),
    payloads,
)
any_frames = st.builds(
    client_frame,
    st.sampled_from([0, 0, 1, 2, 8, 9, 10, 3]),
    payloads,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 4, 2]),
    mask=st.one_of(masks, masks, masks, st.none()),
    length_bits=st.sampled_from([None, None, None, 16, 64]),
)
fragmented = st.lists(payloads, min_size=1, max_size=4).map(lambda parts: fragments(TEXT, *parts))
streams = st.lists(
    st.one_of(good_frames, fragmented, compressed_frames, any_frames, st.binary(max_size=20)),
    max_size=6,
).map(b"".join)


@given(st.binary(max_size=300), st.booleans())
def test_noise_is_never_more_than_a_failure(noise: bytes, with_deflate: bool) -> None:
    """Whatever a stranger sends, nothing is raised to the event loop."""
    parser = Parser(1000, Inflate() if with_deflate else None)

    received = parser.feed(noise)

    failures = [item for item in received if isinstance(item, ProtocolError)]
    assert failures == ([] if parser.failure is None else [parser.failure])


# Compressed messages


def compressed(payload: bytes, opcode: int = TEXT, fin: bool = True) -> bytes:
    return client_frame(opcode, compress_once(payload, 15, 6), rsv=4, fin=fin)


def test_compressed_and_plain_messages_may_alternate() -> None:
    """RFC 7692 §6: RSV1 says it of each message."""
    sent = compressed(b"one") + client_frame(TEXT, b"two") + compressed(b"\xff", BINARY)

    assert read(sent, inflate=Inflate()) == ["one", "two", b"\xff"]


def test_a_compressed_message_may_be_fragmented_anywhere() -> None:
    """RFC 7692 §6.1: RSV1 stands on the first frame only."""
    payload = compress_once(b"Hello " * 10, 15, 6)
    for cut in range(len(payload) + 1):
        sent = client_frame(TEXT, payload[:cut], rsv=4, fin=False)
        sent += client_frame(PING) + client_frame(CONTINUATION, payload[cut:])
        expected = [Ping(b""), "Hello " * 10]

        assert read(sent, inflate=Inflate()) == expected
        assert read(*one_by_one(sent), inflate=Inflate()) == expected


def in_two_frames(payload: bytes) -> bytes:
    first = client_frame(TEXT, payload[:-2], rsv=4, fin=False)
    return first + client_frame(CONTINUATION, payload[-2:])


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (compressed(b"a", fin=False) + client_frame(CONTINUATION, rsv=4), 1002),
        (client_frame(PING, rsv=4), 1002),
        (client_frame(CLOSE, rsv=4), 1002),
        (client_frame(TEXT, rsv=2), 1002),
        (client_frame(TEXT, b"\xff\xff", rsv=4), 1007),
        (compressed(b"\xff"), 1007),
        (compressed(b"ok\xff", fin=False), 1007),
        (compressed(b"a" * (LIMIT + 1)), 1009),
        (in_two_frames(compress_once(b"a" * (LIMIT + 1), 15, 6)), 1009),
        (client_frame(TEXT, rsv=4, announced=2 * LIMIT), 1009),
    ],
)
def test_mistakes_in_compressed_messages_have_their_codes(stream: bytes, code: int) -> None:
    """RSV1 out of place, no deflate, no UTF-8, too much."""
    assert read(stream, inflate=Inflate()) == [code]
    assert read(*one_by_one(stream), inflate=Inflate()) == [code]


def test_what_does_not_compress_may_be_as_large_as_allowed() -> None:
    """Deflate makes it a little larger on the wire, which is not the application's business."""
    noise = bytes((index * index * 31) >> 5 & 0xFF for index in range(5000))
    stored = b"\x00\x88\x13\x77\xec" + noise + b"\x00"
    sent = client_frame(BINARY, stored, rsv=4)

    assert read(sent, max_bytes=5000, inflate=Inflate()) == [noise]
    assert read(sent, max_bytes=4999, inflate=Inflate()) == [1009]


# What a server can see of it


def test_buffered_and_in_progress_tell_of_what_is_unfinished() -> None:
    """A server gives it a deadline, and counts it into its memory."""
    parser = Parser(LIMIT)
    states = []
    for chunk in (
        b"",
        client_frame(TEXT, b"whole"),
        b"\x01",
        b"\x83\x00\x00\x00\x00",
        b"ab",
        b"c",
        client_frame(PING, b"ping")[:-1],
        b"\x00",
        client_frame(CONTINUATION),
    ):
        parser.feed(chunk)
        states.append((parser.buffered, parser.in_progress))

    assert states == [
        (0, False),
        (0, False),
        (1, True),
        (0, True),
        (2, True),
        (3, True),
        (12, True),
        (3, True),
        (0, False),
    ]


def test_pieces_of_all_sizes_are_put_together_in_order() -> None:
    """Large ones are kept as they came, small ones are collected."""
    sizes = [1, LARGE_PIECE_BYTES, 2, 3, LARGE_PIECE_BYTES + 1, LARGE_PIECE_BYTES, 5]
    parts = [bytes([65 + number]) * size for number, size in enumerate(sizes)]

    assert read(fragments(BINARY, *parts)) == [b"".join(parts)]
    assert read(fragments(TEXT, *parts)) == [b"".join(parts).decode()]


def test_every_reason_fits_into_a_close_frame() -> None:
    """123 bytes: with the largest numbers too."""
    for max_bytes in (1, 2**62):
        parser = Parser(max_bytes)
        parser.feed(client_frame(TEXT, announced=2**63 - 1))
        assert parser.failure is not None
        assert re.search(r"\d", parser.failure.reason)
        assert len(parser.failure.reason) <= 123
