"""What docs/coming-from-pyfly.md promises to users of PyFly's WebSocket controllers.

The first part keeps what worked there, renamed as that page's tables say. The second
has one test for each thing that did not: it fails where that is so again. How a
connection ends is asked of a real uvicorn, as the original's tests never did.
"""

import logging
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import pytest
from dishka import Provider, Scope
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Send
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_by_network

from bocadillo import (
    App,
    ConfigurationError,
    ExpectedAsync,
    Inject,
    RoutedPath,
    WebSocket,
    WebSocketHandler,
    controller,
    websocket_mapping,
)
from bocadillo.testing import ConnectionClosed as ConnectionEnded
from bocadillo.testing import HandshakeRefused, LiveServer, connect
from tests.fakes import FakeServer, run, text

# Long enough for a machine that is busy; nothing waits so long when all is well.
SOON_S = 10

# uvicorn's third protocol stands on a part of `websockets` that is deprecated.
on_every_uvicorn = pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto", "websockets"])
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::uvicorn.config.UvicornDeprecationWarning"),
]


async def talk(app: ASGIApp, path: str, *messages: str) -> list[Any]:
    """Send messages, and return as many answers."""
    async with connect(app, path) as ws:
        answers = []
        for message in messages:
            await ws.send(message)
            answers.append(await ws.receive())
        return answers


async def told(app: ASGIApp, path: str) -> Any:
    """Return the first message."""
    async with connect(app, path) as ws:
        return await ws.receive_json()


def visit(app: ASGIApp, path: str) -> None:
    """Come and go."""

    async def scenario() -> None:
        async with connect(app, path):
            pass

    run(scenario)


@contextmanager
def uvicorn_with(cls: type, ws: str) -> Iterator[Callable[[str], ClientConnection]]:
    """Give a function that opens connections to a controller; it closes them all."""
    opened: list[ClientConnection] = []
    with LiveServer(App(controllers=[cls]), ws=ws) as server:

        def open_one(path: str) -> ClientConnection:
            opened.append(connect_by_network(server.ws_url(path), legacy=True))
            return opened[-1]

        try:
            yield open_one
        finally:
            for client in opened:
                client.close()


def ending_of(client: ClientConnection) -> tuple[int, str]:
    """Return the code and reason of the close frame that a client gets."""
    try:
        while True:
            client.recv(timeout=SOON_S)
    except ConnectionClosed as exc:
        return (exc.rcvd.code, exc.rcvd.reason) if exc.rcvd is not None else (1006, "")


# What is kept


@controller("/ws")
class Talk:
    @websocket_mapping("/talk")
    async def talk(self, session: WebSocket) -> None:
        await session.accept()
        while True:
            message = await session.receive_text()
            await session.send_text(f"heard {message}")


def test_e1_a_mapped_method_takes_a_session_and_has_the_loop() -> None:
    """It accepts, receives, sends; the leaving of the client ends it."""
    app = App(controllers=[Talk])

    assert run(lambda: talk(app, "/ws/talk", "a", "b")) == ["heard a", "heard b"]


def test_e1_the_decorator_returns_the_method() -> None:
    """A test calls it with whatever has the methods that it uses."""

    async def scenario() -> list[Any]:
        server = FakeServer(text("a"), {"type": "websocket.disconnect", "code": 1000})
        with pytest.raises(Exception, match="1000"):
            await Talk().talk(server.websocket())
        return [event.get("text") for event in server.sent]

    assert run(scenario) == [None, "heard a"]


def test_e2_controller_stands_with_and_without_a_call() -> None:
    """And gives the class back."""

    @controller
    class Bare:
        @websocket_mapping
        async def view(self, session: WebSocket) -> None: ...

    @controller()
    class Called(Bare): ...

    @controller("/ws/")
    class Based(Bare): ...

    paths = [App(controllers=[cls]).url_path_for(f"{cls.__name__}.view") for cls in (Bare, Called)]
    assert paths == ["/", "/"]
    assert App(controllers=[Based]).url_path_for("Based.view") == "/ws"
    assert isinstance(Based(), Bare)


def test_e2_other_classes_are_no_controllers() -> None:
    """As services and repositories were none."""

    class Service:
        @websocket_mapping("/x")
        async def view(self, session: WebSocket) -> None: ...

    with pytest.raises(ConfigurationError, match="Service is no controller"):
        App(controllers=[Service])


