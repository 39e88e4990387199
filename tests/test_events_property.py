"""Whatever a client sends, it gets an answer, and the connection stays open."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bocadillo import EventView
from bocadillo.testing import connect
from tests.hostile import payloads
from tests.hostile_views import EVENTS, FIELDS, Pydantics, Structs, check_answer
from tests.talking import LAST, app_of

PAYLOADS = st.lists(payloads(EVENTS, FIELDS), min_size=1, max_size=5)


async def talk(app: Any, sent: list[str | bytes]) -> int:
    """Send payloads; return how many answers there were, each of which is well-formed."""
    count = 0
    async with connect(app, "/", timeout_s=5) as ws:
        for payload in (*sent, json.dumps({"type": LAST})):
            await ws.send(payload)
        while True:
            answer = await ws.receive()
            check_answer(answer)
            errors = json.loads(answer).get("errors") or [{}]
            if (errors[0].get("ctx") or {}).get("given") == LAST:
                return count
            count += 1


@pytest.mark.parametrize("view", [Pydantics, Structs])
def test_no_input_ends_the_handler(view: type[EventView]) -> None:
    """Each message is answered by an error event or by its handler.

    A bug would be raised here by the client of `bocadillo.testing`.
    """
    app = app_of(view)

    @settings(max_examples=400, deadline=None)
    @given(PAYLOADS)
    def every(sent: list[str | bytes]) -> None:
        silent = sum(b'"stream"' in (p.encode() if isinstance(p, str) else p) for p in sent)
        assert asyncio.run(talk(app, sent)) >= len(sent) - silent

    every()
