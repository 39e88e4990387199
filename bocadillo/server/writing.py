"""What a connection has for its peer: written once per turn of the loop, held back when it
is too much."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected, get_remote_addr

from bocadillo.server.deflate import Deflate
from bocadillo.server.frames import frame, header
from bocadillo.server.shared import Shared
from bocadillo.server.states import ENDED, State

logger = logging.getLogger("uvicorn.error")

# Payloads from this size on are written after their header, and not copied behind it.
LARGE_BYTES = 16 * 1024

# What is written in one turn waits for its end up to this size, so that the transport can
# say when it has too much.
MAX_UNFLUSHED_BYTES = 64 * 1024
MAX_UNFLUSHED_PIECES = 512  # of at most 127 bytes, whose bytes are not counted

# Writes that a sender may make before others have a turn: to a peer that takes all as fast as
# it comes, `send` would else never wait.
MAX_BURST = 16


class Writing(asyncio.BufferedProtocol):
    """A connection that can be written to."""

    __slots__ = (
        "_burst",
        "_compress",
        "_deflate",
        "_drains",
        "_is_writable",
        "_least_unsent",
        "_may_go_on",
        "_shared",
        "_state",
        "_stuck_since",
        "_transport",
        "_unflushed",
        "_unflushed_bytes",
    )

    _transport: asyncio.Transport

    def __init__(self, shared: Shared, state: State) -> None:
        self._shared = shared
        self._state = state
        self._deflate: Deflate | None = None  # what was agreed on
        self._compress: Callable[[bytes], bytes] | None = None
        self._is_writable = True  # as the transport says
        self._may_go_on = True  # who sends, without waiting
        self._burst = 0
        self._drains: list[asyncio.Future[None]] | None = None
        self._unflushed: list[bytes] | None = None
        self._unflushed_bytes = 0
        self._stuck_since = 0.0
        self._least_unsent = 0

    def pause_writing(self) -> None:
        """Have senders wait: the peer does not take what it gets."""
        self._is_writable = self._may_go_on = False
        self._stuck_since = self._shared.loop.time()
        self._least_unsent = self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """Let senders go on."""
        self._is_writable = self._may_go_on = True
        self._wake_senders()

    def write_message(self, opcode: int, payload: bytes) -> None:
        """Write a message, compressed if that was agreed on and it is worth it."""
        if self._compress is None:
            size = len(payload)
            if size < LARGE_BYTES:
                self.write(header(opcode, size) + payload)
            else:
                self.write(header(opcode, size))
                self.write(payload)
        elif len(payload) < self._shared.limits.compress_from_bytes:
            self.write(frame(opcode, payload))
        else:
            self.write(frame(opcode, self._compress(payload), rsv1=True))

    def write(self, piece: bytes) -> None:
        """Have bytes written when this turn of the loop is over, or now if they are many."""
        size = self._unflushed_bytes = self._unflushed_bytes + len(piece)
        if self._unflushed is None:
            self._unflushed = [piece]
            self._shared.flush_later(self)
        else:
            self._unflushed.append(piece)
        if size > MAX_UNFLUSHED_BYTES:
            self._flush_early()

    def _flush_early(self) -> None:
        """Write before the turn is over, and now and then have the sender wait for its end."""
        self.flush()
        self._burst += 1
        if self._burst >= MAX_BURST:
            self._may_go_on = False

    def flush(self) -> None:
        """Write what was left for the end of the turn."""
        pieces = self._unflushed
        if pieces is None:
            return
        is_small = self._unflushed_bytes < LARGE_BYTES
        self._unflushed = None
        self._unflushed_bytes = 0
        if self._transport.is_closing():
            return
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        elif is_small:
            self._transport.write(b"".join(pieces))
        else:
            self._transport.writelines(pieces)

    async def _drain(self) -> None:
        """Wait until the peer has taken enough, and others have had their turn.

        Raises:
            OSError: it has gone meanwhile.
        """
        if self._is_writable:
            self._burst = 0
            self._may_go_on = True
            await asyncio.sleep(0)
        while not self._is_writable and self._state is not ENDED:
            drain = self._shared.loop.create_future()
            if self._drains is None:
                self._drains = []
            self._drains.append(drain)
            await drain
        if self._state is ENDED:
            raise ClientDisconnected

    def _wake_senders(self) -> None:
        drains, self._drains = self._drains, None
        for drain in drains or ():
            if not drain.done():
                drain.set_result(None)

    def _is_stuck(self, now: float) -> bool:
        """Tell whether the peer has taken nothing for too long."""
        if self._is_writable:
            return False
        unsent = self._transport.get_write_buffer_size()
        if unsent < self._least_unsent:  # slow, and not stuck
            self._least_unsent = unsent
            self._stuck_since = now
        return now - self._stuck_since >= self._shared.limits.send_timeout_s

    def _note(self, what: str, *details: Any) -> None:
        """Log one line about the connection."""
        address = get_remote_addr(self._transport)
        peer = f"{address[0]}:{address[1]}" if address else "?"
        logger.info(f"%s - WebSocket {what}", peer, *details)