def test_e3_a_path_is_base_and_mapping() -> None:
    """Either may be missing."""

    class Methods:
        @websocket_mapping
        async def at_base(self, session: WebSocket) -> None: ...

        @websocket_mapping("/talk")
        async def below(self, session: WebSocket) -> None: ...

    based = controller("/ws")(type("Based", (Methods,), {}))
    without = controller(type("Without", (Methods,), {}))
    app = App(controllers=[based, without])

    assert [getattr(route, "path", "") for route in app.routes] == ["/ws", "/ws/talk", "/", "/talk"]


@controller("/session/{room}")
class Sessions:
    def __init__(self) -> None:
        self.known: set[WebSocket] = set()

    @websocket_mapping("/about")
    async def about(self, session: WebSocket) -> None:
        self.known.add(session)
        await session.send_json(
            [
                session.path_params["room"],
                session.query_params["q"],
                session.headers["X-Who"],
                session.accepted,
                session in self.known,
            ]
        )

    @websocket_mapping("/frames")
    async def frames(self, session: WebSocket) -> None:
        await session.send_text(await session.receive_text())
        await session.send_bytes(await session.receive_bytes())
        await session.send_json(await session.receive_json())
        await session.send_json(await session.receive_json(mode="binary"), mode="binary")
        await session.close(4000, reason="enough")

    @websocket_mapping("/sub", auto_accept=False)
    async def sub(self, session: WebSocket) -> None:
        await session.accept(subprotocol="v2")


def test_e4_a_session_tells_of_the_handshake() -> None:
    """Path, query, headers, whether it is accepted; it may be kept in a set."""
    app = App(controllers=[Sessions])

    async def scenario() -> Any:
        async with connect(app, "/session/tea/about?q=1", headers={"x-who": "Ada"}) as ws:
            return await ws.receive_json()

    assert run(scenario) == ["tea", "1", "Ada", True, True]


def test_e4_a_session_sends_and_receives_all_kinds_and_closes() -> None:
    """By the same names and arguments."""
    app = App(controllers=[Sessions])

    async def scenario() -> list[Any]:
        async with connect(app, "/session/tea/frames") as ws:
            for payload in ("text", b"bytes", "[1]", b"[2]"):
                await ws.send(payload)
            frames = [await ws.receive() for _ in range(4)]
            with pytest.raises(ConnectionEnded) as ending:
                await ws.receive()
            return [*frames, ending.value.code, ending.value.reason]

    assert run(scenario) == ["text", b"bytes", "[1]", b"[2]", 4000, "enough"]


def test_e4_a_subprotocol_is_accepted_where_the_route_does_not_accept() -> None:
    """With `auto_accept=False`, `accept` is the method's, arguments and all."""
    app = App(controllers=[Sessions])

    async def scenario() -> Any:
        async with connect(app, "/session/tea/sub", subprotocols=["v2"]) as ws:
            return ws.subprotocol

    assert run(scenario) == "v2"


@controller("/shape")
class Shaped:
    """A controller of the protocol's shape, which calls its own `on_message`."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    @websocket_mapping
    async def view(self, session: WebSocket) -> None:
        self.steps.append("view")
        await self.on_message(session, await session.receive_text())

    async def on_connect(self, session: WebSocket) -> None:
        await session.accept()
        self.steps.append("connect")

    async def on_message(self, session: WebSocket, data: str) -> None:
        self.steps.append(data)
        await session.send_json(self.steps)

    async def on_disconnect(self, session: WebSocket) -> None: ...


def test_e5_the_protocol_needs_all_three_methods() -> None:
    """It is checked at run time, too."""
    shaped: object = Shaped()
    talk: object = Talk()

    assert isinstance(shaped, WebSocketHandler)
    assert not isinstance(talk, WebSocketHandler)


def test_e5_on_message_of_a_controller_is_called_by_its_methods_alone() -> None:
    """`on_connect` now is called, as its name says."""
    app = App(controllers=[Shaped])

    async def scenario() -> Any:
        async with connect(app, "/shape") as ws:
            await ws.send("hello")
            return await ws.receive_json()

    assert run(scenario) == ["connect", "view", "hello"]


class Repository:
    """What a controller asks for."""

    def __init__(self) -> None:
        made.append("repository")


made: list[str] = []


@controller("/lazy")
class Lazy:
    def __init__(self, repository: Inject[Repository]) -> None:
        made.append("controller")
        self.repository = repository

    @websocket_mapping
    async def view(self, session: WebSocket) -> None:
        await session.send_json(id(self))


def test_e6_a_controller_is_built_at_the_first_connection_and_shared() -> None:
    """Of what its constructor's annotations ask for."""
    made.clear()
    provider = Provider(scope=Scope.APP)
    provider.provide(Repository)
    app = App(providers=[provider], controllers=[Lazy])

    async def scenario() -> list[Any]:
        assert made == []
        return [await told(app, "/lazy") for _ in range(2)]

    one, two = run(scenario)
    assert one == two
    assert made == ["repository", "controller"]


