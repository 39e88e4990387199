"""One payload to many connections at once: the ASGI extension `bocadillo.broadcast`.

See docs/asgi-extensions.md.
"""

from collections.abc import Iterable
from typing import Any

from bocadillo.server.deflate import compress_once
from bocadillo.server.frames import BINARY, TEXT, binary_frame, frame, text_frame
from bocadillo.server.states import OPEN
from bocadillo.server.writing import Writing


def broadcast(
    peers: Iterable[Any], *, text: str | None = None, bytes: bytes | None = None
) -> list[Any]:
    """Send one message to many connections; nobody is waited for.

    Args:
        peers: What the connections have as `scope["bocadillo.peer"]`.
        text: The message, or
        bytes: the message.

    Returns:
        The peers that got nothing, since they have not taken what they got before. Those
        that have gone are passed over.

    Raises:
        ValueError: neither or both of *text* and *bytes* are given.
        UnicodeEncodeError: *text* has half of a surrogate pair.

    It is to be called in the event loop's thread. A connection gets the message in order
    with its own `websocket.send`: behind those that were called before.
    """
    if (text is None) == (bytes is None):
        raise ValueError("broadcast() needs a value for either text or bytes")
    message = text_frame(text) if text is not None else binary_frame(_bytes(bytes))
    congested = []
    packed: _Packed | None = None
    peer: Writing
    for peer in peers:
        if peer._state is not OPEN:
            continue
        if not peer._is_writable:
            congested.append(peer)
        elif peer._compress is None:
            peer.write(message)
        else:
            if packed is None:
                packed = _Packed(text, bytes)
            packed.write_to(peer)
    return congested


def _bytes(payload: Any) -> bytes:
    if not isinstance(payload, bytes | bytearray | memoryview):
        raise TypeError(f"bytes must be bytes, got {payload!r}")
    return bytes(payload)


class _Packed:
    """One message, compressed once for all who agreed on the same."""

    def __init__(self, text: str | None, payload: Any) -> None:
        self._opcode = BINARY if text is None else TEXT
        self._payload = _bytes(payload) if text is None else text.encode()
        self._frames: dict[tuple[int, int], bytes] = {}

    def write_to(self, peer: Writing) -> None:
        """Write the message to a peer with compression."""
        deflate = peer._deflate
        agreed = None if deflate is None else deflate.shared
        if agreed is None or len(self._payload) < peer._shared.limits.compress_from_bytes:
            peer.write_message(self._opcode, self._payload)  # each depends on those before
            return
        ready = self._frames.get(agreed)
        if ready is None:
            compressed = compress_once(self._payload, *agreed)
            ready = self._frames[agreed] = frame(self._opcode, compressed, rsv1=True)
        peer.write(ready)
