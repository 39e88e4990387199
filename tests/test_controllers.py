"""Controllers: paths and order, which classes are taken from where, and who serves them."""

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import websockets
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.types import ASGIApp
from websockets.asyncio.server import serve

from bocadillo import (
    App,
    ConfigurationError,
    ExpectedAsync,
    Router,
    WebSocket,
    WebSocketHandler,
    controller,
    websocket_mapping,
)
from bocadillo.testing import HandshakeRefused, connect
from tests.fakes import run


async def answer_of(app: ASGIApp, path: str) -> Any:
    """Connect, and return the first message as JSON."""
    async with connect(app, path) as ws:
        return await ws.receive_json()


def ask(app: ASGIApp, path: str) -> Any:
    return run(lambda: answer_of(app, path))


def paths_of(*controllers: Any) -> list[str]:
    return [getattr(route, "path", "") for route in App(controllers=controllers).routes]


@controller("/rooms")
class Rooms:
    """Rooms, each with its tables."""

    @websocket_mapping("/{room}")
    async def room(self, ws: WebSocket, room: str) -> None:
        await ws.send_json(["room", room])

    @websocket_mapping("/{room}/{table:int}")
    async def table(self, ws: WebSocket, room: str, table: int) -> None:
        await ws.send_json(["table", room, table])


# The decorators


def test_a_decorated_class_is_the_class() -> None:
    """It can be made, tested and subclassed as if it were not decorated."""

    class Plain:
        """What it does."""

        async def view(self, ws: WebSocket) -> None: ...

    method = Plain.view
    mapped = websocket_mapping("/x")(method)
    decorated = controller("/base")(Plain)

    assert mapped is method
    assert decorated is Plain
    assert (Plain.__name__, Plain.__doc__, type(Plain)) == ("Plain", "What it does.", type)
    assert isinstance(Plain(), Plain)


def with_paths(base: str | None, path: str | None) -> type:
    """Return a controller with one method; None is for a decorator without a call."""

    class Made:
        async def view(self, ws: WebSocket) -> None: ...

    view: Any = Made.view
    websocket_mapping(view) if path is None else websocket_mapping(path)(view)
    return controller(Made) if base is None else controller(base)(Made)


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        *[(base, path, "/") for base in (None, "", "/") for path in (None, "", "/")],
        *[(base, path, "/x") for base in (None, "", "/") for path in ("x", "/x", "//x")],
        *[(base, path, "/b") for base in ("b", "/b", "/b/", "b/") for path in (None, "")],
        *[(base, path, "/b/x") for base in ("b", "/b", "/b/", "b//") for path in ("x", "/x")],
        ("/b", "/", "/b/"),
        ("/b/{c}", "/{d:int}/", "/b/{c}/{d:int}/"),
    ],
)
def test_base_and_path_are_joined_by_exactly_one_slash(
    base: str | None, path: str | None, expected: str
) -> None:
    """Nobody has to remember which of the two brings the slash."""
    assert paths_of(with_paths(base, path)) == [expected]


def test_both_decorators_may_be_called_with_nothing() -> None:
    """The same as without parentheses."""

    @controller()
    class Called:
        @websocket_mapping()
        async def view(self, ws: WebSocket) -> None: ...

    assert paths_of(Called) == ["/"]


@pytest.mark.parametrize("given", [5, None, lambda: None])
def test_controller_takes_a_class(given: Any) -> None:
    """A function would never be served."""
    with pytest.raises(ConfigurationError, match="@controller takes a class, got "):
        controller(given)
    with pytest.raises(ConfigurationError, match="@controller takes a class, got "):
        controller("/base")(given)


@pytest.mark.parametrize("given", [5, None, Rooms, functools.partial(print)])
def test_websocket_mapping_takes_a_path_or_a_method(given: Any) -> None:
    """What is no method has no `self`."""
    told = "@websocket_mapping takes a path or a method, got "
    with pytest.raises(ConfigurationError, match=told):
        websocket_mapping(given)
    with pytest.raises(ConfigurationError, match=told):
        websocket_mapping("/x")(given)


