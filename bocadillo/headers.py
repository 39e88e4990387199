"""Response headers and bodies as people write them → as ASGI wants them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from bocadillo.codecs import encode_json

Headers: TypeAlias = Mapping[str, str] | Mapping[bytes, bytes] | Iterable[tuple[Any, Any]]
RawHeaders: TypeAlias = list[tuple[bytes, bytes]]


TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def raw_headers(headers: Headers | None) -> RawHeaders:
    """Return a mapping or pairs as ASGI's pairs of bytes, names in lower case.

    Raises:
        ValueError: a value has a line break or NUL in it, which would let it write
            further headers (RFC 9110 §5.5), or is no Latin-1 text; or a name is no
            token (RFC 9110 §5.1).
        TypeError: a name or value is neither `str` nor `bytes`.
    """
    if not headers:
        return []
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(_token(name), _raw(value, "value")) for name, value in pairs]


def raw_body(body: Any) -> tuple[bytes, bytes]:
    """Return a body and its media type: `bytes` and `str` as text, all else as JSON.

    Raises:
        TypeError: the body is neither, and cannot be written as JSON.
    """
    if body is None:
        return b"", b"text/plain; charset=utf-8"
    if isinstance(body, bytes):
        return body, b"text/plain; charset=utf-8"
    if isinstance(body, str):
        return body.encode(), b"text/plain; charset=utf-8"
    return encode_json(body).encode(), b"application/json"


def _token(name: Any) -> bytes:
    raw = _raw(name, "name")
    if not TOKEN.fullmatch(raw):
        raise ValueError(f"header name {name!r} is no token, such as b'x-name'")
    return raw.lower()


def _raw(text: Any, what: str) -> bytes:
    if isinstance(text, str):
        try:
            raw = text.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"header {what} {text!r} has characters outside Latin-1") from None
    elif isinstance(text, bytes):
        raw = text
    else:
        raise TypeError(f"header {what} must be str or bytes, got {type(text).__name__}")
    if any(char in raw for char in b"\r\n\0"):
        raise ValueError(f"header {what} {text!r} has a line break or NUL in it")
    return raw
