"""The chat example's messages, on a real server."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from bocadillo.testing import LiveServer
from examples.chat import app as chat
from tests.channels.redis_server import RedisServer, require_redis

# Where the wait is for something that must come.
TIMEOUT_S = 10


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer(chat.app) as server:
        yield server


def enter(server: LiveServer, room: str, name: str, **options: Any) -> ClientConnection:
    """Connect to a room; the welcome is not read yet."""
    path = f"/chat/{quote(room, safe='')}?{urlencode({'name': name})}"
    member: ClientConnection = connect(server.ws_url(path), **options)
    return member


@contextmanager
def inside(server: LiveServer, room: str, *names: str) -> Iterator[list[ClientConnection]]:
    """Bring people into a room, one after the other; all have heard of all who came."""
    with ExitStack() as stack:
        people: list[ClientConnection] = []
        for name in names:
            newcomer = stack.enter_context(enter(server, room, name))
            hear(newcomer, 2)
            for member in people:
                hear(member)
            people.append(newcomer)
        yield people


def hear(member: ClientConnection, count: int = 1) -> list[dict[str, Any]]:
    """Return the next messages."""
    return [json.loads(member.recv(timeout=TIMEOUT_S)) for _ in range(count)]


def say(member: ClientConnection, text: str) -> None:
    member.send(json.dumps({"text": text}))


def without_time(heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages without the times of what was said, which have to be there."""
    assert all(isinstance(known["at"], float) for known in heard if known["type"] == "said")
    return [{key: value for key, value in known.items() if key != "at"} for known in heard]


def test_newcomer_learns_its_name_and_who_is_here(server: LiveServer) -> None:
    """A page can show who one is, and whom one talks to, from the first moment."""
    with enter(server, "welcome", "Ada") as ada:
        first = hear(ada, 2)
        with enter(server, "welcome", "Bob") as bob:
            heard = hear(bob, 2)

    assert first[0] == {"type": "welcome", "name": "Ada"}
    assert heard == [
        {"type": "welcome", "name": "Bob"},
        {"type": "came", "name": "Bob", "here": ["Ada", "Bob"]},
    ]


def test_room_is_told_who_comes_and_who_leaves(server: LiveServer) -> None:
    """The list of people stays true without anybody asking."""
    with inside(server, "doors", "Ada") as [ada]:
        with enter(server, "doors", "Bob"):
            came = hear(ada)
        left = hear(ada)

    assert came == [{"type": "came", "name": "Bob", "here": ["Ada", "Bob"]}]
    assert left == [{"type": "left", "name": "Bob", "here": ["Ada"]}]


def test_lost_connection_counts_as_leaving(server: LiveServer) -> None:
    """A phone that drops off the network does not stay in the list."""
    with inside(server, "tunnel", "Ada", "Bob") as [ada, bob]:
        bob.socket.shutdown(socket.SHUT_RDWR)
        left = hear(ada)

    assert left == [{"type": "left", "name": "Bob", "here": ["Ada"]}]


def test_what_is_said_reaches_everybody_in_the_room_and_nobody_else(server: LiveServer) -> None:
    """Rooms are rooms."""
    with (
        inside(server, "here", "Ada", "Bob") as [ada, bob],
        inside(server, "elsewhere", "Eve") as [eve],
    ):
        say(ada, "  <b>hello</b> ")
        heard_by_ada, heard_by_bob = hear(ada), hear(bob)
        say(eve, "alone")
        heard_by_eve = hear(eve)

    assert without_time(heard_by_ada) == [{"type": "said", "name": "Ada", "text": "<b>hello</b>"}]
    assert heard_by_bob == heard_by_ada
    assert without_time(heard_by_eve) == [{"type": "said", "name": "Eve", "text": "alone"}]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("{", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", "Input should be an object"),
        ("{}", "Field required"),
        ('{"text": 1}', "Input should be a valid string"),
        ('{"text": " "}', "String should have at least 1 character"),
        (json.dumps({"text": "x" * 2001}), "String should have at most 2000 characters"),
    ],
)
def test_unusable_message_is_answered_and_the_connection_stays(
    server: LiveServer, payload: str, reason: str
) -> None:
    """A slip of one message does not throw anybody out, and the others see nothing of it."""
    room = f"slips {hash(payload)}"
    with inside(server, room, "Ada", "Bob") as [ada, bob]:
        ada.send(payload)
        say(ada, "still here")

        said = {"type": "said", "name": "Ada", "text": "still here"}
        refused, after = hear(ada, 2)
        assert refused["type"] == "refused"
        assert refused["reason"].startswith(reason)
        assert without_time([after, *hear(bob)]) == [said, said]


def test_longest_text_that_is_allowed_gets_through(server: LiveServer) -> None:
    """The limit is the one that the error message names, in characters, not bytes."""
    text = "🥪" * 2000

    with inside(server, "long", "Ada") as [ada]:
        say(ada, text)
        heard = hear(ada)

    assert without_time(heard) == [{"type": "said", "name": "Ada", "text": text}]


def test_name_that_is_taken_gets_a_number_until_it_is_free(server: LiveServer) -> None:
    """Nobody is refused, or mistaken for somebody else in the room, for a common name."""
    with inside(server, "names", "Ada") as [first]:
        with enter(server, "names", "Ada") as second, enter(server, "names", "Ada") as third:
            numbered = [hear(second)[0]["name"], hear(third)[0]["name"]]
        while hear(first)[0].get("here") != ["Ada"]:
            pass
        with enter(server, "names", "Ada") as fourth:
            again = hear(fourth)[0]["name"]

    assert sorted(numbered) == ["Ada (2)", "Ada (3)"]
    assert again == "Ada (2)"


