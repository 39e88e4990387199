"""Channels over TLS, to a Redis server with a certificate of its own making."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bocadillo import BrokerError
from bocadillo.channels import Channels
from tests.channels.readers import Noting, delivered
from tests.channels.redis_server import RedisServer, require_redis
from tests.fakes import run
from tests.ports import free_port

CERTIFICATE = "cert.pem"
KEY = "key.pem"


@pytest.fixture(scope="module")
def tls_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that speaks TLS, without what makes a client trust it."""
    require_redis()
    directory = tmp_path_factory.mktemp("tls")
    make_certificate(directory)
    server, port = RedisServer(directory), free_port()
    try:
        server.start(
            tls_port=str(port),
            tls_cert_file=str(directory / CERTIFICATE),
            tls_key_file=str(directory / KEY),
            tls_ca_cert_file=str(directory / CERTIFICATE),
            tls_auth_clients="no",
        )
    except RuntimeError:
        if os.environ.get("CI"):
            raise
        pytest.skip("this redis-server was built without TLS: NO TLS TO REDIS IS TESTED")
    yield f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={directory / CERTIFICATE}"
    server.kill()


def make_certificate(directory: Path) -> None:
    if shutil.which("openssl") is None:
        lack = "openssl is not installed: NO TLS TO REDIS IS TESTED"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lack)
    names = ["-keyout", str(directory / KEY), "-out", str(directory / CERTIFICATE)]
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    alternative = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *options, *alternative, *names]
    subprocess.run(command, check=True, capture_output=True)


def test_publications_and_presence_come_over_tls(tls_url: str) -> None:
    """A broker in another network is talked to as a bank is."""

    async def scenario() -> None:
        async with Channels(tls_url) as one, Channels(tls_url) as other:
            ada = Noting("ada")
            await one.join(ada, "x", presence={"name": "Ada"})

            await other.publish("x", "hello", codec="text")
            await delivered([ada], 1)

            assert ada.payloads == ["hello"]
            assert [known.payload for known in await other.history("x")] == ["hello"]
            assert [known.id for known in await other.presence("x")] == ["ada"]

    run(scenario)


def test_a_server_that_is_not_trusted_is_refused(tls_url: str) -> None:
    """Anybody could have put it there."""

    async def scenario() -> None:
        with pytest.raises(BrokerError, match="certificate verify failed"):
            await Channels(tls_url.partition("?")[0]).start()

    run(scenario)
