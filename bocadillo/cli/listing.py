"""What routes an ASGI application has, those below mounts and in FastAPI's routers too."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.routing import WebSocketRoute

WEBSOCKET = "WebSocket"


@dataclass(frozen=True, slots=True)
class Listed:
    """One route, as people see it.

    Args:
        kind: "WebSocket"; HTTP methods, "GET, POST"; or "any", for an application that
            tells of no routes of its own.
        path: The whole path, with what it is mounted under.
        name: Its name for `url_path_for`, or "".
        endpoint: What handles it.
    """

    kind: str
    path: str
    name: str
    endpoint: Any


def routes_of(app: Any) -> list[Listed]:
    """Return all routes of *app*, in the order in which they are tried.

    An application that tells of none (its `routes`, or that of the application in its
    `app`, as middleware has it) gives an empty list.
    """
    return [*_listed(_own_routes(app), "")]


def applications_in(app: Any) -> Iterator[Any]:
    """Yield *app* and all that it passes requests on to.

    That is: what is in the `app` of middleware, below mounts, and the endpoints of routes.
    """
    waiting, seen = [app], set()
    while waiting:
        known = waiting.pop()
        if known is None or id(known) in seen:
            continue
        seen.add(id(known))
        yield known
        waiting.append(getattr(known, "app", None))
        routes = getattr(known, "routes", None)
        for route in _flat(routes) if isinstance(routes, Sequence) else ():
            waiting += [getattr(route, "endpoint", None), getattr(route, "app", None)]


def _listed(routes: Iterable[Any], prefix: str) -> Iterator[Listed]:
    for route in _flat(routes):
        path = f"{prefix}{getattr(route, 'path', None) or getattr(route, 'host', '')}"
        is_leaf = getattr(route, "endpoint", None) is not None
        below = [] if is_leaf else _own_routes(getattr(route, "app", None))
        if below:
            yield from _listed(below, path)
        else:
            endpoint = route.endpoint if is_leaf else getattr(route, "app", _original(route))
            yield Listed(_kind(route), path or "/", getattr(route, "name", None) or "", endpoint)


def _own_routes(app: Any) -> Sequence[Any]:
    while app is not None:
        routes = getattr(app, "routes", None)
        if isinstance(routes, Sequence):
            return routes
        app = getattr(app, "app", None)
    return ()


def _flat(routes: Iterable[Any]) -> Iterable[Any]:
    """Return the routes with those of FastAPI's included routers in place of the routers.

    Versions that keep included routers as they are offer a function to look into them.
    """
    contexts = getattr(sys.modules.get("fastapi.routing"), "iter_route_contexts", None)
    return routes if contexts is None else contexts(routes)


def _kind(route: Any) -> str:
    if isinstance(_original(route), WebSocketRoute):
        return WEBSOCKET
    return ", ".join(sorted(getattr(route, "methods", None) or ())) or "any"


def _original(route: Any) -> Any:
    """Return the route itself, where FastAPI gives one that stands for it."""
    return getattr(route, "original_route", route)
