"""What a server writes: headers, frames, and what control frames refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol

from bocadillo.close import MEANINGS, is_sendable
from bocadillo.server.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Close,
    Ping,
    Pong,
    binary_frame,
    close_frame,
    frame,
    header,
    ping_frame,
    pong_frame,
    text_frame,
)

SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]


def read_by_wsproto(written: bytes) -> list[tuple[int, object]]:
    client = FrameProtocol(client=True, extensions=[])
    client.receive_bytes(written)
    return [(int(read.opcode), read.payload) for read in client.received_frames()]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, "82 00"),
        (125, "82 7d"),
        (126, "82 7e 007e"),
        (65_535, "82 7e ffff"),
        (65_536, "82 7f 0000000000010000"),
    ],
)
def test_a_length_is_written_in_as_few_bytes_as_it_can(length: int, expected: str) -> None:
    """RFC 6455 §5.2 demands it, and strict clients close with 1002 otherwise."""
    assert header(BINARY, length) == bytes.fromhex(expected)


def test_rsv1_marks_a_compressed_payload() -> None:
    """A client inflates what has it, and shows the bytes as they are where it is missing."""
    assert header(TEXT, 1, rsv1=True) == b"\xc1\x01"
    assert frame(TEXT, b"\x00", rsv1=True) == b"\xc1\x01\x00"


@pytest.mark.parametrize("size", SIZES)
def test_a_client_reads_the_payload_that_was_framed(size: int) -> None:
    """At each border of the three forms of a length."""
    payload = b"x" * size

    written = text_frame(payload.decode()) + binary_frame(payload) + frame(BINARY, payload)

    assert written == (
        header(TEXT, size)
        + payload
        + header(BINARY, size)
        + payload
        + header(BINARY, size)
        + payload
    )
    assert read_by_wsproto(written) == [
        (TEXT, payload.decode()),
        (BINARY, payload),
        (BINARY, payload),
    ]


@given(st.text(max_size=200))
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    """The length is that of the UTF-8, not of the characters."""
    assert read_by_wsproto(text_frame(text)) == [(TEXT, text)]


def test_half_of_a_surrogate_pair_is_refused() -> None:
    """The client would close the connection with 1007; the mistake is the sender's."""
    with pytest.raises(UnicodeEncodeError):
        text_frame("\ud800")


@pytest.mark.parametrize(("build", "opcode"), [(ping_frame, PING), (pong_frame, PONG)])
def test_pings_and_pongs_carry_up_to_125_bytes(build: object, opcode: int) -> None:
    """RFC 6455 §5.5; more is refused where it is written."""
    assert callable(build)
    assert build() == bytes((0x80 | opcode, 0))
    assert read_by_wsproto(build(b"x" * 125)) == [(opcode, b"x" * 125)]
    with pytest.raises(ValueError, match="carries at most 125 bytes, got 126"):
        build(b"x" * 126)


def test_a_close_frame_carries_code_and_reason() -> None:
    """The client's application decides by them whether to come back."""
    assert close_frame(1000) == b"\x88\x02\x03\xe8"
    assert read_by_wsproto(close_frame(4000, "bye ✓")) == [(CLOSE, (4000, "bye ✓"))]


def test_a_long_reason_is_cut_to_123_bytes_of_utf8() -> None:
    """A close with a reason too long would not be a frame at all."""
    assert read_by_wsproto(close_frame(1008, "€" * 50)) == [(CLOSE, (1008, "€" * 41))]


def test_1005_is_answered_by_a_close_without_a_code() -> None:
    """It stands for what a client did not say, and may not be on the wire."""
    assert close_frame(1005) == b"\x88\x00"


@pytest.mark.parametrize("code", [0, 999, 5000, *(c for c in MEANINGS if not is_sendable(c))])
def test_other_codes_that_may_not_be_sent_are_refused(code: int) -> None:
    """A client fails a connection that ends by them."""
    if code != 1005:
        with pytest.raises(ValueError, match="may not be sent"):
            close_frame(code)


def test_control_frames_compare_by_kind_and_content() -> None:
    """So that a test can say what it expects."""
    assert Ping(b"a") == Ping(b"a")
    assert Ping(b"a") != Ping(b"b")
    pong: object = Pong(b"a")
    assert pong != Ping(b"a")
    assert repr(Close(1000, "")) == "Close(code=1000, reason='')"
