"""What mypy knows of typed views; nothing here is ever run, mypy checks it."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar, assert_type

from pydantic import BaseModel

from bocadillo import App, InvalidMessage, RoutedPath, WebSocket, WebSocketView

T = TypeVar("T")

app = App()


class Question(BaseModel):
    id: int


class Answer(BaseModel):
    text: str


@app.websocket_route("/answers/{room}")
class Answers(WebSocketView[Question, Answer]):
    name = "answers"
    frame = "bytes"
    caught_close_codes = (1000, 4000)
    disconnect_timeout = 5

    def process_request(
        self, path: RoutedPath, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes] | None:
        return None if "token" in headers else (401, {}, b"")

    async def on_connect(self, room: str) -> None:
        await self.send(Answer(text=f"welcome to {room}"))

    async def handle(self, ws: WebSocket[Question, Answer], room: str, limit: int = 5) -> None:
        assert_type(self.ws, WebSocket[Question, Answer])
        assert_type(self.messages, AsyncIterator[Question])
        async for message in self.messages:
            assert_type(message, Question)
            await self.send(Answer(text=str(message.id)))
            await self.broadcast(Answer(text=str(message.id)))
        async for received in ws:
            assert_type(received, Question)
        assert_type(await ws.receive(), Question)
        await ws.send(Answer(text=room))

    async def on_invalid(self, error: InvalidMessage) -> None:
        assert_type(error.errors, list[dict[str, Any]])
        await self.send(Answer(text=str(error)))

    async def on_disconnect(self, close_code: int) -> None:
        await self.broadcast(Answer(text="bye"))


assert_type(Answers.name, str)


class OneType(WebSocketView[Question]):
    """One type argument is both."""

    async def handle(self) -> None:
        async for message in self.messages:
            assert_type(message, Question)
            await self.send(message)
            await self.broadcast(message)


class Untyped(WebSocketView):
    """None is anything."""

    async def handle(self) -> None:
        async for message in self.messages:
            assert_type(message, Any)
            await self.send({"anything": message})


class Crud(WebSocketView[T, list[T]]):
    """A generic view of one's own."""

    async def handle(self) -> None:
        async for message in self.messages:
            assert_type(message, T)
            await self.broadcast([message])


class Questions(Crud[Question]):
    async def on_connect(self) -> None:
        assert_type(self.messages, AsyncIterator[Question])
        await self.send([Question(id=1)])


@app.websocket_route("/function")
async def function(ws: WebSocket[Question, Answer]) -> None:
    assert_type(await ws.receive(), Question)
    await ws.send(Answer(text=""))
    async for message in ws:
        assert_type(message, Question)


async def one_type(ws: WebSocket[Question]) -> None:
    assert_type(await ws.receive(), Question)
    await ws.send(Question(id=1))


async def untyped(ws: WebSocket) -> None:
    assert_type(await ws.receive(), Any)
    await ws.send("anything")
