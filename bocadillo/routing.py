"""`Router`: which path goes to which view."""

import contextlib
import logging
import math
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from starlette._utils import get_route_path
from starlette.routing import BaseRoute
from starlette.routing import Router as StarletteRouter
from starlette.routing import WebSocketRoute as StarletteWebSocketRoute
from starlette.types import Lifespan, Receive, Scope, Send
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request as HandshakeRequest
from websockets.http11 import Response as HandshakeResponse

from bocadillo import behind_websockets
from bocadillo.channels import Broker, Channels, ChannelsByLoop, HistoryLimits
from bocadillo.controllers import controller_routes
from bocadillo.errors import ConfigurationError, WebSocketDisconnect
from bocadillo.injection import Supply
from bocadillo.leaving import Times
from bocadillo.lifespans import in_short, life
from bocadillo.origins import AllowedOrigins, Origins
from bocadillo.routes import (
    Routes,
    WebSocketRoute,
    below,
    check_path,
    enter,
    found,
    websocket_paths,
    within,
)
from bocadillo.serving import Server, serve
from bocadillo.views import Handler, Hook, RouterOptions, plan_hooks
from bocadillo.websockets import WebSocket
from bocadillo.wire import CaughtCloseCodes

if TYPE_CHECKING:
    from dishka import AsyncContainer
    from dishka.provider import BaseProvider

logger = logging.getLogger("bocadillo")

HandlerT = TypeVar("HandlerT", bound=Handler)
NoMatch: TypeAlias = Literal["deny", "close"]

# What an accepted connection is closed with where no route matches.
NO_MATCH_CODE = 4040

# Paths in log lines are cut here: a client chooses how long they are.
MAX_LOGGED_PATH = 200


