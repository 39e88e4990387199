"""uvicorn's h11 protocol with a guard: `HTTPProtocol` where httptools is not installed."""

from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from bocadillo.server.handshake import Refusal, check_handshake
from bocadillo.server.http_guard import Guard, check_headers, check_target
from bocadillo.server.limits import Limits


class H11Guarded(Guard, H11Protocol):
    """HTTP requests by h11, up to where a WebSocket begins.

    Args:
        limits: `functools.partial(HTTPProtocol, limits=Limits(handshake_timeout_s=5))` as
            uvicorn's `http`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        most = self.config.h11_max_incomplete_event_size
        if most is None:
            most = self._limits.max_line_bytes + self._limits.max_header_bytes
        self.conn: _Connection = _Connection(most, self._limits)

    def data_received(self, data: bytes) -> None:
        """Take bytes of requests (asyncio)."""
        if self._is_over:
            return
        self._is_used = True
        super().data_received(data)
        self._await_request(self.conn.their_state is h11.IDLE)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over, or refuse (uvicorn)."""
        try:
            handshake = check_handshake(
                event.method, event.target, event.http_version, self.headers
            )
        except Refusal as refusal:
            self._note(refusal)
            self._refuse(refusal)
        else:
            self._hand_over(handshake, self.conn.trailing_data[0])

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request (uvicorn)."""
        self._refuse(self.conn.refusal or Refusal(400, msg))


class _Connection(h11.Connection):
    """One that refuses requests for their size."""

    def __init__(self, max_incomplete_bytes: int, limits: Limits) -> None:
        super().__init__(h11.SERVER, max_incomplete_bytes)
        self._limits = limits
        self.refusal: Refusal | None = None

    def next_event(self) -> Any:
        """Return the next event (h11).

        Raises:
            RemoteProtocolError: it is wrong, or too large; `refusal` tells.
        """
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                self._check(event)
        except h11.RemoteProtocolError as error:
            self.refusal = Refusal(error.error_status_hint, "Invalid HTTP request received.")
            raise
        except Refusal as refusal:
            self.refusal = refusal
            raise h11.RemoteProtocolError(refusal.text, refusal.status) from None
        return event

    def _check(self, request: h11.Request) -> None:
        check_target(request.target, self._limits)
        size = sum(len(name) + len(value) + 4 for name, value in request.headers)
        check_headers(len(request.headers), size, self._limits)
