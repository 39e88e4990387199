"""`bocadillo routes` shows a table."""

import functools
from typing import Any

import pytest

from bocadillo.cli import routes
from tests.cli.conftest import Project

CHAT = """
    from functools import partial

    from pydantic import BaseModel
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route, WebSocketRoute

    from bocadillo import App, WebSocket
    from bocadillo.codecs import Json

    class Ping(BaseModel):
        n: int

    class Pong(BaseModel):
        n: int

    class Upper:
        def decode(self, payload): return payload.upper()
        def encode(self, value): return value

    app = App()
    sub = App()
    app.mount("/sub", sub)

    @app.websocket_route("/echo")
    async def echo(ws): ...

    @app.websocket_route("/typed", auto_accept=False)
    async def typed(ws: WebSocket[Ping, Ping | Pong]): ...

    @sub.websocket_route("/numbers/{id:int}", name="numbers", receive_type=list[int],
                         send_type=Upper())
    async def many(ws, id: int): ...

    async def home(request, greeting): ...

    def make():
        return app

    plain = App(routes=[Route("/", partial(home, greeting="hi"), name="home")])
    empty = App()
"""


def table(text: str) -> list[list[str]]:
    """Return the cells of a printed table, without its rule and blank lines."""
    rows = [line.split("  ") for line in text.splitlines() if line.strip(" ─-")]
    return [[cell.strip() for cell in row if cell.strip()] for row in rows]


def test_the_table_shows_what_each_route_takes_and_gives(project: Project) -> None:
    """Paths, names, views and value types of a whole application are seen at a glance."""
    project.write("chat.py", CHAT)

    result = project.run("routes", "chat:app")

    assert result.exit_code == 0
    assert result.stderr == ""
    assert table(result.stdout) == [
        ["kind", "path", "name", "view", "receives", "sends", "accepts"],
        [
            "WebSocket",
            "/sub/numbers/{id:int}",
            "numbers",
            "chat.many",
            "list[int]",
            "Upper",
            "by itself",
        ],
        ["WebSocket", "/echo", "echo", "chat.echo", "text", "text", "by itself"],
        ["WebSocket", "/typed", "typed", "chat.typed", "Ping", "Ping | Pong", "in the view"],
    ]


def test_columns_with_nothing_in_them_are_left_out(project: Project) -> None:
    """An application without our routes is not shown half a table of blanks."""
    project.write("chat.py", CHAT)

    result = project.run("routes", "chat:plain")

    assert table(result.stdout) == [
        ["kind", "path", "name", "view"],
        ["GET, HEAD", "/", "home", "chat.home"],
    ]


def test_a_factory_and_a_directory_can_be_named(project: Project) -> None:
    """What `bocadillo run` serves, `bocadillo routes` shows."""
    project.write("src/chat.py", CHAT)

    result = project.run("routes", "chat:make", "--factory", "--app-dir", "src")

    assert "/typed" in result.stdout


def test_an_application_without_routes_is_said_to_have_none(project: Project) -> None:
    """An empty answer is an answer."""
    project.write("chat.py", CHAT)

    result = project.run("routes", "chat:empty")

    assert result.exit_code == 0
    assert result.stdout == "chat:empty tells of no routes\n"


def test_long_cells_are_not_folded_for_a_pipe(project: Project) -> None:
    """`bocadillo routes chat:app | grep …` finds whole lines."""
    path = "/" + "x" * 300
    project.write(
        "chat.py",
        f"""
        from bocadillo import App
        app = App()
        @app.websocket_route({path!r})
        async def view(ws): ...
        """,
    )

    result = project.run("routes", "chat:app")

    assert f"{path}   view   chat.view" in result.stdout


class Endpoint:
    """A class of views."""


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        (table, "tests.cli.test_routes.table"),
        (functools.partial(functools.partial(table), text=""), "tests.cli.test_routes.table"),
        (Endpoint, "tests.cli.test_routes.Endpoint"),
        (Endpoint(), "tests.cli.test_routes.Endpoint"),
    ],
)
def test_a_view_is_named_by_module_and_name(endpoint: Any, name: str) -> None:
    """The name leads to the code, whatever kind of thing the endpoint is."""
    assert routes._named(endpoint) == name
