"""The application that the tests of events serve."""

from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from bocadillo import App, EventError, EventView, on_event
from tests.hostile_views import Pydantics, Structs

app = App(leave_grace_s=0.5, shutdown_grace_s=1)
app.websocket_route("/pydantics")(Pydantics)
app.websocket_route("/structs")(Structs)

# What connections went through, by the key that the client chose.
steps: dict[str, list[Any]] = {}


@app.websocket_route("/chat/{key}")
class Chat(EventView):
    """Ends in the way that the client chose."""

    async def on_connect(self, key: str) -> None:
        self.key = key
        steps[key] = ["connect"]

    @on_event
    async def who(self) -> Any:
        return {"key": self.key}

    @on_event
    async def forbidden(self) -> None:
        raise EventError("not you", loc=["type"], code="forbidden")

    @on_event
    async def goodbye(self) -> None:
        await self.ws.close(4001, "bye")

    @on_event
    async def bug(self) -> None:
        raise LookupError("a secret")

    @on_event
    async def unsendable(self) -> Any:
        return {"x": object()}

    @on_event
    async def forever(self) -> AsyncIterator[Any]:
        steps[self.key].append("streaming")
        try:
            while True:
                yield {"text": "x" * 1000}
        finally:
            steps[self.key].append("closed")

    async def on_disconnect(self, close_code: int) -> None:
        steps[self.key].append(close_code)


@app.websocket_route("/refusing")
class Refusing(EventView):
    """B-g1: closes where it should accept."""

    auto_accept = False

    async def on_connect(self) -> None:
        await self.ws.close(4003)


async def show_steps(request: Request) -> JSONResponse:
    return JSONResponse(steps.get(request.path_params["key"], []))


app.add_route("/steps/{key}", show_steps)
