"""What a signature asks for, and what a URL can give."""

import dataclasses
import datetime
import decimal
import enum
import functools
import json
import pathlib
import uuid
from collections import deque
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Mapping,
    MutableSequence,
    MutableSet,
    Sequence,
)
from collections.abc import Set as AbstractSet
from types import ModuleType
from typing import Annotated, Any, Literal, NewType, Optional, Protocol, TypeVar
from urllib.parse import quote, urlencode

import annotated_types
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket as StarletteWebSocket
from typing_extensions import TypedDict

from bocadillo.errors import ConfigurationError, InvalidParameters
from bocadillo.hints import name_of, resolve_hints, value_types_of
from bocadillo.params import CallPlan
from bocadillo.paths import RoutedPath, routed_path
from bocadillo.websockets import WebSocket
from tests.fakes import FakeServer, run

AnyWebSocket = WebSocket[Any, Any]
Handler = Callable[..., Any]
T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    FIVE = 5


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    A = "a"


class Model(pydantic.BaseModel):
    size: int = 1


@dataclasses.dataclass
class Record:
    size: int = 1


class Keys(TypedDict):
    size: int


class Special(WebSocket[Any, Any]):
    pass


class Keyed(Protocol):
    def keys(self) -> Any: ...


Positive = Annotated[int, annotated_types.Ge(1)]
UserId = NewType("UserId", int)
Rank = NewType("Rank", Level)
Choice: Any = NewType("Choice", Literal["a", 1])  # type: ignore[misc,valid-newtype]


def connection(query: str | bytes = "", path: Mapping[str, Any] | None = None) -> AnyWebSocket:
    raw = query if isinstance(query, bytes) else query.encode("latin-1")
    return FakeServer(query_string=raw, path_params=dict(path or {})).websocket()


