"""The tree of exceptions: their kinds, their words, and how each closes a connection."""

import copy
import enum
import json
import pickle
from collections.abc import Callable
from typing import Any

import fastapi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocketDisconnect as StarletteDisconnect

from bocadillo.close import MAX_REASON_BYTES, is_sendable
from bocadillo.codecs import decode_json
from bocadillo.errors import (
    MAX_TEXT,
    MAX_TOLD,
    BocadilloError,
    ConcurrencyError,
    ConfigurationError,
    ConnectionStateError,
    ErrorDetail,
    ExpectedAsync,
    InvalidJson,
    InvalidMessage,
    InvalidParameters,
    WebSocketDisconnect,
    closing,
    describe,
    printable,
    summary,
)

BAD_LIMIT: ErrorDetail = {"loc": ["query", "limit"], "msg": "not a number", "type": "int"}
BAD_AGE: ErrorDetail = {"loc": ["people", 0, "age"], "msg": "too young", "type": "ge"}


class Code(enum.IntEnum):
    AWAY = 1001


def invalid_json(payload: str | bytes) -> InvalidJson:
    with pytest.raises(InvalidJson) as caught:
        decode_json(payload)
    return caught.value


# The tree


@pytest.mark.parametrize(
    ("kind", "parents"),
    [
        (ConfigurationError, (BocadilloError, ValueError)),
        (ExpectedAsync, (ConfigurationError,)),
        (ConnectionStateError, (BocadilloError, RuntimeError)),
        (ConcurrencyError, (BocadilloError, RuntimeError)),
        (InvalidMessage, (BocadilloError, ValueError)),
        (InvalidJson, (InvalidMessage, json.JSONDecodeError)),
        (InvalidParameters, (BocadilloError, ValueError)),
        (WebSocketDisconnect, (BocadilloError, StarletteDisconnect)),
    ],
)
def test_every_exception_is_caught_by_its_family(
    kind: type[Exception], parents: tuple[type[Exception], ...]
) -> None:
    """`except ValueError`, `except BocadilloError` and Starlette's class work as expected."""
    assert all(issubclass(kind, parent) for parent in parents)


def test_a_disconnect_is_no_value_error() -> None:
    """A handler's `except ValueError` around its own work must not swallow the leaving."""
    assert not issubclass(WebSocketDisconnect, ValueError | RuntimeError)


# InvalidMessage and InvalidJson


def test_an_invalid_message_without_errors_lists_itself() -> None:
    """Who answers with `exc.errors` always has something to say."""
    exc = InvalidMessage("no comma")

    assert str(exc) == "no comma"
    assert exc.code == 1007
    assert exc.errors == [{"loc": [], "msg": "no comma", "type": "invalid_message"}]


def test_an_invalid_message_keeps_a_list_of_its_own() -> None:
    """What is appended to the list that was given changes nothing."""
    errors = [BAD_AGE]
    exc = InvalidMessage("bad", errors=errors, code=1003)

    errors.append(BAD_LIMIT)

    assert exc.errors == [BAD_AGE]
    assert exc.code == 1003


def test_an_invalid_message_may_have_no_errors() -> None:
    """An empty list is not the same as none given."""
    assert InvalidMessage("bad", errors=[]).errors == []


@pytest.mark.parametrize(
    ("payload", "pos", "lineno", "colno"),
    [
        ("", 0, 1, 1),
        ("{", 1, 1, 2),
        ('{"a":\n  x}', 8, 2, 3),
        ("\n\n nul!", 3, 3, 2),
        ('["é😀", x]', 7, 1, 8),
        (b'["\xc3\xa9", x]', 6, 1, 7),
    ],
    ids=repr,
)
def test_invalid_json_says_where(payload: str | bytes, pos: int, lineno: int, colno: int) -> None:
    """`pos`, `lineno` and `colno` point at the character, as the json module's do."""
    exc = invalid_json(payload)

    text = payload if isinstance(payload, str) else payload.decode()
    assert (exc.doc, exc.pos, exc.lineno, exc.colno) == (text, pos, lineno, colno)
    assert exc.msg
    assert str(exc) == f"{exc.msg}: line {lineno} column {colno} (char {pos})"
    assert exc.code == 1007
    assert exc.errors == [{"loc": [], "msg": str(exc), "type": "json_invalid"}]


