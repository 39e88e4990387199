"""What `bocadillo.server` shows, and what it needs."""

import importlib
import subprocess
import sys

import pytest

import bocadillo.server
import bocadillo.server.http
from bocadillo.server.deflate import DeflateOptions
from bocadillo.server.http_h11 import H11Guarded
from bocadillo.server.http_httptools import HTTPToolsGuarded
from bocadillo.server.limits import Limits
from bocadillo.server.protocol import WebSocketProtocol

HTTP = "bocadillo.server.http"


def test_the_faces_are_found_under_their_short_names() -> None:
    """`--ws bocadillo.server:WebSocketProtocol` is to be typed by people."""
    assert bocadillo.server.WebSocketProtocol is WebSocketProtocol
    assert bocadillo.server.HTTPProtocol is HTTPToolsGuarded
    assert bocadillo.server.Limits is Limits
    assert bocadillo.server.DeflateOptions is DeflateOptions
    with pytest.raises(AttributeError, match="'bocadillo.server' has no attribute 'Nothing'"):
        _ = bocadillo.server.Nothing


def test_a_face_loads_its_own_room_only() -> None:
    """Who imports `Limits` to write them down waits for no protocol, and for no uvicorn."""
    code = (
        "import sys, bocadillo.server\n"
        "before = set(sys.modules)\n"
        "from bocadillo.server import DeflateOptions, Limits\n"
        "print(*sorted(name for name in set(sys.modules) - before if '.' in name))"
    )

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert loaded.stdout.decode().split() == [
        "bocadillo.server.deflate",
        "bocadillo.server.limits",
        "bocadillo.server.violations",
    ]


def test_without_httptools_http_is_h11s(monkeypatch: pytest.MonkeyPatch) -> None:
    """httptools has no wheels for some platforms."""
    monkeypatch.delitem(sys.modules, HTTP, raising=False)
    monkeypatch.setitem(sys.modules, "bocadillo.server.http_httptools", None)

    assert importlib.import_module(HTTP).HTTPProtocol is H11Guarded


def test_the_server_needs_nothing_else_of_bocadillo() -> None:
    """Whoever serves another framework with it loads no router, models or codecs."""
    code = (
        "import sys, bocadillo.server.protocol, bocadillo.server.http\n"
        "rooms = {name for name in sys.modules if name.startswith('bocadillo.')}\n"
        "print(*sorted(name for name in rooms if not name.startswith('bocadillo.server')))"
    )

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert loaded.stdout.decode().split() == ["bocadillo.close"]
