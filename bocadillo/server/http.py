"""`HTTPProtocol`: uvicorn's HTTP protocol with what its hand-over to WebSocket leaves open.

    uvicorn app:app --http bocadillo.server:HTTPProtocol --ws bocadillo.server:WebSocketProtocol

Requests that ask for an upgrade and are no opening handshake of RFC 6455 are answered and
closed: HTTP/1.0, another method, no or two `Host` or keys, a body. What comes in the segment
of the request is kept. Half a request has its time, and every request its size.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bocadillo.server.http_httptools import HTTPToolsGuarded as HTTPProtocol
else:
    try:
        from bocadillo.server.http_httptools import HTTPToolsGuarded as HTTPProtocol
    except ImportError:  # where httptools is not installed
        from bocadillo.server.http_h11 import H11Guarded as HTTPProtocol

__all__ = ["HTTPProtocol"]
