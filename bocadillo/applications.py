"""`App`: a Starlette application with WebSocket routes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ExceptionHandler, Lifespan, Receive, Scope, Send

from bocadillo.channels import Broker, Channels, HistoryLimits
from bocadillo.errors import ConfigurationError
from bocadillo.origins import AllowedOrigins
from bocadillo.routing import HandlerT, NoMatch, Router
from bocadillo.views import Hook
from bocadillo.wire import CaughtCloseCodes

if TYPE_CHECKING:
    from dishka import AsyncContainer
    from dishka.provider import BaseProvider


class App(Starlette):
    """An application: everything Starlette's has, and WebSocket routes.

    Args:
        debug: Whether tracebacks are shown in answers to HTTP requests.
        routes: Routes to begin with.
        middleware: Middleware around every request and connection.
        exception_handlers: What answers which exception or status; views' exceptions
            are offered to them, too, with the `WebSocket` as first argument.
        lifespan: Called around the life of the application.
        process_request: Hooks of every route, run before those of routers and routes.
        no_match: What a path without a route gets: "deny", HTTP 404 during the
            handshake, or "close", an accepted connection that is closed with 4040.
        allowed_origins: Pages that may connect besides the application's own, such as
            "https://example.com"; "*" for all. None lets pages of other sites in only
            without cookies or credentials, and never to a loopback host.
        providers: dishka's providers of what handlers ask for by `Inject[…]`.
        controllers: Classes with `@controller`, or modules of them.
        broker: What carries publications: "memory://", within this process, "redis://…",
            or a `Broker`; None where no channels are used.
        history: How much of each channel is kept.
        leave_grace_s: Seconds for a handler to come back to its connection after the
            client has left; then it is cancelled.
        shutdown_grace_s: Seconds for handlers to end when the server shuts down.
        send_timeout_s: Seconds for a peer to take one message.
        handshake_timeout_s: Seconds for hooks and view to accept or refuse.
        disconnect_timeout: Seconds for `on_disconnect`.

    Raises:
        ConfigurationError: a time is no number of seconds, or the providers cannot work.
    """

    router: Router

    def __init__(
        self,
        debug: bool = False,
        routes: Sequence[BaseRoute] | None = None,
        middleware: Sequence[Middleware] | None = None,
        exception_handlers: Mapping[Any, ExceptionHandler] | None = None,
        lifespan: Lifespan[Self] | None = None,
        *,
        max_body_size: int | None = None,
        process_request: Hook | Sequence[Hook] | None = None,
        no_match: NoMatch = "deny",
        allowed_origins: AllowedOrigins = None,
        providers: "Sequence[BaseProvider]" = (),
        controllers: Sequence[type | ModuleType] = (),
        broker: str | Broker | None = "memory://",
        history: HistoryLimits | None = None,
        **times: float,
    ) -> None:
        super().__init__(
            debug=debug,
            middleware=middleware,
            exception_handlers=exception_handlers,
            max_body_size=max_body_size,
        )
        self.router = Router(
            routes,
            lifespan=lifespan,
            process_request=process_request,
            no_match=no_match,
            allowed_origins=allowed_origins,
            providers=providers,
            broker=broker,
            history=history,
            **times,
        )
        if providers:
            # Where dishka's package for Starlette looks, at each HTTP request.
            self.state.dishka_container = self._enter_container
        if not isinstance(controllers, Sequence):
            raise ConfigurationError(f"controllers takes a list, got {controllers!r}; write [it]")
        self.include_controllers(*controllers)

    @property
    def channels(self) -> Channels:
        """The channels of its routes, in the running event loop; see `Router.channels`."""
        return self.router.channels

    @property
    def container(self) -> "AsyncContainer":
        """dishka's container of scope APP; see `Router.container`."""
        return self.router.container

    def override(self, *providers: "BaseProvider") -> AbstractContextManager[None]:
        """Have providers take the place of others, in a `with` block; see `Router.override`."""
        return self.router.override(*providers)

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
        """Register the decorated view; see `Router.websocket_route`."""
        return self.router.websocket_route(
            path,
            name=name,
            auto_accept=auto_accept,
            subprotocols=subprotocols,
            value_type=value_type,
            receive_type=receive_type,
            send_type=send_type,
            caught_close_codes=caught_close_codes,
            process_request=process_request,
        )

    def include_controllers(self, *controllers: type | ModuleType) -> None:
        """Add the routes of controllers; see `Router.include_controllers`."""
        self.router.include_controllers(*controllers)

    def include_router(self, router: Router, prefix: str = "") -> None:
        """Take over the routes of *router* below *prefix*; see `Router.include_router`."""
        self.router.include_router(router, prefix)

    def _enter_container(self, *args: Any, **kwargs: Any) -> "AsyncContainer":
        """Enter a scope below APP of the container that counts now, overridden or not."""
        return self.container(*args, **kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, connection or lifespan."""
        if scope["type"] == "websocket" and not self.user_middleware:
            # Nothing of Starlette's stack but the exception handlers concerns it.
            scope["app"] = self
            self._bring_handlers(scope)
            router: Any = self.router
            is_plain = type(router).__call__ is Router.__call__
            await (router.serving if is_plain else router)(scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    def _bring_handlers(self, scope: Scope) -> None:
        """Note the handlers of exceptions in a scope, in place of those of an app around it."""
        scope.pop("starlette.exception_handlers", None)
        by_class: dict[Any, Any] = {}
        by_status: dict[int, Any] = {}
        for key, handler in self.exception_handlers.items():
            if key not in (500, Exception):  # Starlette keeps these for HTTP
                (by_status if isinstance(key, int) else by_class)[key] = handler
        if by_class or by_status:
            scope["starlette.exception_handlers"] = by_class, by_status
