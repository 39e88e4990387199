"""How connections open on the server protocol: accepted, refused, and as uvicorn's options say."""

import asyncio
import functools
import pickle
import ssl
from pathlib import Path
from typing import Any

import pytest
import websockets
from uvicorn.protocols.utils import ClientDisconnected

from bocadillo.server.limits import Limits
from bocadillo.server.protocol import WebSocketProtocol
from tests.server.clients import PING, TEXT, client_frame
from tests.servers.inside import (
    ACCEPT,
    echo,
    lines,
    on_both_loops,
    request,
    run,
    saying,
    serving,
    tracebacks,
)

# Opening


def test_the_scope_has_what_asgi_says_and_the_lifespans_state() -> None:
    """Frameworks build everything on the scope."""
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    async def scenario() -> None:
        async with serving(app, root_path="/root") as server:
            server.server.lifespan.state["db"] = "here"
            client = await server.open(
                "/a%2Fb?q=%20", {"Sec-WebSocket-Protocol": b"v2 , v1", "X-Name": b"Value"}
            )
            peer = client.socket.getsockname()
            [scope] = scopes
            assert scope["type"] == "websocket"
            assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
            assert scope["http_version"] == "1.1"
            assert scope["scheme"] == "ws"
            assert scope["server"] == ("127.0.0.1", server.port)
            assert scope["client"] == peer
            assert scope["root_path"] == "/root"
            assert scope["path"] == "/root/a/b"
            assert scope["raw_path"] == b"/root/a%2Fb"
            assert scope["query_string"] == b"q=%20"
            assert (b"x-name", b"Value") in scope["headers"]
            assert scope["subprotocols"] == ["v2", "v1"]
            assert scope["state"] == {"db": "here"}
            assert "websocket.http.response" in scope["extensions"]

    run(scenario)


def test_the_answer_has_the_applications_subprotocol_and_headers() -> None:
    """And the server's own, `date` and `server`, and what `--header` says."""

    async def scenario() -> None:
        accept = {**ACCEPT, "subprotocol": "v1", "headers": [(b"X-Name", b"value")]}
        async with serving(saying(accept), headers=[("x-default", "d")]) as server:
            client = await server.open(headers={"Sec-WebSocket-Protocol": b"v1"})

            assert client.header("sec-websocket-protocol") == [b"v1"]
            assert client.header("x-name") == [b"value"]
            assert client.header("x-default") == [b"d"]
            assert client.header("server") == [b"uvicorn"]
            assert len(client.header("date")) == 1

    run(scenario)


