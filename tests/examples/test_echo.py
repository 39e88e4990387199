"""The echo example."""

from websockets.sync.client import connect

from bocadillo.testing import LiveServer
from examples.echo import app


def test_every_message_comes_back_in_order() -> None:
    """The first example a user runs does what its name says."""
    messages = ["one", "", "drei – три"]

    with LiveServer(app) as server, connect(server.ws_url("/echo")) as ws:
        for message in messages:
            ws.send(message)
        echoed = [ws.recv(timeout=5) for _ in messages]

    assert echoed == messages