def bound(
    handler: Handler, query: str | bytes = "", path: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the keyword arguments that a handler is called with."""
    call = CallPlan(handler, [*(path or {})]).bind(connection(query, path))
    assert call.args == []
    return call.kwargs


def errors(
    handler: Handler, query: str | bytes = "", path: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    plan = CallPlan(handler, [*(path or {})])
    with pytest.raises(InvalidParameters) as caught:
        plan.bind(connection(query, path))
    return caught.value.errors


def refusal(handler: Handler, path_params: Sequence[str] = ()) -> str:
    with pytest.raises(ConfigurationError) as caught:
        CallPlan(handler, path_params)
    return str(caught.value)


def asking(hint: Any, default: Any = None) -> Handler:
    """Return a handler with one query parameter, `value`."""

    async def view(value: Any = default) -> None: ...

    view.__annotations__["value"] = hint
    return view


def kind(value: Any) -> str:
    """Return an id for pytest that is the same in every process."""
    return getattr(value, "__name__", type(value).__name__)


# Values by annotation


SCALARS: list[tuple[Any, str, Any]] = [
    (int, "20", 20),
    (int, "-1", -1),
    (float, "1.5", 1.5),
    (float, "1", 1.0),
    (bool, "true", True),
    (bool, "0", False),
    (bool, "off", False),
    (str, "20", "20"),
    (str, "", ""),
    (Any, "20", "20"),
    (object, "20", "20"),
    (uuid.UUID, str(uuid.UUID(int=7)), uuid.UUID(int=7)),
    (datetime.date, "2020-01-02", datetime.date(2020, 1, 2)),
    (datetime.datetime, "2020-01-02T03:04:05Z",
     datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)),
    (datetime.time, "12:30", datetime.time(12, 30)),
    (decimal.Decimal, "1.10", decimal.Decimal("1.10")),
    (pathlib.Path, "a/b", pathlib.Path("a/b")),
    (Color, "red", Color.RED),
    (Color, "5", Color.FIVE),
    (Level, "2", Level.HIGH),
    (Word, "a", Word.A),
    (Literal["a", 1, False], "a", "a"),
    (Literal["a", 1, False], "1", 1),
    (Literal["a", 1, False], "False", False),
    (Literal[Level.HIGH], "2", Level.HIGH),
    (int | None, "1", 1),
    (Optional[int], "1", 1),  # noqa: UP045
    (Level | str, "2", Level.HIGH),
    (Level | str, "x", "x"),
    (Positive, "1", 1),
    (Annotated[Level, "a note"], "1", Level.LOW),
    (Annotated[int, pydantic.Field(le=5)], "5", 5),
    (Annotated[int | None, annotated_types.Ge(1)], "3", 3),
    (UserId, "7", 7),
    (Rank, "2", Level.HIGH),
    (Choice, "1", 1),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "text", "value"), SCALARS, ids=str)
def test_a_query_parameter_is_converted_by_its_annotation(hint: Any, text: str, value: Any) -> None:
    """Handlers work with values, not with text."""
    given_value = bound(asking(hint), urlencode({"value": text}))["value"]

    assert given_value == value
    assert type(given_value) is type(value)


@pytest.mark.parametrize(("hint", "text", "value"), SCALARS, ids=str)
def test_a_path_parameter_is_converted_by_its_annotation(hint: Any, text: str, value: Any) -> None:
    """Path and query follow the same rules."""
    given_value = bound(asking(hint), path={"value": text})["value"]

    assert given_value == value
    assert type(given_value) is type(value)


@pytest.mark.parametrize(
    ("hint", "given_value"),
    [
        (int, 7),
        (float, 1.5),
        (uuid.UUID, uuid.UUID(int=7)),
        (Level, 2),
        (Literal[1, 2], 2),
        (Any, 7),
    ],
)
def test_what_starlettes_converters_give_is_taken(hint: Any, given_value: Any) -> None:
    """`/items/{id:int}` with `id: int` converts twice and changes nothing."""
    value = bound(asking(hint), path={"value": given_value})["value"]

    assert value == given_value
    assert hint in (Any, Literal[1, 2]) or isinstance(value, hint)


@pytest.mark.parametrize("given_value", [7, "7"], ids=repr)
def test_a_path_parameter_that_is_to_be_text_is_text(given_value: Any) -> None:
    """`{id:int}` checks the digits, `id: str` wants them as they print."""
    assert bound(asking(str), path={"value": given_value}) == {"value": "7"}


@pytest.mark.parametrize(
    ("hint", "query", "value"),
    [
        (list[int], "value=1&value=2", [1, 2]),
        (list[int], "value=1", [1]),
        (list, "value=a&value=b", ["a", "b"]),
        (set[int], "value=1&value=1&value=2", {1, 2}),
        (frozenset[str], "value=a", frozenset({"a"})),
        (tuple[int, ...], "value=1&value=2", (1, 2)),
        (tuple[int, str], "value=1&value=2", (1, "2")),
        (list[Level], "value=1&value=2", [Level.LOW, Level.HIGH]),
        (list[int] | None, "value=1&value=2", [1, 2]),
        (Annotated[list[Positive], pydantic.Field(max_length=2)], "value=1&value=2", [1, 2]),
    ],
)
def test_a_repeated_key_fills_a_collection(hint: Any, query: str, value: Any) -> None:
    """`?tag=a&tag=b` is a list where the handler says so."""
    assert bound(asking(hint), f"other=9&{query}") == {"value": value}


Ids = NewType("Ids", list[int])


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Sequence[int], [1, 2]),
        (MutableSequence[int], [1, 2]),
        (Collection[int], [1, 2]),
        (AbstractSet[int], {1, 2}),
        (MutableSet[int], {1, 2}),
        (deque[int], deque([1, 2])),
        (Sequence, ["1", "2"]),
        (Collection, ["1", "2"]),
        (Ids, [1, 2]),
        (NewType("MoreIds", Ids), [1, 2]),
        (Ids | None, [1, 2]),
        (Annotated[Sequence[int], "a note"], [1, 2]),
        (Sequence[Literal[1, 2]], [1, 2]),
        (Collection[Level], [Level.LOW, Level.HIGH]),
        (list[UserId], [1, 2]),
    ],
    ids=str,
)
def test_a_collection_of_another_name_is_filled(hint: Any, value: Any) -> None:
    """A handler that only reads need not say `list`."""
    assert bound(asking(hint), "value=1&value=2") == {"value": value}


@pytest.mark.parametrize(
    "hint",
    [
        dict,
        dict[str, int],
        Mapping[str, int],
        Model,
        Model | None,
        Annotated[Model, "a note"],
        list[Model],
        Record,
        Keys,
        list[list[int]],
        Sequence[Sequence[int]],
        list[Ids],
        list[dict[str, int]],
        Iterable[int],
        msgspec.Struct,
    ],
    ids=str,
)
def test_a_type_that_no_url_can_give_is_refused(hint: Any) -> None:
    """It fails when the route is made, not for the first client."""
    with pytest.raises(ConfigurationError):
        CallPlan(asking(hint), ())


@pytest.mark.parametrize(
    "hint",
    [list, list[int], list[int] | None, Sequence[int], set[str], tuple[int, int], Ids, Model, dict],
    ids=str,
)
def test_a_path_parameter_that_no_path_can_give_is_refused(hint: Any) -> None:
    """A path holds one value by each name."""
    text = refusal(asking(hint), ["value"])

    assert text == (
        f"view view(): parameter 'value' cannot be {hint!r}: a path parameter is one text, "
        "a query parameter one text or a list of them"
    )


def test_without_an_annotation_text_passes() -> None:
    """Quick scripts need no types."""

    async def view(room, limit=20): ...  # type: ignore[no-untyped-def]

    assert bound(view, "limit=5", {"room": "a"}) == {"room": "a", "limit": "5"}


@pytest.mark.parametrize(
    "default", ["no int", None, 0, [], -1.5], ids=lambda default: type(default).__name__
)
def test_a_default_is_never_validated(default: Any) -> None:
    """It is the developer's, not the client's; the same object every time."""
    assert bound(asking(Positive, default))["value"] is default


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("value=%C3%A9", "é"),
        ("value=%F0%9F%98%80", "😀"),
        ("value=a+b", "a b"),
        ("value=a%2Bb", "a+b"),
        ("%76alue=x", "x"),
        ("value=%ff", "\ufffd"),
        ("value=%", "%"),
        ("value=a%00b", "a\0b"),
        ("value", ""),
        ("value=", ""),
        ("value=a&value=b", "b"),
        ("value=1;2", "1;2"),
        ("Value=x", "default"),
        ("=x", "default"),
        ("&&", "default"),
    ],
)
def test_a_query_is_decoded_as_browsers_encode_it(query: str, value: str) -> None:
    """Percent signs, plus signs, other scripts; the last of several wins."""
    assert bound(asking(str, "default"), query) == {"value": value}


def test_the_path_wins_over_the_query() -> None:
    """A client cannot replace a path parameter by a query parameter of its name."""
    assert bound(asking(int), "value=9&value=x", {"value": "2"}) == {"value": 2}


# What cannot be converted


@pytest.mark.parametrize(
    ("hint", "text", "kind"),
    [
        (int, "x", "int_parsing"),
        (int, "", "int_parsing"),
        (int, "1.5", "int_parsing"),
        (int, "٣", "int_parsing"),
        (int, "1" * 5000, "int_parsing_size"),
        (float, "nan", "finite_number"),
        (float, "-inf", "finite_number"),
        (float, "1e999", "finite_number"),
        (decimal.Decimal, "sNaN", "finite_number"),
        (bool, "2", "bool_parsing"),
        (uuid.UUID, "7", "uuid_parsing"),
        (datetime.date, "2020-13-01", "date_from_datetime_parsing"),
        (Color, "RED", "enum"),
        (Level, "3", "enum"),
        (Literal["a", 1], "b", "literal_error"),
        (int | None, "", "int_parsing"),
        (Positive, "0", "greater_than_equal"),
        (Annotated[int, pydantic.Field(le=5)], "6", "less_than_equal"),
        (Annotated[Level | None, "a note"], "9", "enum"),
    ],
)
@pytest.mark.parametrize("source", ["query", "path"])
def test_bad_input_is_reported_with_place_and_kind(
    source: str, hint: Any, text: str, kind: str
) -> None:
    """A client's developer sees in the HTTP 400 which parameter is wrong, and how."""
    if source == "query":
        found = errors(asking(hint), "value=" + quote(text))
    else:
        found = errors(asking(hint), path={"value": text})

    assert [(error["loc"], error["type"]) for error in found] == [([source, "value"], kind)]
    assert found[0]["msg"]
    assert found[0].keys() == {"loc", "msg", "type"}


def test_bad_elements_are_reported_by_their_number() -> None:
    """Which of `?value=1&value=x` is wrong."""
    assert [error["loc"] for error in errors(asking(list[int]), "value=x&value=1&value=y")] == [
        ["query", "value", 0],
        ["query", "value", 2],
    ]


def test_all_errors_are_reported_at_once() -> None:
    """One refusal tells everything, path and query, in the order of the signature."""

    async def view(
        id: int, ws: Any, limit: int = 1, ok: int = 2, *, flag: bool = False
    ) -> None: ...

    found = errors(view, "flag=2&ok=3&limit=x", {"id": "y"})

    assert [error["loc"] for error in found] == [
        ["path", "id"],
        ["query", "limit"],
        ["query", "flag"],
    ]


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (Literal[True], "true", True),
        (Literal[True], "True", True),
        (Literal[False], "false", False),
        (Literal[False, "a"], "false", False),
        (Literal[True, "true"], "true", "true"),
        (Literal[True, "true"], "True", True),
    ],
)
def test_a_literal_bool_is_written_as_a_bool_is(hint: Any, text: str, value: Any) -> None:
    """`?value=true` is what a client sends."""
    found = bound(asking(hint), f"value={text}")["value"]

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("hint", "text"), [(Literal[1], "true"), (Literal[0], "false"), (Literal[True], "false")]
)
def test_a_literal_reads_no_other_value(hint: Any, text: str) -> None:
    """1 is no `True` here, although Python calls them equal."""
    assert errors(asking(hint), f"value={text}")[0]["type"] == "literal_error"


