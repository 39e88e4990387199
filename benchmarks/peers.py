"""Servers that are no ASGI servers, with their own echo: picows, websockets, aiohttp.

Imports are inside the functions: a peer need not be installed, unless it is measured. Those
that come without types, or may be missing where types are checked, are imported by name.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

from benchmarks import tls


def _run(main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    # The load generator ends without a word, which some of them log for each connection.
    logging.disable(logging.ERROR)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def picows_echo(listener: socket.socket) -> None:
    """picows alone: a frame's payload goes back as it lies in the read buffer."""
    _echo_by_picows(listener)


def picows_secure(listener: socket.socket) -> None:
    """The same by TLS."""
    _echo_by_picows(listener, ssl=tls.context())


def _echo_by_picows(listener: socket.socket, **options: Any) -> None:
    text: Any = import_module("picows").WSMsgType.TEXT

    def on_ws_frame(self: Any, transport: Any, frame: Any) -> None:
        if frame.msg_type == text:
            transport.send(text, frame.get_payload_as_memoryview())
        else:
            _leave(transport, frame)

    _run(_serve_picows(listener, {"on_ws_frame": on_ws_frame}, **options))


def picows_fan(listener: socket.socket) -> None:
    """picows alone: one text to all, in a loop."""
    text: Any = import_module("picows").WSMsgType.TEXT
    transports: dict[Any, None] = {}

    def on_ws_connected(self: Any, transport: Any) -> None:
        transports[transport] = None

    def on_ws_disconnected(self: Any, transport: Any) -> None:
        transports.pop(transport, None)

    def on_ws_frame(self: Any, transport: Any, frame: Any) -> None:
        if frame.msg_type != text:
            _leave(transport, frame)
            return
        payload = frame.get_payload_as_bytes()
        for each in transports:
            each.send(text, payload)

    methods = (on_ws_connected, on_ws_disconnected, on_ws_frame)
    _run(_serve_picows(listener, {method.__name__: method for method in methods}))


def _leave(transport: Any, frame: Any) -> None:
    """Answer a close frame; pings are answered by picows."""
    if frame.msg_type == import_module("picows").WSMsgType.CLOSE:
        transport.send_close(frame.get_close_code())
        transport.disconnect()


async def _serve_picows(
    listener: socket.socket, methods: dict[str, Callable[..., None]], **options: Any
) -> None:
    picows: Any = import_module("picows")
    handler: Any = type("Handler", (picows.WSListener,), methods)
    server = await picows.ws_create_server(lambda _: handler(), sock=listener, **options)
    await server.serve_forever()


def websockets_echo(listener: socket.socket) -> None:
    """The websockets library's own server."""
    from websockets.asyncio.server import ServerConnection, serve

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def main() -> None:
        async with serve(echo, sock=listener, compression=None) as server:
            await server.serve_forever()

    _run(main())


def aiohttp_echo(listener: socket.socket) -> None:
    """aiohttp's own server."""
    web: Any = import_module("aiohttp.web")

    async def echo(request: Any) -> Any:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(message.data)
        return ws

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/", echo)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await asyncio.Event().wait()

    _run(main())