@pytest.mark.parametrize(
    "accept",
    [
        {**ACCEPT, "headers": [(b"x", b"a\r\nSet-Cookie: b")]},
        {**ACCEPT, "headers": [(b"x: y\r\nz", b"a")]},
        {**ACCEPT, "subprotocol": "v1\r\nSet-Cookie: b"},
        {"type": "websocket.http.response.start", "status": 404, "headers": [(b"x", b"a\nb")]},
        {"type": "websocket.http.response.start", "status": 101},
        {"type": "websocket.send", "text": "too early"},
        {"type": "websocket.http.response.body", "body": b"too early"},
        {"type": "unknown"},
    ],
)
def test_an_answer_that_may_not_be_sent_is_500_and_one_log(
    accept: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is injected, and the developer sees where."""

    async def scenario() -> None:
        async with serving(saying(accept)) as server:
            client = await server.connect()

            status = await client.answer(request())

            assert status == 500
            assert client.header("set-cookie") == []
            assert await client.end() == b"Internal Server Error\n"

    run(scenario)
    assert tracebacks(caplog) == 1


def test_the_servers_own_headers_cannot_be_said_twice() -> None:
    """A second `Connection` or key would be a broken handshake."""

    async def scenario() -> None:
        accept = {**ACCEPT, "headers": [(b"Sec-WebSocket-Accept", b"x"), (b"upgrade", b"y")]}
        async with serving(saying(accept)) as server:
            client = await server.open()

            assert len(client.header("sec-websocket-accept")) == 1
            assert client.header("upgrade") == [b"websocket"]

    run(scenario)


def test_close_before_accept_is_403() -> None:
    """ASGI: refusing is closing before accepting."""

    async def scenario() -> None:
        async with serving(saying({"type": "websocket.close", "code": 4000})) as server:
            client = await server.connect()

            assert await client.answer(request()) == 403
            assert await client.end() == b""

    run(scenario)


@on_both_loops
def test_a_refusal_may_be_any_answer_in_pieces(loop: str) -> None:
    """The extension "Websocket Denial Response", streamed."""

    async def scenario() -> None:
        start = {
            "type": "websocket.http.response.start",
            "status": 429,
            "headers": [(b"Retry-After", b"5")],
        }
        body = {"type": "websocket.http.response.body"}
        events: list[dict[str, Any]] = [
            {**body, "body": b"x" * 200_000, "more_body": True},
            {**body, "body": b"y", "more_body": True},
            body,
        ]
        async with serving(saying(start, *events)) as server:
            client = await server.connect()

            assert await client.answer(request()) == 429
            assert client.header("retry-after") == [b"5"]
            assert client.header("connection") == [b"close"]
            assert await client.end() == b"x" * 200_000 + b"y"

    run(scenario, loop)


def test_an_answer_without_its_end_does_not_look_whole(caplog: pytest.LogCaptureFixture) -> None:
    """An application that fails in the middle of an answer resets the connection."""

    async def scenario() -> None:
        start = {"type": "websocket.http.response.start", "status": 404}
        async with serving(saying(start, {"type": "websocket.accept"})) as server:
            client = await server.connect()

            await client.answer(request())

            with pytest.raises(ConnectionError):
                await client.end()

    run(scenario)
    assert tracebacks(caplog) == 1


def test_returning_without_an_answer_is_500(caplog: pytest.LogCaptureFixture) -> None:
    """As in uvicorn, with its words."""

    async def scenario() -> None:
        async with serving(saying()) as server:
            assert await (await server.connect()).answer(request()) == 500

    run(scenario)
    assert "ASGI callable returned without completing handshake." in caplog.text


def test_a_result_that_is_not_none_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """As in uvicorn, with its words."""

    async def app(scope: Any, receive: Any, send: Any) -> str:
        await send(ACCEPT)
        return "something"

    async def scenario() -> None:
        async with serving(app) as server:
            assert await (await server.open()).close_code() == 1000

    run(scenario)
    assert "ASGI callable should return None, but returned 'something'." in caplog.text


def test_a_client_that_leaves_before_the_answer_is_told_as_1006() -> None:
    """The application learns it from `receive`, and from `send` by an OSError."""
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        told.append(await receive())
        told.append(await receive())
        with pytest.raises(ClientDisconnected):
            await send(ACCEPT)
        told.append("done")

    async def scenario() -> None:
        async with serving(app) as server:
            client = await server.connect()
            client.write(request())
            while not told:
                await asyncio.sleep(0.005)
            client.close()
            await server.until_idle()

    run(scenario)
    assert [event if event == "done" else event.get("code") for event in told] == [
        None,
        1006,
        "done",
    ]


# uvicorn's options


def test_access_lines_are_uvicorns(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads logs by a pattern keeps it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/ok":
            await echo(scope, receive, send)
        else:
            start = {"type": "websocket.http.response.start", "status": 404}
            body = {"type": "websocket.http.response.body"}
            no = scope["path"] == "/no"
            events: list[dict[str, Any]] = [{"type": "websocket.close"}] if no else [start, body]
            await saying(*events)(scope, receive, send)

    async def scenario() -> None:
        async with serving(app) as server:
            for path in ("/ok?a=b", "/no", "/other"):
                await (await server.connect()).answer(request(path))

    run(scenario)
    logged = [line.split(" - ")[1] for line in lines(caplog)]
    assert logged == [
        '"WebSocket /ok?a=b" [accepted]',
        '"WebSocket /no" 403',
        '"WebSocket /other" 404',
    ]


def test_the_client_is_whom_a_trusted_proxy_names(caplog: pytest.LogCaptureFixture) -> None:
    """`--proxy-headers`; and nobody else is believed."""
    clients: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        clients.append((scope["client"][0], scope["scheme"]))
        await echo(scope, receive, send)

    async def scenario() -> None:
        headers = {"X-Forwarded-For": b"10.1.2.3", "X-Forwarded-Proto": b"wss"}
        async with serving(app, forwarded_allow_ips="127.0.0.1") as server:
            await server.open(headers=headers)
        async with serving(app, forwarded_allow_ips="10.9.9.9") as server:
            await server.open(headers=headers)

    run(scenario)
    assert clients == [("10.1.2.3", "wss"), ("127.0.0.1", "ws")]
    assert "10.1.2.3:0 - " in caplog.text


def test_more_connections_than_allowed_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    """`--limit-concurrency`: 503, and those who are in stay in."""

    async def scenario() -> None:
        async with serving(echo, limit_concurrency=2) as server:
            first, _second = await server.open(), await server.open()
            third = await server.connect()

            assert await third.answer(request()) == 503
            await third.end()
            first.send("still here")
            assert await first.text() == "still here"
            third.close()

    run(scenario)
    assert caplog.text.count("Exceeded concurrency limit.") == 1


@pytest.mark.parametrize("extra", [0, 1])
def test_messages_are_bounded(extra: int) -> None:
    """`--ws-max-size`: 1009, before the payload has come."""

    async def scenario() -> None:
        async with serving(echo, ws_max_size=1000) as server:
            client = await server.open()
            frame = client_frame(TEXT, b"x" * (1000 + extra))
            client.write(frame[: 100 if extra else None])

            if extra:
                assert await client.close_code() == 1009
            else:
                assert len(await client.text()) == 1000

    run(scenario)


def test_compression_is_off_on_and_as_the_limits_say() -> None:
    """`--ws-per-message-deflate`; small messages are not compressed."""
    offer = {"Sec-WebSocket-Extensions": b"permessage-deflate; client_max_window_bits"}

    async def scenario() -> None:
        async with serving(echo) as server:
            assert (await server.open(headers=offer)).header("sec-websocket-extensions") == []
        limits = Limits(compress_from_bytes=100)
        async with serving(echo, ws_per_message_deflate=True, limits=limits) as server:
            client = await server.open(headers=offer)
            [agreed] = client.header("sec-websocket-extensions")
            assert agreed.startswith(b"permessage-deflate; server_no_context_takeover")
            client.send("x" * 99)
            client.send("x" * 100)
            assert (await client.frame())[0] == 0x81
            first, payload = await client.frame()
            assert first == 0xC1
            assert len(payload) < 20

    run(scenario)


def test_protocols_with_limits_can_be_sent_to_workers() -> None:
    """uvicorn's workers get their configuration pickled."""
    made = functools.partial(WebSocketProtocol, limits=Limits(send_timeout_s=5))

    assert pickle.loads(pickle.dumps(made)).keywords == {"limits": Limits(send_timeout_s=5)}


@pytest.mark.parametrize("field", ["send_timeout_s", "max_headers", "max_queued_bytes"])
def test_limits_are_positive(field: str) -> None:
    """A limit of nothing would be a server that serves nobody."""
    with pytest.raises(ValueError, match=f"{field} must be more than 0"):
        Limits(**{field: 0})  # type: ignore[arg-type]


@on_both_loops
def test_over_tls(loop: str, certificate: Path) -> None:
    """The same over TLS, with its own transport: wss, large messages, both closes."""

    async def scenario() -> None:
        key = str(certificate / "key.pem")
        cert = str(certificate / "cert.pem")
        async with serving(echo, ssl_certfile=cert, ssl_keyfile=key) as server:
            context = ssl.create_default_context(cafile=cert)
            url = f"wss://localhost:{server.port}"
            async with websockets.connect(url, ssl=context, max_size=None) as ws:
                for payload in ("small", "x" * 2_000_000, bytes(100_000)):
                    await ws.send(payload)
                    assert await ws.recv() == payload
                await ws.close(1000)
                assert ws.close_code == 1000
            await server.until_idle()

    run(scenario, loop)


def test_a_ping_is_answered_with_its_payload_in_order() -> None:
    """RFC 6455 §5.5.3: between the messages where it came, each one."""

    async def scenario() -> None:
        async with serving(echo) as server:
            client = await server.open()
            client.write(client_frame(PING, b"1") + client_frame(PING, b"2"))
            assert [await client.frame(), await client.frame()] == [(0x8A, b"1"), (0x8A, b"2")]

    run(scenario)


def test_contexts_are_fresh_where_uvicorn_is_asked_for_that() -> None:
    """`--reset-contextvars`."""

    async def scenario() -> None:
        async with serving(echo, reset_contextvars=True) as server:
            client = await server.open()
            client.send("x")
            assert await client.text() == "x"

    run(scenario)