async def wide(
    ws: AnyWebSocket,
    integer: int = 0,
    real: float = 0,
    flag: bool = False,
    text: str = "",
    identity: uuid.UUID | None = None,
    day: datetime.date | None = None,
    moment: datetime.datetime | None = None,
    span: datetime.timedelta | None = None,
    price: decimal.Decimal | None = None,
    color: Color | None = None,
    level: Level | None = None,
    choice: Literal["a", 1, None] = None,
    many: list[int] | None = None,
    unique: set[Level] | None = None,
    pair: tuple[int, float] | None = None,
    bounded: Positive = 1,
) -> None: ...


WIDE = CallPlan(wide, ())
words = st.sampled_from(["", "0", "1", "x", "true", "nan", "1e999", "2020-01-01", "P1D", "\0", "é"])
texts = words | st.text(st.characters(codec="utf-8"), max_size=12)
names = st.sampled_from([parameter.name for parameter in WIDE.parameters]) | texts
queries = st.lists(st.tuples(names, texts), max_size=8).map(lambda pairs: urlencode(pairs).encode())


@settings(deadline=None)
@given(queries | st.binary(max_size=40))
def test_any_query_gives_values_or_invalid_parameters(query: bytes) -> None:
    """Whatever a client writes there is a 400 or a call, never a traceback."""
    ws = connection(query)

    try:
        call = WIDE.bind(ws)
    except InvalidParameters as exc:
        found = exc.errors
        assert json.loads(json.dumps(found)) == found
        assert {error["loc"][0] for error in found} == {"query"}
    else:
        assert call.args == []
        assert call.kwargs.keys() == {parameter.name for parameter in WIDE.parameters}
        assert call.kwargs["ws"] is ws