@pytest.mark.parametrize("option", ["valuetype", "router", "endpoint"])
def test_an_unknown_option_is_refused_where_it_is_written(option: str) -> None:
    """With those that there are."""
    with pytest.raises(ConfigurationError) as refused:

        @websocket_mapping("/x", **{option: "json"})
        async def view(self: object, ws: WebSocket) -> None: ...

    assert str(refused.value) == (
        f"@websocket_mapping has no option {option!r}; known: name, auto_accept, subprotocols, "
        "value_type, receive_type, send_type, caught_close_codes, process_request"
    )


def test_a_wrong_path_is_refused_with_the_whole_of_it() -> None:
    """Base and path, as a client would see them."""
    with pytest.raises(ConfigurationError, match="/b/{id:itn}: unknown converter 'itn'"):
        App(controllers=[with_paths("/b", "/{id:itn}")])


# Routes


def test_methods_are_routes_in_the_order_of_their_definition() -> None:
    """The first that matches wins, so a special path goes above the general one."""

    @controller("/rooms")
    class Ordered:
        @websocket_mapping("/special")
        async def z(self, ws: WebSocket) -> None:
            await ws.send_json("special")

        @websocket_mapping("/{room}")
        async def a(self, ws: WebSocket, room: str) -> None:
            await ws.send_json(f"room {room}")

        async def unmapped(self) -> None: ...

    app = App(controllers=[Ordered])

    assert paths_of(Ordered) == ["/rooms/special", "/rooms/{room}"]
    assert ask(app, "/rooms/special") == "special"
    assert ask(app, "/rooms/tea") == "room tea"


class Point(BaseModel):
    x: int


@controller
class Optioned:
    @websocket_mapping("/one", value_type="json", name="first")
    @websocket_mapping("two", subprotocols=("v2", "v1"))
    @websocket_mapping
    async def several(self, ws: WebSocket) -> None:
        await ws.send_json([ws.receive_type, ws.url.path])

    @websocket_mapping("/typed")
    async def typed(self, ws: WebSocket[Point, list[int]]) -> None:
        point = await ws.receive()
        await ws.send([point.x])

    @websocket_mapping("/split", receive_type=Point, send_type="bytes", caught_close_codes=all)
    async def split(self, ws: WebSocket[Any, Any]) -> None:
        await ws.send(str((await ws.receive()).x).encode())

    @websocket_mapping("/closed", auto_accept=False)
    async def closed(self, ws: WebSocket) -> None:
        await ws.reject(418)

    @websocket_mapping(
        "/guarded", process_request=lambda token="": None if token else (401, {}, "")
    )
    async def guarded(self, ws: WebSocket) -> None:
        await ws.send_json("in")


def test_a_method_may_have_several_paths_each_with_its_options() -> None:
    """In the order in which they are written."""
    app = App(controllers=[Optioned])

    assert paths_of(Optioned)[:3] == ["/one", "/two", "/"]
    assert ask(app, "/one") == ["json", "/one"]
    assert ask(app, "/two") == ["text", "/two"]
    assert ask(app, "/") == ["text", "/"]


def test_a_route_is_named_after_class_and_method_unless_it_says_otherwise() -> None:
    """`url_path_for` finds it, and log lines tell it."""
    app = App(controllers=[Optioned, Rooms])

    names = [getattr(route, "name", "") for route in app.routes]
    assert names[:4] == ["first", "Optioned.several", "Optioned.several", "Optioned.typed"]
    assert app.url_path_for("first") == "/one"
    assert app.url_path_for("Optioned.several") == "/two"
    assert app.url_path_for("Rooms.table", room="tea", table=7) == "/rooms/tea/7"


