"""The opening handshake on a real uvicorn: what `HTTPProtocol` lets in, and what it answers."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from bocadillo.server.limits import Limits
from tests.server.clients import TEXT, client_frame
from tests.servers.inside import (
    KEY,
    Client,
    Inside,
    echo,
    on_both_https,
    on_both_loops,
    open_files,
    request,
    run,
    said,
    serving,
    tracebacks,
    until,
)

pytestmark = on_both_https

TWO_KEYS = request().replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n")
TWO_HOSTS = request().replace(b"\r\n\r\n", b"\r\nHost: other\r\n\r\n")
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)

REFUSED = {
    "no key": (request(without=("Sec-WebSocket-Key",)), {400}),
    "short key": (request(headers={"Sec-WebSocket-Key": b"c2hvcnQ="}), {400}),
    "no base64": (request(headers={"Sec-WebSocket-Key": b"!" * 24}), {400}),
    "two keys": (TWO_KEYS, {400}),
    "version 8": (request(headers={"Sec-WebSocket-Version": b"8"}), {426}),
    "no version": (request(without=("Sec-WebSocket-Version",)), {426}),
    "POST": (request(method="POST"), {405}),
    "HTTP/1.0": (request(version="1.0"), {505}),
    "no host": (request(without=("Host",)), {400}),
    "two hosts": (TWO_HOSTS, {400}),
    "body": (request(headers={"Content-Length": b"%d" % len(SMUGGLED)}) + SMUGGLED, {400}),
    "body to come": (request(headers={"Content-Length": b"1000"}), {400}),
    "chunked": (request(headers={"Transfer-Encoding": b"chunked"}) + CHUNKED, {400}),
    "chunked to come": (request(headers={"Transfer-Encoding": b"chunked"}), {400}),
    "NUL": (request(headers={"X": b"a\x00b"}), {400}),
    "bare CR": (request(headers={"X": b"a\rb"}), {400}),
    "no path": (request("@evil"), {400}),
    "star": (request("*"), {400}),
    "escape": (request("/\x1b[31m"), {400}),
    "raw 0xFF": (request().replace(b"GET / ", b"GET /\xff "), {400}),
    "raw 0xFF, no upgrade": (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
    "no request": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_no_handshake_is_answered_and_closed(
    http: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer, an end, no second request, and one line at most in the log."""

    async def scenario() -> None:
        paths: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            paths.append(scope["path"])

        async with serving(app, http=http) as server:
            client = await server.connect()

            status = await client.answer(REFUSED[why][0])

            assert status in REFUSED[why][1], client.head
            assert client.header("connection") == [b"close"]
            assert b"HTTP/1.1 " not in await client.end()
            await server.until_idle()
        assert paths == []
        assert len(said(caplog)) <= 1, said(caplog)
        assert tracebacks(caplog) == 0

    run(scenario)


def test_a_wrong_version_is_told_the_right_one(http: str) -> None:
    """A client of an old draft learns what is spoken here."""

    async def scenario() -> None:
        async with serving(echo, http=http) as server:
            client = await server.connect()

            await client.answer(request(headers={"Sec-WebSocket-Version": b"8"}))

            assert client.header("sec-websocket-version") == [b"13"]

    run(scenario)


