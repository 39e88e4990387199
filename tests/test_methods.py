"""The methods of a class and its constructor: what is planned, bound, made and refused."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bocadillo import ConfigurationError, ExpectedAsync, Inject, RoutedPath, WebSocket
from bocadillo.injection import Lifetime, Session, Supply
from bocadillo.methods import Constructor, Instance, Methods, plain_method
from tests.fakes import FakeServer, run
from tests.injection import INJECT, Pool, User, noting


class Full:
    """Has all methods, and notes what they got."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    async def process_request(self, user: Inject[User], path: RoutedPath) -> Any:
        self.got.append((user.pool.name, str(path)))
        return 403, {}, b""

    def on_connect(self, limit: int = 5) -> None:
        self.got.append(limit)

    async def handle(self, ws: WebSocket, room: str, user: Inject[User]) -> None:
        assert user.ws is ws
        self.got.append(room)

    def on_disconnect(self, close_code: int, pool: Inject[Pool]) -> None:
        self.got.append((close_code, pool.name))


class Bare:
    async def handle(self) -> None: ...


async def connected(**scope: Any) -> tuple[WebSocket[Any, Any], Session]:
    """Return an accepted connection, and what lives with it."""
    ws = await FakeServer(path_params={"room": "tea"}, **scope).accepted()
    return ws, Session(Supply([noting([])]), ws)


def test_each_method_is_bound_to_what_its_signature_asks_for() -> None:
    """On the instance that is there when the call is made, not when it is bound."""
    methods = Methods(Full, "handle", ["room"], "view")

    async def scenario() -> list[Any]:
        ws, session = await connected(query_string=b"limit=7")
        instance = Instance()
        calls = methods.bind(ws, session, instance)
        full = instance.value = Full()
        (request, ask), (injection, inject) = calls.hooks
        assert (request, injection) == ("Full.process_request()", "injection")
        assert await ask() == (403, {}, b"")
        assert await inject() is None
        assert calls.connect is not None
        assert calls.disconnect is not None
        calls.connect()
        await calls.handle()
        await ws.close(4000)
        calls.disconnect()
        return full.got

    assert run(scenario) == [("pool", "/?limit=7"), 7, "tea", (4000, "pool")]


def test_all_that_is_injected_is_told_of() -> None:
    """What cannot be supplied is refused by it, before there is a connection."""
    asks = Methods(Full, "handle", ["room"], "view").asks

    assert [(ask.owner, ask.parameter) for ask in asks] == [
        ("view Full.handle()", "user"),
        ("view Full.process_request()", "user"),
        ("view Full.on_disconnect()", "pool"),
    ]


def test_a_class_with_a_body_alone_has_nothing_else_called() -> None:
    """It pays for nothing that it does not have."""
    methods = Methods(Bare, "handle", [], "view")

    async def scenario() -> None:
        ws, session = await connected()
        calls = methods.bind(ws, session, Instance(Bare()))
        await calls.handle()
        assert (calls.hooks, calls.connect, calls.disconnect) == ((), None, None)

    run(scenario)
    assert methods.asks == ()


def test_without_a_body_it_is_for_others_to_put_one_in_its_place() -> None:
    """`on_message` has no signature of its own."""
    methods = Methods(Bare, None, [], "view")

    async def scenario() -> None:
        ws, session = await connected()
        await methods.bind(ws, session, Instance(Bare())).handle()

    run(scenario)


def test_a_hook_that_is_none_in_a_subclass_is_not_called() -> None:
    """As a method that is taken away."""

    class Without(Full):
        process_request: Any = None
        on_connect: Any = None
        on_disconnect: Any = None

    async def scenario() -> None:
        ws, session = await connected()
        calls = Methods(Without, "handle", ["room"], "view").bind(ws, session, Instance())
        assert [name for name, _ in calls.hooks] == ["injection"]
        assert (calls.connect, calls.disconnect) == (None, None)

    run(scenario)


async def _agen(self: object) -> Any:
    yield


@pytest.mark.parametrize("body", [lambda self: None, _agen, 5, Bare])
def test_a_body_that_is_not_async_is_refused(body: Any) -> None:
    """The message says what to write, in whatever kind of class."""
    with pytest.raises(ExpectedAsync) as refused:
        Methods(type("Sync", (), {"view": body}), "view", [], "controller")

    assert str(refused.value) == (
        "controller Sync.view() must be async: write `async def view(self, …)`"
    )