def test_every_option_of_a_route_is_one_of_a_mapping() -> None:
    """Value types, subprotocols, accepting, hooks, close codes."""
    app = App(controllers=[Optioned])

    async def scenario() -> list[Any]:
        answers: list[Any] = []
        async with connect(app, "/two", subprotocols=["v1"]) as ws:
            answers.append(ws.subprotocol)
        async with connect(app, "/split") as ws:
            await ws.send_json({"x": 7})
            answers.append(await ws.receive())
        async with connect(app, "/typed") as ws:
            await ws.send_json({"x": 7})
            answers.append(await ws.receive_json())
        async with connect(app, "/guarded?token=1") as ws:
            answers.append(await ws.receive_json())
        for path in ("/closed", "/guarded"):
            with pytest.raises(HandshakeRefused) as refused:
                await answer_of(app, path)
            answers.append(refused.value.status)
        return answers

    assert run(scenario) == ["v1", b"7", [7], "in", 418, 401]
    split: Any = next(r for r in app.routes if getattr(r, "path", "") == "/split")
    assert split.endpoint.caught_close_codes is all


# Inheritance


@controller("/base")
class Base:
    @websocket_mapping("/first")
    async def first(self, ws: WebSocket) -> None:
        await ws.send_json("base's first")

    @websocket_mapping("/second", name="kept")
    async def second(self, ws: WebSocket) -> None:
        await ws.send_json("base's second")

    @websocket_mapping("/third")
    async def third(self, ws: WebSocket) -> None: ...


def test_a_subclass_has_its_own_base_and_inherits_the_methods() -> None:
    """An override keeps its path and place, unless it has a path of its own."""

    @controller("/sub")
    class Sub(Base):
        @websocket_mapping("/own")
        async def own(self, ws: WebSocket) -> None: ...

        async def second(self, ws: WebSocket) -> None:
            await ws.send_json("sub's second")

        @websocket_mapping("/3rd")
        async def third(self, ws: WebSocket) -> None:
            await ws.send_json("sub's third")

    app = App(controllers=[Sub, Base])

    assert paths_of(Sub) == ["/sub/first", "/sub/second", "/sub/3rd", "/sub/own"]
    assert paths_of(Base) == ["/base/first", "/base/second", "/base/third"]
    assert ask(app, "/sub/first") == "base's first"
    assert ask(app, "/sub/second") == "sub's second"
    assert ask(app, "/sub/3rd") == "sub's third"
    assert ask(app, "/base/second") == "base's second"
    assert app.url_path_for("kept") == "/sub/second"


def test_a_method_that_is_none_in_a_subclass_is_no_route() -> None:
    """And may come back below that."""

    @controller("/sub")
    class Sub(Base):
        second: Any = None
        unrelated: Any = None

    @controller("/subsub")
    class SubSub(Sub):
        @websocket_mapping("/again")
        async def second(self, ws: WebSocket) -> None: ...

    assert paths_of(Sub) == ["/sub/first", "/sub/third"]
    assert paths_of(SubSub) == ["/subsub/first", "/subsub/third", "/subsub/again"]


def test_mapped_methods_may_come_from_a_class_that_is_no_controller() -> None:
    """A mixin has no base path."""

    class Pings:
        @websocket_mapping("/ping")
        async def ping(self, ws: WebSocket) -> None:
            await ws.send_json("pong")

    @controller("/a")
    class A(Pings): ...

    @controller("/b")
    class B(Pings): ...

    app = App(controllers=[A, B])

    assert [ask(app, "/a/ping"), ask(app, "/b/ping")] == ["pong", "pong"]
    assert app.url_path_for("B.ping") == "/b/ping"


def test_a_subclass_is_decorated_itself() -> None:
    """Or its routes would be those of its base class once more."""

    class Sub(Base): ...

    with pytest.raises(ConfigurationError) as refused:
        App(controllers=[Sub])

    assert str(refused.value) == "Sub is no controller; put @controller above the class"


# Classes and modules


def module_from(name: str, source: str, folder: Path) -> ModuleType:
    """Write a module, and import it."""
    file = folder.joinpath(*name.split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"from bocadillo import controller, websocket_mapping\n\n\n{source}")
    return importlib.import_module(name)