@on_both_loops
def test_a_handshake_is_accepted_with_nothing_that_was_not_offered(http: str, loop: str) -> None:
    """The key proves it; no extension and no subprotocol come unasked."""

    async def scenario() -> None:
        async with serving(echo, http=http, ws_per_message_deflate=True) as server:
            client = await server.open()

            assert client.header("sec-websocket-accept") == [b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
            assert client.header("sec-websocket-extensions") == []
            assert client.header("sec-websocket-protocol") == []
            assert client.header("server") == [b"uvicorn"]

    run(scenario, loop)


def test_upgrade_without_connection_upgrade_is_plain_http(http: str) -> None:
    """Such a request asks for no change of protocol."""

    async def scenario() -> None:
        async with serving(echo, http=http) as server:
            client = await server.connect()

            status = await client.answer(request("/plain", headers={"Connection": b"keep-alive"}))

            assert status == 200

    run(scenario)


HOSTILE_EXTENSIONS = [
    b'permessage-deflate; server_max_window_bits="',
    b"permessage-deflate; client_max_window_bits=99",
    b"permessage-deflate" + b"; a=b" * 2000,
    b"constructor, __proto__; x",
    b"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    b",,,;;;,=,",
    b'"permessage-deflate"',
    b"permessage-deflate; client_max_window_bits=007",
]


@pytest.mark.parametrize("extensions", HOSTILE_EXTENSIONS, ids=range(len(HOSTILE_EXTENSIONS)))
def test_hostile_extensions_are_passed_over(
    http: str, extensions: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A bad offer is no offer, and never an error of the server."""

    async def scenario() -> None:
        async with serving(echo, http=http, ws_per_message_deflate=True) as server:
            client = await server.open(headers={"Sec-WebSocket-Extensions": extensions})

            assert client.header("sec-websocket-extensions") == []

    run(scenario)
    assert len(said(caplog)) == 1  # accepted


def test_a_header_of_spaces_is_read_in_no_time(http: str) -> None:
    """Within a second; the time for a header grows with its length only."""

    async def scenario() -> None:
        async with serving(echo, http=http) as server:
            client = await server.connect()

            async with asyncio.timeout(1):
                value = b"a," + b" " * 60 * 1024 + b",b"
                status = await client.answer(request(headers={"Sec-WebSocket-Protocol": value}))

            assert status in (101, 400, 431)

    run(scenario)


@on_both_loops
def test_a_get_before_the_upgrade_is_answered_first(http: str, loop: str) -> None:
    """Pipelined requests are answered in their order."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(0.05)
        await echo(scope, receive, send)

    async def scenario() -> None:
        async with serving(slow, http=http) as server:
            client = await server.connect()
            first = b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n"
            client.write(first + first + request() + client_frame(TEXT, b"early"))

            for _ in range(2):
                await client.read_head()
                assert client.status == 200
                assert await client.reader.readexactly(6) == b"/first"
            await client.read_head()

            assert client.status == 101
            client.send("late")
            assert [await client.text(), await client.text()] == ["early", "late"]

    run(scenario, loop)


@on_both_loops
def test_a_handshake_may_come_byte_by_byte(http: str, loop: str) -> None:
    """TCP is a stream."""

    async def scenario() -> None:
        async with serving(echo, http=http, limits=Limits()) as server:
            client = await server.connect()
            for byte in request():
                client.write(bytes([byte]))
                await asyncio.sleep(0)
            await client.read_head()

            assert client.status == 101

    run(scenario, loop)


@on_both_loops
def test_frames_behind_the_request_are_kept(http: str, loop: str) -> None:
    """A proxy may put request and first frames into one segment."""

    async def scenario() -> None:
        async def late(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(0.05)
            await echo(scope, receive, send)

        async with serving(late, http=http) as server:
            client = await server.connect()
            client.write(request() + client_frame(TEXT, b"1") + client_frame(TEXT, b"2")[:5])
            await asyncio.sleep(0.01)
            client.write(client_frame(TEXT, b"2")[5:])
            await client.read_head()

            assert [await client.text(), await client.text()] == ["1", "2"]

    run(scenario, loop)


PATHS = ["//x", "/%1b%5b31m", "/a%0d%0ab?q=%0d%0a", "/%ff"]


@pytest.mark.parametrize("path", PATHS)
def test_strange_paths_are_routed_and_logged_without_control_characters(
    http: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A log that a terminal shows is not to be written by strangers."""

    async def scenario() -> None:
        async with serving(echo, http=http) as server:
            await server.open(path)

    run(scenario)

    logged = [record.getMessage() for record in caplog.records]
    assert any("[accepted]" in line for line in logged)
    assert all(line.isprintable() for line in logged)


def test_a_whole_url_as_target_is_its_path(http: str) -> None:
    """RFC 9112 §3.2.2; the host in it is not to become a part of the path."""

    async def scenario() -> None:
        paths: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            paths.append((scope["path"], scope["raw_path"], scope["query_string"]))
            await echo(scope, receive, send)

        async with serving(app, http=http, root_path="/root") as server:
            await server.open("ws://evil.example/a%20b?c=d")
        assert paths == [("/root/a b", b"/root/a%20b", b"c=d")]

    run(scenario)


@on_both_loops
def test_plain_http_is_untouched(http: str, loop: str) -> None:
    """Requests that ask for no WebSocket go the way they went: bodies, keep-alive, chunks."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % len(body), "more_body": True})
        await send({"type": "http.response.body", "body": b"."})

    async def scenario() -> None:
        async with serving(app, http=http) as server:
            client = await server.connect()
            for _ in range(2):
                body = b"x" * 300_000
                head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"
                assert await client.answer(head + body) == 200
                assert await client.reader.readuntil(b"0\r\n\r\n") == (
                    b"6\r\n300000\r\n1\r\n.\r\n0\r\n\r\n"
                )

    run(scenario, loop)


def test_the_guard_serves_other_websocket_protocols_too(http: str) -> None:
    """`--http bocadillo.server:HTTPProtocol` alone checks handshakes for uvicorn's own."""

    async def scenario() -> None:
        async with serving(echo, http=http, ws="websockets-sansio") as server:
            client = await server.open(behind=client_frame(TEXT, b"early"))
            assert await client.text() == "early"
            assert await (await server.connect()).answer(TWO_KEYS) == 400

    run(scenario)


def test_an_upgrade_to_something_else_is_plain_http(
    http: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`h2c` is offered by some clients with every request."""

    async def scenario() -> None:
        async with serving(echo, http=http) as server:
            client = await server.connect()

            assert await client.answer(request("/x", headers={"Upgrade": b"h2c"})) == 200

    run(scenario)
    assert caplog.text.count("Unsupported upgrade request.") == 1


@pytest.mark.parametrize("why", ["two keys", "no host", "POST", "version 8"])
def test_what_uvicorns_own_http_lets_through_is_refused_too(http: str, why: str) -> None:
    """`--ws` alone: the request is read from what uvicorn hands over."""

    async def scenario() -> None:
        async with serving(echo, http=f"own {http}") as server:
            client = await server.connect()
            assert await client.answer(REFUSED[why][0]) in REFUSED[why][1]
            await client.end()
            client.close()
            await server.until_idle()
            opened = await server.open()
            opened.send("x")
            assert await opened.text() == "x"

    run(scenario)


@on_both_loops
def test_refusals_over_tls_are_read_to_their_end(http: str, loop: str, certificate: Path) -> None:
    """TLS has no half of a connection to close; the answer comes all the same."""
    context = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    files: dict[str, Any] = {"ssl_certfile": str(certificate / "cert.pem")}
    files["ssl_keyfile"] = str(certificate / "key.pem")

    async def no(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.close"})

    async def scenario() -> None:
        async with serving(no, http=http, **files) as server:
            for chunk, status in ((TWO_KEYS, 400), (request(), 403)):
                client = await server.connect(ssl=context)
                assert await client.answer(chunk) == status
                assert bool(await client.end()) is (status == 400)
                client.close()
            await server.until_idle()

    run(scenario, loop)


def test_an_answer_that_is_under_way_is_not_mixed_with_a_refusal(http: str) -> None:
    """Half an answer and then 400 would be read as one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await receive()
        await receive()

    async def scenario() -> None:
        async with serving(app, http=http) as server:
            client = await server.connect()
            post = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            assert await client.answer(post) == 200
            client.write(b"no chunk\r\n")
            assert b"HTTP/1.1" not in await client.end()
            client.close()
            await server.until_idle()

    run(scenario)


def test_no_connection_is_left(http: str) -> None:
    """Whatever is asked, nobody is kept: not here, and not in the server's sets."""

    async def ask(server: Inside, chunk: bytes) -> None:
        client: Client = await server.connect()
        client.write(chunk)
        await client.is_cut()
        client.close()

    async def scenario() -> None:
        async with serving(echo, http=http) as server:
            before = open_files()
            await asyncio.gather(*(ask(server, chunk) for chunk, _ in REFUSED.values()))

            await server.until_idle()

            await until(lambda: open_files() == before)

    run(scenario)
