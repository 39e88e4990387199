"""One of each server per test process, started when a test first asks for it."""

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
