"""`bocadillo run`: serve an application by uvicorn."""

import os
import shlex
import ssl
from collections.abc import Iterator
from typing import Any

import click
from uvicorn.config import LIFESPAN, LOG_LEVELS, WS_PROTOCOLS
from uvicorn.importer import ImportFromStringError, import_from_string

from bocadillo.channels import ChannelsByLoop
from bocadillo.cli.grace import RELOAD_TIMEOUT_S, shutdown_timeout_s
from bocadillo.cli.greeting import greet
from bocadillo.cli.limits import SECONDS, SECONDS_OR_NONE, limit_options, take_limits
from bocadillo.cli.listing import applications_in
from bocadillo.cli.serve import AppConfig, listen, log_config, serve
from bocadillo.cli.target import load
from bocadillo.routing import Router
from bocadillo.serving import protocols
from bocadillo.views import View

FILE = click.Path(exists=True, dir_okay=False)
FOLDER = click.Path(exists=True, file_okay=False)


def _known_protocol(context: click.Context, option: click.Parameter, name: str) -> str:
    """Return *name*, if it is that of a protocol that can be imported."""
    if name == "bocadillo":
        return name
    try:
        import_from_string(WS_PROTOCOLS.get(name, name))
    except (ImportError, ImportFromStringError) as exc:
        known = ", ".join(("bocadillo", *WS_PROTOCOLS))
        raise click.BadParameter(f"{exc} Known: {known}, or module:class.") from exc
    return name


@click.command(short_help="Serve MODULE:APP.")
@click.argument("target", metavar="MODULE:APP")
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen on this host.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Listen on this port; 0 for any that is free.",
)
@click.option("--reload", is_flag=True, help="Start anew whenever a file changes.")
@click.option(
    "--reload-dir",
    "reload_dirs",
    multiple=True,
    type=FOLDER,
    help="Watch this directory instead of the current one; may be given again.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Number of processes.  [default: $WEB_CONCURRENCY, or 1]",
)
@click.option(
    "--app-dir",
    type=FOLDER,
    default=".",
    show_default=True,
    help="Directory that is searched for MODULE first.",
)
@click.option("--factory", is_flag=True, help="APP is a function that returns the application.")
@click.option("--lifespan", type=click.Choice([*LIFESPAN]), default="auto", show_default=True)
@click.option("--log-level", type=click.Choice([*LOG_LEVELS]), default="info", show_default=True)
@click.option("--log-config", type=FILE, help="Configuration of logging (.ini, .json, .yaml).")
@click.option("--access-log/--no-access-log", default=True, help="Log each request.")
@click.option("--root-path", default="", help="Path under which a proxy has the application.")
@click.option(
    "--proxy-headers/--no-proxy-headers",
    default=True,
    help="Take the client's address and scheme from X-Forwarded-* headers.",
)
@click.option(
    "--forwarded-allow-ips",
    help="Whose X-Forwarded-* headers to trust, separated by commas; * for everyone's."
    "  [default: $FORWARDED_ALLOW_IPS, or 127.0.0.1,::1]",
)
@click.option("--ssl-keyfile", type=FILE, help="Private key, unless it is in the certificate.")
@click.option("--ssl-certfile", type=FILE, help="Certificate; makes it https:// and wss://.")
@click.option("--ssl-keyfile-password", help="Password of the private key.")
@click.option(
    "--ws",
    default="bocadillo",
    show_default=True,
    callback=_known_protocol,
    help="WebSocket protocol: bocadillo, a name that uvicorn knows, or module:class.",
)
@click.option(
    "--compress",
    is_flag=True,
    help="Agree on permessage-deflate with clients that offer it.",
)
@click.option(
    "--ws-max-size",
    type=click.IntRange(min=1),
    default=16 * 1024 * 1024,
    show_default=True,
    help="Most bytes in a message.",
)
@click.option(
    "--ws-ping-interval",
    type=SECONDS_OR_NONE,
    default=20.0,
    show_default=True,
    help="Seconds between pings; 0 for none.",
)
@click.option(
    "--ws-ping-timeout",
    type=SECONDS,
    default=20.0,
    show_default=True,
    help="Seconds for the answer to a ping.",
)
@limit_options
@click.option(
    "--limit-concurrency",
    type=click.IntRange(min=1),
    help="Most connections at once; what comes beyond is answered with HTTP 503.",
)
@click.option(
    "--timeout-keep-alive",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Seconds until an idle HTTP connection is closed.",
)
@click.option(
    "--timeout-graceful-shutdown",
    type=click.IntRange(min=0),
    help="Seconds for handlers to end.  [default: the application's shutdown_grace_s + 5]",
)
def run(target: str, app_dir: str, factory: bool, **options: Any) -> None:
    """Serve MODULE:APP by uvicorn; `bocadillo run chat:app` serves `app` of chat.py.

    Any ASGI application will do. The options are uvicorn's, but for the limits of
    bocadillo's own protocol; for those of uvicorn's that are missing here, `uvicorn
    MODULE:APP` serves the same application.
    """
    _check(options)
    limits = take_limits(options)
    app = load(target, app_dir, is_factory=factory)
    options["ws_per_message_deflate"] = options.pop("compress")
    # Some of uvicorn's own protocols would take a 0 for a time.
    options["ws_ping_interval"] = options["ws_ping_interval"] or None
    if options["ws"] == "bocadillo":
        ours = protocols(limits)
        options |= {"ws": ours["ws"], "http": ours["http"]}
    _check_broker(app, options)
    options["log_config"] = options["log_config"] or log_config(options["log_level"])
    if options["timeout_graceful_shutdown"] is None:
        options["timeout_graceful_shutdown"] = _timeout_s(app, options["reload"])
    options["reload_dirs"] = [*options["reload_dirs"]] or None
    with listen(options["host"], options["port"]) as sock:
        config = AppConfig(target, **options)
        config.makes_app = factory
        address = (options["host"], sock.getsockname()[1])
        greet(app, target, address, is_tls=config.is_ssl, more=_more(target, app_dir, factory))
        serve(config, app, sock)


