"""How each mistake of a client is answered: with its code, once, and as early as can be."""

import pytest

from bocadillo.close import is_sendable
from bocadillo.server.deflate import Inflate
from bocadillo.server.frames import Close, Pong
from bocadillo.server.messages import EAGER_BYTES
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
    close,
    fragments,
)
from tests.server.reading import LIMIT, one_by_one, read

MISTAKES: dict[str, tuple[bytes, int, str]] = {
    "unmasked": (client_frame(TEXT, b"a", mask=None), 1002, "to be masked"),
    "unmasked ping": (client_frame(PING, mask=None), 1002, "to be masked"),
    "RSV1": (client_frame(TEXT, rsv=4), 1002, "compression was not negotiated"),
    "RSV2": (client_frame(TEXT, rsv=2), 1002, "which no extension uses"),
    "RSV3": (client_frame(BINARY, rsv=1), 1002, "which no extension uses"),
    "all RSV on a ping": (client_frame(PING, rsv=7), 1002, "which no extension uses"),
    "RSV1 on a ping": (client_frame(PING, rsv=4), 1002, "does not begin a message"),
    **{
        f"opcode {opcode}": (client_frame(opcode), 1002, f"opcode {opcode} is reserved")
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    **{
        f"fragmented control frame {opcode}": (
            client_frame(opcode, fin=False),
            1002,
            "not to be fragmented",
        )
        for opcode in (CLOSE, PING, PONG)
    },
    **{
        f"control frame {opcode} of {size} bytes": (
            client_frame(opcode, b"\x03\xe8" + b"a" * (size - 2)),
            1002,
            "at most 125 bytes",
        )
        for opcode in (CLOSE, PING, PONG)
        for size in (126, 65_536)
    },
    "0 in 16 bits": (client_frame(TEXT, length_bits=16), 1002, "in as few bytes"),
    "125 in 16 bits": (client_frame(TEXT, b"a" * 125, length_bits=16), 1002, "in as few bytes"),
    "125 in 64 bits": (client_frame(TEXT, b"a" * 125, length_bits=64), 1002, "in as few bytes"),
    "65535 in 64 bits": (client_frame(TEXT, announced=65_535, length_bits=64), 1002, "as few"),
    "2^63": (client_frame(TEXT, announced=2**63), 1002, "first bit of a length"),
    "2^64 - 1": (client_frame(TEXT, announced=2**64 - 1), 1002, "first bit of a length"),
    "2^40": (client_frame(TEXT, announced=2**40), 1009, "allowed are 1048576"),
    "limit + 1": (client_frame(TEXT, announced=LIMIT + 1), 1009, "has 1048577 bytes or more"),
    "continuation of nothing": (client_frame(CONTINUATION), 1002, "without a message"),
    "message in a message": (
        client_frame(TEXT, fin=False) + client_frame(BINARY),
        1002,
        "in the middle of a fragmented one",
    ),
    "continuation after the last": (
        fragments(TEXT, b"a", b"b") + client_frame(CONTINUATION, b"c"),
        1002,
        "without a message",
    ),
    "half a close code": (client_frame(CLOSE, b"\x03"), 1002, "half a code"),
    "reason not UTF-8": (close(1000, b"\xff"), 1007, "close reason is not valid UTF-8"),
    "reason cut in a character": (close(1000, b"\xe2\x82"), 1007, "close reason"),
    "text not UTF-8": (client_frame(TEXT, b"\xff"), 1007, "text is not valid UTF-8"),
    "overlong UTF-8": (client_frame(TEXT, b"\xc0\x80"), 1007, "text is not"),
    "UTF-8 above U+10FFFF": (client_frame(TEXT, b"\xf4\x90\x80\x80"), 1007, "text is not"),
    "text of 200 bytes not UTF-8": (client_frame(TEXT, b"\xff" * 200), 1007, "text is not"),
    "text of 70,000 bytes not UTF-8": (client_frame(TEXT, b"\xff" * 70_000), 1007, "text is not"),
    "text cut in a character": (fragments(TEXT, b"\xe2", b"\x82"), 1007, "text is not"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_has_its_close_code_and_its_words(mistake: str) -> None:
    """The client's developer learns what is wrong; RFC 6455 §7.4.1 has the codes."""
    stream, code, words = MISTAKES[mistake]
    parser = Parser(LIMIT)

    *_, failure = parser.feed(stream)

    assert failure is parser.failure
    assert isinstance(failure, ProtocolError)
    assert failure.code == code
    assert words in failure.reason
    assert str(failure) == f"{failure.reason} ({code})"
    assert len(failure.reason.encode()) <= 123


@pytest.mark.parametrize("mistake", MISTAKES)
def test_messages_before_a_mistake_are_delivered_and_those_after_it_are_not(mistake: str) -> None:
    """What was right has been said; RFC 6455 §7.1.7: the rest is not read any more."""
    stream, code, _ = MISTAKES[mistake]
    sent = client_frame(TEXT, b"before") + stream + client_frame(TEXT, b"after")

    whole, bytewise = read(sent, sent), read(*one_by_one(sent))

    assert whole == bytewise
    assert whole[0] == "before"
    assert whole[-1] == code
    assert "after" not in whole


CLOSE_CODES = [0, 1, 999, *range(1000, 1020), 1100, 1999, 2000, 2999, 3000, 4999, 5000, 65_535]


@pytest.mark.parametrize("code", CLOSE_CODES)
def test_a_close_has_a_code_that_may_be_sent(code: int) -> None:
    """RFC 6455 §7.4: the application is never told a code that nobody can mean."""
    expected = Close(code, "why") if is_sendable(code) else 1002

    assert read(close(code, b"why")) == [expected]


def test_after_a_close_nothing_is_read() -> None:
    """RFC 6455 §5.5.1: in the same chunk or later."""
    parser = Parser(LIMIT)

    first = parser.feed(close(1000) + client_frame(TEXT, b"late") + b"\xff")
    second = parser.feed(close(1001) + b"\xff\xff")

    assert first == [Close(1000, "")]
    assert second == []
    assert parser.failure is None
    assert parser.buffered == 0
    assert not parser.in_progress


def test_a_failure_keeps_nothing_of_what_was_sent() -> None:
    """A traceback would hold the chunk as long as the connection's object lives."""
    parser = Parser(LIMIT)

    parser.feed(client_frame(TEXT, b"a" * 1000, fin=False) + client_frame(TEXT, b"\xff"))

    assert parser.failure is not None
    assert parser.failure.__traceback__ is None
    assert parser.failure.__context__ is None
    assert parser.buffered == 0
    assert not parser.in_progress


# Early answers


@pytest.mark.parametrize("size", [LIMIT + 1, 2**40, 2**63 - 1])
def test_too_much_is_refused_before_any_of_it_has_come(size: int) -> None:
    """Neither memory nor bandwidth is spent on it; not even the mask is waited for."""
    head = client_frame(BINARY, announced=size)[:-4]

    assert read(head[:-1]) == []
    assert read(head) == [1009]


def test_a_message_may_have_as_many_bytes_as_allowed() -> None:
    """The limit is the last that is taken, in each way to come."""
    for size in (0, 1, 100, 125, 126, 200, 70_000):
        for opcode in (TEXT, BINARY):
            payload = b"a" * size
            expected = payload.decode() if opcode == TEXT else payload
            whole = client_frame(opcode, payload)
            halves = fragments(opcode, payload[: size // 2], payload[size // 2 :])
            one_more = client_frame(opcode, payload + b"a")
            in_fragments = fragments(opcode, payload, b"a")

            assert read(whole, max_bytes=size) == [expected]
            assert read(halves, max_bytes=size) == [expected]
            assert read(one_more, max_bytes=size) == [1009]
            assert read(in_fragments, max_bytes=size) == [1009]


@pytest.mark.parametrize("inflate", [None, Inflate()])
def test_the_limit_is_on_all_fragments_together(inflate: Inflate | None) -> None:
    """Each of them is small; the message is not."""
    parts = [b"a" * 100] * 10

    assert read(fragments(BINARY, *parts), max_bytes=1000, inflate=inflate) == [b"a" * 1000]
    assert read(fragments(BINARY, *parts), max_bytes=999, inflate=inflate) == [1009]


def test_the_limit_does_not_count_control_frames() -> None:
    """A peer that answers pings within a message is not to be punished."""
    sent = client_frame(TEXT, b"a", fin=False) + client_frame(PONG, b"p" * 100)

    assert read(sent + client_frame(CONTINUATION, b"b"), max_bytes=2) == [Pong(b"p" * 100), "ab"]


@pytest.mark.parametrize(
    "begin",
    [
        client_frame(TEXT, b"ok\xff", fin=False),
        client_frame(TEXT, b"ok\xff", announced=20),
        client_frame(TEXT, b"\xe2\x28", announced=2000),
        client_frame(TEXT, b"\xe2", fin=False) + client_frame(CONTINUATION, b"\x28", fin=False),
        client_frame(TEXT, b"\xf4\x90", announced=4),
    ],
)
def test_a_text_that_cannot_become_utf8_is_refused_at_once(begin: bytes) -> None:
    """Autobahn's 6.4: the client need not send the rest."""
    assert read(begin) == [1007]
    assert read(*one_by_one(begin)) == [1007]


def test_a_long_text_is_checked_at_its_end_at_the_latest() -> None:
    """Beyond 4 KiB the early check would cost more than it saves."""
    long = b"a" * EAGER_BYTES

    assert read(fragments(TEXT, long, b"\xff", b"")) == [1007]
    assert read(client_frame(TEXT, long + b"\xff", fin=False)) == []
