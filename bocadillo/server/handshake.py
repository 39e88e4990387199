"""The opening handshake (RFC 6455 §4.2): bytes of a request → what it asks for, or a refusal.

Pure: no I/O, no event loop. Refusals are HTTP answers that close the connection.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

RawHeaders = list[tuple[bytes, bytes]]

# RFC 6455 §1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# RFC 9110 §5.5 and §5.6.2: what a header's name and value may have in them.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")

# RFC 9112 §3.2.1 and §3.2.2: a path, or a whole URL; nothing but visible ASCII.
_TARGET = re.compile(rb"(?:(?:https?|wss?)://[^/?#]+)?(/[\x21-\x7e]*)", re.IGNORECASE)

# What browsers and libraries say in each handshake, once for all: a scope is kept as long as
# its connection, and each piece would take some fifty bytes of it.
_USUAL = {
    piece: piece
    for piece in (
        *(b"host", b"connection", b"upgrade", b"origin", b"user-agent", b"accept", b"cookie"),
        *(b"accept-encoding", b"accept-language", b"cache-control", b"pragma"),
        *(b"authorization", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-real-ip"),
        *(b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-protocol"),
        *(b"sec-websocket-extensions", b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site"),
        *(b"Upgrade", b"keep-alive, Upgrade", b"websocket", b"13", b"no-cache"),
        *(b"permessage-deflate", b"permessage-deflate; client_max_window_bits"),
        *(b"gzip, deflate", b"gzip, deflate, br", b"gzip, deflate, br, zstd", b"*/*"),
    )
}

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


class Refusal(Exception):
    """A request that is no opening handshake.

    Args:
        status: The HTTP status that answers it.
        text: What is wrong, for the body of the answer.
        headers: Headers of the answer.
    """

    def __init__(self, status: int, text: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.headers = [*headers]

    def __str__(self) -> str:
        return f"{self.text} ({self.status})"


@dataclass(slots=True)
class Handshake:
    """A valid request to open a connection.

    Args:
        target: Path and query, as the client wrote them; without scheme and host.
        headers: All headers, their names in lower case.
        key: Its `Sec-WebSocket-Key`.
        subprotocols: What it offers, in its order.
        extensions: Each `Sec-WebSocket-Extensions` header.
    """

    target: bytes
    headers: RawHeaders
    key: bytes
    subprotocols: list[str]
    extensions: list[str]


def read_handshake(head: bytes) -> Handshake:
    """Return what a request asks for: its request line and headers, up to the empty line.

    Raises:
        Refusal: it is no opening handshake of RFC 6455, or not a whole one.
    """
    first, *lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    try:
        method, target, version = first.split(b" ")
    except ValueError:
        raise Refusal(400, "malformed request line") from None
    headers = [_read_header(line) for line in lines]
    return check_handshake(method, target, version.removeprefix(b"HTTP/"), headers)


def check_handshake(method: bytes, target: bytes, version: bytes, headers: RawHeaders) -> Handshake:
    """Return what a request asks for.

    Args:
        method: Its method.
        target: Path and query.
        version: Its version of HTTP: b"1.1".
        headers: Its headers, their names in lower case.

    Raises:
        Refusal: it is no opening handshake of RFC 6455.
    """
    if version != b"1.1":
        raise Refusal(505, "WebSocket needs HTTP/1.1")
    if method != b"GET":
        raise Refusal(405, "WebSocket needs a GET request", [(b"allow", b"GET")])
    headers = [(_USUAL.get(name, name), _USUAL.get(value, value)) for name, value in headers]
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    _check_message(found)
    if b"13" not in found.get(b"sec-websocket-version", ()):
        raise Refusal(426, "WebSocket needs version 13", [(b"sec-websocket-version", b"13")])
    return Handshake(
        _path_in(target),
        headers,
        _key_in(found.get(b"sec-websocket-key", [])),
        _listed(found.get(b"sec-websocket-protocol", [])),
        [value.decode("latin-1") for value in found.get(b"sec-websocket-extensions", ())],
    )


def accept_key(key: bytes) -> bytes:
    """Return what proves that a server has read *key* (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def response_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a status line and headers, with the empty line.

    Raises:
        ValueError: a name or value could not stand in a header (RFC 9110 §5).
    """
    lines = [b"HTTP/1.1 %d %s" % (status, _PHRASES.get(status, b""))]
    for name, value in headers:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(
                f"cannot send header {name!r}: {value!r}; it has characters in it "
                "that no header may have (RFC 9110 §5.5)"
            )
        lines.append(name + b": " + value)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def plain_response(status: int, text: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """Return a whole answer of one line of text or none, after which the connection is closed."""
    body = text.encode() + b"\n" if text else b""
    fixed = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    return response_head(status, [*headers, *fixed]) + body


def _read_header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name):
        raise Refusal(400, "malformed header")
    return name.lower(), value.strip(b" \t")


def _check_message(found: dict[bytes, list[bytes]]) -> None:
    if len(found.get(b"host", ())) != 1:  # RFC 9112 §3.2
        raise Refusal(400, "a request must have exactly one Host header")
    if b"transfer-encoding" in found or any(
        length.strip() != b"0" for length in found.get(b"content-length", ())
    ):
        # What follows the request would be a second request to one reader, frames to another.
        raise Refusal(400, "a WebSocket handshake has no body")
    upgrade = {token.lower() for token in _tokens(found.get(b"upgrade", ()))}
    connection = {token.lower() for token in _tokens(found.get(b"connection", ()))}
    if b"websocket" not in upgrade or b"upgrade" not in connection:
        raise Refusal(
            426,
            "WebSocket needs `Connection: Upgrade` and `Upgrade: websocket`",
            [(b"upgrade", b"websocket"), (b"connection", b"upgrade")],
        )


def _path_in(target: bytes) -> bytes:
    found = _TARGET.fullmatch(target)
    if found is None:
        raise Refusal(400, "malformed request target")
    return found[1]


def _key_in(keys: list[bytes]) -> bytes:
    if len(keys) != 1:
        raise Refusal(400, "a request must have exactly one Sec-WebSocket-Key header")
    try:
        is_valid = len(base64.b64decode(keys[0], validate=True)) == 16
    except (binascii.Error, ValueError):
        is_valid = False
    if not is_valid:
        raise Refusal(400, "Sec-WebSocket-Key must be 16 bytes in base64")
    return keys[0]


def _tokens(values: Iterable[bytes]) -> list[bytes]:
    return [
        stripped for value in values for token in value.split(b",") if (stripped := token.strip())
    ]


def _listed(values: list[bytes]) -> list[str]:
    return [token.decode("latin-1") for token in _tokens(values)]