@pytest.mark.parametrize("wrap", [staticmethod, classmethod])
@pytest.mark.parametrize("name", ["handle", "process_request", "on_connect", "on_disconnect"])
def test_static_and_class_methods_are_refused(name: str, wrap: Callable[[Any], Any]) -> None:
    """They have no `self`, so that arguments would go astray."""

    async def method(self: object) -> None: ...

    cls = type("Static", (Bare,), {name: wrap(method)})

    with pytest.raises(ConfigurationError) as refused:
        Methods(cls, "handle", [], "view")

    assert str(refused.value) == f"view Static.{name}() must be a plain method, with `self`"


def test_plain_method_gives_a_method_or_none() -> None:
    """Inherited ones, too."""

    class Sub(Bare): ...

    assert plain_method(Sub, "handle", "view") is Bare.handle
    assert plain_method(Sub, "on_connect", "view") is None


# Constructors


class Wants:
    def __init__(self, user: Inject[User], *rest: int, pool: Inject[Pool], limit: int = 3) -> None:
        self.told = (user.pool is pool, rest, limit)


@dataclass
class Fields:
    pool: Inject[Pool]
    limit: int = 3


class ByNew:
    pool: Pool

    def __new__(cls) -> "ByNew":
        made = super().__new__(cls)
        made.pool = Pool("made by itself")
        return made


def test_a_constructor_gets_what_lives_with_the_connection() -> None:
    """What has a default and is not injected keeps it."""
    constructor = Constructor(Wants, "view", Lifetime.SESSION)

    async def scenario() -> Any:
        _, session = await connected()
        return await constructor.inject(session)

    assert [ask.parameter for ask in constructor.asks] == ["user", "pool"]
    assert run(scenario).told == (True, (), 3)


def test_a_constructor_is_shared_by_key() -> None:
    """The same key gives the same instance as long as the application lives."""
    constructor = Constructor(Fields, "controller", Lifetime.APP)

    async def scenario() -> list[Any]:
        _, session = await connected()
        return [await constructor.share(key, session) for key in ("a", "a", "b")]

    one, same, other = run(scenario)
    assert one is same
    assert one is not other
    assert isinstance(one.pool, Pool)


@pytest.mark.parametrize("cls", [Bare, ByNew, dict, type("Sub", (dict,), {})])
def test_a_class_that_asks_for_nothing_is_just_made(cls: type) -> None:
    """Those of the language among them, which tell nothing of their parameters."""
    constructor = Constructor(cls, "view", Lifetime.SESSION)

    assert constructor.asks == ()
    assert type(constructor.make()) is cls


class Positional:
    def __init__(self, pool: Inject[Pool], /) -> None: ...


class Plain:
    def __init__(self, pool: Pool) -> None: ...


@pytest.mark.parametrize("cls", [Positional, Plain])
def test_a_parameter_that_nobody_has_is_refused(cls: type) -> None:
    """By position nothing can be injected."""
    with pytest.raises(ConfigurationError) as refused:
        Constructor(cls, "view", Lifetime.SESSION)

    assert str(refused.value) == (
        f"view {cls.__name__}.__init__() asks for 'pool', which nobody has; possible: "
        "`pool: Inject[…]`, or a default"
    )


def test_an_annotation_of_the_constructor_that_names_nothing_is_refused() -> None:
    """With whose it is."""

    def init(self: object, pool: Any = None) -> None: ...

    init.__annotations__["pool"] = "Nowhere"
    cls = type("Lost", (), {"__init__": init})

    with pytest.raises(ConfigurationError, match=r"controller Lost.__init__\(\): an annotation"):
        Constructor(cls, "controller", Lifetime.APP)


def test_an_abstract_class_is_refused() -> None:
    """With what it lacks."""

    class Shape(ABC):
        @abstractmethod
        def b(self) -> None: ...

        @abstractmethod
        def a(self) -> None: ...

    with pytest.raises(ConfigurationError) as refused:
        Constructor(Shape, "controller", Lifetime.APP)

    assert str(refused.value) == "controller Shape is abstract; it lacks: a, b"


def test_a_lifetime_is_that_of_what_is_asked_for() -> None:
    """It is checked by whoever supplies."""
    (ask,) = Constructor(Fields, "controller", Lifetime.APP).asks

    assert (ask.lifetime, ask.owner) == (Lifetime.APP, "controller Fields.__init__()")
    assert INJECT[Pool] == Fields.__init__.__annotations__["pool"]
