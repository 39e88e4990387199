"""The request target of a connection, and what routing made of it."""

import copy
import pickle
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute

from bocadillo.paths import RoutedPath, routed_path
from tests.fakes import FakeServer


def path_of(**scope: Any) -> RoutedPath:
    return RoutedPath.of(FakeServer(**scope).scope)


async def view(ws: Any) -> None: ...


# Text


@pytest.mark.parametrize(
    ("raw_path", "query", "text"),
    [
        (b"/", b"", "/"),
        (b"/rooms/7", b"", "/rooms/7"),
        (b"/rooms/7", b"limit=5&limit=6", "/rooms/7?limit=5&limit=6"),
        (b"/caf%C3%A9/a%2Fb", b"q=%C3%A9+x", "/caf%C3%A9/a%2Fb?q=%C3%A9+x"),
        (b"/a//b/../c", b"?", "/a//b/../c??"),
        (b"/", b"%", "/?%"),
        (b"/\xe9", b"\xff", "/\xe9?\xff"),
        (b"", b"", ""),
    ],
)
def test_a_path_is_the_target_as_it_was_sent(raw_path: bytes, query: bytes, text: str) -> None:
    """Logs, signatures and proxies see what the client wrote, nothing decoded or put in order."""
    path = path_of(path="/decoded", raw_path=raw_path, query_string=query)

    assert path == text
    assert hash(path) == hash(text)
    assert {text: 1}[path] == 1
    assert f"{path}" == text


@pytest.mark.parametrize(
    ("decoded", "query", "text"),
    [
        ("/rooms/7", b"", "/rooms/7"),
        ("/café/a b", b"x=1", "/caf%C3%A9/a%20b?x=1"),
        ("/what?", b"x=1", "/what%3F?x=1"),
    ],
)
@pytest.mark.parametrize("missing", [True, False], ids=["no raw_path", "None"])
def test_without_a_raw_path_the_decoded_one_is_quoted(
    missing: bool, decoded: str, query: bytes, text: str
) -> None:
    """The ASGI specification leaves `raw_path` to the server, and lets it be None."""
    scope = FakeServer(path=decoded, query_string=query, raw_path=None).scope
    if missing:
        del scope["raw_path"]

    assert RoutedPath.of(scope) == text


def test_without_a_query_string_there_is_no_question_mark() -> None:
    """A scope that a test wrote by hand may lack it."""
    assert RoutedPath.of({"type": "websocket", "path": "/a"}) == "/a"


@given(st.text(st.characters(codec="utf-8")), st.binary())
def test_any_target_is_text(decoded: str, query: bytes) -> None:
    """A path must never be the reason that a handshake fails."""
    raw_path = quote(decoded).encode()

    path = path_of(path=decoded, raw_path=raw_path, query_string=query)

    assert path == path_of(path=decoded, raw_path=None, query_string=query)
    assert path.encode("latin-1") == raw_path + (b"?" + query if query else b"")


def test_what_is_made_of_a_path_is_plain_text() -> None:
    """A part of a target has no parameters, and no attribute that would be missing."""
    path = path_of(raw_path=b"/rooms/7", query_string=b"limit=5")

    assert isinstance(path, str)
    for part in (path[:6], path[:], path.partition("?")[0], path + "", path.lower(), str(path)):
        assert type(part) is str
    assert path.partition("?") == ("/rooms/7", "?", "limit=5")


def test_a_path_takes_no_other_attributes() -> None:
    """What is shared belongs into `context`; a misspelt attribute is an error."""
    with pytest.raises(AttributeError):
        path_of().contxt = {}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda path: pickle.loads(pickle.dumps(path))]
)
def test_a_path_can_be_copied(clone: Any) -> None:
    """It may go to a task queue with the values that came with it."""
    path = path_of(raw_path=b"/rooms/7", path_params={"id": 7})

    twin = clone(path)

    assert twin == path
    assert (twin.params, twin.context, twin.route) == ({"id": 7}, {}, None)


# What routing made of it


def test_a_path_has_the_parameters_that_routing_found() -> None:
    """Converted, as `{id:int}` said."""
    path = path_of(path_params={"id": 7, "name": "a"}, raw_path=b"/rooms/7/a")

    assert path.params == {"id": 7, "name": "a"}
    assert path_of().params == {}


def test_the_query_string_adds_no_parameters() -> None:
    """A client cannot slip in a path parameter, nor replace one."""
    path = path_of(path_params={"id": 7}, query_string=b"id=8&is_admin=1")

    assert path.params == {"id": 7}


def test_parameters_are_a_dict_of_their_own() -> None:
    """What is changed in one place does not change what routing found."""
    scope = FakeServer(path_params={"id": 7}).scope

    RoutedPath.of(scope).params["id"] = 8

    assert scope["path_params"] == {"id": 7}


def test_a_path_tells_its_route() -> None:
    """Where the framework tells it; None where it does not."""
    route = WebSocketRoute("/rooms/{id}", view)

    assert path_of(route=route).route is route
    assert path_of().route is None


# One path for each connection


def test_a_connection_has_one_path() -> None:
    """What a hook writes into `context`, the view finds there."""
    ws = FakeServer(raw_path=b"/a", query_string=b"b").websocket()

    routed_path(ws).context["user"] = "Ada"

    assert routed_path(ws) is routed_path(ws)
    assert routed_path(ws) == "/a?b"
    assert routed_path(ws).context == {"user": "Ada"}


def test_connections_share_no_context() -> None:
    """Two clients at one path are two clients."""
    server = FakeServer()
    first, second = server.websocket(), HTTPConnection(server.scope)

    routed_path(first).context["user"] = "Ada"

    assert routed_path(second).context == {}
    assert routed_path(second) == routed_path(first)
