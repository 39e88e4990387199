"""What is printed before the server starts can be copied and connected to."""

import pytest

from bocadillo import App, WebSocket
from bocadillo.cli.greeting import greet, lines


async def chat(ws: WebSocket) -> None:
    pass


def app_with(*paths: str) -> App:
    app = App()
    for path in paths:
        app.websocket_route(path)(chat)
    return app


def test_the_first_url_is_that_of_the_server() -> None:
    """Whoever has no WebSocket route yet still learns where to connect."""
    told = lines(App(), ("127.0.0.1", 8000), is_tls=False, more="")

    assert told == ["http://127.0.0.1:8000"]


def test_every_websocket_route_has_its_url() -> None:
    """The URL goes straight into a client."""
    app = app_with("/echo", "/rooms/{room}")

    told = lines(app, ("localhost", 80), is_tls=False, more="")

    assert told[1:] == ["ws://localhost:80/echo", "ws://localhost:80/rooms/{room}"]


def test_urls_say_that_the_server_speaks_tls() -> None:
    """A URL without the `s` would not connect."""
    told = lines(app_with("/echo"), ("127.0.0.1", 443), is_tls=True, more="")

    assert told == ["https://127.0.0.1:443", "wss://127.0.0.1:443/echo"]


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    """Without them a URL's port cannot be told from its address (RFC 3986 §3.2.2)."""
    told = lines(app_with("/echo"), ("::1", 80), is_tls=False, more="")

    assert told == ["http://[::1]:80", "ws://[::1]:80/echo"]


@pytest.mark.parametrize(
    ("host", "url"), [("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80")]
)
def test_listening_everywhere_is_told_with_an_address_to_connect_to(host: str, url: str) -> None:
    """0.0.0.0 is no address that every system can connect to."""
    told = lines(App(), (host, 80), is_tls=False, more="")

    assert told == [url, "and on every other address of this machine, port 80"]


def test_routes_of_another_host_have_that_host() -> None:
    """The address listened on would not find them."""
    app = App()
    app.host("chat.example.org", app_with("/echo"))

    told = lines(app, ("127.0.0.1", 80), is_tls=False, more="")

    assert told[1:] == ["ws://chat.example.org/echo"]


def test_more_than_ten_routes_are_counted() -> None:
    """The first line stays on the screen, and the way to the others is shown."""
    ten = app_with(*(f"/{n}" for n in range(10)))
    twelve = app_with(*(f"/{n}" for n in range(12)))

    told_ten = lines(ten, ("127.0.0.1", 80), is_tls=False, more="")
    told_twelve = lines(twelve, ("127.0.0.1", 80), is_tls=False, more="bocadillo routes a:b")

    assert told_ten[-1] == "ws://127.0.0.1:80/9"
    assert told_twelve[:-1] == told_ten
    assert told_twelve[-1] == "and 2 more: bocadillo routes a:b"


def test_the_lines_are_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """A long URL is not cut at the edge of the terminal, nor taken for markup."""
    path = "/[bold]" + "x" * 200

    greet(app_with(path), "chat:app", ("127.0.0.1", 80), is_tls=False, more="")

    first, http, ws = capsys.readouterr().out.splitlines()
    assert first.startswith("bocadillo ")
    assert first.endswith(" serves chat:app")
    assert http == "  http://127.0.0.1:80"
    assert ws == f"  ws://127.0.0.1:80{path}"