def ends_with(on_disconnect: Callable[..., Any]) -> Any:
    """Return a controller whose method ends as the client says."""

    async def view(self: object, session: WebSocket, how: str) -> None:
        if how == "raises":
            raise LookupError("a secret")
        await session.receive_text()

    async def refuses(self: object, session: WebSocket) -> None:
        await session.reject()

    methods = {
        "view": websocket_mapping("/view/{how}")(view),
        "refuses": websocket_mapping("/refuses", auto_accept=False)(refuses),
        "on_disconnect": on_disconnect,
    }
    return controller("/ends")(type("Ends", (), methods))


def note(self: object, session: WebSocket) -> None:
    ended.append(session)


async def note_later(self: object, session: WebSocket) -> None:
    ended.append(session)


async def fail(self: object, session: WebSocket) -> None:
    raise OSError("of the cleanup")


ended: list[WebSocket] = []


@pytest.mark.parametrize("on_disconnect", [note, note_later])
def test_e7_on_disconnect_is_called_sync_or_async_if_the_session_was_accepted(
    on_disconnect: Callable[..., Any],
) -> None:
    """Whether the client left or the method raised; not for one who never came in."""
    ended.clear()
    app = App(controllers=[ends_with(on_disconnect)])

    visit(app, "/ends/view/waits")
    assert len(ended) == 1
    with pytest.raises(LookupError):
        visit(app, "/ends/view/raises")
    assert len(ended) == 2
    with pytest.raises(HandshakeRefused):
        visit(app, "/ends/refuses")
    assert len(ended) == 2


def test_e7_a_leaving_is_a_normal_end(caplog: pytest.LogCaptureFixture) -> None:
    """Without `try` in the method and without a line in the log."""
    with caplog.at_level(logging.DEBUG, "bocadillo"):
        run(lambda: talk(App(controllers=[Talk]), "/ws/talk", "a"))

    assert [record for record in caplog.records if record.name.startswith("bocadillo")] == []


def test_e7_an_exception_is_logged_with_the_method_and_not_raised_to_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """So is one of `on_disconnect`, which hides nothing."""

    async def serve(server: FakeServer) -> None:
        app = App(controllers=[ends_with(fail)])
        await app(server.scope, server.receive, server.send)

    server = FakeServer(path="/ends/view/raises", raw_path=b"/ends/view/raises")
    run(lambda: serve(server))

    first, second = caplog.records
    assert first.getMessage().endswith("Ends.view: the view failed")
    assert second.getMessage().endswith("Ends.view: on_disconnect failed")
    assert [type(r.exc_info[1]) for r in (first, second) if r.exc_info] == [LookupError, OSError]
    assert server.sent[-1] == {"type": "websocket.close", "code": 1011, "reason": ""}


def test_e8_paths_have_starlettes_converters() -> None:
    """What they convert also comes as an argument."""

    @controller("/c/{room}")
    class Converts:
        @websocket_mapping("/{id:int}/{rest:path}")
        async def view(self, session: WebSocket, id: int, rest: str) -> None:
            assert session.path_params == {"room": "tea", "id": id, "rest": rest}
            await session.send_json([id, rest])

    app = App(controllers=[Converts])

    assert run(lambda: told(app, "/c/tea/7/a/b")) == [7, "a/b"]
    with pytest.raises(HandshakeRefused, match="404"):
        run(lambda: told(app, "/c/tea/x/a"))


# What did not work


@pytest.mark.parametrize("base", ["/ws", "/ws/", "ws"])
@pytest.mark.parametrize("path", ["talk", "/talk"])
def test_g1_base_and_path_are_joined_by_exactly_one_slash(base: str, path: str) -> None:
    """They used to run into one another."""

    class Joined:
        @websocket_mapping(path)
        async def view(self, session: WebSocket) -> None: ...

    app = App(controllers=[controller(base)(Joined)])

    assert app.url_path_for("Joined.view") == "/ws/talk"


