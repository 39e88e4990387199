"""Event echoes: a message of two fields, one of eight events, validated and sent back.

Each program is written as its documentation teaches. The peers are in requirements.txt.
"""

from starlette.types import ASGIApp

OTHER_EVENTS = ("join", "leave", "whisper", "typing", "read", "rename", "ping")


def event_text(size_bytes: int) -> bytes:
    """Return `{"type":"line","id":1,"text":"xx…"}` of *size_bytes*, which must come back."""
    return _filled(b'{"type":"line","id":1,"text":"', b'"}', size_bytes)


def chanx_text(size_bytes: int) -> bytes:
    """Return the same for chanx, which has its own words, and json.dumps' spaces."""
    return _filled(b'{"action": "line", "payload": {"id": 1, "text": "', b'"}}', size_bytes)


def _filled(start: bytes, end: bytes, size_bytes: int) -> bytes:
    return start + b"x" * (size_bytes - len(start) - len(end)) + end


def bocadillo_pydantic() -> ASGIApp:
    """An `EventView` whose handlers have two parameters each."""
    from bocadillo import App, EventView, on_event

    class Echo(EventView):
        @on_event
        async def line(self, id: int, text: str) -> dict[str, object]:
            return {"id": id, "text": text}

    for other in OTHER_EVENTS:

        @Echo.on_event(other)
        async def answer(id: int, text: str) -> dict[str, object]:
            return {"id": id, "text": text}

    app = App()
    app.websocket_route("/")(Echo)
    return app


def bocadillo_msgspec() -> ASGIApp:
    """An `EventView` whose handlers take a Struct each."""
    import msgspec

    from bocadillo import App, EventView, on_event

    class Line(msgspec.Struct):
        id: int
        text: str

    class Echo(EventView):
        @on_event
        async def line(self, message: Line) -> dict[str, object]:
            return {"id": message.id, "text": message.text}

    for other in OTHER_EVENTS:

        @Echo.on_event(other)
        async def answer(message: Line) -> dict[str, object]:
            return {"id": message.id, "text": message.text}

    app = App()
    app.websocket_route("/")(Echo)
    return app


def starlette_pydantic() -> ASGIApp:
    """Starlette, a tagged union of eight pydantic models, and a table by hand."""
    from collections.abc import Awaitable, Callable
    from typing import Annotated, Any, Literal, Union

    from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    class Line(BaseModel):
        model_config = ConfigDict(extra="forbid")
        id: int
        text: str

    kinds = ("line", *OTHER_EVENTS)
    make_model: Any = create_model
    models = tuple(
        make_model(kind.title(), __base__=Line, type=(Literal[kind], ...)) for kind in kinds
    )
    union: Any = Annotated[Union[models], Field(discriminator="type")]  # noqa: UP007
    adapter: TypeAdapter[Any] = TypeAdapter(union)

    async def answer(message: Any) -> dict[str, object]:
        return {"type": message.type, "id": message.id, "text": message.text}

    table: dict[str, Callable[[Any], Awaitable[dict[str, object]]]] = dict.fromkeys(kinds, answer)

    async def echo(ws: WebSocket) -> None:
        import orjson

        await ws.accept()
        try:
            while True:
                message = adapter.validate_json(await ws.receive_text())
                await ws.send_text(orjson.dumps(await table[message.type](message)).decode())
        except WebSocketDisconnect:
            pass

    return Starlette(routes=[WebSocketRoute("/", echo)])


def litestar_listener() -> ASGIApp:
    """Litestar's listener with a pydantic model; of one event, as it has no others."""
    from typing import Any, Literal, cast

    from litestar import Litestar, websocket_listener
    from pydantic import BaseModel

    class Line(BaseModel):
        type: Literal["line"]
        id: int
        text: str

    async def echo(data: Line) -> Line:
        return data

    # The annotations of the function are looked up by name.
    echo.__annotations__ = {"data": Line, "return": Line}
    app: ASGIApp = cast(Any, Litestar([websocket_listener("/")(echo)]))
    return app


def chanx() -> ASGIApp:
    """A chanx consumer with eight messages."""
    from typing import Any, Literal

    from chanx.core.decorators import channel, ws_handler
    from chanx.fast_channels.websocket import AsyncJsonWebsocketConsumer
    from chanx.messages.base import BaseMessage
    from pydantic import BaseModel, create_model
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    class Payload(BaseModel):
        id: int
        text: str

    def handler(kind: str) -> Any:
        make_model: Any = create_model
        model = make_model(
            f"{kind.title()}Message",
            __base__=BaseMessage,
            action=(Literal[kind], kind),
            payload=(Payload, ...),
        )

        async def handle(self: Any, message: BaseMessage) -> BaseMessage:
            return message

        handle.__annotations__ = {"message": model, "return": model}
        handle.__name__ = f"handle_{kind}"
        return ws_handler(handle)

    body = {f"handle_{kind}": handler(kind) for kind in ("line", *OTHER_EVENTS)}
    consumer: Any = channel(name="echo")(
        type("Echo", (AsyncJsonWebsocketConsumer,), {**body, "send_completion": False})
    )
    return Starlette(routes=[WebSocketRoute("/", consumer.as_asgi())])