# What a signature may ask for


def test_the_connection_comes_by_annotation_whatever_its_name() -> None:
    """`WebSocket[...]`, Starlette's base class, the bare class."""

    async def view(
        a: WebSocket[int, str], b: WebSocket, c: HTTPConnection, websocket: int = 1
    ) -> None: ...

    ws = connection("websocket=5")
    call = CallPlan(view, ()).bind(ws)

    assert call.kwargs == {"a": ws, "b": ws, "c": ws, "websocket": 5}


def test_special_names_need_no_annotation() -> None:
    """`ws`, `websocket` and `session` are the connection, the others belong to it."""

    async def view(ws, websocket, session: Any, headers, path): ...  # type: ignore[no-untyped-def]

    ws = connection()
    call = CallPlan(view, ()).bind(ws)

    assert [call.kwargs[name] for name in ("ws", "websocket", "session")] == [ws, ws, ws]
    assert isinstance(call.kwargs["headers"], Headers)
    assert call.kwargs["headers"]["host"] == "testserver"
    assert call.kwargs["path"] is routed_path(ws)


@pytest.mark.parametrize("hint", [RoutedPath, str, Any], ids=str)
def test_the_path_may_be_plain_text(hint: Any) -> None:
    """`path: str` is text as any other; what is handed over knows more."""
    namespace: dict[str, Any] = {"hint": hint}
    exec("async def view(path: hint): ...", namespace)

    path = bound(namespace["view"])["path"]

    assert path == "/"
    assert isinstance(path, RoutedPath)


