"""What handlers of events get by `Inject[…]`, and when that is given back."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dishka import FromDishka as Inject
from dishka import Provider, Scope
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from bocadillo import App, ConfigurationError, EventError, EventView, on_event
from bocadillo.testing import ConnectionClosed, HandshakeRefused, connect
from tests.fakes import run
from tests.injection import Pool, Unknown, User, Work, noting
from tests.talking import answers, answers_of, app_of, say


class Reply(BaseModel):
    a: int


class Strict(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    a: int


def providers_of(steps: list[Any] | None = None) -> list[Provider]:
    return [noting([] if steps is None else steps)]


def test_a_handler_may_ask_for_objects_of_all_three_scopes() -> None:
    """APP and SESSION objects are the same each time, REQUEST objects new for each message."""
    got: list[Any] = []

    class View(EventView):
        @on_event
        async def take(
            self, pool: Inject[Pool], user: Inject[User], n: int, work: Inject[Work]
        ) -> Any:
            got.append((pool, user, work))
            return {"n": n, "own": user.ws is self.ws}

    heard = answers(View, *[{"type": "take", "n": n} for n in (1, 2)], providers=providers_of())

    assert heard == [{"type": "take", "n": n, "own": True} for n in (1, 2)]
    first, second = got
    assert first[:2] == second[:2]
    assert first[2] is not second[2]


def test_every_form_of_a_handler_may_ask() -> None:
    """Static and outside, sync in its thread, a stream, one that takes the whole message."""

    class View(EventView):
        @on_event
        @staticmethod
        async def static(pool: Inject[Pool], n: int) -> Any:
            return {"name": pool.name, "n": n}

        @on_event
        def sync(self, work: Inject[Work], n: int = 2) -> Any:
            return {"name": work.pool.name, "n": n}

        @on_event
        async def stream(self, n: int, work: Inject[Work]) -> AsyncIterator[Any]:
            yield {"name": work.pool.name, "n": n}

        @on_event
        async def whole(self, work: Inject[Work], message: Reply) -> Any:
            return {"name": work.pool.name, "n": message.a}

        @on_event
        async def behind(self, message: Reply, work: Inject[Work]) -> Any:
            return {"name": work.pool.name, "n": message.a}

        @on_event
        async def by_position(self, message: Reply, /, work: Inject[Work]) -> Any:
            return {"name": work.pool.name, "n": message.a}

    @View.on_event
    async def outside(n: int, *, work: Inject[Work]) -> Any:
        return {"name": work.pool.name, "n": n}

    fields: dict[str, Any] = {event: {"n": 1} for event in View.handlers}
    fields |= {event: {"a": 1} for event in ("whole", "behind", "by_position")}

    heard = answers(
        View,
        *({"type": event, **fields[event]} for event in View.handlers),
        providers=providers_of(),
    )

    assert heard == [{"type": event, "name": "pool", "n": 1} for event in View.handlers]


def test_an_injected_parameter_may_have_any_name() -> None:
    """Those among them that our own functions have."""

    class View(EventView):
        @on_event
        async def names(
            self, view: Inject[Pool], message: Inject[Work], ref: Inject[User], type: Inject[Pool]
        ) -> Any:
            return {"n": len({view, message, ref, type})}

        @on_event
        def threaded(
            self, func: Inject[Work], args: Inject[Pool], view: Inject[Pool], message: Inject[Work]
        ) -> Any:
            return {"n": len({func, args, view, message})}

    heard = answers(View, {"type": "names"}, {"type": "threaded"}, providers=providers_of())

    assert [h["n"] for h in heard] == [3, 2]


class Orders(EventView):
    """Ends in the way that the message says."""

    steps: list[Any]

    @on_event
    async def order(self, work: Inject[Work], how: str = "") -> Any:
        if how == "told":
            raise EventError("sold out")
        if how == "bug":
            raise LookupError("a secret")
        if how == "closes":
            await self.ws.close(4001)
        return {"how": how}

    @on_event
    async def stream(self, work: Inject[Work], n: int) -> AsyncIterator[Any]:
        for i in range(n):
            yield {"i": i}

    @on_event(response_model=Reply)
    async def invalid(self, work: Inject[Work]) -> Any:
        return {"a": "x"}

    @on_event
    async def unsendable(self, work: Inject[Work]) -> Any:
        return {"a": object()}

    async def send_json(self, response: Any) -> None:
        self.steps.append(response["type"])
        await super().send_json(response)


OPENED = ["pool opened", "work opened"]


@pytest.mark.parametrize(
    ("message", "steps"),
    [
        ({"type": "order"}, ["work closed", "order"]),
        (
            {"type": "order", "how": "told"},
            ["work closed by EventError('sold out')", "error"],
        ),
        ({"type": "stream", "n": 2}, ["stream", "stream", "work closed"]),
        (
            {"type": "stream", "n": 2, "ref": 1},
            ["stream", "stream", "work closed", "stream"],
        ),
        ({"type": "unsendable"}, ["work closed", "unsendable", "error"]),
    ],
)
def test_objects_of_a_message_are_closed_before_its_answer_is_sent(
    message: Any, steps: list[str]
) -> None:
    """Nobody is told of what was not committed; a failure is known to what is closed."""
    noted: list[Any] = []
    view: Any = type("View", (Orders,), {"steps": noted})

    answers(view, message, providers=providers_of(noted))

    assert noted[:-1] == [*OPENED, *steps]  # behind them the last message's error
    assert noted[-1] == "error"


def test_a_response_is_validated_while_they_are_open() -> None:
    """What cannot be sent is not committed, and attributes that are loaded late can be."""
    noted: list[Any] = []
    view: Any = type("View", (Orders,), {"steps": noted})

    answers(view, {"type": "invalid"}, providers=providers_of(noted))

    assert noted[:2] == OPENED
    assert noted[2].startswith("work closed by InvalidResponse(")
    assert noted[3] == "error"


@pytest.mark.parametrize(
    ("model", "result", "answer"),
    [
        (Reply, {"a": "1"}, {"type": "e", "a": 1}),
        (Reply, {"type": "own", "a": 1}, {"type": "own", "a": 1}),
        (Strict, {"a": 1}, {"type": "e", "a": 1}),
        (dict[str, int], {"a": "1"}, {"type": "e", "a": 1}),
        (Reply, None, None),
    ],
)
def test_a_response_is_validated_once(model: Any, result: Any, answer: Any) -> None:
    """A second time it would have keys that the model forbids."""

    class View(EventView):
        @on_event("e", response_model=model)
        async def answer(self, work: Inject[Work]) -> Any:
            return result

    heard = answers(View, {"type": "e", "ref": 1}, providers=providers_of())

    assert heard == ([{"ref": 1, **answer}] if answer else [])


def failing(at: str) -> Provider:
    """Return a provider whose commit, or whose start, fails."""

    async def work() -> AsyncIterator[Work]:
        if at == "start":
            raise LookupError("no database")
        yield Work(Pool())
        raise LookupError("the commit failed")

    provider = Provider(scope=Scope.REQUEST)
    provider.provide(work)
    return provider


@pytest.mark.parametrize("at", ["start", "commit"])
def test_a_commit_that_fails_is_a_bug_and_there_is_no_answer(
    at: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The client sees 1011, and not that all went well."""
    noted: list[Any] = []
    view: Any = type("View", (Orders,), {"steps": noted})
    app = app_of(view, [failing(at)])
    ending: list[Any] = []

    async def scenario() -> None:
        async with connect(app, "/") as ws:
            await say(ws, {"type": "order", "ref": 1})
            try:
                ending.append(await ws.receive())
            finally:
                ending.append(ws.close_code)

    with pytest.raises(Exception, match="1011") as caught:
        run(scenario)

    assert isinstance(caught.value.__cause__, LookupError)
    assert (ending, noted) == ([1011], [])
    assert sum(record.exc_info is not None for record in caplog.records) == 1