def test_without_a_name_one_is_somebody(server: LiveServer) -> None:
    """A client may leave the query out."""
    with connect(server.ws_url("/chat/anonymous")) as ws:
        assert hear(ws) == [{"type": "welcome", "name": "Somebody"}]


@pytest.mark.parametrize(
    ("room", "name", "loc"),
    [
        ("tea", "x" * 33, ["query", "name"]),
        ("tea", "  ", ["query", "name"]),
        ("x" * 33, "Ada", ["path", "room_name"]),
    ],
)
def test_bad_name_or_room_is_refused_before_anything_is_open(
    server: LiveServer, room: str, name: str, loc: list[str]
) -> None:
    """Nobody in the room is bothered with a name that no page can show."""
    with pytest.raises(InvalidStatus) as refusal, enter(server, room, name):
        pass

    assert refusal.value.response.status_code == 400
    assert json.loads(refusal.value.response.body or b"")["errors"][0]["loc"] == loc


def test_who_comes_late_gets_what_was_said_before(server: LiveServer) -> None:
    """Oldest first, behind the welcome, and without those who came and left."""
    with inside(server, "late", "Ada") as [ada]:
        for text in ("one", "two"):
            say(ada, text)
        said = hear(ada, 2)

    with enter(server, "late", "Bob") as bob:
        heard = hear(bob, 4)

    assert [known["type"] for known in heard] == ["welcome", "said", "said", "came"]
    assert heard[1:3] == said


def test_history_of_a_room_is_bounded(server: LiveServer) -> None:
    """A room that is talked in for months does not fill the memory, nor who comes in."""
    with inside(server, "long ago", "Ada") as [ada]:
        for number in range(chat.SHOWN + 3):
            say(ada, str(number))
        hear(ada, chat.SHOWN + 3)

    with enter(server, "long ago", "Bob") as bob:
        heard = hear(bob, chat.SHOWN + 2)

    texts = [known["text"] for known in heard if known["type"] == "said"]
    assert texts == [str(number) for number in range(3, chat.SHOWN + 3)]


def test_member_that_reads_nothing_is_closed_and_the_others_talk_on(server: LiveServer) -> None:
    """A frozen browser, or a hostile one, does not silence a room."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", server.port))

    with (
        inside(server, "frozen", "Ada") as [ada],
        enter(server, "frozen", "Frozen", sock=narrow, max_queue=1, compression=None) as frozen,
    ):
        hear(ada)
        said, left = 0, None
        while left is None and said < 9000:
            say(ada, f"{said} {'🥪' * 1900}")
            said += 1
            [heard] = hear(ada)
            if heard["type"] == "left":
                left = heard
                [heard] = hear(ada)
            assert heard["text"].startswith(f"{said - 1} ")

        assert left == {"type": "left", "name": "Frozen", "here": ["Ada"]}
        with pytest.raises(ConnectionClosed) as closed:  # as soon as it reads again
            hear(frozen, said + 3)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


def test_room_is_one_on_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two who talk to each other may be served by different workers."""
    require_redis()
    redis = RedisServer(tmp_path)
    redis.start()
    monkeypatch.setenv("BROKER", redis.url)
    path = "examples.chat.app:app"
    try:
        with (
            LiveServer(path, process=True) as one,
            LiveServer(path, process=True) as two,
            inside(one, "far", "Ada") as [ada],
        ):
            with enter(two, "far", "Ada") as other:
                welcome, came = hear(other, 2)
                say(other, "hello")
                heard = hear(other)

            assert welcome == {"type": "welcome", "name": "Ada (2)"}
            assert came == {"type": "came", "name": "Ada (2)", "here": ["Ada", "Ada (2)"]}
            # There is no order between who comes and what is said.
            told = {known["type"]: known for known in hear(ada, 3)}
            assert told["came"] == came
            assert [told["said"]] == heard
            assert told["left"] == {"type": "left", "name": "Ada (2)", "here": ["Ada"]}
    finally:
        redis.kill()


def test_empty_rooms_are_forgotten() -> None:
    """A server that runs for months does not remember the names of all who ever came."""
    with LiveServer(chat.app) as server:
        for number in range(3):
            with inside(server, f"short {number}", "Ada"):
                pass

    assert not [name for name in chat.names if name.startswith("room:short")]


@pytest.mark.parametrize("path", ["/", "/chat.css", "/chat.js", "/connection.js"])
def test_page_and_its_parts_are_served(server: LiveServer, path: str) -> None:
    """One command serves all of the example."""
    answer = requests.get(server.url(path), timeout=TIMEOUT_S)

    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/app.py", "/../app.py", "/README.md"])
def test_nothing_but_the_page_is_served(server: LiveServer, path: str) -> None:
    """Whoever copies the example does not publish the source by it."""
    answer = requests.get(server.url(path), timeout=TIMEOUT_S)

    assert answer.status_code == 404


def test_unknown_path_is_refused_as_not_found(server: LiveServer) -> None:
    """The page's files do not stand in the way of WebSocket routing."""
    with pytest.raises(InvalidStatus) as refusal, connect(server.ws_url("/chats/tea")):
        pass

    assert refusal.value.response.status_code == 404