def test_the_path_comes_by_annotation_whatever_its_name() -> None:
    """The same one for everybody who asks."""

    async def view(ws: Any, target: RoutedPath, also: RoutedPath) -> None: ...

    found = bound(view, "limit=5", {"also": "x"})

    assert found["target"] == "/?limit=5"
    assert found["target"] is found["also"] is routed_path(found["ws"])
    assert found["target"].params == {"also": "x"}


@pytest.mark.parametrize("name", ["session", "path", "headers", "close_code"])
def test_a_path_parameter_wins_over_a_special_name(name: str) -> None:
    """`/files/{path:path}` and `/sessions/{session}` are common."""
    namespace: dict[str, Any] = {}
    exec(f"async def view(ws, {name}): ...", namespace)

    assert bound(namespace["view"], path={name: "a/b"})[name] == "a/b"


@pytest.mark.parametrize("hint", [None, int, int | None, Any], ids=str)
def test_the_close_code_is_there_when_a_connection_has_ended(hint: Any) -> None:
    """`on_disconnect(close_code)` need not take it from the connection."""
    namespace: dict[str, Any] = {"hint": hint}
    exec(f"async def left(ws, close_code{'' if hint is None else ': hint'}): ...", namespace)

    async def scenario() -> None:
        ws = await FakeServer().accepted()
        await ws.close(4001)

        call = CallPlan(namespace["left"], (), has_ended=True).bind(ws)

        assert call.kwargs == {"ws": ws, "close_code": 4001}

    run(scenario)


def test_the_close_code_is_unknown_while_a_connection_lives() -> None:
    """None for every client would be no answer."""

    async def view(ws: Any, close_code: int) -> None: ...

    async def queried(ws: Any, close_code: int = 1000) -> None: ...

    text = refusal(view)

    assert "nothing supplies parameter 'close_code'" in text
    assert "one of the names ws, websocket, session, path, headers, or" in text
    assert bound(queried, "close_code=7")["close_code"] == 7


def test_a_refusal_names_the_close_code_where_there_is_one() -> None:
    """The choices are those of the handler at hand."""

    async def left(ws: Any, why: str) -> None: ...

    with pytest.raises(ConfigurationError, match="session, path, headers, close_code, or"):
        CallPlan(left, (), has_ended=True)