def controller_source(name: str) -> str:
    return (
        f"@controller('/{name.lower()}')\nclass {name}:\n"
        "    @websocket_mapping\n    async def view(self, ws): ...\n\n\n"
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder whose modules can be imported, until the test ends."""
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) and name.startswith("ctl_"):
            del sys.modules[name]


def test_a_module_gives_the_controllers_that_it_defines(folder: Path) -> None:
    """In their order, each once, whatever else is in it and however it is called."""
    module_from("ctl_other", controller_source("Imported"), folder)
    module = module_from(
        "ctl_mine",
        "import ctl_other\nfrom ctl_other import Imported\n\nsomething = object()\n\n\n"
        + controller_source("Second")
        + controller_source("First")
        + "class Undecorated(First): ...\n\n\nAlias = First\n",
        folder,
    )

    assert paths_of(module) == ["/second", "/first"]
    assert paths_of(module, Rooms)[:3] == ["/second", "/first", "/rooms/{room}"]


def test_a_package_gives_what_it_takes_from_its_modules(folder: Path) -> None:
    """And not what it takes from elsewhere, even where that has a longer name."""
    module_from("ctl_package.rooms", controller_source("Inner"), folder)
    module_from("ctl_package_too", controller_source("Elsewhere"), folder)
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.startswith("ctl_package")]:
        del sys.modules[name]
    package = module_from(
        "ctl_package.__init__", "from .rooms import Inner\nfrom ctl_package_too import *\n", folder
    )
    package.__name__ = "ctl_package"

    assert paths_of(package) == ["/inner"]


def test_what_a_module_holds_is_not_disturbed(folder: Path) -> None:
    """Such as a proxy that cannot be looked at before there is a request."""
    module = module_from(
        "ctl_proxy",
        "class Proxy:\n    def __getattr__(self, name): raise RuntimeError(name)\n"
        "    __module__ = property(lambda self: 1 / 0)\n\n\nproxy = Proxy()\n\n\n"
        + controller_source("Behind"),
        folder,
    )

    assert paths_of(module) == ["/behind"]


def test_a_module_without_controllers_is_refused() -> None:
    """Most likely it is the wrong one."""
    with pytest.raises(ConfigurationError, match="module ctl has no classes with @controller"):
        App(controllers=[ModuleType("ctl")])


class Undecorated:
    @websocket_mapping("/x")
    async def view(self, ws: WebSocket) -> None: ...


@controller("/empty")
class Empty:
    async def view(self, ws: WebSocket) -> None: ...


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Undecorated, "Undecorated is no controller; put @controller above the class"),
        (Empty, "controller Empty has no @websocket_mapping methods"),
        (Rooms(), "a controller is a class or in a module, got <tests.test_controllers.Rooms"),
        ("rooms", "a controller is a class or in a module, got 'rooms'"),
    ],
)
def test_what_is_no_controller_is_refused_and_nothing_of_it_is_added(given: Any, told: str) -> None:
    """By `App` and by `Router`, with what to do."""
    app, router = App(), Router()

    for includer in (app, router):
        with pytest.raises(ConfigurationError) as refused:
            includer.include_controllers(Rooms, given)
        assert str(refused.value).startswith(told)

    assert app.routes == router.routes == []


def test_a_method_that_is_not_async_is_refused() -> None:
    """It could not wait for a message."""

    @controller
    class Sync:
        @websocket_mapping("/x")
        def view(self, ws: WebSocket) -> None: ...

    with pytest.raises(ExpectedAsync) as refused:
        App(controllers=[Sync])

    assert str(refused.value) == (
        "controller Sync.view() must be async: write `async def view(self, …)`"
    )


def above(wrap: Any) -> type:
    class Above:
        view = websocket_mapping("/x")(wrap(Rooms.room))

    return controller(Above)


def below(wrap: Any) -> type:
    class Below:
        async def other(self, ws: WebSocket) -> None: ...

        view = wrap(websocket_mapping("/x")(other))

    return controller(Below)


@pytest.mark.parametrize("wrap", [staticmethod, classmethod])
@pytest.mark.parametrize("made", [above, below])
def test_static_and_class_methods_are_refused(made: Callable[[Any], type], wrap: Any) -> None:
    """In either order of the decorators; a mapping must not get lost."""
    with pytest.raises(ConfigurationError, match=r"view\(\) must be a plain method, with `self`"):
        App(controllers=[made(wrap)])


@pytest.mark.parametrize("hook", ["process_request", "on_connect", "on_disconnect"])
def test_a_mapped_method_cannot_have_the_name_of_a_hook(hook: str) -> None:
    """It would be called twice for each connection."""

    async def view(self: object, ws: WebSocket) -> None: ...

    cls = controller(type("Hooked", (), {hook: websocket_mapping("/x")(view)}))

    with pytest.raises(ConfigurationError, match=rf"controller Hooked.{hook}\(\) is called for"):
        App(controllers=[cls])


def test_a_method_may_be_decorated_by_others() -> None:
    """`functools.wraps` keeps name, signature and mapping."""

    def shouting(method: Any) -> Any:
        @functools.wraps(method)
        async def shout(self: Any, ws: WebSocket, **given: Any) -> None:
            await method(self, ws, **{name: value.upper() for name, value in given.items()})

        return shout

    @controller
    class Decorated:
        @shouting
        @websocket_mapping("/above/{room}")
        async def above(self, ws: WebSocket, room: str) -> None:
            await ws.send_json(room)

        @websocket_mapping("/below/{room}")
        @shouting
        async def below(self, ws: WebSocket, room: str) -> None:
            await ws.send_json(room)

    app = App(controllers=[Decorated])

    assert [ask(app, "/above/tea"), ask(app, "/below/tea")] == ["TEA", "TEA"]


# Who serves them


def in_an_app(cls: type) -> tuple[ASGIApp, str]:
    app = App()
    app.include_controllers(cls)
    return app, ""


def in_a_router(cls: type) -> tuple[ASGIApp, str]:
    router = Router()
    router.include_controllers(cls)
    return router, ""


def in_an_included_router(cls: type) -> tuple[ASGIApp, str]:
    app, router = App(), Router()
    app.include_router(router, "/v1")
    router.include_controllers(cls)
    return app, "/v1"


def in_fastapi(cls: type) -> tuple[ASGIApp, str]:
    app = FastAPI()
    app.router.routes.extend(App(controllers=[cls]).routes)
    return app, ""


def in_an_included_fastapi_router(cls: type) -> tuple[ASGIApp, str]:
    from fastapi import APIRouter

    app, inner = FastAPI(), APIRouter()
    inner.routes.extend(App(controllers=[cls]).routes)
    app.include_router(inner, prefix="/api")
    return app, "/api"


def mounted_in_starlette(cls: type) -> tuple[ASGIApp, str]:
    app = Starlette()
    app.mount("/ws", App(controllers=[cls]))
    return app, "/ws"


PLACES = [
    *(in_an_app, in_a_router, in_an_included_router),
    *(in_fastapi, in_an_included_fastapi_router, mounted_in_starlette),
]


@pytest.mark.parametrize("place", PLACES)
def test_a_controller_works_wherever_routes_do(
    place: Callable[[type], tuple[ASGIApp, str]],
) -> None:
    """With one instance for all connections, and its hooks."""
    steps: list[Any] = []

    @controller("/count")
    class Counts:
        def __init__(self) -> None:
            self.count = 0

        async def on_connect(self) -> None:
            self.count += 1

        @websocket_mapping("/{name}")
        async def view(self, ws: WebSocket, name: str) -> None:
            await ws.send_json([name, self.count])

        def on_disconnect(self, name: str, close_code: int) -> None:
            steps.append((name, close_code))

    app, prefix = place(Counts)

    async def scenario() -> list[Any]:
        return [await answer_of(app, f"{prefix}/count/{name}") for name in "ab"]

    assert run(scenario) == [["a", 1], ["b", 2]]
    assert steps == [("a", 1000), ("b", 1000)]


def test_a_controller_works_behind_the_websockets_library() -> None:
    """Which runs no lifespan."""
    router = Router()
    router.include_controllers(Rooms)

    async def scenario() -> Any:
        options: Any = {"process_request": router.process_request}
        async with serve(router.handle, "127.0.0.1", 0, **options) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with websockets.connect(f"ws://127.0.0.1:{port}/rooms/tea/7") as ws:
                return await ws.recv()

    assert run(scenario) == '["table","tea",7]'


def test_hooks_of_router_and_app_guard_controllers() -> None:
    """Outermost first, before the controller is made."""
    steps: list[str] = []

    @controller("/c")
    class Guarded:
        def __init__(self) -> None:
            steps.append("made")

        def process_request(self) -> Any:
            steps.append("own hook")
            return 403, {}, b"not you\n"

        @websocket_mapping(process_request=lambda: steps.append("route's hook"))
        async def view(self, ws: WebSocket) -> None: ...

    app = App(process_request=lambda: steps.append("app's hook"))
    router = Router(process_request=lambda: steps.append("router's hook"))
    router.include_controllers(Guarded)
    app.include_router(router)

    with pytest.raises(HandshakeRefused, match="HTTP 403, body b'not you"):
        ask(app, "/c")

    assert steps == ["app's hook", "router's hook", "route's hook", "made", "own hook"]


def test_a_path_that_is_taken_twice_is_warned_of() -> None:
    """As with any two routes: the second would never be served."""
    once = with_paths("/once", None)

    with pytest.warns(UserWarning, match="/once is registered twice"):
        App(controllers=[once, once])


# WebSocketHandler


class Shaped:
    """A class view of the protocol's shape."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def on_connect(self, session: WebSocket) -> None:
        await session.accept()
        await session.send("welcome")

    async def on_message(self, session: WebSocket, message: str) -> None:
        self.seen.append(message)
        await session.send(" ".join(self.seen))

    async def on_disconnect(self, session: WebSocket) -> None:
        left.append((session.close_code, self.seen))


left: list[Any] = []


class Explicit(WebSocketHandler):
    """The same, as a subclass of the protocol."""

    __init__ = Shaped.__init__
    on_connect = Shaped.on_connect
    on_message = Shaped.on_message
    on_disconnect = Shaped.on_disconnect


@pytest.mark.parametrize("cls", [Shaped, Explicit])
def test_a_class_view_of_that_shape_is_a_handler_and_is_served(cls: type) -> None:
    """All three methods are called for it, an instance per connection."""
    left.clear()
    app = App()
    app.websocket_route("/")(cls)
    handler: object = cls()
    typed: WebSocketHandler = Shaped()  # which mypy checks

    async def scenario() -> list[Any]:
        async with connect(app, "/") as ws:
            answers = [await ws.receive()]
            for message in ("a", "b"):
                await ws.send(message)
                answers.append(await ws.receive())
            await ws.close(4000)
        return answers

    assert isinstance(handler, WebSocketHandler)
    assert isinstance(typed, WebSocketHandler)
    assert run(scenario) == ["welcome", "a", "a b"]
    assert left == [(4000, ["a", "b"])]


@pytest.mark.parametrize("lacking", ["on_connect", "on_message", "on_disconnect"])
def test_what_lacks_a_method_is_no_handler(lacking: str) -> None:
    """The shape is all three."""
    methods = {
        name: getattr(Shaped, name)
        for name in ("on_connect", "on_message", "on_disconnect")
        if name != lacking
    }
    made: object = type("Partial", (), methods)()

    assert not isinstance(made, WebSocketHandler)


@pytest.mark.parametrize("controllers", [object, 5], ids=["a class", "a number"])
def test_controllers_are_given_as_a_list(controllers: Any) -> None:
    """The message says so, and not what Python thinks of it."""
    with pytest.raises(ConfigurationError, match="controllers takes a list"):
        App(controllers=controllers)
