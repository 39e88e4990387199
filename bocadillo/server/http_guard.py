"""What both of uvicorn's HTTP protocols lack: a time and a size for a request, and a hand-over
to WebSocket that loses and smuggles nothing."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from bocadillo.server.handshake import Handshake, Refusal, plain_response
from bocadillo.server.limits import DEFAULT_LIMITS, Limits
from bocadillo.server.opening import Opening
from bocadillo.server.shared import shared_of

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.protocols.http.flow_control import FlowControl
    from uvicorn.server import ServerState

logger = logging.getLogger("uvicorn.error")


class Guard(asyncio.Protocol):
    """To be inherited from before one of uvicorn's HTTP protocols."""

    config: "Config"
    server_state: "ServerState"
    app_state: dict[str, Any]
    transport: asyncio.Transport
    flow: "FlowControl"
    ws_protocol_class: Any

    def __init__(
        self,
        config: "Config",
        server_state: "ServerState",
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        uvicorns = cast(Any, super())
        uvicorns.__init__(config, server_state, app_state, _loop)
        self._shared = shared_of(config, server_state, limits)
        self._limits = limits
        self._is_over = False  # refused, or handed over: nothing more is read here
        self._is_awaited = False  # a request, by a deadline
        self._is_used = False  # something has come

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a transport, and expect a request."""
        super().connection_made(transport)
        self._await_request(True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._shared.forget(self)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close what is idle: the server is going (uvicorn)."""
        if self._is_over:
            self.transport.close()
        else:
            cast(Any, super()).shutdown()

    def _await_request(self, is_awaited: bool) -> None:
        """Set a deadline when a request begins to be awaited, take it back when it is here."""
        if is_awaited is not self._is_awaited and not self._is_over:
            self._is_awaited = is_awaited
            if is_awaited:
                self._shared.expect_end(self, self._limits.handshake_timeout_s)
            else:
                self._shared.expect_nothing(self)

    def give_up(self) -> None:
        """End what took too long: half a request, or a peer that does not close (the sweep)."""
        if self._is_over:
            self.transport.abort()
        elif not self._is_used:  # a browser's connection in reserve; an answer would confuse it
            self.transport.close()
        else:
            self._refuse(Refusal(408, "the request took too long"))

    def _is_answering(self) -> bool:
        """Tell whether the application is still to answer an earlier request."""
        cycle = getattr(self, "cycle", None)
        return cycle is not None and not cycle.response_complete

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what is no request, and read no more."""
        cast(Any, self)._unset_keepalive_if_required()
        self._is_over = True
        if self._is_answering() or not self.transport.can_write_eof():
            if not self._is_answering():  # which the answer would be taken for a part of
                self.transport.write(self._answer_of(refusal))
            self.transport.close()
        else:
            self.transport.write(self._answer_of(refusal))
            self.transport.write_eof()
            # What comes is still read: closing with bytes unread would reset the connection.
            self.flow.resume_reading()
        self._shared.expect_end(self, self._limits.linger_timeout_s)

    def _answer_of(self, refusal: Refusal) -> bytes:
        headers = [*self.server_state.default_headers, *refusal.headers]
        return plain_response(refusal.status, refusal.text, headers)

    def _hand_over(self, handshake: Handshake, early: bytes) -> None:
        """Give the connection to the WebSocket protocol, with what came behind the request."""
        cast(Any, self)._unset_keepalive_if_required()
        self._is_over = True
        self._shared.forget(self)
        self.server_state.connections.discard(cast(Any, self))
        self.flow.resume_reading()
        protocol = self.ws_protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        protocol.connection_made(self.transport)
        if self.flow.write_paused:
            protocol.pause_writing()
        self.transport.set_protocol(protocol)
        if isinstance(protocol, Opening):
            protocol.begin(handshake, early)
        else:
            protocol.data_received(_request_of(handshake))
            if early:
                protocol.data_received(early)

    def _note(self, refusal: Refusal) -> None:
        client = cast(Any, self).client
        address = "{}:{}".format(*client) if client else ""
        logger.info("%s - request refused with %d: %s", address, refusal.status, refusal.text)


def check_target(target: bytes, limits: Limits) -> None:
    """Raise `Refusal` if a request's target is too long."""
    if len(target) > limits.max_line_bytes:
        raise Refusal(414, f"the request's target has more than {limits.max_line_bytes} bytes")


def check_headers(number: int, size: int, limits: Limits) -> None:
    """Raise `Refusal` if there are too many headers, in number or bytes."""
    if number > limits.max_headers:
        raise Refusal(431, f"the request has more than {limits.max_headers} headers")
    if size > limits.max_header_bytes:
        raise Refusal(431, f"the request's headers have more than {limits.max_header_bytes} bytes")


def _request_of(handshake: Handshake) -> bytes:
    lines = [b"GET " + handshake.target + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in handshake.headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"
