"""Routers in routers, with hooks at every place, each of which refuses whom it is told to.

A client says in its query who is to refuse it (`by`), and `how`; its `key` tells
whether its view ran.
"""

from collections import defaultdict
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from bocadillo import App, RoutedPath, Router, WebSocket

# The views that ran, by the key that the client chose.
ran: dict[str, list[str]] = defaultdict(list)

PLACES = ("outer", "inner", "route", "class")
PATHS = ("/included/function", "/included/class", "/mounted/function", "/mounted/class")


async def refuse(how: str, ws: WebSocket) -> Any:
    if how == "raises":
        raise HTTPException(401, "refused")
    if how == "fails":
        raise LookupError("a secret")
    if how == "rejects":
        await ws.reject(401, "refused")
    return {"answers": (401, {"x-why": "because"}, b"refused")}.get(how, False)


def guard(place: str) -> Any:
    """Return the hook of a place."""

    async def hook(ws: WebSocket, path: RoutedPath, by: str = "", how: str = "answers") -> Any:
        path.context.setdefault("asked", []).append(place)
        return await refuse(how, ws) if by == place else None

    return hook


async def function(ws: WebSocket, path: RoutedPath, key: str = "") -> None:
    ran[key].append("function")
    await ws.send_json(path.context["asked"])


class Class:
    """A view whose own hook is the innermost."""

    async def process_request(
        self, ws: WebSocket, path: RoutedPath, by: str = "", how: str = "answers"
    ) -> Any:
        return await guard("class")(ws, path, by, how)

    async def handle(self, ws: WebSocket, path: RoutedPath, key: str = "") -> None:
        ran[key].append("class")
        await ws.send_json(path.context["asked"])


def fill(outer: App | Router) -> None:
    """Include one router and mount another, each with hooks at all places."""
    included = Router(process_request=[guard("inner")])
    mounted = Router(process_request=[guard("inner")])
    outer.include_router(included, "/included")
    outer.mount("/mounted", mounted)
    for inner in (included, mounted):
        inner.route("/function", process_request=guard("route"))(function)
        inner.route("/class", process_request=guard("route"))(Class)


def make_router() -> Router:
    """Return a router with hooks at all places."""
    router = Router(process_request=guard("outer"))
    fill(router)
    return router


async def show_ran(request: Request) -> JSONResponse:
    return JSONResponse(ran[request.query_params["key"]])


app = App(process_request=guard("outer"))
fill(app)
app.add_route("/ran", show_ran)
