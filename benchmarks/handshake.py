"""One connection by hand: whether a server is up, and what it answers, compressed.

A server with worker processes listens before it serves; its processes are counted once one
of them has answered.
"""

import socket
import ssl
import time
import zlib

from benchmarks.load import LoadError

TIMEOUT_S = 10
PAUSE_S = 0.05

REQUEST = (
    "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n{more}\r\n"
)

# The same as load.c's: then equal messages are equal frames.
OFFER = (
    "Sec-WebSocket-Extensions: permessage-deflate; "
    "server_no_context_takeover; client_no_context_takeover\r\n"
)
TEXT_COMPRESSED = 0xC1  # RFC 6455 §5.2: FIN, RSV1, opcode 1
CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe8"  # with 1000, masked with zeros
TAIL = b"\x00\x00\xff\xff"  # RFC 7692 §7.2.1: what is left out at the end


def await_server(port: int, timeout_s: float, *, is_tls: bool = False) -> None:
    """Return once the server on *port* has accepted a connection.

    Raises:
        LoadError: it has not in *timeout_s* seconds.
    """
    until = time.monotonic() + timeout_s
    while True:
        try:
            with _open(port, is_tls=is_tls) as connection:
                _leave(connection)
            return
        except OSError as exc:
            if time.monotonic() > until:
                raise LoadError(f"nobody accepts a connection to port {port}: {exc}") from None
            time.sleep(PAUSE_S)


def compressed_echo(port: int, payload: bytes) -> tuple[bytes, bytes]:
    """Return *payload* compressed, and as it comes back.

    Raises:
        LoadError: what comes back is not compressed, or is something else.
    """
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    sent = (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
    with _open(port, OFFER) as connection:
        connection.sendall(_frame(sent))
        first, answer = _read_frame(connection)
        _leave(connection)
    if first != TEXT_COMPRESSED:
        raise LoadError(f"a compressed text was answered by a frame with 0x{first:02x}")
    if zlib.decompressobj(wbits=-zlib.MAX_WBITS).decompress(answer + TAIL) != payload:
        raise LoadError("a compressed message came back different from what was sent")
    return sent, answer


def _open(port: int, more: str = "", *, is_tls: bool = False) -> socket.socket:
    """Open a connection.

    Raises:
        LoadError: the server refuses it.
        OSError: there is no server yet.
    """
    connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    if is_tls:
        connection = _trusting().wrap_socket(connection)
    try:
        connection.sendall(REQUEST.format(port=port, more=more).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += _read(connection, 1)
    except OSError:
        connection.close()
        raise
    if not head.startswith(b"HTTP/1.1 101 "):
        connection.close()
        raise LoadError(f"the server answers {head.splitlines()[0]!r}")
    return connection


def _trusting() -> ssl.SSLContext:
    """Return TLS for whatever certificate there is: it was made by the server for itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _leave(connection: socket.socket) -> None:
    """Close politely, so that no server has something to log."""
    connection.sendall(CLOSE)
    _read_frame(connection)


def _frame(payload: bytes) -> bytes:
    """Return a text frame of at most 64 KiB, masked with zeros."""
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return bytes([TEXT_COMPRESSED]) + size + bytes(4) + payload


def _read_frame(connection: socket.socket) -> tuple[int, bytes]:
    first, length = _read(connection, 2)
    if length > 125:
        length = int.from_bytes(_read(connection, 2 if length == 126 else 8), "big")
    return first, _read(connection, length)


def _read(connection: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        more = connection.recv(count - len(read))
        if not more:
            raise ConnectionError("the server ended the connection")
        read += more
    return read
