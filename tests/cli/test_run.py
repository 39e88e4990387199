"""`bocadillo run` checks everything first, then hands it to uvicorn."""

import socket
from typing import Any

import pytest
from click.testing import CliRunner

from bocadillo.cli import main
from tests.cli.certificate import CERTIFICATE, ENCRYPTED_KEY, KEY
from tests.cli.conftest import ECHO, Project, Served


def test_where_to_connect_is_printed(served: Served, project: Project) -> None:
    """The first thing to know of a server is its URL."""
    result = project.run("run", "chat:app", "--port", "0")

    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert result.stderr == ""
    assert lines[0].endswith(" serves chat:app")
    assert lines[1].startswith("  http://127.0.0.1:")
    assert lines[2] == lines[1].replace("http:", "ws:") + "/echo"


def test_the_way_to_all_routes_repeats_how_the_application_was_named(
    served: Served, project: Project
) -> None:
    """The command can be copied as it is."""
    views = "\n".join(f"app.websocket_route('/{n}')(echo)" for n in range(11))
    project.write("my src/chat.py", f"{ECHO}\n{views}\ndef make():\n    return app\n")

    arguments = ("chat:make", "--factory", "--app-dir", "my src", "--port", "0")
    result = project.run("run", *arguments)

    assert "  and 2 more: bocadillo routes chat:make --app-dir 'my src' --factory" in result.stdout


def test_options_reach_uvicorn(served: Served, project: Project) -> None:
    """An option that is accepted has its effect."""
    project.write("chat.py", ECHO.replace("App()", "App(broker=None)"))
    config_file = project.write("log.ini", "[loggers]\nkeys=root\n")

    result = project.run(
        *("run", "chat:app", "--host", "localhost", "--port", "0", "--workers", "3"),
        *("--lifespan", "off", "--log-level", "warning", "--log-config", str(config_file)),
        *("--no-access-log", "--root-path", "/api", "--no-proxy-headers"),
        *("--forwarded-allow-ips", "*", "--ws", "wsproto", "--ws-max-size", "1000"),
        *("--ws-ping-interval", "1.5", "--ws-ping-timeout", "2.5", "--limit-concurrency", "9"),
        *("--timeout-keep-alive", "7", "--timeout-graceful-shutdown", "8"),
    )

    assert result.exit_code == 0, result.output
    config = vars(served.config)
    assert {name: config[name] for name in config if name in EXPECTED} == EXPECTED | {
        "log_config": str(config_file)
    }


EXPECTED: dict[str, Any] = {
    "host": "localhost",
    "port": 0,
    "workers": 3,
    "lifespan": "off",
    "log_level": "warning",
    "log_config": "",
    "access_log": False,
    "root_path": "/api",
    "proxy_headers": False,
    "forwarded_allow_ips": "*",
    "ws": "wsproto",
    "ws_max_size": 1000,
    "ws_ping_interval": 1.5,
    "ws_ping_timeout": 2.5,
    "limit_concurrency": 9,
    "timeout_keep_alive": 7,
    "timeout_graceful_shutdown": 8,
    "loop": "auto",
    "http": "auto",
}


@pytest.mark.parametrize(("given", "interval_s"), [((), 20), (("0",), None), (("0.5",), 0.5)])
@pytest.mark.parametrize("ws", ["bocadillo", "wsproto"])
def test_a_ping_interval_of_0_is_none(
    served: Served, project: Project, ws: str, given: tuple[str, ...], interval_s: float | None
) -> None:
    """To some protocols of uvicorn 0 is a time: pings without a pause."""
    words = ["--ws-ping-interval", *given] if given else []

    result = project.run("run", "chat:app", "--port", "0", "--ws", ws, *words)

    assert result.exit_code == 0, result.output
    assert served.config.ws_ping_interval == interval_s


@pytest.mark.parametrize(
    ("option", "value"),
    [("--ws-ping-interval", "-1"), ("--ws-ping-interval", "nan"), ("--ws-ping-timeout", "0")],
)
def test_an_impossible_time_is_refused_by_its_option(
    served: Served, project: Project, option: str, value: str
) -> None:
    """A time-out of nothing would cut everybody."""
    result = project.run("run", "chat:app", option, value)

    assert result.exit_code == 2
    assert f"Invalid value for '{option}': " in result.stderr


