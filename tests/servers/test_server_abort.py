"""Views on our server cut peers that take nothing, by the extension `bocadillo.abort`."""

import asyncio
import logging

import pytest

from bocadillo import App, WebSocket
from bocadillo.server.limits import Limits
from tests.servers.inside import on_both_loops, request, run, serving, until

# Longer than the test: whoever ends here was not ended by the server.
PATIENT = Limits(send_timeout_s=300, close_timeout_s=300, linger_timeout_s=300)


@pytest.mark.parametrize("is_published", [False, True])
@on_both_loops
def test_a_deaf_peer_is_cut_by_its_views_own_time(
    loop: str, is_published: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Its memory and descriptor are free at once, and no close frame waits behind what waits."""
    app = App(send_timeout_s=0.2)
    ends: list[int | None] = []

    @app.websocket_route("/")
    class Flood:
        async def handle(self, ws: WebSocket) -> None:
            await ws.join("x", when_full="drop_oldest")
            while True:
                if is_published:
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
        assert "the client takes nothing" in caplog.text
        assert not asyncio.all_tasks() - {asyncio.current_task()}

    run(scenario, loop)