def test_g2_methods_are_registered_as_they_are_written() -> None:
    """In the order of the alphabet, the general path hid the special one."""

    @controller("/rooms")
    class Ordered:
        @websocket_mapping("/special")
        async def z_special(self, session: WebSocket) -> None:
            await session.send_json("special")

        @websocket_mapping("/{room_id}")
        async def a_room(self, session: WebSocket, room_id: str) -> None:
            await session.send_json(f"room {room_id}")

    app = App(controllers=[Ordered])

    assert run(lambda: told(app, "/rooms/special")) == "special"
    assert run(lambda: told(app, "/rooms/tea")) == "room tea"


@controller
class Endings:
    @websocket_mapping("/returns")
    async def returns(self, session: WebSocket) -> None:
        await session.accept()

    @websocket_mapping("/raises")
    async def raises(self, session: WebSocket) -> None:
        raise LookupError("a secret")

    @websocket_mapping("/never-accepts", auto_accept=False)
    async def never_accepts(self, session: WebSocket) -> None: ...


@on_every_uvicorn
def test_g3_a_connection_is_always_closed(ws: str) -> None:
    """The adapter never did, so clients saw 1006, or HTTP 500 before accept."""
    with uvicorn_with(Endings, ws) as open_one:
        assert ending_of(open_one("/returns")) == (1000, "")
        assert ending_of(open_one("/raises")) == (1011, "")
        with pytest.raises(InvalidStatus, match="403"):
            open_one("/never-accepts")


def test_g4_a_sync_method_is_refused_at_registration() -> None:
    """And not by HTTP 500 when the first client comes."""

    @controller
    class Sync:
        @websocket_mapping("/x")
        def view(self, session: WebSocket) -> None: ...

    with pytest.raises(ExpectedAsync, match=r"write `async def view\(self, …\)`"):
        App(controllers=[Sync])


@pytest.mark.parametrize("scope", [Scope.SESSION, Scope.REQUEST])
def test_g5_a_controller_gets_nothing_that_lives_shorter_than_itself(scope: Scope) -> None:
    """The instance was cached whatever its scope, and with it what it held."""
    provider = Provider(scope=scope)
    provider.provide(Repository)

    with pytest.raises(ConfigurationError) as refused:
        App(providers=[provider], controllers=[Lazy])

    assert str(refused.value) == (
        "controller Lazy.__init__(): parameter 'repository' asks for Repository, which has "
        f"scope {scope.name}: it is built once for all connections; ask for it in the methods "
        "that need it"
    )


class Doorkeeper:
    """A middleware of both protocols, which lets some in."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and b"blocked" in scope["query_string"]:
            await send({"type": "websocket.close", "code": 1008})
            return
        await self.app(scope, receive, send)


def test_g6_middleware_and_hooks_stand_before_controllers() -> None:
    """The security filters of the application did not see WebSockets."""

    def check_token(token: str = "") -> Any:
        return None if token == "s3cret" else (401, {}, b"who is it?\n")

    app = App(
        middleware=[Middleware(Doorkeeper)], process_request=check_token, controllers=[Endings]
    )

    with pytest.raises(HandshakeRefused, match="HTTP 401"):
        visit(app, "/returns")
    with pytest.raises(HandshakeRefused, match="HTTP 403"):
        visit(app, "/returns?token=s3cret&blocked")
    visit(app, "/returns?token=s3cret")


def test_g7_on_disconnect_can_tell_the_mappings_apart() -> None:
    """One of them serves all, and knew nothing but the session."""
    seen: list[Any] = []

    @controller("/ws")
    class Two:
        @websocket_mapping("/rooms/{room}")
        async def room(self, session: WebSocket) -> None: ...

        @websocket_mapping("/feed")
        async def feed(self, session: WebSocket) -> None:
            await session.close(4000)

        async def on_disconnect(
            self, session: WebSocket, path: RoutedPath, close_code: int
        ) -> None:
            seen.append((str(path), path.params, close_code))

    app = App(controllers=[Two])

    for path in ("/ws/rooms/tea", "/ws/feed"):
        visit(app, path)

    assert seen == [("/ws/rooms/tea", {"room": "tea"}, 1000), ("/ws/feed", {}, 4000)]
