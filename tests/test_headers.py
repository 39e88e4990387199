"""Headers and bodies of refusals and handshakes, as people write them."""

import datetime
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from bocadillo.headers import RawHeaders, raw_body, raw_headers

TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"

header_text = st.text(st.characters()) | st.binary()


# Headers


@pytest.mark.parametrize(
    ("headers", "raw"),
    [
        (None, []),
        ({}, []),
        ([], []),
        ((), []),
        (iter(()), []),
        ({"X-Token": "abc"}, [(b"x-token", b"abc")]),
        ({b"X-Token": b"abc"}, [(b"x-token", b"abc")]),
        (MappingProxyType({"A": "1"}), [(b"a", b"1")]),
        (Headers({"A": "1"}), [(b"a", b"1")]),
        (Headers(raw=[(b"a", b"1"), (b"a", b"2")]), [(b"a", b"1"), (b"a", b"2")]),
        ([("Cookie", "a"), ("Cookie", "b")], [(b"cookie", b"a"), (b"cookie", b"b")]),
        ([("A", b"1"), (b"B", "2")], [(b"a", b"1"), (b"b", b"2")]),
        (iter([("A", "1")]), [(b"a", b"1")]),
        ({"A": "é"}, [(b"a", b"\xe9")]),
        ({"A": b"\xff"}, [(b"a", b"\xff")]),
        ({"A": ""}, [(b"a", b"")]),
        ({"A": "x\ty"}, [(b"a", b"x\ty")]),
    ],
)
def test_mappings_and_pairs_become_asgi_headers(headers: Any, raw: RawHeaders) -> None:
    """Repeated names stay in order; names are in lower case, as ASGI wants them."""
    assert raw_headers(headers) == raw


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n", "\0"], ids=repr)
@pytest.mark.parametrize("place", ["{}X-Admin: 1", "a{}X-Admin: 1", "a{}"])
@pytest.mark.parametrize("kind", [str, str.encode], ids=["str", "bytes"])
@pytest.mark.parametrize("is_name", [True, False], ids=["name", "value"])
def test_a_line_break_in_a_header_is_refused(
    is_name: bool, kind: Callable[[str], Any], place: str, end: str
) -> None:
    """A value that came from a client cannot write headers of its own."""
    text = kind(place.format(end))
    headers: Any = [(text, "value")] if is_name else [("name", text)]
    what = "name" if is_name else "value"

    with pytest.raises(ValueError, match=f"header {what} .* has a line break or NUL in it"):
        raw_headers(headers)


@pytest.mark.parametrize("text", ["€", "\ud800", "😀"], ids=ascii)
def test_text_outside_latin_1_is_refused(text: str) -> None:
    """Better a `ValueError` here than a server that fails half way through the answer."""
    with pytest.raises(ValueError, match="header value .* has characters outside Latin-1"):
        raw_headers({"name": text})
    with pytest.raises(ValueError, match="header name .* has characters outside Latin-1"):
        raw_headers({text: "value"})


@pytest.mark.parametrize(
    "name", ["", " ", "X Token", "X-Token:", "X-Token ", "a/b", "(a)", '"a"', "a=b", "é", "\x7f"]
)
@pytest.mark.parametrize("kind", [str, lambda text: text.encode("latin-1")], ids=["str", "bytes"])
def test_a_name_that_is_no_token_is_refused(kind: Callable[[str], Any], name: str) -> None:
    """RFC 9110 §5.1; servers and proxies each make something else of such a header."""
    with pytest.raises(ValueError, match="header name .* is no token, such as b'x-name'"):
        raw_headers([(kind(name), "value")])


@pytest.mark.parametrize("name", ["X-Token", "a", "0", "!#$%&'*+-.^_`|~"])
def test_every_token_is_a_name(name: str) -> None:
    """RFC 9110 §5.6.2 lists the characters."""
    assert raw_headers({name: "1"}) == raw_headers({name.encode(): b"1"})
    assert raw_headers({name: "1"}) == [(name.lower().encode(), b"1")]


@pytest.mark.parametrize("value", [1, None, 1.5, bytearray(b"x"), ["a"]], ids=repr)
def test_what_is_no_text_is_refused_by_its_type(value: Any) -> None:
    """`{"Retry-After": 5}` is a common slip; the message says what is wanted."""
    kind = type(value).__name__

    with pytest.raises(TypeError, match=f"header value must be str or bytes, got {kind}"):
        raw_headers({"Retry-After": value})


@pytest.mark.parametrize("headers", ["abc", [("a",)], [("a", "b", "c")]], ids=repr)
def test_what_is_no_pair_is_a_value_error(headers: Any) -> None:
    """Half a header is never sent."""
    with pytest.raises(ValueError, match="values to unpack"):
        raw_headers(headers)


@settings(deadline=None)
@given(st.lists(st.tuples(header_text, header_text)))
def test_no_header_can_write_another(headers: list[tuple[Any, Any]]) -> None:
    """Whatever is given: one line per pair, or a `ValueError`."""
    try:
        raw = raw_headers(headers)
    except ValueError:
        return

    assert len(raw) == len(headers)
    assert not any(char in part for pair in raw for part in pair for char in b"\r\n\0")
    assert not any(char in name for name, _ in raw for char in b" :\t")


# Bodies


@pytest.mark.parametrize(
    ("body", "payload", "media_type"),
    [
        (None, b"", TEXT),
        (b"", b"", TEXT),
        ("", b"", TEXT),
        (b"\xff", b"\xff", TEXT),
        ("é", b"\xc3\xa9", TEXT),
        ({"a": [1]}, b'{"a":[1]}', JSON),
        ([], b"[]", JSON),
        (0, b"0", JSON),
        (False, b"false", JSON),
        (datetime.date(2020, 1, 2), b'"2020-01-02"', JSON),
    ],
    ids=repr,
)
def test_a_body_has_a_media_type_to_match(body: Any, payload: bytes, media_type: bytes) -> None:
    """`ws.reject(400, {"error": ...})` is JSON, and says so."""
    assert raw_body(body) == (payload, media_type)


def test_a_body_that_cannot_be_written_is_a_type_error() -> None:
    """The refusal is not begun, so there is no half of an answer."""
    with pytest.raises(TypeError, match="object"):
        raw_body(object())
