"""`RoutedPath`: the request target as the client sent it, with what routing made of it."""

from typing import Any, Self
from urllib.parse import quote

from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute
from starlette.types import Scope


class RoutedPath(str):
    """The request target of one connection: path and query string, undecoded.

    A `str` in every respect; slicing gives plain `str`.

    Attributes:
        params: Path parameters, converted; nothing of the query string is among them.
        context: A dict of this connection's own, the same in hooks and view.
        route: The route that matched, or None where a framework does not tell.
    """

    __slots__ = ("context", "params", "route")

    params: dict[str, Any]
    context: dict[str, Any]
    route: BaseRoute | None

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """Return the path of an ASGI scope that was routed."""
        path = cls(_target(scope))
        path.params = dict(scope.get("path_params", {}))
        path.context = {}
        path.route = scope.get("route")
        return path


def routed_path(connection: HTTPConnection) -> RoutedPath:
    """Return the path of a connection, each time the same one."""
    path: RoutedPath | None = connection.__dict__.get("_routed_path")
    if path is None:
        path = connection.__dict__["_routed_path"] = RoutedPath.of(connection.scope)
    return path


def _target(scope: Scope) -> str:
    raw: bytes | None = scope.get("raw_path")
    path = quote(scope["path"]) if raw is None else raw.decode("latin-1")
    query: bytes = scope.get("query_string", b"")
    return f"{path}?{query.decode('latin-1')}" if query else path
