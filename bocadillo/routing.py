"""`WebSocketRoute` and `Router`: which path goes to which view."""

import difflib
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from starlette._utils import get_route_path
from starlette.convertors import CONVERTOR_TYPES
from starlette.routing import PARAM_REGEX, BaseRoute, Mount
from starlette.routing import Router as StarletteRouter
from starlette.routing import WebSocketRoute as StarletteWebSocketRoute
from starlette.types import Lifespan, Receive, Scope, Send

from bocadillo.connection import CaughtCloseCodes
from bocadillo.errors import ConfigurationError
from bocadillo.leaving import Times
from bocadillo.origins import AllowedOrigins, Origins
from bocadillo.views import View, ViewFunction, ViewOptions
from bocadillo.websockets import WebSocket

logger = logging.getLogger("bocadillo")

ViewT = TypeVar("ViewT", bound=ViewFunction)

# Paths in log lines are cut here: a client chooses how long they are.
MAX_LOGGED_PATH = 200


class WebSocketRoute(StarletteWebSocketRoute):
    """A path and its view; a Starlette route that works in any Starlette or FastAPI app.

    `endpoint` is the view itself, an ASGI application, never the user's function: a
    framework that copies the route cannot lose a part of it.

    Args:
        path: Path with Starlette's converters: "/rooms/{room}", "/items/{id:int}".
        endpoint: An `async def` function, or a `View`.
        name: For `url_path_for`; the function's name by default.

    Raises:
        ConfigurationError: the path is malformed, or the view cannot work.
    """

    def __init__(
        self,
        path: str,
        endpoint: ViewFunction | View,
        *,
        name: str | None = None,
        times: Times | None = None,
        origins: Origins | None = None,
        **options: Any,
    ) -> None:
        params = check_path(path)
        if not isinstance(endpoint, View):
            endpoint = View(
                endpoint,
                params,
                name=name,
                options=ViewOptions(**options),
                times=times,
                origins=origins,
            )
        super().__init__(path, endpoint, name=name or endpoint.name)


class Router(StarletteRouter):
    """A collection of routes.

    Args:
        routes: Routes to begin with, Starlette's among them.
        lifespan: Called around the life of the application.
        allowed_origins: Pages that may connect besides the application's own, such as
            "https://example.com"; "*" for all. None lets pages of other sites in only
            without cookies or credentials, and never to a loopback host.
        leave_grace_s: Seconds for a handler to come back to its connection after the
            client has left; then it is cancelled.
        shutdown_grace_s: Seconds for handlers to end when the server shuts down.
        send_timeout_s: Seconds for a peer to take one message.
        handshake_timeout_s: Seconds for a view to accept or refuse.
    """

    def __init__(
        self,
        routes: Sequence[BaseRoute] | None = None,
        *,
        lifespan: Lifespan[Any] | None = None,
        allowed_origins: AllowedOrigins = None,
        **times: float,
    ) -> None:
        super().__init__(routes, lifespan=lifespan)
        self.origins = Origins(allowed_origins)
        self.times = Times(**times)

    def websocket_route(
        self,
        path: str,
        *,
        name: str | None = None,
        auto_accept: bool = True,
        subprotocols: Sequence[str] | None = None,
        value_type: Any = None,
        receive_type: Any = None,
        send_type: Any = None,
        caught_close_codes: CaughtCloseCodes | None = None,
    ) -> Callable[[ViewT], ViewT]:
        """Register the decorated view, which is returned as it is.

        Args:
            path: Path with Starlette's converters: "/rooms/{room}", "/items/{id:int}".
            name: For `url_path_for`; the function's name by default.
            auto_accept: Whether to accept before the view runs.
            subprotocols: Names that the server speaks, the best first; the first that
                the client offered is chosen.
            value_type: What is received and sent: "text", "bytes", "json", "msgpack",
                "event", a Python type, or a codec. Overrides the next two.
            receive_type: What is received; "text" by default.
            send_type: What is sent; "text" by default.
            caught_close_codes: Close codes that end `async for` quietly; `(1000, 1001)`
                by default, `all` for every code.

        Raises:
            ExpectedAsync: the view is no `async def` function.
            ConfigurationError: the path, a parameter or an option cannot work.
        """

        def register(view: ViewT) -> ViewT:
            route = WebSocketRoute(
                path,
                view,
                name=name,
                times=self.times,
                origins=self.origins,
                auto_accept=auto_accept,
                subprotocols=subprotocols,
                value_type=value_type,
                receive_type=receive_type,
                send_type=send_type,
                caught_close_codes=caught_close_codes,
            )
            self.routes.append(route)
            return view

        return register

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what no route matches: HTTP 404, during the handshake."""
        if scope["type"] != "websocket":
            await super().not_found(scope, receive, send)
            return
        path = scope.get("root_path", "") + get_route_path(scope)
        logger.info("no WebSocket route for %s; %s", _shown(path), self._nearest(scope))
        ws: WebSocket[Any, Any] = WebSocket(scope, receive, send)
        await ws.reject(404, "not found\n")

    def _nearest(self, scope: Scope) -> str:
        paths = [*websocket_paths(self.routes)]
        if not paths:
            return "there are none"
        path = get_route_path(scope)[:MAX_LOGGED_PATH]
        near = difflib.get_close_matches(path, paths, n=1, cutoff=0)
        return f"the nearest is {(near or paths)[0]}"


def websocket_paths(routes: Sequence[BaseRoute], prefix: str = "") -> list[str]:
    """Return the paths of all WebSocket routes, those below mounts among them."""
    paths: list[str] = []
    for route in routes:
        if isinstance(route, StarletteWebSocketRoute):
            paths.append(prefix + route.path)
        elif isinstance(route, Mount):
            paths += websocket_paths(route.routes, prefix + route.path)
    return paths


def check_path(path: str) -> list[str]:
    """Return the names of the parameters in a path.

    Raises:
        ConfigurationError: the path is no path, or has an unknown converter in it.
    """
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigurationError(f"a path must start with '/', got {path!r}")
    names: list[str] = []
    for name, converter in PARAM_REGEX.findall(path):
        kind = converter.lstrip(":") or "str"
        if kind not in CONVERTOR_TYPES:
            known = ", ".join(sorted(CONVERTOR_TYPES))
            raise ConfigurationError(f"{path}: unknown converter {kind!r}; known: {known}")
        if name in names:
            raise ConfigurationError(f"{path}: parameter {name!r} stands twice")
        names.append(name)
    rest = PARAM_REGEX.sub("", path)
    if "{" in rest or "}" in rest:
        raise ConfigurationError(f"{path}: parameters are written {{name}} or {{name:converter}}")
    return names


def _shown(path: str) -> str:
    """Return a path for a log line: short, and without control characters."""
    return ascii(path[:MAX_LOGGED_PATH])
