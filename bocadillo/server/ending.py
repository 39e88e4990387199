"""How a connection ends: its close frames, and what the application is told."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import MutableMapping
from struct import pack
from typing import Any

from bocadillo.server.frames import close_frame
from bocadillo.server.shared import Shared
from bocadillo.server.states import CLOSING, ENDED, State
from bocadillo.server.writing import Writing

Event = MutableMapping[str, Any]

_RESET = pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # SO_LINGER: on, for no time

LOST = 1006  # the connection ended without a close frame


class Ending(Writing):
    """A connection that can be ended."""

    __slots__ = ("_ending", "_is_reading", "_waiter")

    def __init__(self, shared: Shared, state: State) -> None:
        super().__init__(shared, state)
        self._ending: Event | None = None  # the disconnect that the application is told
        self._waiter: asyncio.Future[None] | None = None  # the application, in `receive`
        self._is_reading = True

    def abort(self) -> None:
        """Reset the connection: nothing that waits is sent, and who sends is told."""
        connected = self._transport.get_extra_info("socket")
        if connected is not None and not self._transport.is_closing():
            # Else the kernel would go on, for minutes, to offer what a deaf peer does not take.
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.give_up()

    def give_up(self) -> None:
        """End the connection as it is: its deadline has passed (the sweep)."""
        self._end(LOST, "")
        self._state = ENDED
        self._unflushed = None
        self._wake_senders()
        self._transport.abort()

    def _end(self, code: int, reason: str) -> None:
        """Have the application told how the connection ended, once it has all messages."""
        if self._ending is None:
            self._ending = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self._wake_receiver()

    def _wake_receiver(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _close_with(self, code: int, reason: str, timeout_s: float) -> None:
        """Send a close frame, and await the peer's for so long."""
        self._state = CLOSING
        self._end(code, reason)
        self.write(close_frame(code, reason))
        self.flush()
        self._resume_reading()
        self._shared.expect_end(self, timeout_s)

    def _close_at_once(self, code: int, reason: str) -> None:
        """Send a close frame, the last of both; the peer's has come, or is not awaited."""
        self._end(code, reason)
        self.write(close_frame(code, reason))
        self.flush()

    def _linger(self) -> None:
        """Wait for the peer to close its side; what it still sends is thrown away.

        A socket that is closed with bytes unread resets the connection, and the peer may
        lose what was said to it last.
        """
        self._state = ENDED
        self._wake_senders()
        self._shared.expect_end(self, self._shared.limits.linger_timeout_s)
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._resume_reading()
            self._transport.write_eof()
        else:
            self._transport.close()

    def _pause_reading(self) -> None:
        if self._is_reading and not self._transport.is_closing():
            self._is_reading = False
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._is_reading and not self._transport.is_closing():
            self._is_reading = True
            self._transport.resume_reading()
