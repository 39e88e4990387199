"""ASGI's grammar, as `connect` holds applications to it."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from bocadillo.testing import AsgiGrammarError, HandshakeRefused
from tests.testing.apps import ACCEPT, CLOSE, sending, visit

START: Message = {"type": "websocket.http.response.start", "status": 404, "headers": []}
BODY: Message = {"type": "websocket.http.response.body", "body": b"x"}
SEND: Message = {"type": "websocket.send", "text": "x"}


@pytest.mark.parametrize(
    ("events", "words"),
    [
        # the wrong time
        ([SEND], "'websocket.send' sent while connecting; allowed now: websocket.accept, "),
        ([BODY], "'websocket.http.response.body' sent while connecting"),
        ([ACCEPT, ACCEPT], "sent while open; allowed now: websocket.send, websocket.close"),
        ([ACCEPT, START], "'websocket.http.response.start' sent while open"),
        ([ACCEPT, CLOSE, SEND], "sent while closed or refused by the application; .*: nothing"),
        ([ACCEPT, CLOSE, CLOSE], "'websocket.close' sent while closed"),
        ([CLOSE, ACCEPT], "'websocket.accept' sent while closed"),
        ([START, ACCEPT], "'websocket.accept' sent while in the middle of a HTTP answer"),
        ([START, BODY, BODY], "'websocket.http.response.body' sent while closed or refused"),
        ([START, {**BODY, "more_body": True}], "ended in the middle of a HTTP answer"),
        ([{"type": "websocket.nonsense"}], "'websocket.nonsense' sent while connecting"),
        # no event
        ([{"kind": "websocket.accept"}], "an event must be a dict with a 'type'"),
        ([None], "an event must be a dict with a 'type', got None"),
        # accept
        ([{**ACCEPT, "subprotocol": "v3"}], "subprotocol 'v3'; the client offered: 'v2', 'v1'"),
        ([{**ACCEPT, "headers": {"a": "b"}}], "has headers of type dict"),
        ([{**ACCEPT, "headers": [("a", "b")]}], r"has the header \('a', 'b'\)"),
        ([{**ACCEPT, "headers": [(b"a",)]}], "ASGI wants pairs of bytes"),
        ([{**ACCEPT, "headers": [5]}], "has the header 5; ASGI wants pairs of bytes"),
        ([{**ACCEPT, "headers": [(b"A", b"b")]}], "header name b'A'; ASGI wants lower case"),
        ([{**ACCEPT, "headers": [(b"a", b"b\r\nc: d")]}], "has a line break or NUL in the header"),
        (
            [{**ACCEPT, "headers": [(b"sec-websocket-protocol", b"v1")]}],
            "has the subprotocol among its headers",
        ),
        # send
        ([ACCEPT, {"type": "websocket.send"}], "either text or bytes, has none of them"),
        ([ACCEPT, {**SEND, "bytes": b"x"}], "must have either text or bytes, has both of them"),
        ([ACCEPT, {**SEND, "text": b"x"}], "has text of type bytes"),
        ([ACCEPT, {**SEND, "text": "\ud800"}], "has text that UTF-8 cannot carry"),
        ([ACCEPT, {"type": "websocket.send", "bytes": "x"}], "has bytes of type str"),
        ([ACCEPT, {"type": "websocket.send", "bytes": bytearray(b"x")}], "of type bytearray"),
        # close
        ([ACCEPT, {**CLOSE, "code": 1006}], "has code 1006, which may not be sent; allowed: 1000"),
        ([ACCEPT, {**CLOSE, "code": "1000"}], "has a code of type str"),
        ([ACCEPT, {**CLOSE, "reason": b"x"}], "has a reason of type bytes"),
        ([ACCEPT, {**CLOSE, "reason": "x" * 124}], "reason of 124 bytes; RFC 6455 allows 123"),
        ([ACCEPT, {**CLOSE, "reason": "\ud800"}], "has a reason that UTF-8 cannot carry"),
        # refusals
        ([{**START, "status": "404"}], "has a status of type str"),
        ([{**START, "status": 101}], "has status 101; a refusal is answered by 200 to 599"),
        ([{**START, "headers": [("a", "b")]}], "ASGI wants pairs of bytes"),
        ([START, {**BODY, "body": "x"}], "has a body of type str"),
        ([START, {**BODY, "more_body": 1}], "has more_body of type int"),
    ],
)
def test_what_asgi_does_not_allow_fails_the_test(events: list[Any], words: str) -> None:
    """Even where today's servers let it pass."""
    with pytest.raises(AsgiGrammarError, match=words):
        asyncio.run(visit(sending(*events), subprotocols=("v2", "v1")))


@pytest.mark.parametrize(
    "events",
    [
        [{**ACCEPT, "subprotocol": None, "headers": ((b"a", b"b"),)}, {"type": "websocket.close"}],
        [{**ACCEPT, "subprotocol": "v1"}, {**SEND, "bytes": None}, {**CLOSE, "reason": None}],
        [ACCEPT, {"type": "websocket.send", "bytes": b"", "text": None}, {**CLOSE, "code": 1014}],
        [ACCEPT, {**CLOSE, "reason": "é" * 61}],
    ],
)
def test_what_asgi_allows_passes(events: list[Any]) -> None:
    """The law is no stricter than ASGI's."""
    asyncio.run(visit(sending(*events), subprotocols=("v1",)))


def test_any_code_is_allowed_before_accept() -> None:
    """There it reaches nobody."""
    with pytest.raises(HandshakeRefused, match="403"):
        asyncio.run(visit(sending({"type": "websocket.close", "code": 403})))


def test_grammar_error_shows_even_if_the_application_hides_it() -> None:
    """Frameworks like to swallow exceptions of `send`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        for _ in range(2):
            with contextlib.suppress(AsgiGrammarError):
                await send({"type": "websocket.nonsense"})

    with pytest.raises(AsgiGrammarError, match="nonsense"):
        asyncio.run(visit(app))


def test_application_must_return_nothing() -> None:
    """uvicorn logs an error for it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> Any:
        await send(ACCEPT)
        return json

    with pytest.raises(AsgiGrammarError, match="returned <module 'json'"):
        asyncio.run(visit(app))
