"""A publication as bytes: one line of facts, then the payload as it is.

`b1 <offset> <epoch> <time in ms> <t or b> <excluded id>` and a newline. All that comes
before the kind is written by the script that publishes, for only it knows the offset.
"""

from urllib.parse import quote, unquote

from bocadillo.channels.publications import Position, Publication
from bocadillo.codecs import Payload

_FACTS = 6


def seal(payload: Payload, exclude: str | None) -> bytes:
    """Return the part of the envelope that the publisher knows.

    Raises:
        UnicodeEncodeError: the payload has half of a surrogate pair.
    """
    kind = "t" if isinstance(payload, str) else "b"
    told = "" if exclude is None else "=" + quote(exclude, safe="", errors="surrogatepass")
    head = f"{kind} {told}\n".encode()
    return head + (payload.encode() if isinstance(payload, str) else payload)


def unseal(channel: str, envelope: bytes) -> Publication | None:
    """Return the publication in an envelope; None if these bytes are none."""
    head, newline, body = envelope.partition(b"\n")
    try:
        facts = head.decode("ascii").split(" ")
        if not newline or len(facts) != _FACTS or facts[0] != "b1" or facts[4] not in ("t", "b"):
            return None
        _, offset, epoch, time_ms, kind, told = facts
        payload: Payload = body.decode() if kind == "t" else body
        exclude = unquote(told[1:], errors="surrogatepass") if told else None
        position = Position(int(offset), epoch)
        return Publication(channel, payload, position, int(time_ms) / 1000, exclude)
    except ValueError:  # not ASCII, not UTF-8, no number
        return None
