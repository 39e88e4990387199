"""What all connections of a server share: a flush for each turn, a sweep in place of timers."""

import asyncio
from typing import Any

import pytest

from bocadillo.server.broadcasting import broadcast
from tests.server.test_protocol import Rig


def test_16_broadcasts_in_a_turn_are_one_write_for_each_peer() -> None:
    """One write per peer and turn, however many say something."""

    async def scenario() -> None:
        rig = Rig()
        opened = [await rig.open() for _ in range(10)]
        peers = [connection for connection, _ in opened]

        for number in range(16):
            assert broadcast(peers, text=f"{number:02}") == []

        assert [transport.calls for _, transport in opened] == [[]] * 10
        await asyncio.sleep(0)
        assert [transport.calls for _, transport in opened] == [["write"]] * 10
        frames = b"".join(b"\x81\x02%02d" % number for number in range(16))
        assert [transport.written for _, transport in opened] == [[frames]] * 10

    asyncio.run(scenario())


@pytest.mark.parametrize("number", [1, 100])
def test_the_number_of_timers_does_not_grow_with_the_connections(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sweep pings, and watches deadlines, for all of them."""

    async def scenario() -> None:
        rig = Rig(ws_ping_interval=20, ws_ping_timeout=10)
        loop = asyncio.get_running_loop()
        timers: list[Any] = []
        call_at = loop.call_at

        def counting(when: float, callback: Any, *args: Any, **options: Any) -> Any:
            timers.append(callback)
            return call_at(when, callback, *args, **options)

        monkeypatch.setattr(loop, "call_at", counting)  # which `call_later` calls
        opened = [await rig.open() for _ in range(number)]
        for connection, _ in opened:
            connection._heard_at -= 30
            connection._is_heard = False
        [shared] = rig.state.__dict__["bocadillo"]
        assert timers == [shared._sweep]
        shared._timer.cancel()
        shared._sweep()
        await asyncio.sleep(0)

        assert [transport.written for _, transport in opened] == [[b"\x89\x00"]] * number
        assert timers == [shared._sweep] * 2
        for connection, _ in opened:
            connection.shutdown()
        assert timers == [shared._sweep] * 2
        shared._timer.cancel()

    asyncio.run(scenario())