class Router(StarletteRouter):
    """A collection of routes, to be included, mounted, handed on or served alone.

    Args:
        routes: Routes to begin with, Starlette's among them.
        lifespan: Called around the life of the application.
        process_request: Hooks of every route, run before the routes' own; see
            `websocket_route`. They apply to all of bocadillo's routes, mounted ones
            too, and stay with them where `routes` are handed to another framework.
        no_match: What a path without a route gets: "deny", HTTP 404 during the
            handshake, or "close", an accepted connection that is closed with 4040.
        allowed_origins: Pages that may connect besides the application's own, such as
            "https://example.com"; "*" for all. None lets pages of other sites in only
            without cookies or credentials, and never to a loopback host.
        providers: dishka's providers of what handlers ask for by `Inject[…]`; None for
            those of the router around it.
        broker: What carries publications: "memory://", "redis://…", or a `Broker`; None
            for the channels of the router around it.
        history: How much of each channel is kept.
        leave_grace_s: Seconds for a handler to come back to its connection after the
            client has left; then it is cancelled.
        shutdown_grace_s: Seconds for handlers to end when the server shuts down.
        send_timeout_s: Seconds for a peer to take one message.
        handshake_timeout_s: Seconds for hooks and view to accept or refuse.
        disconnect_timeout: Seconds for `on_disconnect`.

    A router that is included in another goes by that one's `allowed_origins`, times and
    providers where it has none of its own. What the providers made for the life of the
    application is closed when the lifespan ends, and what no provider supplies is refused
    when it begins, if not before.

    Raises:
        ConfigurationError: an option cannot work, or there are hooks and a WebSocket
            route that is not bocadillo's, which could not run them.
    """

    def __init__(
        self,
        routes: Sequence[BaseRoute] | None = None,
        *,
        lifespan: Lifespan[Any] | None = None,
        process_request: Hook | Sequence[Hook] | None = None,
        no_match: NoMatch = "deny",
        allowed_origins: AllowedOrigins = None,
        providers: "Sequence[BaseProvider] | None" = None,
        broker: str | Broker | None = None,
        history: HistoryLimits | None = None,
        **times: float,
    ) -> None:
        self._routes = Routes(self._take)
        super().__init__(lifespan=lifespan)
        if no_match not in ("deny", "close"):
            raise ConfigurationError(f"no_match must be 'deny' or 'close', got {no_match!r}")
        self.no_match = no_match
        channels = None if broker is None else ChannelsByLoop(broker, history)
        self.options = RouterOptions(
            hooks=plan_hooks(process_request),
            times=Times(**times) if times else None,
            origins=None if allowed_origins is None else Origins(allowed_origins),
            supply=(
                None
                if providers is None
                else Supply(providers, None if channels is None else channels.here)
            ),
            channels=channels,
            own_channels=ChannelsByLoop(history=history),
        )
        if self.options.supply is not None:
            for hook in self.options.hooks:
                self.options.supply.check(hook.asks)
        self._users_lifespan = self.lifespan_context
        self.lifespan_context = self._live
        self._inclusions: list[tuple[Router, str]] = []  # where, and under which prefix
        self.routes.extend(routes or ())

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes in their order; a route put in comes under the router's hooks."""
        return self._routes

    @routes.setter
    def routes(self, routes: Iterable[BaseRoute]) -> None:
        if routes is not self._routes:  # which `routes += …` assigns again
            taken = [*routes]
            self._routes.clear()
            self._routes.extend(taken)

    @property
    def times(self) -> Times:
        """How long the lifecycle of this router's views waits for what."""
        return self.options.times or Times()

    @times.setter
    def times(self, times: Times) -> None:
        self.options.times = times

    @property
    def channels(self) -> Channels:
        """The channels of its routes, in the running event loop.

        Raises:
            RuntimeError: no event loop is running.
        """
        options = self.options
        while options.channels is None and options.around is not None:
            options = options.around
        return (options.channels or options.own_channels).here()

    @property
    def container(self) -> "AsyncContainer":
        """dishka's container of scope APP, that of the running event loop if one runs.

        Raises:
            ConfigurationError: the router has no providers.
        """
        return self._supply("has no container").container

    def override(self, *providers: "BaseProvider") -> AbstractContextManager[None]:
        """Have providers take the place of others, in a `with` block; for tests.

        Connections opened meanwhile see them, those of included routers without
        providers of their own among them.

        Raises:
            ConfigurationError: the router has no providers, or the new ones cannot work.
        """
        return self._supply("has nothing to override").override(*providers)

    def _supply(self, what_lacks: str) -> Supply:
        if self.options.supply is None:
            raise ConfigurationError(
                f"a router without providers {what_lacks}; write Router(providers=[…]), or "
                "go to the application that includes it"
            )
        return self.options.supply

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the lifespan; where it cannot begin for the broker, one line says so."""
        await super().lifespan(scope, receive, in_short(send))

    def _live(self, app: Any) -> AbstractAsyncContextManager[Any]:
        return life(self.routes, self.options, self._users_lifespan(app))

    def websocket_route(
        self,
        path: str,
        *,
        name: str | None = None,
        auto_accept: bool | None = None,
        subprotocols: Sequence[str] | None = None,
        value_type: Any = None,
        receive_type: Any = None,
        send_type: Any = None,
        caught_close_codes: CaughtCloseCodes | None = None,
        process_request: Hook | Sequence[Hook] | None = None,
    ) -> Callable[[HandlerT], HandlerT]:
        """Register the decorated function or class, which is returned as it is.

        Args:
            path: Path with Starlette's converters: "/rooms/{room}", "/items/{id:int}".
            name: For `url_path_for`; the function's or class's name by default.
            auto_accept: Whether to accept before the view runs; True unless a class
                says otherwise.
            subprotocols: Names that the server speaks, the best first; the first that
                the client offered is chosen.
            value_type: What is received and sent: "text", "bytes", "json", "msgpack",
                "event", a Python type, or a codec. Overrides the next two.
            receive_type: What is received; "text" by default.
            send_type: What is sent; "text" by default.
            caught_close_codes: Close codes that end `async for` quietly; `(1000, 1001)`
                by default, `all` for every code.
            process_request: Hooks asked before the connection is accepted. Each returns
                None to go on, or `(status, headers, body)` to refuse.

        Raises:
            ExpectedAsync: the view is no `async def` function.
            ConfigurationError: the path, a parameter or an option cannot work.
        """

        def register(view: HandlerT) -> HandlerT:
            route = WebSocketRoute(
                path,
                view,
                name=name,
                router=self.options,
                auto_accept=auto_accept,
                subprotocols=subprotocols,
                value_type=value_type,
                receive_type=receive_type,
                send_type=send_type,
                caught_close_codes=caught_close_codes,
                process_request=process_request,
            )
            self.routes.append(route)
            return view

        return register

    route = websocket_route  # a router has no HTTP side of its own

    def include_router(self, router: "Router", prefix: str = "") -> None:
        """Take over the routes of *router* below *prefix*, those added to it later, too.

        Prefix and paths are joined with exactly one slash. Names, options and hooks are
        kept; the hooks of this router run before those of *router*.

        Raises:
            ConfigurationError: the prefix is no path, or the router includes itself.
        """
        if not isinstance(router, Router):
            raise ConfigurationError(f"include_router takes a Router, got {router!r}")
        if router is self or router._includes(self):
            raise ConfigurationError("a router cannot include itself")
        if prefix:
            check_path(prefix)
        routes = [below(prefix, route) for route in router.routes]
        router._inclusions.append((self, prefix))
        router.options.enter(self.options)
        for route in routes:
            self.routes.append(route)

    def include_controllers(self, *controllers: type | ModuleType) -> None:
        """Add the routes of controllers: classes with `@controller`, or modules of them.

        Raises:
            ConfigurationError: there is no controller in what is given, or one cannot work.
            ExpectedAsync: a mapped method is no `async def`.
        """
        self.routes.extend(controller_routes(controllers, self.options))

    def _includes(self, router: "Router") -> bool:
        """Tell whether this router's routes reach what *router* is included in."""
        return any(outer is self or self._includes(outer) for outer, _ in router._inclusions)

    def _take(self, route: BaseRoute) -> BaseRoute:
        """Return a route as this router's, and add it wherever this router is included."""
        if isinstance(route, StarletteWebSocketRoute):
            self._warn_of_twin(route)
        own = within(self.options, route)
        for outer, prefix in self._inclusions:
            outer.routes.append(below(prefix, own))
        return own

    def _warn_of_twin(self, route: StarletteWebSocketRoute) -> None:
        for other in self.routes:
            if isinstance(other, StarletteWebSocketRoute) and other.path == route.path:
                warnings.warn(
                    f"{route.path} is registered twice: {other.name} is served, and "
                    f"{route.name} never",
                    stacklevel=_stack_level(),
                )
                return

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, request or lifespan."""
        await self.serving(scope, receive, send)

    def serving(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return what serves a scope: for a connection, its view's own coroutine if possible.

        Every coroutine between takes a quarter of a kilobyte of each connection that waits.
        """
        serve: Callable[..., Awaitable[None]] | None = None
        if scope["type"] == "websocket" and self._is_plain:
            enter(self.options, scope)
            scope.setdefault("router", self)
            serve = found(self.routes, scope)
        return (serve or self.middleware_stack)(scope, receive, send)

    @property
    def _is_plain(self) -> bool:
        """Whether nothing of others has to see a connection before its view does."""
        return type(self).app is Router.app and self.middleware_stack == self.app

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what has come through the router's middleware."""
        enter(self.options, scope)
        await super().app(scope, receive, send)

    def serve(self, host: str = "127.0.0.1", port: int = 8000, **options: Any) -> Server:
        """Return a server of this router alone, to be awaited or entered by `async with`.

        Args:
            host: Name or address to listen on.
            port: TCP port; 0 for a free one.
            options: As uvicorn takes them, and `limits`, a `bocadillo.server.Limits`.

        Raises:
            OSError: when it is started: the port is in use.
        """
        options.setdefault("timeout_graceful_shutdown", math.ceil(self.times.shutdown_grace_s) + 5)
        return serve(self, host, port, **options)

    async def process_request(
        self, connection: ServerConnection, request: HandshakeRequest
    ) -> HandshakeResponse | None:
        """Match, convert and ask the hooks, for `websockets.serve(process_request=…)`.

        The library's `open_timeout` cuts a handshake off without an answer; make it
        longer than `handshake_timeout_s`, and late clients get HTTP 503. The library
        runs no lifespan.
        """
        return await behind_websockets.process_request(self, connection, request)

    async def handle(self, connection: ServerConnection) -> None:
        """Serve one connection of `websockets.serve(router.handle, …)`.

        Without `process_request=router.process_request` beside it, refusals come after
        the connection was accepted: 4040 where no route matches, 1008 by a hook, 1011
        for what would be HTTP 5xx.

        `ws.accept(subprotocol=…)` settles the subprotocol, unless `websockets.serve`
        has a `select_subprotocol`; where it has `subprotocols`, those decide for views
        that name none. `ws.accept(headers=…)` raises `ValueError`.
        """
        await behind_websockets.handle(self, connection)

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what no route matches: HTTP 404, during the handshake."""
        if scope["type"] != "websocket":
            await super().not_found(scope, receive, send)
            return
        path = scope.get("root_path", "") + get_route_path(scope)
        if logger.isEnabledFor(logging.INFO):
            logger.info("no WebSocket route for %s; %s", _shown(path), self._nearest(scope))
        ws: WebSocket[Any, Any] = WebSocket(scope, receive, send)
        if self.no_match == "deny" and behind_websockets.KEY not in scope:
            await ws.reject(404, "not found\n")
            return
        with contextlib.suppress(WebSocketDisconnect):
            await ws.accept()
        await ws.ensure_closed(NO_MATCH_CODE, "not found")

    def _nearest(self, scope: Scope) -> str:
        paths = [*websocket_paths(self.routes)]
        if not paths:
            return "there are none"
        path = get_route_path(scope)[:MAX_LOGGED_PATH]
        # Anybody may ask for any path, so this must stay cheap with many routes.
        near = max(paths, key=lambda known: _shared(path, known))
        return f"the nearest is {near}"


def _stack_level() -> int:
    """Return how far up the stack the caller of bocadillo is, for a warning of the caller's."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith("bocadillo."):
        frame = frame.f_back
        level += 1
    return level


def _shared(path: str, known: str) -> int:
    """Return how many characters two paths begin with in common."""
    pairs = enumerate(zip(path, known, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(path), len(known)))


def _shown(path: str) -> str:
    """Return a path for a log line: short, and without control characters."""
    return ascii(path[:MAX_LOGGED_PATH])
