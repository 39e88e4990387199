"""`@controller` and `@websocket_mapping`: a class whose methods are views → routes."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields
from types import ModuleType
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

from bocadillo.errors import ConfigurationError
from bocadillo.methods import HOOKS
from bocadillo.routes import WebSocketRoute
from bocadillo.shared import Controller, SharedMethod
from bocadillo.views import RouterOptions, ViewOptions
from bocadillo.websockets import WebSocket

ClassT = TypeVar("ClassT", bound=type)
MethodT = TypeVar("MethodT", bound=Callable[..., Any])

# Where the decorators note a class's base path, and a method's paths with their options.
BASE = "__bocadillo_base__"
MAPPINGS = "__bocadillo_mappings__"

# What `websocket_mapping` takes besides a path.
OPTIONS = ("name", *(field.name for field in fields(ViewOptions)))


@runtime_checkable
class WebSocketHandler(Protocol):
    """The shape of a class view that is called for each message."""

    async def on_connect(self, session: WebSocket[Any, Any], /) -> None:
        """Called when a connection begins."""

    async def on_message(self, session: WebSocket[Any, Any], message: Any, /) -> None:
        """Called for each message."""

    async def on_disconnect(self, session: WebSocket[Any, Any], /) -> None:
        """Called when the connection has ended."""


@overload
def controller(base: ClassT) -> ClassT: ...
@overload
def controller(base: str = "") -> Callable[[ClassT], ClassT]: ...
def controller(base: Any = "") -> Any:
    """Make the decorated class a controller, and return it as it is.

    Its methods with `@websocket_mapping` are views. All connections share one instance,
    built at the first of them; its constructor may ask for objects that live with the
    application, by `Inject[…]`.

    Args:
        base: What the paths of its methods begin with.

    Raises:
        ConfigurationError: it is no class.
    """
    if isinstance(base, str):
        return lambda cls: _note_base(cls, base)
    return _note_base(base, "")


@overload
def websocket_mapping(path: MethodT) -> MethodT: ...
@overload
def websocket_mapping(path: str = "", **options: Any) -> Callable[[MethodT], MethodT]: ...
def websocket_mapping(path: Any = "", **options: Any) -> Any:
    """Make the decorated method the view of a path, and return it as it is.

    Args:
        path: Path with Starlette's converters, below the controller's base; "" for the base
            itself.
        options: As `Router.websocket_route` takes them.

    Raises:
        ConfigurationError: it is neither a path nor a method, or an option is unknown.
    """
    if isinstance(path, str):
        return lambda method: _note_mapping(method, path, options)
    return _note_mapping(path, "", options)


def controller_routes(
    controllers: tuple[type | ModuleType, ...], router: RouterOptions
) -> list[WebSocketRoute]:
    """Return the routes of controllers, in definition order.

    Args:
        controllers: Decorated classes, or modules and packages that have some.
        router: What the router that takes them brings along.

    Raises:
        ConfigurationError: a class is not decorated or has no mapped methods, a module has
            no controllers, or a method or constructor cannot work.
        ExpectedAsync: a mapped method is no `async def`.
    """
    return [
        WebSocketRoute(_path(base, path), method, router=router, **options)
        for given in controllers
        for cls in _classes(given)
        for base, path, method, options in _mapped(cls)
    ]


def _note_base(cls: Any, base: str) -> Any:
    if not isinstance(cls, type):
        raise ConfigurationError(f"@controller takes a class, got {cls!r}")
    setattr(cls, BASE, base)
    return cls


def _note_mapping(method: Any, path: str, options: dict[str, Any]) -> Any:
    if not (inspect.isroutine(method) or isinstance(method, staticmethod | classmethod)):
        raise ConfigurationError(f"@websocket_mapping takes a path or a method, got {method!r}")
    unknown = next((option for option in options if option not in OPTIONS), None)
    if unknown is not None:
        known = ", ".join(OPTIONS)
        raise ConfigurationError(f"@websocket_mapping has no option {unknown!r}; known: {known}")
    # Decorators apply from below; the order is that in which they are written.
    setattr(method, MAPPINGS, ((path, options), *getattr(method, MAPPINGS, ())))
    return method


def _classes(given: type | ModuleType) -> list[type]:
    if isinstance(given, type):
        if BASE not in vars(given):
            raise ConfigurationError(
                f"{given.__name__} is no controller; put @controller above the class"
            )
        return [given]
    if not isinstance(given, ModuleType):
        raise ConfigurationError(f"a controller is a class or in a module, got {given!r}")
    found = [value for value in vars(given).values() if _is_controller_of(given, value)]
    if not found:
        raise ConfigurationError(f"module {given.__name__} has no classes with @controller")
    return [*dict.fromkeys(found)]  # a class may have a second name


def _is_controller_of(module: ModuleType, value: Any) -> bool:
    """Tell whether a value is a controller that a module or package defines, not imports."""
    if not isinstance(value, type) or BASE not in vars(value):
        return False
    return f"{value.__module__}.".startswith(f"{module.__name__}.")


def _mapped(cls: type) -> Iterator[tuple[str, str, SharedMethod, dict[str, Any]]]:
    """Yield base, path, method and options of each mapping, those of base classes first.

    A method that overrides a mapped one has its paths, unless it has its own.
    """
    known: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            mappings = _mappings_of(value)
            if mappings is not None:
                known[name] = mappings
            elif value is None:
                known.pop(name, None)
    if not known:
        raise ConfigurationError(f"controller {cls.__name__} has no @websocket_mapping methods")
    hook = next((name for name in HOOKS if name in known), None)
    if hook is not None:
        raise ConfigurationError(
            f"controller {cls.__name__}.{hook}() is called for the connections of every path; "
            "a method with @websocket_mapping needs another name"
        )
    shared = Controller(cls)
    for name, mappings in known.items():
        for path, options in mappings:
            yield getattr(cls, BASE), path, SharedMethod(shared, name), options


def _mappings_of(value: Any) -> Any:
    """Return what is noted on an attribute of a class, or on the method that it wraps."""
    if isinstance(value, staticmethod | classmethod):
        return getattr(value, MAPPINGS, None) or getattr(value.__func__, MAPPINGS, None)
    return getattr(value, MAPPINGS, None)


def _path(base: str, path: str) -> str:
    """Return base and path joined by exactly one slash, with one at the beginning."""
    base = base.strip("/")
    joined = f"{base}/{path.lstrip('/')}" if base and path else base or path.lstrip("/")
    return f"/{joined}"
