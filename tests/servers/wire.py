"""Two network namespaces and a wire between them, which loses and delays packets as told.

The kernel's own TCP runs on both sides. What is in between are two TUN devices, whose packets
this process carries; `tc … netem` would do so too, where the kernel has it.
"""

import asyncio
import ctypes
import fcntl
import os
import random
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.servers.inside import Inside

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MAX_PACKET_BYTES = 65536

ADDRESSES = ("10.99.0.1", "10.99.0.2")


class Side:
    """A network namespace with one end of the wire; made in a thread, which is left in it."""

    def __init__(self, address: str, peer: str) -> None:
        self.address = address
        self._peer = peer

    def make(self) -> None:
        """Leave this thread's namespace for a new one, and plug the wire in.

        Raises:
            OSError: this process may not, or a device or a program is missing.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "cannot make a network namespace")
        self.packets = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        try:
            wanted = struct.pack("16sH22x", b"wire", IFF_TUN | IFF_NO_PI)
            fcntl.ioctl(self.packets, TUNSETIFF, wanted)
            for words in (
                f"addr add {self.address} peer {self._peer} dev wire",
                "link set wire up",
            ):
                subprocess.run(["ip", *words.split()], check=True, capture_output=True)
            self.socket = socket.socket()
        except BaseException:
            os.close(self.packets)
            raise


class Wire:
    """Carries packets between two sides, in the running loop.

    Args:
        loss: The share of packets that is lost, from 0 to 1.
        delay_s: How long each takes.

    While `is_cut` is true, all are lost, and nobody is told.
    """

    def __init__(self, sides: tuple[Side, Side], loss: float = 0, delay_s: float = 0) -> None:
        self.is_cut = False
        self.lost = self.carried = 0
        self._chance = random.Random(5)
        self._loss, self._delay_s = loss, delay_s
        self._loop = asyncio.get_running_loop()
        self._sides = sides
        for here, there in (sides, sides[::-1]):
            self._loop.add_reader(here.packets, self._carry, here.packets, there.packets)

    def _carry(self, here: int, there: int) -> None:
        packet = os.read(here, MAX_PACKET_BYTES)
        if self.is_cut or self._chance.random() < self._loss:
            self.lost += 1
        else:
            self.carried += 1
            self._loop.call_later(self._delay_s, self._deliver, there, packet)

    def _deliver(self, there: int, packet: bytes) -> None:
        if there in self._open():
            os.write(there, packet)

    def _open(self) -> list[int]:
        return [side.packets for side in self._sides if side.packets >= 0]

    def close(self) -> None:
        """Take the devices away; the sockets belong to who has made use of them."""
        for side in self._sides:
            self._loop.remove_reader(side.packets)
            os.close(side.packets)
            side.packets = -1


def made_sides() -> tuple[Side, Side]:
    """Return two sides with a socket each, or skip the test with the reason."""
    sides = (Side(*ADDRESSES), Side(*ADDRESSES[::-1]))
    failures: list[Exception] = []

    def make(side: Side) -> None:
        try:
            side.make()
        except (OSError, subprocess.CalledProcessError) as failure:
            failures.append(failure)

    for side in sides:
        # A thread of its own, since all that a thread makes later would be in its namespace.
        thread = threading.Thread(target=make, args=(side,))
        thread.start()
        thread.join()
        if failures:
            lack = f"NO NETWORK THAT LOSES PACKETS IS TESTED: no TUN devices here: {failures[0]}"
            (pytest.fail if os.environ.get("CI") and is_ours(failures[0]) else pytest.skip)(lack)
    return sides


def is_ours(failure: Exception) -> bool:
    """Tell whether a machine with all that CI installs would not have it.

    Rights and /dev/net/tun are the machine's, and a container may have neither.
    """
    return not isinstance(failure, OSError) or failure.filename == "ip"


async def listen_on(server: Inside, listener: socket.socket, address: str) -> None:
    """Have a server listen on one side, too."""
    config = server.server.config
    make: Callable[..., Any] = config.http_protocol_class
    listener.bind((address, 80))
    listening = await asyncio.get_running_loop().create_server(
        lambda: make(config=config, server_state=server.state, app_state={}), sock=listener
    )
    server.server.servers.append(listening)