def test_a_commit_that_fails_after_an_error_does_not_hide_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The first is told to the client, the second to the log."""
    noted: list[Any] = []
    view: Any = type("View", (Orders,), {"steps": noted})

    async def closing() -> AsyncIterator[Work]:
        try:
            yield Work(Pool())
        finally:
            raise LookupError("the rollback failed")

    provider = Provider(scope=Scope.REQUEST)
    provider.provide(closing)

    heard = answers(view, {"type": "order", "how": "told"}, providers=[provider])

    assert heard[0]["errors"][0]["msg"] == "sold out"
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "closing the objects of a message failed, too" in line.message


@pytest.mark.parametrize(("how", "code"), [("bug", 1011), ("closes", 4001)])
def test_objects_of_a_message_are_closed_however_the_handler_ends(how: str, code: int) -> None:
    """Also by the end of the connection."""
    noted: list[Any] = []
    view: Any = type("View", (Orders,), {"steps": noted})
    app = app_of(view, providers_of(noted))

    async def scenario() -> None:
        async with connect(app, "/") as ws:
            await say(ws, {"type": "order", "how": how})
            await ws.receive()

    with pytest.raises(Exception, match=str(code)):
        run(scenario)

    assert noted[:2] == OPENED
    assert noted[2].startswith("work closed")


def test_what_nobody_supplies_is_refused_where_the_view_is_registered() -> None:
    """With handler, parameter and type."""

    class View(EventView):
        @on_event("say")
        async def talk(self, thing: Inject[Unknown]) -> None: ...

    with pytest.raises(
        ConfigurationError,
        match=r"event 'say': talk\(\): parameter 'thing' asks for Unknown, which no provider",
    ):
        app_of(View, providers_of())


def test_a_handler_that_is_attached_later_is_injected_too() -> None:
    """Though the route was made, and knew of nothing to inject."""

    class View(EventView):
        @on_event
        async def early(self) -> Any:
            return {}

    app = app_of(View, providers_of())
    before = answers_of(app, {"type": "early"})

    @View.on_event
    async def late(work: Inject[Work]) -> Any:
        return {"name": work.pool.name}

    assert before == [{"type": "early"}]
    assert answers_of(app, {"type": "late"}) == [{"type": "late", "name": "pool"}]


def test_what_it_asks_for_and_nobody_supplies_shows_at_the_next_client() -> None:
    """The class does not know which routers it is on."""

    class View(EventView):
        @on_event
        async def early(self) -> Any:
            return {}

    app = app_of(View, providers_of())

    @View.on_event
    async def late(thing: Inject[Unknown]) -> None: ...

    with pytest.raises(HandshakeRefused, match="HTTP 500") as refused:
        answers_of(app, {"type": "early"})
    assert "event 'late': late(): parameter 'thing' asks for" in str(refused.value.__cause__)


def test_hooks_and_handlers_share_what_lives_with_the_connection() -> None:
    """And the constructor of the view does, too."""
    got: list[Any] = []

    class View(EventView):
        def __init__(self, user: Inject[User]) -> None:
            got.append(user)

        async def on_connect(self, user: Inject[User]) -> None:
            got.append(user)

        @on_event
        async def who(self, user: Inject[User]) -> None:
            got.append(user)

    app = App(providers=providers_of())
    app.websocket_route("/")(View)

    answers_of(app, {"type": "who"})

    assert len(got) == 3
    assert len(set(got)) == 1


def test_a_thread_has_what_it_works_with_until_it_has_ended() -> None:
    """Else a pool would lend a connection to a second client while the first still uses it."""
    steps: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    async def work() -> AsyncIterator[Work]:
        yield Work(Pool("p"))
        steps.append("given back")

    class View(EventView):
        @on_event
        def slow(self, work: Inject[Work]) -> None:
            begun.set()
            go_on.wait(10)
            steps.append("thread has ended")

    provider = Provider(scope=Scope.REQUEST)
    provider.provide(work)
    app = App(providers=[provider], leave_grace_s=0.05)
    app.websocket_route("/")(View)

    async def scenario() -> None:
        async with connect(app, "/") as ws:
            await say(ws, {"type": "slow"})
            await asyncio.to_thread(begun.wait, 10)
            asyncio.get_running_loop().call_later(1.5, go_on.set)  # when the leaving is known

    run(scenario)

    assert steps == ["thread has ended", "given back"]


def test_closing_is_brought_to_its_end_though_the_client_leaves() -> None:
    """Or an outer unit of work would neither be committed nor rolled back."""
    steps: list[str] = []
    closing = asyncio.Event()

    async def pool() -> AsyncIterator[Pool]:
        yield Pool("p")
        steps.append("outer")

    async def work(pool: Pool) -> AsyncIterator[Work]:
        yield Work(pool)
        closing.set()
        await asyncio.sleep(1)
        steps.append("inner")

    class View(EventView):
        @on_event
        async def take(self, work: Inject[Work]) -> None: ...

    provider = Provider(scope=Scope.REQUEST)
    provider.provide(pool)
    provider.provide(work)
    app = App(providers=[provider], leave_grace_s=0.05)
    app.websocket_route("/")(View)

    async def scenario() -> None:
        async with connect(app, "/") as ws:
            await say(ws, {"type": "take"})
            await closing.wait()

    run(scenario)

    assert steps == ["inner", "outer"]


def test_a_validation_that_fails_in_a_provider_is_no_error_of_the_clients() -> None:
    """Its message was right, and the provider's words may be a secret."""

    def work() -> Work:
        Reply.model_validate({"a": "a secret"})
        raise NotImplementedError

    class View(EventView):
        @on_event
        async def take(self, work: Inject[Work]) -> None: ...

    provider = Provider(scope=Scope.REQUEST)
    provider.provide(work)

    with pytest.raises(ConnectionClosed, match="closed with 1011") as failure:
        answers(View, {"type": "take"}, providers=[provider])

    assert "what it asks for cannot be made" in str(failure.value.__cause__)