def test_a_plan_calls_its_handler() -> None:
    """What comes before the parameters, such as `self`, is given with the call."""

    class Views:
        def view(self, ws: Any, id: int, /, *, limit: int = 1) -> Any:
            return self, ws, id, limit

    views = Views()
    ws = connection("limit=4", {"id": "7"})

    plan = CallPlan(Views.view, ["id"], skip_first=True)

    assert plan.bind(ws)(views) == (views, ws, 7, 4)


@pytest.mark.parametrize("hint", [Headers, Mapping, Mapping[str, str], Any], ids=str)
def test_headers_may_have_a_type_of_their_own(hint: Any) -> None:
    """The class, or what it is to its readers."""

    async def view(headers: Any) -> None: ...

    view.__annotations__["headers"] = hint

    assert isinstance(bound(view)["headers"], Headers)


def test_a_special_name_of_another_type_is_a_query_parameter() -> None:
    """`session: int = 0` was meant."""

    async def view(session: int = 0, headers: list[str] | None = None, path: int = 1) -> None: ...

    found = bound(view, "session=5&headers=a&path=7")

    assert found == {"session": 5, "headers": ["a"], "path": 7}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ws", int),
        ("session", dict[str, Any]),
        ("headers", dict[str, str]),
        ("headers", Keyed),
        ("headers", object),
        ("path", pathlib.Path),
    ],
    ids=str,
)
def test_a_special_name_of_another_type_needs_a_default(name: str, hint: Any) -> None:
    """Nothing is guessed: the connection is no `int`."""
    namespace: dict[str, Any] = {"hint": hint}
    exec(f"async def view({name}: hint): ...", namespace)

    assert f"nothing supplies parameter {name!r}" in refusal(namespace["view"])


@pytest.mark.parametrize("name", ["ws", "websocket"])
def test_a_path_parameter_cannot_have_the_connections_name(name: str) -> None:
    """It could only be a slip, and would hide the connection."""

    async def view(ws: Any) -> None: ...

    text = refusal(view, ["room", name])

    assert text == (
        f"view view(): the path has a parameter {name!r}, which names the connection; "
        "call it something else"
    )


def test_what_nothing_supplies_is_refused_with_what_could() -> None:
    """The message names the handler, the parameter and every way out."""

    async def chat(ws: Any, rom: str) -> None: ...

    assert refusal(chat, ["room", "id"]) == (
        "view chat(): nothing supplies parameter 'rom'; possible: an annotation Inject[…], "
        "WebSocket or RoutedPath, a path parameter (here: id, room), one of the names ws, "
        "websocket, session, path, headers, or a default, which makes it a query parameter"
    )
    assert "(here: none)" in refusal(chat)


def test_a_path_parameter_need_not_be_asked_for() -> None:
    """A route may hold more than its handler wants to know."""

    async def view(ws: Any) -> None: ...

    assert [*bound(view, path={"room": "a"})] == ["ws"]


def test_positional_only_parameters_are_passed_by_position() -> None:
    """Any signature that can be called can be served."""

    async def view(ws: Any, id: int, /, limit: int = 1, *, flag: bool = False) -> None: ...

    ws = connection("limit=2&flag=1", {"id": "7"})

    call = CallPlan(view, ["id"]).bind(ws)

    assert call.args == [ws, 7]
    assert call.kwargs == {"limit": 2, "flag": True}


@pytest.mark.parametrize("stars", ["*args", "**kwargs"])
def test_stars_are_refused(stars: str) -> None:
    """Usually a decorator without `functools.wraps`, and the message says so."""
    namespace: dict[str, Any] = {}
    exec(f"async def view(ws, {stars}): ...", namespace)

    text = refusal(namespace["view"])

    assert text.startswith(f"view view(): parameter {stars} cannot be supplied")
    assert "functools.wraps" in text


