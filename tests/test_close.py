"""Close codes and reasons: what may stand in a close frame."""

import enum
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bocadillo.close import (
    MAX_REASON_BYTES,
    SENDABLE,
    check_code,
    cut_reason,
    is_sendable,
    meaning,
)

# RFC 6455 §7.4 and IANA's registry, written once more so that a slip shows.
ALLOWED = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
CODES = range(-2, 2**16 + 2)

# All characters, halves of surrogate pairs among them.
any_text = st.text(st.characters(), max_size=200)


class Code(enum.IntEnum):
    NORMAL = 1000
    NEVER_SENT = 1005


class OwnInt(int):
    pass


# Codes


def test_a_code_may_be_sent_exactly_where_the_rfc_allows_it() -> None:
    """A frame with another code makes the peer fail the connection with 1002."""
    sendable = {code for code in CODES if is_sendable(code)}

    assert sendable == ALLOWED


def test_check_code_agrees_with_is_sendable_on_every_code() -> None:
    """A code is refused where it is written, not by the server much later."""
    for code in CODES:
        if code in ALLOWED:
            assert check_code(code) == code
        else:
            with pytest.raises(ValueError, match="may not be sent; allowed: 1000-1003"):
                check_code(code)


@pytest.mark.parametrize("code", [Code.NORMAL, OwnInt(3000)])
def test_a_checked_code_is_a_plain_int(code: int) -> None:
    """Servers pack the code as two bytes; what they are given is no subclass."""
    checked = check_code(code)

    assert checked == code
    assert type(checked) is int


@pytest.mark.parametrize(
    "code",
    [True, False, Code.NEVER_SENT, OwnInt(999), "1000", 1000.0, None, float("nan"), b"1000"],
    ids=repr,
)
def test_what_is_no_sendable_int_is_refused_and_the_choices_named(code: Any) -> None:
    """The message shows the wrong code and every right one."""
    with pytest.raises(ValueError, match="close code") as caught:
        check_code(code)

    assert repr(code) in str(caught.value)
    assert SENDABLE in str(caught.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1000, "normal closure"),
        (1001, "going away"),
        (1005, "no code given"),
        (1006, "connection lost"),
        (1009, "message too big"),
        (1011, "internal error"),
        (1012, "service restart"),
        (1015, "TLS handshake failed"),
        (3000, "registered by a library"),
        (3999, "registered by a library"),
        (4000, "defined by the application"),
        (4999, "defined by the application"),
        (-1, "unknown code"),
        (999, "unknown code"),
        (1004, "unknown code"),
        (1016, "unknown code"),
        (2999, "unknown code"),
        (5000, "unknown code"),
        (Code.NORMAL, "normal closure"),
    ],
)
def test_every_code_has_a_meaning(code: int, words: str) -> None:
    """Log lines say what happened without a look into the RFC."""
    assert meaning(code) == words


def test_a_sendable_code_is_never_unknown() -> None:
    """What we may send, we can name."""
    assert [code for code in ALLOWED if meaning(code) == "unknown code"] == []


# Reasons


@pytest.mark.parametrize("reason", [None, ""])
def test_no_reason_is_an_empty_one(reason: str | None) -> None:
    """ASGI wants a string."""
    assert cut_reason(reason) == ""


@pytest.mark.parametrize(
    ("reason", "cut"),
    [
        ("a" * 123, "a" * 123),
        ("a" * 124, "a" * 123),
        ("é" * 62, "é" * 61),
        ("a" * 122 + "é", "a" * 122),
        ("😀" * 31, "😀" * 30),
        ("a" * 121 + "😀", "a" * 121),
        ("\ud800", "?"),
        ("a" * 122 + "\udfff\udfff", "a" * 122 + "?"),
    ],
    ids=lambda text: ascii(text[-4:]),
)
def test_a_reason_is_cut_on_a_character_boundary(reason: str, cut: str) -> None:
    """Half a character would make the client fail the connection with 1007."""
    assert cut_reason(reason) == cut


@settings(deadline=None)
@given(any_text)
@example("a" * 120 + "\ud83d\ude00" * 2)
def test_a_cut_reason_always_fits_a_control_frame(reason: str) -> None:
    """Whatever the reason, the close frame can be written."""
    cut = cut_reason(reason)

    assert len(cut.encode("utf-8")) <= MAX_REASON_BYTES


@settings(deadline=None)
@given(any_text)
def test_a_cut_reason_is_the_longest_beginning_that_fits(reason: str) -> None:
    """No more is lost than must be; only halves of surrogate pairs change."""
    sendable = reason.encode("utf-8", "replace").decode("utf-8")

    cut = cut_reason(reason)

    assert sendable.startswith(cut)
    one_more = sendable[: len(cut) + 1]
    assert cut == sendable or len(one_more.encode("utf-8")) > MAX_REASON_BYTES