# Texts of bounded length


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ""),
        ("no comma", "no comma"),
        ("été 😀", "été 😀"),
        ("a" * MAX_TEXT, "a" * MAX_TEXT),
        ("a" * (MAX_TEXT + 1), "a" * MAX_TEXT + "…"),
        ("é" * 1_000_000, "é" * MAX_TEXT + "…"),
        ("a\r\nERROR: b", r"a\r\nERROR: b"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\u202eabc", r"\u202eabc"),
        ("\ud800", r"\ud800"),
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_what_a_client_wrote_is_told_in_one_bounded_line(text: str, told: str) -> None:
    """Nobody writes log lines of their own, or a megabyte of them, through an error."""
    assert printable(text) == told
    assert str(InvalidMessage(text)) == told
    assert describe({"loc": [], "msg": text, "type": "t"}) == told


@settings(deadline=None)
@given(st.text(st.characters()) | st.text(st.characters()).map(lambda text: text * 600))
def test_every_text_becomes_printable_and_stays_so(text: str) -> None:
    """Escaping makes a text longer, and is bounded all the same."""
    told = printable(text)

    assert told.isprintable()
    assert len(told) <= MAX_TEXT + 1
    assert printable(told) == told


def test_a_place_is_bounded_and_printable_too() -> None:
    """Keys of a message are the client's, as its values are."""
    told = describe({"loc": ["a\n" * 600, 0], "msg": "missing", "type": "t"})

    assert told.startswith(r"a\na\n")
    assert len(told) == MAX_TEXT + 1
    assert told.isprintable()


@pytest.mark.parametrize(
    ("count", "end"),
    [(0, ""), (1, "bad 0"), (10, "bad 9"), (11, "; and 1 more"), (900, "; and 890 more")],
)
def test_a_summary_tells_the_first_errors_and_counts_the_rest(count: int, end: str) -> None:
    """A thousand wrong fields fill no log."""
    told = summary([{"loc": [], "msg": f"bad {at}", "type": "t"} for at in range(count)])

    assert told.count("bad") == min(count, MAX_TOLD)
    assert told.endswith(end)


# InvalidParameters


def test_invalid_parameters_tell_all_errors_in_one_line() -> None:
    """The log line of a refused handshake is complete."""
    exc = InvalidParameters([BAD_LIMIT, BAD_AGE])

    assert str(exc) == "query.limit: not a number; people.0.age: too young"
    assert exc.errors == [BAD_LIMIT, BAD_AGE]
    assert exc.status == 400


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BAD_LIMIT, "query.limit: not a number"),
        (BAD_AGE, "people.0.age: too young"),
        ({"loc": [], "msg": "not an object", "type": "t"}, "not an object"),
        ({"loc": (), "msg": 5, "type": "t"}, "5"),
        ({"msg": "no place"}, "no place"),
        ({}, "invalid"),
    ],
)
def test_an_error_is_described_by_place_and_reason(error: ErrorDetail, text: str) -> None:
    """A message without a place stands alone."""
    assert describe(error) == text


# WebSocketDisconnect


@pytest.mark.parametrize(
    ("exc", "text"),
    [
        (WebSocketDisconnect(), "1000 (normal closure)"),
        (WebSocketDisconnect(1001), "1001 (going away)"),
        (WebSocketDisconnect(1006), "1006 (connection lost)"),
        (WebSocketDisconnect(4001, "bye"), "4001 (defined by the application): bye"),
        (WebSocketDisconnect(code=1001, reason=""), "1001 (going away)"),
    ],
)
def test_a_disconnect_reads_as_a_sentence(exc: WebSocketDisconnect, text: str) -> None:
    """Nobody looks up 1006 at night."""
    assert str(exc) == text


def test_a_disconnect_has_a_plain_code_and_a_reason() -> None:
    """Codes of an enumeration, which servers use, become `int`."""
    exc = WebSocketDisconnect(Code.AWAY)

    assert exc.code == 1001
    assert type(exc.code) is int
    assert exc.reason == ""


# Crossing processes: pickle and copy


def reborn(exc: BaseException) -> Any:
    return pickle.loads(pickle.dumps(exc))