def test_the_server_waits_longer_than_the_handlers_may(served: Served, project: Project) -> None:
    """The application's own grace decides, not the server's."""
    project.write("slow.py", "from bocadillo import App\napp = App(shutdown_grace_s=20)\n")

    project.run("run", "slow:app", "--port", "0")

    assert served.config.timeout_graceful_shutdown == 25


def test_a_reload_does_not_wait(served: Served, project: Project) -> None:
    """A changed file is served at once; the directories to watch can be chosen."""
    (project.directory / "src").mkdir()

    project.run("run", "chat:app", "--port", "0", "--reload", "--reload-dir", "src")

    assert served.config.should_reload
    assert served.config.timeout_graceful_shutdown == 2
    assert served.config.reload_dirs == [project.directory / "src"]


def test_a_factory_is_called_by_whoever_serves(served: Served, project: Project) -> None:
    """Workers have to call it, too."""
    project.run("run", "chat:make", "--factory", "--port", "0")

    assert served.config.makes_app
    assert served.app.url_path_for("echo") == "/echo"


def test_the_number_of_workers_may_come_from_the_environment(
    served: Served, project: Project
) -> None:
    """Hosting services set it there."""
    project.write("chat.py", ECHO.replace("App()", "App(broker=None)"))
    CliRunner(env={"WEB_CONCURRENCY": "4"}).invoke(main, ["run", "chat:app", "--port", "0"])

    assert served.config.workers == 4


LOCAL = (
    "App()",
    "App(broker='memory://')",
    "App(broker=MemoryBroker())",
    "Router(broker='memory://')",
    # Wherever they are.
    "CORSMiddleware(App())",
    "CORSMiddleware(GZipMiddleware(Router(broker='memory://')))",
    "Starlette(routes=[Mount('/ws', App())])",
    "Starlette(routes=[Mount('/v1', routes=[Mount('/ws', CORSMiddleware(App()))])])",
    "Starlette(routes=[Mount('/ws', App(), middleware=[Middleware(GZipMiddleware)])])",
    "Starlette(routes=[Host('ws.example.com', App())])",
    "App(broker=None, routes=[Mount('/ws', App())])",
    "App(broker='redis://localhost', routes=[Mount('/ws', App())])",
    "App(broker='redis://localhost', process_request=hook, routes=[Mount('/ws', App())])",
    "including(App(broker='redis://localhost'), routed('memory://'))",
    "mounting(FastAPI(), App())",
    "extended(FastAPI(), routed('memory://'))",
    "including(FastAPI(), extended(APIRouter(), routed('memory://')))",
)

SHARED = (
    "App(broker=None)",
    "App(broker='redis://localhost')",
    "Router()",
    "Router(broker='redis://localhost')",
    "Starlette()",
    "FastAPI()",
    "plain",
    "Starlette(routes=[Mount('/ws', App(broker=None)), Route('/', plain)])",
    "App(broker='redis://localhost', routes=[Mount('/ws', routed(None))])",
    "including(App(broker='redis://localhost'), routed(None))",
    "mounting(FastAPI(), CORSMiddleware(App(broker='redis://localhost')))",
    "extended(FastAPI(), routed('redis://localhost'))",
)

IMPORTS = """
from bocadillo import App, Router
from bocadillo.channels import MemoryBroker
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Host, Mount, Route

async def plain(scope, receive, send): ...

def hook(): ...

def routed(broker):
    router = Router(broker=broker)

    @router.route("/ws")
    async def view(ws): ...

    return router

def mounting(app, mounted):
    app.mount("/ws", mounted)
    return app

def extended(app, router):
    getattr(app, "router", app).routes.extend(router.routes)
    return app

def including(app, router):
    app.include_router(router)
    return app

"""


@pytest.mark.parametrize("made", LOCAL)
@pytest.mark.parametrize("way", ["option", "environment"])
def test_several_processes_of_channels_in_memory_are_refused(
    served: Served, project: Project, made: str, way: str
) -> None:
    """A half of the clients would hear nothing; the message says what to write."""
    project.write("local.py", f"{IMPORTS}app = {made}")
    arguments = ["run", "local:app", "--port", "0"]
    if way == "option":
        result = project.run(*arguments, "--workers", "2")
    else:
        result = CliRunner(env={"WEB_CONCURRENCY": "2"}).invoke(main, arguments)

    told = " ".join(result.stderr.split())
    assert result.exit_code == 2
    assert not hasattr(served, "config")
    assert "memory://, which each process has for itself" in told
    assert "write App(broker='redis://…'), or App(broker=None)" in told


