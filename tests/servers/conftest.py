"""One of each server per test process, started when a test first asks for it."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers.running import RunningServer, running

Servers = Callable[[str], RunningServer]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Give the server of a name."""
    directory: Path = tmp_path_factory.mktemp("servers")
    started: dict[str, RunningServer] = {}
    with ExitStack() as stack:

        def server_of(name: str) -> RunningServer:
            if name not in started:
                started[name] = stack.enter_context(running(name, directory))
            return started[name]

        yield server_of


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the directory of a certificate for localhost, cert.pem, and its key, key.pem."""
    if shutil.which("openssl") is None:
        lack = "openssl is not installed: NO SERVER WITH TLS AND NO SIGTERM IS TESTED"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lack)
    directory = tmp_path_factory.mktemp("certificate")
    names = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    alternative = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *options, *alternative, *names]
    subprocess.run(command, check=True, capture_output=True)
    return directory