def test_a_decorator_that_wraps_is_seen_through() -> None:
    """The signature of the handler counts, not that of its wrapper."""

    async def view(ws: Any, id: int, limit: int = 1) -> None: ...

    @functools.wraps(view)
    async def wrapper(*args: Any, **kwargs: Any) -> None: ...

    found = bound(wrapper, "limit=5", {"id": "7"})

    assert (found["id"], found["limit"]) == (7, 5)
    assert name_of(wrapper) == "view"


def test_the_first_parameter_of_a_method_can_be_skipped() -> None:
    """`self` is supplied by the class; a bound method has none."""

    class Views:
        async def view(self, ws: Any, limit: int = 1) -> None: ...

    ws = connection("limit=4")

    plans = CallPlan(Views.view, (), skip_first=True), CallPlan(Views().view, ())

    assert [plan.bind(ws).kwargs for plan in plans] == [{"ws": ws, "limit": 4}] * 2


# functools.partial


async def partly(pool: Any, ws: Any, room: str, limit: int = 20, *, flag: bool = False) -> None: ...


def test_what_partial_binds_by_position_is_not_asked_for() -> None:
    """`partial(view, pool)` is how plain functions get their collaborators."""
    handler = functools.partial(functools.partial(partly, object()))

    found = bound(handler, "limit=5", {"room": "a"})

    assert found.keys() == {"ws", "room", "limit", "flag"}
    assert found["limit"] == 5
    assert name_of(handler) == "partly"
    assert resolve_hints(handler, "view")["limit"] is int


def test_what_partial_binds_is_out_of_the_clients_reach() -> None:
    """`partial(view, is_admin=False)` must not listen to `?is_admin=1`."""
    handler = functools.partial(functools.partial(partly, None, limit=7), flag=False)

    found = bound(handler, "flag=1&limit=9", {"room": "a"})

    assert found.keys() == {"ws", "room"}


def test_what_partial_binds_reaches_the_handler() -> None:
    """The inner and the outer partial count, and may bind what no URL could give."""

    def view(pool: Any, ws: Any, room: str, limit: int = 20, *, flag: bool = False) -> Any:
        return pool, room, limit, flag

    pool = object()
    handler = functools.partial(functools.partial(view, pool=pool, limit=7), flag=True)

    plan = CallPlan(handler, ["room"])

    assert plan.bind(connection("limit=9&flag=0", {"room": "a"}))() == (pool, "a", 7, True)


# Annotations that are strings


def module(source: str) -> ModuleType:
    built = ModuleType("views")
    exec(compile("from __future__ import annotations\n" + source, "views.py", "exec"), vars(built))
    return built


def test_string_annotations_are_resolved() -> None:
    """`from __future__ import annotations` changes nothing."""
    views = module(
        "import uuid\n"
        "from typing import Annotated\n"
        "from annotated_types import Ge\n"
        "from bocadillo import WebSocket\n"
        "async def view(conn: WebSocket[int, str], id: uuid.UUID,\n"
        "               limit: Annotated[int, Ge(1)] = 20, tags: list[int] | None = None): ...\n"
    )

    found = bound(views.view, "limit=5&tags=1&tags=2", {"id": str(uuid.UUID(int=7))})

    assert isinstance(found["conn"], WebSocket)
    assert found | {"conn": None} == {
        "conn": None, "id": uuid.UUID(int=7), "limit": 5, "tags": [1, 2]
    }  # fmt: skip
    assert errors(views.view, "limit=0", {"id": str(uuid.UUID(int=7))})[0]["loc"] == [
        "query",
        "limit",
    ]
    assert value_types_of(views.view, "view") == (int, str)


@pytest.mark.parametrize(
    "hint",
    ["Nope", "list[Nope]", "nope.Nope"],
)
def test_an_annotation_that_cannot_be_resolved_is_refused(hint: str) -> None:
    """The message names the handler and the name that is missing."""
    views = module("import enum\nasync def view(ws, limit=20): ...\n")
    views.view.__annotations__["limit"] = hint

    text = refusal(views.view)

    assert text.startswith("view view(): an annotation cannot be resolved: ")
    assert "define or import the name" in text


