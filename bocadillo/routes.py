"""`WebSocketRoute`, and how a route keeps to its router wherever it is served.

Frameworks copy routes as (path, endpoint, name), and people hand them from one router
to another. So what a router has for its routes (hooks, times, origins) is given to each
of them when it is put into the router's list, and not looked up when it is served.
"""

import copy
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Self, SupportsIndex, overload

from starlette.convertors import CONVERTOR_TYPES
from starlette.routing import PARAM_REGEX, BaseRoute, Host, Match, Mount
from starlette.routing import WebSocketRoute as StarletteWebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from bocadillo.errors import ConfigurationError
from bocadillo.views import ROUTERS_KEY, Handler, RouterOptions, View, ViewOptions


class WebSocketRoute(StarletteWebSocketRoute):
    """A path and its view; a Starlette route that works in any Starlette or FastAPI app.

    `endpoint` is the view itself, an ASGI application, never the user's function: a
    framework that copies the route cannot lose a part of it.

    Args:
        path: Path with Starlette's converters: "/rooms/{room}", "/items/{id:int}".
        endpoint: An `async def` function, a class with `handle`, or a `View`.
        name: For `url_path_for`; the function's or class's name by default.
        router: What the route's router brings along; not beside a `View`.
        options: As `Router.websocket_route` takes them; not beside a `View`.

    Raises:
        ConfigurationError: the path is malformed, or the view cannot work.
    """

    def __init__(
        self,
        path: str,
        endpoint: Handler | View,
        *,
        name: str | None = None,
        router: RouterOptions | None = None,
        **options: Any,
    ) -> None:
        params = check_path(path)
        view_options = ViewOptions(**options)
        if not isinstance(endpoint, View):
            endpoint = View(endpoint, params, name=name, options=view_options, router=router)
        elif router is not None or view_options != ViewOptions():
            raise ConfigurationError(f"{endpoint!r} has options already; give the function itself")
        super().__init__(path, endpoint, name=name or endpoint.name)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether a path is this route's; a number with too many digits is not."""
        try:
            return super().matches(scope)
        except ValueError:  # a converter that takes the text for its own, and then cannot
            return Match.NONE, {}


class Routes(list[BaseRoute]):
    """The routes of a router: each is *taken* before it is in the list.

    That covers all of Starlette's ways to add one, which append to this list.
    """

    def __init__(self, take: Callable[[BaseRoute], BaseRoute]) -> None:
        super().__init__()
        self._take = take

    def append(self, route: BaseRoute) -> None:
        """Add a route at the end."""
        self.insert(len(self), route)

    def extend(self, routes: Iterable[BaseRoute]) -> None:
        """Add routes at the end."""
        for route in [*routes]:
            self.append(route)

    def insert(self, index: SupportsIndex, route: BaseRoute) -> None:
        """Add a route before the one of an index."""
        super().insert(index, self._take(route))

    @overload
    def __setitem__(self, index: SupportsIndex, route: BaseRoute) -> None: ...
    @overload
    def __setitem__(self, index: slice, route: Iterable[BaseRoute]) -> None: ...
    def __setitem__(self, index: Any, route: Any) -> None:
        """Replace one route, or those of a slice."""
        taken = [*map(self._take, route)] if isinstance(index, slice) else self._take(route)
        super().__setitem__(index, taken)

    def __iadd__(self, routes: Iterable[BaseRoute]) -> Self:  # type: ignore[override, misc]
        self.extend(routes)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return list, ([*self],)  # a copy belongs to nobody


class _Entering:
    """An application that brings a router along, wherever its mount is handed on."""

    def __init__(self, router: RouterOptions, app: ASGIApp) -> None:
        self.router = router
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        enter(self.router, scope)
        await self.app(scope, receive, send)


def enter(router: RouterOptions, scope: Scope) -> None:
    """Note in the scope of a connection that it passes through a router."""
    passed = scope.get(ROUTERS_KEY, ())
    if scope["type"] == "websocket" and router not in passed:
        scope[ROUTERS_KEY] = (*passed, router)