@pytest.mark.parametrize("made", SHARED)
def test_several_processes_of_anything_else_are_served(
    served: Served, project: Project, made: str
) -> None:
    """Whoever has channels elsewhere, or none, and other frameworks' applications."""
    project.write("shared.py", f"{IMPORTS}app = {made}")

    result = project.run("run", "shared:app", "--port", "0", "--workers", "2")

    assert result.exit_code == 0, result.output
    assert served.config.workers == 2


@pytest.mark.parametrize("option", [("--workers", "1"), (), ("--reload",)])
def test_one_process_may_have_channels_in_memory(
    served: Served, project: Project, option: tuple[str, ...]
) -> None:
    """Nothing has to be set up to begin with; a reload serves in one, whatever is set."""
    concurrency = "2" if option == ("--reload",) else None
    result = CliRunner(env={"WEB_CONCURRENCY": concurrency}).invoke(
        main, ["run", "chat:app", "--port", "0", *option]
    )

    assert result.exit_code == 0, result.output


def test_the_socket_is_closed_afterwards(served: Served, project: Project) -> None:
    """Whatever ends the server, the port is free again."""
    project.run("run", "chat:app", "--port", "0")

    assert served.sock.fileno() == -1


def test_a_port_in_use_is_one_line(served: Served, project: Project) -> None:
    """Nothing else is printed, and the exit code is 1."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        result = project.run("run", "chat:app", "--port", str(port))

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: cannot listen on 127.0.0.1, port {port}: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--reload", "--workers", "2"), "leave out --workers or --reload"),
        (("--ws", "nonsense"), "Known: bocadillo, auto, none, "),
        (("--ws", "no_such_module:Protocol"), "or module:class."),
        (("--port", "65536"), "65536 is not in the range"),
        (("--workers", "0"), "0 is not in the range"),
        (("--ssl-certfile", "missing.pem"), "'missing.pem' does not exist"),
        (("--ssl-keyfile", "chat.py"), "--ssl-keyfile needs --ssl-certfile"),
    ],
)
def test_options_that_cannot_work_are_refused(
    served: Served, project: Project, arguments: tuple[str, ...], reason: str
) -> None:
    """A wrong option is told before a server is started, and started again, for it."""
    result = project.run("run", "chat:app", *arguments)

    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.split())
    assert not hasattr(served, "config")


def test_a_certificate_makes_it_tls(served: Served, project: Project) -> None:
    """Certificate and key may be two files, or one; a key may be encrypted."""
    certificate, key = project.write("c.pem", CERTIFICATE), project.write("k.pem", KEY)
    both = project.write("both.pem", KEY + CERTIFICATE)
    encrypted = project.write("e.pem", ENCRYPTED_KEY)

    for files in (
        ("--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)),
        ("--ssl-certfile", str(both)),
        (
            *("--ssl-certfile", str(certificate), "--ssl-keyfile", str(encrypted)),
            *("--ssl-keyfile-password", "secret"),
        ),
    ):
        result = project.run("run", "chat:app", "--port", "0", *files)

        assert result.exit_code == 0, result.output
        assert "  https://127.0.0.1:" in result.stdout
        assert "  wss://127.0.0.1:" in result.stdout


def test_a_certificate_that_cannot_be_used_is_one_line(served: Served, project: Project) -> None:
    """No certificate, a key without its password: told once, not by each worker for ever."""
    certificate = project.write("c.pem", CERTIFICATE)
    encrypted = project.write("e.pem", ENCRYPTED_KEY)

    results = [
        project.run("run", "chat:app", "--ssl-certfile", "chat.py"),
        project.run("run", "chat:app", "--ssl-certfile", "c.pem", "--ssl-keyfile", "e.pem"),
    ]

    assert certificate.exists()
    assert encrypted.exists()
    assert [result.exit_code for result in results] == [1, 1]
    assert results[0].stderr.startswith("Error: cannot use the certificate chat.py: ")
    assert results[1].stderr.startswith("Error: cannot use the certificate c.pem with e.pem: ")
    assert [result.stderr.count("\n") for result in results] == [1, 1]