every_kind = pytest.mark.parametrize(
    "exc",
    [
        InvalidMessage("bad", errors=[BAD_AGE], code=1003),
        ConfigurationError("wrong"),
        WebSocketDisconnect(4001, "bye"),
        WebSocketDisconnect(code=1001),
        InvalidMessage("é" * 600),
        InvalidMessage("\x00" * 600),
        InvalidJson(json.JSONDecodeError("no comma", "[1 2]", 3)),
        InvalidParameters([BAD_LIMIT, BAD_AGE]),
    ],
    ids=lambda exc: type(exc).__name__,
)


@every_kind
@pytest.mark.parametrize("clone", [reborn, copy.copy, copy.deepcopy])
def test_an_exception_survives_pickle_and_copy(
    clone: Callable[[BaseException], BaseException], exc: BaseException
) -> None:
    """Exceptions cross process pools, task queues and error trackers."""
    twin = clone(exc)

    assert type(twin) is type(exc)
    assert str(twin) == str(exc)
    assert vars(twin) == vars(exc)


# How each closes an accepted connection


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (InvalidMessage("bad"), (1007, "bad")),
        (InvalidMessage("bad", errors=[BAD_AGE, BAD_LIMIT]), (1007, "people.0.age: too young")),
        (InvalidMessage("bad", errors=[]), (1007, "bad")),
        (InvalidMessage("wrong frame", code=1003), (1003, "wrong frame")),
        (InvalidMessage("é" * 200), (1007, "é" * 61)),
        (WebSocketException(1008, "no"), (1008, "no")),
        (WebSocketException(4000), (4000, "")),
        (WebSocketException(4000, "a" * 200), (4000, "a" * 123)),
        (WebSocketException(1006, "secret"), (1011, "")),
        (WebSocketException(403, "secret"), (1011, "")),
        (HTTPException(401, "who?"), (1008, "who?")),
        (HTTPException(403), (1008, "Forbidden")),
        (HTTPException(404), (1011, "Not Found")),
        (HTTPException(500, "é" * 200), (1011, "é" * 61)),
        (ValueError("secret"), (1011, "")),
        (InvalidParameters([BAD_LIMIT]), (1011, "")),
        (ConnectionStateError("secret"), (1011, "")),
        (ConfigurationError("secret"), (1011, "")),
        (WebSocketDisconnect(1001, "bye"), (1011, "")),
        (KeyboardInterrupt(), (1011, "")),
    ],
    ids=lambda part: ascii(part)[:50],
)
def test_every_exception_has_its_code_and_reason(
    exc: BaseException, expected: tuple[int, str]
) -> None:
    """What a client did is explained to it; what we did wrong is not."""
    assert closing(exc) == expected


def test_invalid_json_closes_with_1007_and_the_place() -> None:
    """The client's developer sees in the close reason which character was wrong."""
    code, reason = closing(invalid_json("[1 2]"))

    assert code == 1007
    assert "char 3" in reason


@settings(deadline=None)
@given(st.integers(-10, 6000), st.text(st.characters(), max_size=200))
def test_what_closing_says_can_always_be_sent(code: int, reason: str) -> None:
    """Closing never fails because of the exception that led to it."""
    sent_code, sent_reason = closing(WebSocketException(code, reason))

    assert is_sendable(sent_code)
    assert len(sent_reason.encode()) <= MAX_REASON_BYTES


@pytest.mark.parametrize(
    "exc",
    [
        fastapi.HTTPException(404, {"id": 7}),
        fastapi.HTTPException(422, [{"loc": ["id"]}]),
        WebSocketException(1008, {"a": 1}),  # type: ignore[arg-type]
        WebSocketException("1008"),  # type: ignore[arg-type]
        WebSocketException(1008, 5),  # type: ignore[arg-type]
        InvalidMessage("bad", code=1006),
        InvalidMessage("bad", errors=[{"msg": "no loc"}]),
        InvalidMessage("bad", errors=[{}]),
    ],
    ids=repr,
)
def test_odd_exceptions_close_the_connection_too(exc: BaseException) -> None:
    """FastAPI's `detail` may be any JSON value; a user's codec may give any code."""
    code, reason = closing(exc)

    assert is_sendable(code)
    assert isinstance(reason, str)


def test_a_reason_cannot_write_into_the_log() -> None:
    """It is the client's text, and str() of the exception is logged."""
    exc = WebSocketDisconnect(4000, "bye\nERROR forged \x1b[31m")

    assert str(exc).isprintable()
    assert exc.reason == "bye\nERROR forged \x1b[31m"
