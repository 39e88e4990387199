"""The chat by events: in process, and once on a real server."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_for_real

from bocadillo.testing import Connection, ConnectionClosed, HandshakeRefused, LiveServer, connect
from examples import events_chat
from examples.events_chat import app

# Where the wait is for something that must come.
TIMEOUT_S = 10

Scenario = Callable[[], Coroutine[Any, Any, None]]


def in_process(scenario: Scenario) -> None:
    """Run a scenario, which leaves no room behind."""
    asyncio.run(scenario())

    assert events_chat.rooms == {}


@pytest.fixture(autouse=True)
def rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test see the rooms of one that failed."""
    monkeypatch.setattr(events_chat, "rooms", {})


@asynccontextmanager
async def entered(room: str, *names: str) -> AsyncIterator[list[Connection]]:
    """Connect people who have joined a room, and have heard of those who came after them."""
    people: list[Connection] = []
    async with AsyncExitStack() as stack:
        for name in names:
            person = await stack.enter_async_context(connect(app, f"/chat/{quote(name)}"))
            await ask(person, type="join", room=room)
            for earlier in people:
                assert (await earlier.receive_json())["type"] == "came"
            people.append(person)
        yield people


async def ask(person: Connection, **message: Any) -> Any:
    """Send a message, and return what comes next."""
    await person.send_json(message)
    return await person.receive_json()


def test_who_joins_learns_who_is_here_and_the_others_are_told() -> None:
    """The list of people stays true without anybody asking."""

    async def scenario() -> None:
        async with entered("tea", "Ada") as [ada], connect(app, "/chat/Bob") as bob:
            joined = await ask(bob, type="join", room="tea", ref=1)

            assert joined == {"type": "join", "ref": 1, "room": "tea", "here": ["Ada", "Bob"]}
            assert await ada.receive_json() == {
                "type": "came",
                "name": "Bob",
                "room": "tea",
                "here": ["Ada", "Bob"],
            }

    in_process(scenario)


def test_what_is_said_reaches_everybody_in_the_room_and_nobody_else() -> None:
    """Rooms are rooms; only the speaker's copy has the ref."""

    async def scenario() -> None:
        async with entered("tea", "Ada", "Bob") as [ada, bob], entered("soup", "Eve") as [eve]:
            said = {"type": "said", "name": "Ada", "text": "hello"}

            assert await ask(ada, type="say", text=" hello ", ref="a") == {"ref": "a", **said}
            assert await bob.receive_json() == said
            assert (await ask(eve, type="who"))["here"] == ["Eve"]

    in_process(scenario)


def test_whisper_reaches_one() -> None:
    """What is meant for one is seen by nobody else, and is no part of the history."""

    async def scenario() -> None:
        async with entered("tea", "Ada", "Bob", "Eve") as [ada, bob, eve]:
            whispered = {"type": "whispered", "name": "Ada", "text": "psst"}

            assert await ask(ada, type="whisper", to="Bob", text="psst") == whispered
            assert await bob.receive_json() == whispered
            assert await ask(eve, type="history", ref=1) == {
                "type": "history",
                "ref": 1,
                "end": True,
            }

    in_process(scenario)


def test_whisper_to_nobody_is_an_error() -> None:
    """The client can show the slip at the field that it is in."""

    async def scenario() -> None:
        async with entered("tea", "Ada") as [ada], entered("soup", "Bob"):
            answer = await ask(ada, type="whisper", to="Bob", text="psst", ref=2)

            error = {
                "loc": ["to"],
                "msg": "Bob is not in this room",
                "type": "unknown_recipient",
                "ctx": {"given": "Bob"},
            }
            assert answer == {"type": "error", "ref": 2, "errors": [error]}

    in_process(scenario)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "leave"},
        {"type": "say", "text": "hello"},
        {"type": "whisper", "to": "Bob", "text": "psst"},
        {"type": "who"},
        {"type": "history"},
    ],
    ids=lambda message: message["type"],
)
def test_whoever_is_in_no_room_is_told_to_join_one(message: dict[str, Any]) -> None:
    """And may do so then: the connection stays open."""

    async def scenario() -> None:
        async with connect(app, "/chat/Ada") as ada:
            [error] = (await ask(ada, **message))["errors"]

            assert error["type"] == "not_in_a_room"
            assert (await ask(ada, type="join", room="tea"))["here"] == ["Ada"]

    in_process(scenario)


@pytest.mark.parametrize(
    ("message", "loc", "kind"),
    [
        ({"type": "say"}, ["text"], "missing"),
        ({"type": "say", "text": " "}, ["text"], "string_too_short"),
        ({"type": "say", "text": "x" * 2001}, ["text"], "string_too_long"),
        ({"type": "say", "text": "x", "loud": True}, ["loud"], "extra_forbidden"),
        ({"type": "join", "room": "x" * 33}, ["room"], "string_too_long"),
        ({"type": "history", "limit": 0}, ["limit"], "greater_than_equal"),
        ({"type": "shout", "text": "hello"}, ["type"], "unknown_event"),
        ([], [], "object_type"),
    ],
)
def test_unusable_message_is_answered_and_the_connection_stays(
    message: object, loc: list[str], kind: str
) -> None:
    """A slip of one message does not throw anybody out, and the others see nothing of it."""

    async def scenario() -> None:
        async with entered("tea", "Ada", "Bob") as [ada, bob]:
            await ada.send_json(message)
            [error] = (await ada.receive_json())["errors"]
            await ask(ada, type="say", text="still here")

            assert (error["loc"], error["type"]) == (loc, kind)
            assert (await bob.receive_json())["text"] == "still here"

    in_process(scenario)


