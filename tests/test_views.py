"""Functions become views, or are refused with a hint where they are registered."""

import functools
from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from bocadillo import ConfigurationError, ExpectedAsync, WebSocket
from bocadillo.codecs import BYTES, TEXT
from bocadillo.views import View, ViewOptions


class Message(TypedDict):
    id: int


class Incoming(BaseModel):
    id: int


class Outgoing(BaseModel):
    text: str


async def plain(ws: WebSocket) -> None: ...


async def typed(ws: WebSocket[Incoming, Outgoing]) -> None: ...


async def typed_both(ws: WebSocket[Incoming]) -> None: ...


async def typed_by_string(ws: "WebSocket[Incoming, Outgoing]") -> None: ...


async def typed_and_annotated(ws: Annotated[WebSocket[Incoming, Outgoing], "mine"]) -> None: ...


async def typed_as_text(ws: WebSocket[str, bytes]) -> None: ...


def types_of(view: View) -> tuple[Any, Any]:
    return (
        getattr(view.receive_codec, "value_type", None),
        getattr(view.send_codec, "value_type", None),
    )


@pytest.mark.parametrize(
    ("handler", "types"),
    [
        (plain, ("text", "text")),
        (typed, (Incoming, Outgoing)),
        (typed_both, (Incoming, Incoming)),
        (typed_by_string, (Incoming, Outgoing)),
        (typed_and_annotated, (Incoming, Outgoing)),
        (typed_as_text, ("text", "bytes")),
    ],
)
def test_value_types_are_taken_from_the_annotation(handler: Any, types: Any) -> None:
    """`ws: WebSocket[Incoming, Outgoing]` says it all, to mypy and to the route."""
    assert types_of(View(handler)) == types


def test_options_win_over_the_annotation() -> None:
    """One of the two may be given by the route."""
    view = View(typed, options=ViewOptions(send_type=Incoming))

    assert types_of(view) == (Incoming, Incoming)
    assert types_of(View(plain, options=ViewOptions(value_type="json"))) == ("json", "json")
    assert types_of(View(plain, options=ViewOptions(receive_type="bytes"))) == ("bytes", "text")


@pytest.mark.parametrize("name", ["text", "bytes", "json", "msgpack", "event"])
def test_a_name_beside_a_model_in_the_annotation_is_refused(name: str) -> None:
    """The annotation would promise what never comes."""
    with pytest.raises(ConfigurationError, match=f"value type '{name}' does not give .*Incoming"):
        View(typed, options=ViewOptions(value_type=name))


def test_a_name_that_agrees_with_the_annotation_is_fine() -> None:
    """Saying it twice is no error."""
    view = View(typed_as_text, options=ViewOptions(receive_type="text", send_type="bytes"))

    assert (view.receive_codec, view.send_codec) == (TEXT, BYTES)


async def as_union(ws: WebSocket[int | Incoming]) -> None: ...


def test_a_model_in_a_union_is_a_model() -> None:
    """JSON gives the one, but not the other."""
    with pytest.raises(ConfigurationError, match="'json' does not give"):
        View(as_union, options=ViewOptions(value_type="json"))


async def as_mapping(ws: WebSocket[Mapping[str, int], dict[str, Any]]) -> None: ...


async def as_typed_dict(ws: WebSocket[Message, Any]) -> None: ...


@pytest.mark.parametrize("handler", [as_mapping, as_typed_dict])
def test_a_name_that_gives_what_the_annotation_says_is_fine(handler: Any) -> None:
    """JSON objects are dicts, whatever mypy is told of their keys."""
    assert types_of(View(handler, options=ViewOptions(value_type="json"))) == ("json", "json")


def test_the_codec_is_made_once_for_all_connections() -> None:
    """A pydantic schema takes milliseconds to build."""
    view = View(typed)

    assert view.receive_codec is view.receive_codec
    assert view.receive_codec is not View(typed).receive_codec


def sync_view(ws: WebSocket) -> None: ...


class SyncHandle:
    def handle(self) -> None: ...


async def generator(ws: WebSocket) -> Any:
    yield


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (sync_view, r"view sync_view\(\) must be async: write `async def sync_view\(ws\)`"),
        (functools.partial(sync_view), r"view sync_view\(\) must be async"),
        (lambda ws: None, r"must be async"),
        (generator, r"view generator\(\) must be async"),
        (SyncHandle, r"view SyncHandle.handle\(\) must be async: write `async def handle"),
        (7, "a view must be an `async def` function or a class with `handle`, got 7"),
    ],
)
def test_what_is_not_async_is_refused_with_a_hint(handler: Any, message: str) -> None:
    """At import, not at the first connection."""
    with pytest.raises(ExpectedAsync, match=message):
        View(handler)


@pytest.mark.parametrize("subprotocols", ["v1", [1], [""]])
def test_subprotocols_that_are_no_names_are_refused(subprotocols: Any) -> None:
    """A single string would be taken for its letters."""
    with pytest.raises(ConfigurationError, match="subprotocols takes names"):
        View(plain, options=ViewOptions(subprotocols=subprotocols))


def test_a_view_tells_its_name() -> None:
    """Frameworks name a copied route by the endpoint's `__name__`."""
    assert View(plain).__name__ == "plain"
    assert repr(View(plain, name="other")) == "<View other>"
    assert View(functools.partial(plain)).name == "plain"


def test_a_wrong_value_type_names_the_view() -> None:
    """The traceback ends in the framework; the message must not."""
    with pytest.raises(ConfigurationError, match=r"view plain\(\): unknown value type 'jason'"):
        View(plain, options=ViewOptions(value_type="jason"))