def _timeout_s(app: Any, reload: bool) -> int:
    return RELOAD_TIMEOUT_S if reload else shutdown_timeout_s(app)


def _more(target: str, app_dir: str, factory: bool) -> str:
    words = ["bocadillo", "routes", target]
    words += [] if app_dir == "." else ["--app-dir", app_dir]
    words += ["--factory"] if factory else []
    return shlex.join(words)


def _check(options: dict[str, Any]) -> None:
    """Refuse options that do not go together; a certificate is tried out.

    Here, since a worker that cannot start for them would be started over and over.
    """
    if options["reload"] and options["workers"]:
        raise click.UsageError("--reload serves in one process; leave out --workers or --reload")
    certificate, key = options["ssl_certfile"], options["ssl_keyfile"]
    if key and not certificate:
        raise click.UsageError("--ssl-keyfile needs --ssl-certfile")
    if certificate:
        _check_certificate(certificate, key, options["ssl_keyfile_password"])


def _check_broker(app: Any, options: dict[str, Any]) -> None:
    """Refuse several processes of an application whose channels end at its process."""
    if _workers(options) > 1 and any(channels.is_local for channels in _channels_in(app)):
        raise click.UsageError(
            "--workers: channels of the application, or of one mounted in it, are memory://, "
            "which each process has for itself, so that what one publishes reaches a part of the "
            "clients; write App(broker='redis://…'), or App(broker=None) where no channels are "
            "used, or those of the application around it"
        )


def _channels_in(app: Any) -> Iterator[ChannelsByLoop]:
    """Yield what App and Router were given by `broker=`, wherever in *app* they are."""
    for known in applications_in(app):
        router = getattr(known, "router", known)
        options = [router.options] if isinstance(router, Router) else []
        if isinstance(known, View):  # whose router may have been taken apart by a framework
            options += known.routers
        for option in options:
            if option.channels is not None:
                yield option.channels


def _workers(options: dict[str, Any]) -> int:
    """Return how many processes uvicorn will start."""
    if options["reload"]:
        return 1
    return int(options["workers"] or os.environ.get("WEB_CONCURRENCY", 1))


def _check_certificate(certificate: str, key: str | None, password: str | None) -> None:
    try:
        # Without a password given, an encrypted key is refused rather than asked about.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password or (lambda: ""))
    except OSError as exc:
        files = f"{certificate} with {key}" if key else certificate
        reason = exc.strerror or str(exc)
        raise click.ClickException(f"cannot use the certificate {files}: {reason}") from exc