def within(router: RouterOptions, route: BaseRoute) -> BaseRoute:
    """Return a route that keeps to its router, whoever serves it."""
    view = _view_of(route)
    if isinstance(route, StarletteWebSocketRoute) and view is not None:
        if router not in view.routers:
            route = copy.copy(route)
            route.endpoint = route.app = view.within(router)
    elif isinstance(route, Mount | Host) and (router.hooks or router.supply is not None):
        options = getattr(_mounted_router(route.app), "options", None)
        if isinstance(options, RouterOptions):
            options.enter(router)
        route = copy.copy(route)
        route.app = _Entering(router, route.app)
    elif isinstance(route, StarletteWebSocketRoute) and router.hooks:
        raise ConfigurationError(
            f"{route!r} is not bocadillo's and would skip the hooks of the router; "
            "make it a bocadillo.WebSocketRoute, or put it into a router without hooks"
        )
    return route


def _mounted_router(app: Any) -> Any:
    """Return what has the routes of a mounted application."""
    while isinstance(app, _Entering):
        app = app.app
    return getattr(app, "router", app)


def below(prefix: str, route: BaseRoute) -> BaseRoute:
    """Return a route of an included router, its path below the prefix."""
    if isinstance(route, Mount):
        mount = Mount(join(prefix, route.path), app=route._base_app, name=route.name)
        mount.app = route.app
        return mount
    if not isinstance(route, StarletteWebSocketRoute):
        raise ConfigurationError(f"a router with {route!r} cannot be included; mount it")
    path, view = join(prefix, route.path), _view_of(route)
    if view is not None:
        return WebSocketRoute(path, view, name=route.name)
    foreign = StarletteWebSocketRoute(path, route.endpoint, name=route.name)
    foreign.app = route.app  # what its framework does around the endpoint
    return foreign


def found(routes: Iterable[BaseRoute], scope: Scope) -> Callable[..., Awaitable[None]] | None:
    """Return what serves a connection, by the first route that fits, as Starlette would.

    The scope then has what the route found; without a route the answer is None.
    """
    for route in routes:
        match, of_route = route.matches(scope)
        if match is Match.FULL:
            scope["route"] = route
            scope.update(of_route)
            view = _view_of(route)
            is_overridden = type(route).handle is not StarletteWebSocketRoute.handle
            return route.handle if view is None or is_overridden else view.serving
    return None


def _view_of(route: BaseRoute) -> View | None:
    """Return the view of a route that has nothing else around it."""
    if not isinstance(route, StarletteWebSocketRoute) or route.app is not route.endpoint:
        return None
    return route.app if isinstance(route.app, View) else None


def views_of(
    routes: Sequence[BaseRoute], outer: tuple[RouterOptions, ...] = ()
) -> Iterator[tuple[View, tuple[RouterOptions, ...]]]:
    """Yield all views, those below mounts too, each with the routers around its own."""
    for route in routes:
        view = _view_of(route)
        if view is not None:
            yield view, tuple(router for router in outer if router not in view.routers)
        elif isinstance(route, Mount | Host):
            entered, app = outer, route.app
            while isinstance(app, _Entering):
                entered, app = (*entered, app.router), app.app
            yield from views_of(route.routes, tuple(dict.fromkeys(entered)))


def websocket_paths(routes: Sequence[BaseRoute], prefix: str = "") -> list[str]:
    """Return the paths of all WebSocket routes, those below mounts among them."""
    paths: list[str] = []
    for route in routes:
        if isinstance(route, StarletteWebSocketRoute):
            paths.append(prefix + route.path)
        elif isinstance(route, Mount):
            paths += websocket_paths(route.routes, prefix + route.path)
    return paths


def join(prefix: str, path: str) -> str:
    """Return *prefix* and *path* with exactly one slash between them."""
    return prefix.rstrip("/") + "/" + path.lstrip("/") if prefix else path


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
