"""The opening handshake: which requests are one, and what answers may say."""

import pytest

from bocadillo.server.handshake import (
    Refusal,
    accept_key,
    plain_response,
    read_handshake,
    response_head,
)

LINES = [
    "Host: localhost",
    "Connection: keep-alive, Upgrade",
    "Upgrade: WebSocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]


def head(*lines: str, first: str = "GET /a?b HTTP/1.1", without: str = "-") -> bytes:
    """Return a request with other lines, and without those that begin in a certain way."""
    kept = [line for line in LINES if not line.startswith(without)]
    return "\r\n".join([first, *kept, *lines]).encode("latin-1") + b"\r\n\r\n"


def test_a_handshake_is_read() -> None:
    """Tokens in any case and in lists, headers in several lines."""
    more = ["Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Protocol: c,,", "X-A:  v \t"]
    more += ["Sec-WebSocket-Extensions: x; y=1", "Content-Length: 0"]

    handshake = read_handshake(head(*more))

    assert handshake.target == b"/a?b"
    assert handshake.key == b"dGhlIHNhbXBsZSBub25jZQ=="
    assert handshake.subprotocols == ["a", "b", "c"]
    assert handshake.extensions == ["x; y=1"]
    assert (b"x-a", b"v") in handshake.headers


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head(first="GET /"), 400),
        (head(first="GET  / HTTP/1.1"), 400),
        (head(first="GET / HTTP/1.0"), 505),
        (head(first="GET / HTTP/2.0"), 505),
        (head(first="PUT / HTTP/1.1"), 405),
        (head(first="GET * HTTP/1.1"), 400),
        (head(first="GET /\x7f HTTP/1.1"), 400),
        (head(first="GET http://x HTTP/1.1"), 400),
        (head(without="Host"), 400),
        (head("Host: other"), 400),
        (head(without="Connection"), 426),
        (head("Connection: close", without="Connection"), 426),
        (head(without="Upgrade"), 426),
        (head("Upgrade: h2c", without="Upgrade"), 426),
        (head(without="Sec-WebSocket-Version"), 426),
        (head("Sec-WebSocket-Version: 8", without="Sec-WebSocket-Version"), 426),
        (head(without="Sec-WebSocket-Key"), 400),
        (head("Sec-WebSocket-Key: x", without="Sec-WebSocket-Key"), 400),
        (head("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400),
        (head("Content-Length: 1"), 400),
        (head("Content-Length: x"), 400),
        (head("Transfer-Encoding: identity"), 400),
        (head("No colon"), 400),
        (head(first="GET /\xff HTTP/1.1"), 400),
        (head(first="GET a HTTP/1.1"), 400),
        (head("A b: c"), 400),
    ],
)
def test_what_is_no_handshake_is_refused(request_head: bytes, status: int) -> None:
    """With the status that says why."""
    with pytest.raises(Refusal) as refused:
        read_handshake(request_head)

    assert refused.value.status == status
    assert str(status) in str(refused.value)


@pytest.mark.parametrize("target", ["http://evil/a?b", "WSS://evil:1/a?b", "/a?b"])
def test_the_host_in_a_target_is_left_out(target: str) -> None:
    """RFC 9112 §3.2.2; no path begins with a host."""
    assert read_handshake(head(first=f"GET {target} HTTP/1.1")).target == b"/a?b"


def test_the_key_is_proved_as_in_the_rfc() -> None:
    """The example of RFC 6455 §1.3."""
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    "header", [(b"a b", b""), (b"", b""), (b"a", b"\r\nb: c"), (b"a", b"\x00"), (b"a\n", b"")]
)
def test_headers_that_would_be_two_are_refused(header: tuple[bytes, bytes]) -> None:
    """Whoever chooses a header's value does not choose the next header."""
    with pytest.raises(ValueError, match="no header may have"):
        response_head(200, [header])


def test_a_plain_answer_is_whole() -> None:
    """Length, and the end of the connection."""
    assert plain_response(404, "no", [(b"x", b"y")]) == (
        b"HTTP/1.1 404 Not Found\r\nx: y\r\ncontent-type: text/plain; charset=utf-8\r\n"
        b"content-length: 3\r\nconnection: close\r\n\r\nno\n"
    )


def test_an_unknown_status_has_no_phrase() -> None:
    """Applications may use any."""
    assert response_head(499, []).startswith(b"HTTP/1.1 499 \r\n")
