"""The server waits a little longer for handlers than the application lets them go on."""

from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute

from bocadillo import App, Router, WebSocket
from bocadillo.cli.grace import shorten_grace, shutdown_timeout_s
from bocadillo.cli.listing import routes_of


async def chat(ws: WebSocket) -> None:
    pass


async def plain(websocket: Any) -> None:
    pass


def app_with_grace(seconds: float) -> App:
    app = App(shutdown_grace_s=seconds)
    app.websocket_route("/")(chat)
    return app


def graces(app: Any) -> list[float]:
    return [route.endpoint.times.shutdown_grace_s for route in routes_of(app)]


def test_the_server_waits_for_the_grace_and_the_cleaning_up() -> None:
    """A handler that uses its whole grace is not cut short by the server."""
    assert shutdown_timeout_s(app_with_grace(20)) == 25


def test_the_server_waits_whole_seconds() -> None:
    """uvicorn takes whole seconds; it gets no fewer than were asked for."""
    assert shutdown_timeout_s(app_with_grace(0.5)) == 6


def test_the_longest_grace_counts() -> None:
    """A mounted application keeps the time it was promised."""
    app = app_with_grace(1)
    app.mount("/slow", app_with_grace(30))

    assert shutdown_timeout_s(app) == 35


def test_an_application_that_is_not_ours_gets_the_default() -> None:
    """uvicorn alone would wait for ever for an open connection."""
    app = Starlette(routes=[WebSocketRoute("/", plain)])

    assert shutdown_timeout_s(app) == 10


def test_the_grace_is_shortened_for_every_view() -> None:
    """A reload waits for no handler, in whichever application it is mounted."""
    app = Starlette(
        routes=[Mount("/long", app_with_grace(30)), Mount("/short", app_with_grace(0.2))]
    )

    shorten_grace(app, 0.5)

    assert graces(app) == [0.5, 0.2]


def test_the_grace_is_shortened_for_views_to_come() -> None:
    """A route that is added while the application starts is no exception."""
    app = App(shutdown_grace_s=30, leave_grace_s=7)
    router = Router(shutdown_grace_s=30)

    shorten_grace(app, 0.5)
    shorten_grace(router, 0.5)
    app.websocket_route("/")(chat)
    router.websocket_route("/")(chat)

    assert graces(app) == graces(router) == [0.5]
    assert app.router.times.leave_grace_s == 7
