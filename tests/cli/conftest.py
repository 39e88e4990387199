"""A directory with somebody's modules in it, as the commands find it."""

import socket
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bocadillo.cli import main, run
from bocadillo.cli.serve import AppConfig

ECHO = """
from bocadillo import App

app = App(broker=None)

@app.websocket_route("/echo")
async def echo(ws):
    async for message in ws:
        await ws.send(message)
"""


class Project:
    """The current directory of a test, empty at first; what is imported is forgotten."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, name: str, text: str) -> Path:
        """Write a file; folders above it are made."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def run(self, *arguments: str) -> Result:
        """Run `bocadillo` in this process."""
        return CliRunner(env={"FORCE_COLOR": None, "WEB_CONCURRENCY": None}).invoke(main, arguments)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project; `sys.path` and the modules of the process are as before afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = set(sys.modules)
    yield Project(tmp_path)
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__spec__", "")):
            del sys.modules[name]


class Served:
    """The configuration of what would be served."""

    config: AppConfig
    app: Any
    sock: socket.socket


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, project: Project) -> Served:
    """A project with an application, whose server is never started."""
    served = Served()

    def serve(config: AppConfig, app: Any, sock: socket.socket) -> None:
        served.config, served.app, served.sock = config, app, sock

    monkeypatch.setattr(run, "serve", serve)
    monkeypatch.setattr(AppConfig, "configure_logging", lambda config: None)
    project.write("chat.py", ECHO + "\ndef make():\n    return app\n")
    return served
