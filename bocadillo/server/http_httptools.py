"""uvicorn's httptools protocol with a guard: `HTTPProtocol` where httptools is installed."""

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bocadillo.server.handshake import Handshake, Refusal, check_handshake
from bocadillo.server.http_guard import Guard, check_headers, check_target


class HTTPToolsGuarded(Guard, HttpToolsProtocol):
    """HTTP requests by httptools, up to where a WebSocket begins.

    Args:
        limits: `functools.partial(HTTPProtocol, limits=Limits(handshake_timeout_s=5))` as
            uvicorn's `http`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._is_head = True  # of a request that is not whole
        self._is_body = False
        self._head_bytes = 0
        self._header_bytes = 0
        self._handshake: Handshake | None = None
        self._early = b""  # what came behind it

    def data_received(self, data: bytes) -> None:
        """Take bytes of requests (asyncio)."""
        if self._is_over:
            return
        self._is_used = True
        if self._handshake is not None:
            self._keep_early(data)
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
            if self._is_head:
                self._count_head(len(data))
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._fail(error.__context__)
        except Refusal as refusal:
            self._fail(refusal)
        else:
            self._await_request(
                self._is_head or not (self._is_body or self._is_answering()),
            )

    def _fail(self, cause: BaseException | None) -> None:
        if isinstance(cause, Refusal):
            self._note(cause)
            self._refuse(cause)
        else:
            self.logger.warning("Invalid HTTP request received.")
            self._refuse(Refusal(400, "Invalid HTTP request received."))

    def _count_head(self, size: int) -> None:
        """Bound what the parser keeps of a head that is not whole."""
        self._head_bytes += size
        most = self._limits.max_line_bytes + self._limits.max_header_bytes
        if self._head_bytes > most:
            raise Refusal(431, f"the request's head has more than {most} bytes")

    def _upgrade(self, behind: bytes) -> None:
        if self._handshake is None:
            self._unsupported_upgrade_warning()
            return
        self._await_request(False)
        self._early = behind
        if self._is_answering():
            # RFC 9112 §9.3.2: answers are in the order of the requests.
            self.flow.pause_reading()
        else:
            self._begin_websocket(self._handshake)

    def _keep_early(self, data: bytes) -> None:
        """Keep what comes behind a handshake that waits its turn."""
        self._early += data
        self.flow.pause_reading()

    def _begin_websocket(self, handshake: Handshake) -> None:
        self.parser = None  # type: ignore[assignment]  # it knows us: a cycle
        self._hand_over(handshake, self._early)

    def on_response_complete(self) -> None:
        """Begin what waited for this answer (uvicorn)."""
        super().on_response_complete()
        handshake = self._handshake
        if handshake is not None and not self._is_answering() and not self.transport.is_closing():
            self._begin_websocket(handshake)

    # The parser's events

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._is_head = True
        self._head_bytes = self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        super().on_url(url)
        check_target(self.url, self._limits)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._header_bytes += len(name) + len(value) + 4
        check_headers(len(self.headers) + 1, self._header_bytes, self._limits)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check what asks for a WebSocket; begin what does not."""
        self._is_head = False
        if self.parser.should_upgrade() and self._should_upgrade():
            method, version = self.parser.get_method(), self.parser.get_http_version()
            self._handshake = check_handshake(
                method, self.url, version.encode("ascii"), self.headers
            )
        super().on_headers_complete()
        self._is_body = True

    def on_message_complete(self) -> None:
        """Note that a request is whole."""
        self._is_body = False
        super().on_message_complete()
