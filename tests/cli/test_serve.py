"""uvicorn gets its socket, its application and its log lines from us."""

import errno
import logging
import pickle
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import click
import pytest
import uvicorn
from starlette.applications import Starlette

from bocadillo import App
from bocadillo.cli import serve as serving
from bocadillo.cli.serve import AppConfig, CommandServer, SteadyWorker, listen, log_config, serve
from tests.cli.conftest import ECHO, Project


def config_of(target: str, **options: Any) -> AppConfig:
    """Return a configuration that leaves the logging of this process alone."""
    return AppConfig(target, log_config=None, **options)


# The socket


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_free_port_is_found_and_listened_on(host: str) -> None:
    """From the moment that a URL is printed, nobody who tries it is refused."""
    with listen(host, 0) as sock:
        port = sock.getsockname()[1]

        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            assert client.getpeername() == ("127.0.0.1", port)


def test_a_host_with_a_colon_is_an_address_of_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--host ::1` works; here without need of a machine that has IPv6."""
    families = []

    class FakeSocket:
        def __init__(self, family: int, kind: int) -> None:
            families.append(family)

        def setsockopt(self, *option: int) -> None: ...

        def bind(self, address: tuple[str, int]) -> None: ...

        def listen(self) -> None: ...

    module = SimpleNamespace(**vars(socket) | {"socket": FakeSocket})
    monkeypatch.setattr(serving, "socket", module)

    listen("::1", 8000)

    assert families == [socket.AF_INET6]


def test_two_servers_do_not_share_a_port_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the option that lets a server restart would let another one in, too."""
    monkeypatch.setattr(serving, "sys", SimpleNamespace(platform="win32"))

    with listen("127.0.0.1", 0) as sock:
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def test_a_port_in_use_is_refused_in_one_line() -> None:
    """The commonest reason not to start is told with the way out."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(click.ClickException) as caught:
            listen("127.0.0.1", port)

    reason = OSError(errno.EADDRINUSE, "Address already in use").strerror
    assert caught.value.exit_code == 1
    assert caught.value.message == (
        f"cannot listen on 127.0.0.1, port {port}: {reason}; "
        "choose another --port (0: any that is free) or --host"
    )


def test_two_servers_that_start_together_do_not_both_get_the_port() -> None:
    """The second is told, and not left to serve nobody."""
    with listen("127.0.0.1", 0) as first, pytest.raises(click.ClickException):
        listen("127.0.0.1", first.getsockname()[1])


def test_an_impossible_host_is_refused_in_one_line() -> None:
    """A host that cannot even be looked up is no reason for a traceback."""
    with pytest.raises(click.ClickException, match=r"cannot listen on a\.\.b, port 8000: "):
        listen("a..b", 8000)


# The application


def test_a_process_of_its_own_imports_the_application(project: Project) -> None:
    """A worker gets the name of the application, not the application."""
    project.write("chat.py", ECHO)
    project.run("routes", "chat:app")

    config = pickle.loads(pickle.dumps(config_of("chat:app", workers=2)))
    app = config.load_app()

    assert isinstance(app, App)
    assert app.router.times.shutdown_grace_s == 5


def test_a_process_of_its_own_calls_the_factory(project: Project) -> None:
    """`--factory` holds in every worker."""
    project.write("chat.py", "from bocadillo import App\ndef make(): return App()\n")
    project.run("routes", "chat:make", "--factory")
    config = config_of("chat:make", workers=2)
    config.makes_app = True

    app = pickle.loads(pickle.dumps(config)).load_app()

    assert isinstance(app, App)


def test_a_reload_waits_for_no_handler(project: Project) -> None:
    """Whoever changes a file sees the change at once, with sockets open or not."""
    project.write("chat.py", ECHO)
    project.run("routes", "chat:app")

    app = config_of("chat:app", reload=True).load_app()

    assert app.router.times.shutdown_grace_s == 0.5


def test_one_process_serves_the_application_that_is_there() -> None:
    """A factory is not called twice."""
    app = Starlette()
    config = config_of("chat:make")
    config.makes_app = True
    config.app = app

    assert config.load_app() is app


# The processes


@pytest.fixture
def sock() -> Any:
    return SimpleNamespace(name="the socket")


class Calls(list[tuple[Any, ...]]):
    """What was started, in place of servers and processes."""

    def fake(self, name: str, **attributes: Any) -> Callable[..., Any]:
        def make(config: AppConfig, **options: Any) -> Any:
            def run(**arguments: Any) -> None:
                self.append((name, config.app, options.get("sockets", arguments.get("sockets"))))

            return SimpleNamespace(run=run, **attributes)

        return make


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    monkeypatch.setattr("bocadillo.cli.serve.CommandServer", calls.fake("server"))
    monkeypatch.setattr(serving, "ChangeReload", calls.fake("reloader"))
    workers = [SimpleNamespace(exitcode=0)]
    monkeypatch.setattr(serving, "SteadyWorkers", calls.fake("workers", processes=workers))
    return calls


def test_one_process_is_a_server(calls: Calls, sock: Any) -> None:
    """Nothing stands between the application and the server."""
    app = App()

    serve(config_of("chat:app"), app, sock)

    assert calls == [("server", app, [sock])]


@pytest.mark.parametrize(
    ("options", "name"), [({"reload": True}, "reloader"), ({"workers": 2}, "workers")]
)
def test_several_processes_get_the_name_of_the_application(
    calls: Calls, sock: Any, options: dict[str, Any], name: str
) -> None:
    """Each process imports the application for itself."""
    serve(config_of("chat:app", **options), App(), sock)

    assert calls == [(name, "chat:app", [sock])]


def test_a_worker_has_the_server_that_no_connection_can_break() -> None:
    """It is made by the process itself, as it cannot be sent there."""
    worker = SteadyWorker(config_of("chat:app", workers=2), [])
    worker.parent_conn.close()
    worker.child_conn.close()

    server = worker.server

    assert isinstance(server, CommandServer)
    assert worker.server is server


def test_workers_that_cannot_start_end_the_command_with_a_failure(
    calls: Calls, sock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever started the command learns that it does not serve."""
    workers = [SimpleNamespace(exitcode=0), SimpleNamespace(exitcode=3)]
    monkeypatch.setattr(serving, "SteadyWorkers", calls.fake("workers", processes=workers))

    with pytest.raises(SystemExit) as caught:
        serve(config_of("chat:app", workers=2), App(), sock)

    assert caught.value.code == 3


def test_ctrl_c_ends_quietly(monkeypatch: pytest.MonkeyPatch, sock: Any) -> None:
    """To stop a server is no failure."""

    def interrupted(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "bocadillo.cli.serve.CommandServer", lambda config: SimpleNamespace(run=interrupted)
    )

    serve(config_of("chat:app"), App(), sock)


# The log lines


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """A logger in place of bocadillo's, that nobody has configured."""
    logger = logging.Logger("bocadillo")
    monkeypatch.setattr(serving, "logger", logger)
    return logger


def test_bocadillos_lines_stand_beside_uvicorns(quiet: logging.Logger) -> None:
    """Why a connection was refused is seen without a word of configuration."""
    config = log_config("debug")

    assert config["loggers"]["bocadillo"] == {
        "handlers": ["default"],
        "level": "DEBUG",
        "propagate": False,
    }
    assert "bocadillo" not in uvicorn.config.LOGGING_CONFIG["loggers"]


def test_an_application_that_configures_logging_is_left_alone(quiet: logging.Logger) -> None:
    """Lines do not come twice, nor go where nobody wants them."""
    quiet.addHandler(logging.NullHandler())

    assert "bocadillo" not in log_config("info")["loggers"]
