"""Close codes: what each means, which may be sent, and how long a reason may be.

Source: RFC 6455 §7.4 and the IANA registry "WebSocket Close Code Number".
"""

MEANINGS = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported kind of frame",
    1005: "no code given",
    1006: "connection lost",
    1007: "invalid payload",
    1008: "policy violation",
    1009: "message too big",
    1010: "missing extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake failed",
}

# RFC 6455 §7.4.1: 1004 is reserved; 1005, 1006 and 1015 are never on the wire.
SENDABLE = "1000-1003, 1007-1014 and 3000-4999"

# RFC 6455 §5.5: a control frame carries at most 125 bytes, 2 of them are the code.
MAX_REASON_BYTES = 123


def meaning(code: int) -> str:
    """Return in a few words what *code* stands for."""
    if code in MEANINGS:
        return MEANINGS[code]
    if 3000 <= code <= 3999:
        return "registered by a library"
    if 4000 <= code <= 4999:
        return "defined by the application"
    return "unknown code"


def is_sendable(code: int) -> bool:
    """Tell whether *code* may stand in a close frame."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def check_code(code: int) -> int:
    """Return *code* as a plain `int`.

    Raises:
        ValueError: *code* may not be sent in a close frame.
    """
    if not isinstance(code, int) or not is_sendable(code):
        raise ValueError(f"close code {code!r} may not be sent; allowed: {SENDABLE}")
    return int(code)


def cut_reason(reason: str | None) -> str:
    """Return *reason* cut to 123 bytes of UTF-8, on a character boundary.

    Half of a surrogate pair, which UTF-8 cannot carry, becomes "?".
    """
    if not reason:
        return ""
    encoded = reason.encode("utf-8", "replace")[:MAX_REASON_BYTES]
    return encoded.decode("utf-8", "ignore")
