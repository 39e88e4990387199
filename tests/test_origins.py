"""Pages of other sites cannot act as their visitors."""

import logging
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from bocadillo import App, ConfigurationError, WebSocket
from bocadillo.origins import Origins
from tests.fakes import FakeServer, run


def asked(origin: str | None, host: str = "good.example", scheme: str = "ws", **more: str) -> Any:
    headers = [(b"host", host.encode())]
    headers += [(name.encode(), value.encode()) for name, value in more.items()]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    return HTTPConnection(
        {
            "type": "websocket",
            "scheme": scheme,
            "path": "/",
            "query_string": b"",
            "headers": headers,
        }
    )


HOSTILE = [
    "https://evil.example",
    "https://good.example.evil",
    "https://evil-good.example",
    "https://good.example:8443",
    "https://good.example@evil.example",
    "https://good.example/",
    "http://good.example",
    "ftp://good.example",
    "null",
    "",
    "good.example",
    "https://",
    "https://[",
    "https://good.example:port",
    "*",
]


@pytest.mark.parametrize("origin", HOSTILE)
def test_with_a_cookie_only_the_own_page_may_connect(origin: str) -> None:
    """The cookie would make the other site's page act as the visitor (RFC 6455 §10.2)."""
    assert not Origins().admit(asked(origin, scheme="wss", cookie="session=1"))
    assert not Origins().admit(asked(origin, scheme="wss", authorization="Basic x"))
    assert not Origins(["https://other.example"]).admit(asked(origin, scheme="wss"))


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("https://good.example", "good.example", "wss"),
        ("https://good.example", "good.example:443", "wss"),
        ("https://good.example:8443", "good.example:8443", "wss"),
        ("https://GOOD.example", "good.EXAMPLE", "wss"),
        ("http://good.example", "good.example", "ws"),
        ("https://good.example", "good.example", "ws"),  # a proxy took the TLS off
        ("http://127.0.0.1:8000", "127.0.0.1:8000", "ws"),
        ("http://[::1]:8000", "[::1]:8000", "ws"),
    ],
)
def test_the_own_page_may_always_connect(origin: str, host: str, scheme: str) -> None:
    """Whatever is listed besides."""
    for origins in (Origins(), Origins([]), Origins(["https://other.example"])):
        assert origins.admit(asked(origin, host, scheme, cookie="session=1"))


@pytest.mark.parametrize("allowed", [None, [], ["https://a.example"], "*"])
def test_what_is_no_browser_may_connect(allowed: Any) -> None:
    """It sends no Origin, and could send any."""
    assert Origins(allowed).admit(asked(None, cookie="session=1"))


def test_without_credentials_any_page_may_connect_by_default() -> None:
    """A public feed is for everybody."""
    assert Origins().admit(asked("https://evil.example"))
    assert not Origins([]).admit(asked("https://evil.example"))


@pytest.mark.parametrize(
    "host",
    [
        *("localhost:8000", "localhost.", "a.localhost", "127.0.0.1", "127.0.0.2:8000"),
        *("[::1]:8000", "0.0.0.0", "[::]", "[::ffff:7f00:1]", "@"),
    ],
)
def test_a_loopback_service_is_for_its_own_pages(host: str) -> None:
    """Any site that its user visits could reach it otherwise."""
    assert not Origins().admit(asked("https://evil.example", host))


def test_listed_origins_may_connect_and_are_compared_as_a_whole() -> None:
    """Neither a prefix nor a suffix is enough."""
    origins = Origins(["https://app.example", "http://localhost:3000"])

    assert origins.admit(asked("https://app.example", cookie="a=b"))
    assert origins.admit(asked("https://app.example:443", cookie="a=b"))
    assert origins.admit(asked("http://localhost:3000"))
    assert not origins.admit(asked("http://localhost:3001"))
    assert not origins.admit(asked("http://app.example"))


def test_a_star_lets_every_page_in() -> None:
    """By choice, and in writing."""
    assert Origins("*").admit(asked("https://evil.example", cookie="session=1"))


def test_two_origins_are_none() -> None:
    """A browser sends one."""
    connection = asked("http://good.example", x="y")
    connection.scope["headers"].append((b"origin", b"http://good.example"))

    assert not Origins().admit(connection)


@pytest.mark.parametrize(
    "allowed", ["https://a.example", ["a.example"], ["https://*.example"], ["https://a/b"], [7]]
)
def test_an_origin_that_could_never_match_is_refused(allowed: Any) -> None:
    """A slip in a list of origins must not be found by attackers."""
    with pytest.raises(ConfigurationError):
        Origins(allowed)


def test_a_refused_page_gets_http_403_and_the_view_never_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Before accept, and with a line in the log that names the option."""
    caplog.set_level(logging.INFO)
    ran = []
    app = App(allowed_origins=["https://app.example"])

    @app.websocket_route("/")
    async def view(ws: WebSocket) -> None:
        ran.append(ws)

    async def scenario() -> FakeServer:
        headers = [(b"host", b"good.example"), (b"origin", b"https://evil.example\x1b")]
        server = FakeServer(headers=headers)
        await app(server.scope, server.receive, server.send)
        return server

    server = run(scenario)

    assert server.sent[0]["status"] == 403
    assert server.sent[1]["body"] == b"origin not allowed\n"
    assert ran == []
    assert "is not among allowed_origins" in caplog.text
    assert "\x1b" not in caplog.text
