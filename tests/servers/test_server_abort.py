"""Views on our server cut peers that take nothing, by the extension `bocadillo.abort`."""

import asyncio
import contextlib
import logging

import pytest

from bocadillo import App, WebSocket
from bocadillo.server.limits import Limits
from tests.servers.inside import on_both_loops, request, run, serving, until

# Longer than the test: whoever ends here was not ended by the server.
PATIENT = Limits(send_timeout_s=300, close_timeout_s=300, linger_timeout_s=300)


@pytest.mark.parametrize("how", ["sent", "published", "sent, and the view catches all"])
@on_both_loops
def test_a_deaf_peer_is_cut_by_its_views_own_time(
    loop: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its memory and descriptor are free at once, and no close frame waits behind what waits."""
    app = App(send_timeout_s=0.2)
    ends: list[int | None] = []

    @app.websocket_route("/")
    class Flood:
        async def handle(self, ws: WebSocket) -> None:
            await ws.join("x", when_full="drop_oldest")
            with contextlib.suppress(asyncio.CancelledError if "catches" in how else LookupError):
                while True:
                    if how == "published":
                        await ws.channels.publish("x", "." * 100_000, codec="text")
                    else:
                        await ws.send("." * 100_000)

        async def on_disconnect(self, ws: WebSocket) -> None:
            ends.append(ws.close_code)

    async def scenario() -> None:
        with caplog.at_level(logging.INFO):
            async with serving(app, limits=PATIENT) as server:
                deaf = await server.connect(limit=2)
                deaf.write(request("/"))
                deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await until(lambda: bool(ends))
                await until(lambda: not server.state.connections and not server.state.tasks)
                deaf.reset()

        assert ends == [1006]
        assert ("the client takes nothing" in caplog.text) is ("catches" not in how)
        assert not asyncio.all_tasks() - {asyncio.current_task()}

    run(scenario, loop)


def test_a_reader_that_was_too_slow_never_reads_that_all_was_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes 1000 for an end that was meant, and does not come back."""
    monkeypatch.setattr("bocadillo.delivery.CLOSE_TIMEOUT_S", 0.1)
    app = App()
    ends: list[int | None] = []

    @app.websocket_route("/")
    class Reader:
        async def handle(self, ws: WebSocket) -> None:
            await ws.join("x")
            async for _ in ws:
                pass

        async def on_disconnect(self, ws: WebSocket) -> None:
            ends.append(ws.close_code)

    async def scenario() -> None:
        async with serving(app, limits=PATIENT) as server:
            slow = await server.open()
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
            while not app.channels.readers("x"):
                await asyncio.sleep(0)
            while not ends:
                await app.channels.publish("x", "." * 100_000, codec="text")
            await until(lambda: not server.state.connections and not server.state.tasks)
            slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    first, payload = await slow.frame()
                    assert (first, payload[:2]) != (0x88, (1000).to_bytes(2))

        assert ends == [1013]

    run(scenario)