@pytest.mark.parametrize("hint", ["enum.Nope", "1 +", "1 / 0"])
def test_an_annotation_that_cannot_be_evaluated_is_refused(hint: str) -> None:
    """An annotation is an expression, and may raise anything."""
    views = module("import enum\nasync def view(ws, limit=20): ...\n")
    views.view.__annotations__["limit"] = hint

    assert refusal(views.view).startswith("view view(): an annotation is no type: ")


@pytest.mark.parametrize("hint", [5, [int], slice, len, object()], ids=kind)
def test_an_annotation_that_is_no_type_is_refused(hint: Any) -> None:
    """The message names the parameter."""
    assert refusal(asking(hint)).startswith("view view(): parameter 'value': ")


def test_an_object_that_can_be_called_is_read_by_its_call() -> None:
    """A hook may be an object with a state of its own."""

    class Guard:
        async def __call__(self, ws: WebSocket, limit: int = 5) -> None: ...

    plan = CallPlan(Guard(), ())

    assert [parameter.name for parameter in plan.parameters] == ["ws", "limit"]
    assert name_of(Guard()) == "Guard"


@pytest.mark.parametrize(
    "hint",
    [
        pytest.param(Annotated[WebSocket, "a note"], id="Annotated"),
        pytest.param(WebSocket | None, id="optional"),
        pytest.param(WebSocket[int, str] | None, id="optional with types"),
        pytest.param(Annotated[WebSocket | None, "a note"], id="optional in Annotated"),
    ],
)
def test_the_connection_may_stand_inside_another_annotation(hint: Any) -> None:
    """Other libraries put their notes into `Annotated`."""
    assert isinstance(bound(asking(hint))["value"], WebSocket)


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (Request, "Request"),
        (StarletteWebSocket, "WebSocket"),
        (Special, "Special"),
        (Special | None, "Special"),
        (Annotated[Request, "a note"], "Request"),
    ],
    ids=str,
)
def test_a_connection_of_another_class_is_refused(hint: Any, name: str) -> None:
    """The handler would get something else than it says."""
    assert refusal(asking(hint)) == (
        f"view view(): parameter 'value' asks for {name}, which a connection is not; annotate "
        "it with bocadillo.WebSocket"
    )


# Value types in the annotation


async def both(ws: WebSocket[int, str]) -> None: ...


async def bare(ws: WebSocket, limit: list[int] | None = None) -> None: ...


async def one(ws: WebSocket[int]) -> None: ...


async def noted(ws: Annotated[WebSocket[int, str], "a note"]) -> None: ...


async def optional(ws: WebSocket[int, str] | None = None) -> None: ...


async def none(ws, limit=20): ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize(
    ("handler", "types"),
    [
        (both, (int, str)),
        (one, (int, int)),
        (noted, (int, str)),
        (optional, (int, str)),
        (bare, None),
        (none, None),
    ],
    ids=["both", "one", "noted", "optional", "bare", "none"],
)
def test_the_connections_annotation_says_the_value_types(handler: Handler, types: Any) -> None:
    """`ws: WebSocket[Recv, Send]` needs no `value_type=`; one stands for both."""
    assert value_types_of(handler, "view") == types


def test_what_a_handler_returns_says_nothing_of_the_value_types() -> None:
    """Only parameters do."""

    async def view(limit: int = 1) -> WebSocket[int, str]:
        raise NotImplementedError

    assert value_types_of(view, "view") is None


def test_a_path_parameter_of_a_prefix_is_not_the_clients_to_replace() -> None:
    """A tenant in the path must win over one in the query string."""

    async def view(ws: WebSocket, tenant: str = "default") -> None: ...

    ws = FakeServer(query_string=b"tenant=evil", path_params={"tenant": "acme"}).websocket()

    assert CallPlan(view, ()).bind(ws).kwargs["tenant"] == "acme"
