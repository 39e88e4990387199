"""The programs of others: the same as ours, each written as its documentation teaches.

Each takes the URL of a broker, "memory://" or "redis://…". Payloads are passed on as they
came, where that is possible, so that nobody is charged for JSON that is not needed.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

from starlette.types import ASGIApp

from benchmarks.channels.ours import CHANNEL

MEMORY = "memory://"


def litestar(broker: str) -> ASGIApp:
    """Litestar's plugin; a subscription that sends in the background."""
    from litestar import Litestar, WebSocket, websocket
    from litestar.channels import ChannelsPlugin
    from litestar.channels.backends.base import ChannelsBackend
    from litestar.channels.backends.memory import MemoryChannelsBackend
    from litestar.channels.backends.redis import RedisChannelsPubSubBackend
    from redis.asyncio import Redis

    backend: ChannelsBackend
    if broker == MEMORY:
        backend = MemoryChannelsBackend(history=0)
    else:
        backend = RedisChannelsPubSubBackend(redis=Redis.from_url(broker))

    async def chat(socket: Any, channels: Any) -> None:
        await socket.accept()
        async with (
            channels.start_subscription([CHANNEL]) as subscriber,
            subscriber.run_in_background(socket.send_text),
        ):
            async for text in socket.iter_data():
                channels.publish(text, CHANNEL)

    # The annotations of the function are looked up by name.
    chat.__annotations__ = {"socket": WebSocket, "channels": ChannelsPlugin, "return": None}
    plugin = ChannelsPlugin(backend, channels=[CHANNEL])
    return cast(ASGIApp, Litestar([websocket("/")(chat)], plugins=[plugin]))


def socketio(broker: str) -> ASGIApp:
    """A socket.io server with a room, in which all are."""
    import socketio as library

    manager = None if broker == MEMORY else library.AsyncRedisManager(broker)
    server = library.AsyncServer(async_mode="asgi", client_manager=manager)

    async def connect(sid: str, environ: dict[str, Any]) -> None:
        await server.enter_room(sid, CHANNEL)

    async def line(sid: str, message: Any) -> None:
        await server.emit("line", message, room=CHANNEL)

    server.on("connect", connect)
    server.on("line", line)
    return cast(ASGIApp, library.ASGIApp(server))


def broadcaster(broker: str) -> ASGIApp:
    """Broadcaster in Starlette; one task receives, another one sends.

    The two subscriptions of the lifespan are not in its documentation. Without them 0.3.1
    delivers nothing on Redis when the first subscription is the only one, and loses some of
    the readers that come first at the same time.
    """
    import anyio
    from broadcaster import Broadcast
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    broadcast: Any = Broadcast(broker)

    async def chat(ws: WebSocket) -> None:
        await ws.accept()
        async with anyio.create_task_group() as tasks:

            async def run_receiver() -> None:
                await receive(ws)
                tasks.cancel_scope.cancel()

            tasks.start_soon(run_receiver)
            await send(ws)

    async def receive(ws: WebSocket) -> None:
        async for text in ws.iter_text():
            await broadcast.publish(CHANNEL, text)

    async def send(ws: WebSocket) -> None:
        async with broadcast.subscribe(CHANNEL) as subscriber:
            async for event in subscriber:
                await ws.send_text(event.message)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with broadcast, broadcast.subscribe("first"), broadcast.subscribe(CHANNEL):
            yield

    return Starlette(routes=[WebSocketRoute("/", chat)], lifespan=lifespan)


def django(broker: str) -> ASGIApp:
    """Django Channels' consumer with a group; on Redis by its layer of lists."""
    return _django(broker, "channels_redis.core.RedisChannelLayer")


def django_pubsub(broker: str) -> ASGIApp:
    """The same; on Redis by its layer of Pub/Sub."""
    return _django(broker, "channels_redis.pubsub.RedisPubSubChannelLayer")


def _django(broker: str, redis_layer: str) -> ASGIApp:
    import django as library
    from django.conf import settings

    layer: dict[str, Any] = {"BACKEND": redis_layer, "CONFIG": {"hosts": [broker]}}
    if broker == MEMORY:
        layer = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    settings.configure(INSTALLED_APPS=["channels"], CHANNEL_LAYERS={"default": layer})
    library.setup()

    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.urls import path

    class Chat(AsyncWebsocketConsumer):
        groups = (CHANNEL,)

        async def receive(self, text_data: str) -> None:
            await self.channel_layer.group_send(CHANNEL, {"type": "chat.line", "text": text_data})

        async def chat_line(self, event: dict[str, str]) -> None:
            await self.send(text_data=event["text"])

    routes = URLRouter([path("", Chat.as_asgi())])
    return cast(ASGIApp, ProtocolTypeRouter({"websocket": routes}))


def chanx(broker: str) -> ASGIApp:
    """A chanx consumer with a group; on Redis by fast_channels' layer of lists."""
    return _chanx(broker, "RedisChannelLayer")


def chanx_pubsub(broker: str) -> ASGIApp:
    """The same; on Redis by fast_channels' layer of Pub/Sub."""
    return _chanx(broker, "RedisPubSubChannelLayer")


def _chanx(broker: str, redis_layer: str) -> ASGIApp:
    from typing import Literal

    from chanx.core.decorators import channel, ws_handler
    from chanx.fast_channels.websocket import AsyncJsonWebsocketConsumer
    from chanx.messages.base import BaseMessage
    from fast_channels import layers
    from pydantic import BaseModel
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    layer: Any = layers.InMemoryChannelLayer()
    if broker != MEMORY:
        from fast_channels.layers import redis

        layer = getattr(redis, redis_layer)(hosts=[broker])
    layers.register_channel_layer("default", layer)

    class Payload(BaseModel):
        id: int
        text: str

    class Line(BaseMessage):
        action: Literal["line"] = "line"
        payload: Payload

    class Told(BaseMessage):
        action: Literal["told"] = "told"
        payload: Payload

    async def handle_line(self: Any, message: Line) -> None:
        await self.broadcast_message(Told(payload=message.payload))

    # The annotations of the function are looked up by name.
    handle_line.__annotations__ = {"message": Line, "return": None}
    body = {
        "channel_layer_alias": "default",
        "groups": [CHANNEL],
        "send_completion": False,
        "handle_line": ws_handler(output_type=Told)(handle_line),
    }
    consumer: Any = channel(name="chat")(type("Chat", (AsyncJsonWebsocketConsumer,), body))
    return Starlette(routes=[WebSocketRoute("/", consumer.as_asgi())])