def test_history_is_the_last_that_was_said_oldest_first() -> None:
    """Who comes late can read up, and knows by the end that there is no more."""

    async def scenario() -> None:
        async with entered("tea", "Ada") as [ada]:
            for text in ("one", "two", "three"):
                await ask(ada, type="say", text=text)

            await ada.send_json({"type": "history", "limit": 2, "ref": 7})
            heard = [await ada.receive_json() for _ in range(3)]

        assert [item.get("text") for item in heard] == ["two", "three", None]
        assert [item["ref"] for item in heard] == [7, 7, 7]
        assert heard[-1]["end"] is True

    in_process(scenario)


def test_room_is_told_who_leaves() -> None:
    """Whether one says so, goes to another room, or is gone."""

    async def scenario() -> None:
        async with entered("tea", "Ada", "Bob", "Eve", "Dan") as [ada, bob, eve, dan]:
            assert await ask(bob, type="leave") == {
                "type": "leave",
                "room": "tea",
                "here": ["Ada", "Eve", "Dan"],
            }
            await eve.receive_json()
            await ask(eve, type="join", room="soup")
            await dan.close(4000)
            left = [await ada.receive_json() for _ in range(3)]

        assert [item["type"] for item in left] == ["left"] * 3
        assert [item["name"] for item in left] == ["Bob", "Eve", "Dan"]
        assert left[-1]["here"] == ["Ada"]

    in_process(scenario)


def test_nobody_is_mistaken_for_somebody_else_in_a_room() -> None:
    """A name that is taken is refused, and one stays where one was."""

    async def scenario() -> None:
        async with entered("tea", "Ada"), entered("soup", "Ada") as [other]:
            [error] = (await ask(other, type="join", room="tea"))["errors"]

            assert (error["loc"], error["type"]) == (["room"], "name_taken")
            assert (await ask(other, type="who"))["room"] == "soup"

    in_process(scenario)


def test_empty_room_is_forgotten_with_its_history() -> None:
    """A server that runs for months does not remember every room there ever was."""

    async def scenario() -> None:
        async with entered("tea", "Ada") as [ada]:
            await ask(ada, type="say", text="hello")
            await ask(ada, type="leave")
            assert events_chat.rooms == {}

            await ask(ada, type="join", room="tea")
            assert (await ask(ada, type="history", ref=1))["end"] is True

    in_process(scenario)


@pytest.mark.parametrize("name", ["%20", "x" * 33])
def test_bad_name_is_refused_before_anything_is_open(name: str) -> None:
    """Nobody in a room is bothered with a name that no page can show."""

    async def scenario() -> None:
        with pytest.raises(HandshakeRefused) as refused:
            async with connect(app, f"/chat/{name}"):
                pass
        assert refused.value.status == 400

    in_process(scenario)


def test_member_that_takes_nothing_is_closed_and_the_others_talk_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A frozen browser, or a hostile one, does not silence a room."""
    monkeypatch.setattr(events_chat, "PATIENCE_S", 0.01)

    async def stuck(self: events_chat.Chat, response: Any) -> None:
        if self.me == "Frozen" and getattr(response, "type", "") == "said":
            await asyncio.Event().wait()
        await unstuck(self, response)

    unstuck = events_chat.Chat.send_json
    monkeypatch.setattr(events_chat.Chat, "send_json", stuck)

    async def scenario() -> None:
        async with entered("tea", "Ada", "Frozen") as [ada, frozen]:
            assert (await ask(ada, type="say", text="hello"))["text"] == "hello"
            with pytest.raises(ConnectionClosed) as closed:
                await frozen.receive()
            assert closed.value.code == 1013
            assert (await ada.receive_json())["type"] == "left"

    in_process(scenario)


# On a real server


def hear(person: ClientConnection) -> Any:
    return json.loads(person.recv(timeout=TIMEOUT_S))


def tell(person: ClientConnection, **message: Any) -> None:
    person.send(json.dumps(message))


def test_chat_on_a_real_server() -> None:
    """What the docstring says can be tried, and a lost connection counts as leaving."""
    with LiveServer(app) as server:
        url = server.ws_url("/chat/")
        with connect_for_real(url + "Ada") as ada, connect_for_real(url + "Bob") as bob:
            for person in (ada, bob):
                tell(person, type="join", room="tea")
                assert hear(person)["type"] == "join"
            assert hear(ada)["type"] == "came"

            tell(bob, type="say", text="hello", ref=1)
            assert hear(bob)["ref"] == 1
            assert hear(ada) == {"type": "said", "name": "Bob", "text": "hello"}
            tell(ada, type="whisper", to="Bob", text="psst")
            assert hear(ada) == hear(bob)
            bob.send("{")
            assert hear(bob)["errors"][0]["type"] == "json_invalid"
            tell(bob, type="history", ref=2)
            assert [hear(bob).get("end") for _ in range(2)] == [None, True]

            bob.socket.shutdown(socket.SHUT_RDWR)
            assert hear(ada) == {"type": "left", "name": "Bob", "room": "tea", "here": ["Ada"]}

    assert "tea" not in events_chat.rooms
