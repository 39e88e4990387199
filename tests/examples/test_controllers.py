"""The controllers example, on a real server and with other votes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from dishka import Provider, Scope
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from bocadillo.testing import LiveServer, create_client
from examples.controllers import Votes, app

# Where the wait is for something that must come.
TIMEOUT_S = 10


@pytest.fixture
def server() -> Iterator[LiveServer]:
    """Serve with votes of its own, so that no test meets those of another."""
    provider = Provider(scope=Scope.APP)
    provider.provide(Votes)
    with app.override(provider), LiveServer(app) as server:
        yield server


def hear(client: ClientConnection) -> Any:
    return json.loads(client.recv(timeout=TIMEOUT_S))


def hear_until(client: ClientConnection, state: dict[str, Any]) -> bool:
    """Read up to a state; those before it may be missed by whoever is slow."""
    while hear(client) != state:
        pass
    return True


def test_open_polls_are_listed_and_the_list_ends(server: LiveServer) -> None:
    """The special path is not taken for a poll."""
    with connect(server.ws_url("/polls/open")) as client:
        assert hear(client) == ["lunch", "drink"]
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=TIMEOUT_S)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


def test_votes_of_some_are_seen_by_others(server: LiveServer) -> None:
    """One `Polls` serves all connections."""
    with connect(server.ws_url("/polls/lunch")) as watcher:
        assert hear(watcher) == {"votes": {"soup": 0, "salad": 0}, "here": 1}

        with connect(server.ws_url("/polls/lunch/votes")) as voter:
            for choice in ("soup", "salad", "soup"):
                voter.send(choice)
            assert hear_until(watcher, {"votes": {"soup": 2, "salad": 1}, "here": 2})

        assert hear_until(watcher, {"votes": {"soup": 2, "salad": 1}, "here": 1})


def test_votes_of_one_poll_are_not_those_of_another(server: LiveServer) -> None:
    """The path says which."""
    with connect(server.ws_url("/polls/drink/votes")) as voter:
        voter.send("tea")
        with connect(server.ws_url("/polls/drink")) as watcher:
            assert hear_until(watcher, {"votes": {"coffee": 0, "tea": 1}, "here": 2})
        with connect(server.ws_url("/polls/lunch")) as watcher:
            assert hear(watcher) == {"votes": {"soup": 0, "salad": 0}, "here": 1}


def test_an_unknown_choice_ends_the_connection(server: LiveServer) -> None:
    """With a reason."""
    with connect(server.ws_url("/polls/lunch/votes")) as voter:
        voter.send("cake")
        with pytest.raises(ConnectionClosed, match="4000.*no such choice"):
            voter.recv(timeout=TIMEOUT_S)


@pytest.mark.parametrize("path", ["/polls/dinner", "/polls/dinner/votes"])
def test_an_unknown_poll_is_refused(server: LiveServer, path: str) -> None:
    """Before the connection is accepted, whatever was wanted of it."""
    with pytest.raises(InvalidStatus) as refused:
        connect(server.ws_url(path))

    assert refused.value.response.status_code == 404
    assert refused.value.response.body == b"no such poll\n"


def test_votes_may_come_from_elsewhere() -> None:
    """A test gives its own by another provider."""

    class Fixed(Votes):
        def __init__(self) -> None:
            self.of_polls = {"color": {"red": 7}}

    provider = Provider(scope=Scope.APP)
    provider.provide(Fixed, provides=Votes)

    with app.override(provider), create_client(app) as client:
        with client.websocket_connect("/polls/open") as ws:
            assert ws.receive_json() == ["color"]
        with client.websocket_connect("/polls/color") as ws:
            assert ws.receive_json() == {"votes": {"red": 7}, "here": 1}
