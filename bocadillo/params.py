"""What a handler's signature asks for → a call plan, made once per handler.

In this order: by annotation (`WebSocket`, `RoutedPath`), a path parameter of that name,
a special name (`ws`, `websocket`, `session`, `path`, `headers`, and `close_code` where a
connection has ended), a query parameter if there is a default. Anything else is refused
when the route is made. A plan is then carried out once per connection, before it is
accepted.
"""

import enum
import inspect
import types
import typing
from collections import deque
from collections.abc import (
    Callable,
    Collection,
    Iterator,
    Mapping,
    MutableSequence,
    MutableSet,
    Sequence,
    Set,
)
from dataclasses import dataclass, is_dataclass
from functools import partial
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from typing_extensions import is_typeddict

from bocadillo.errors import ConfigurationError, ErrorDetail, InvalidMessage, InvalidParameters
from bocadillo.paths import RoutedPath, routed_path
from bocadillo.websockets import WebSocket

Connection = WebSocket[Any, Any]
Convert = Callable[[Any], Any]

# What is supplied by name alone, unless an annotation says another type.
SPECIAL: dict[str, Callable[[Connection], Any]] = {
    "ws": lambda ws: ws,
    "websocket": lambda ws: ws,
    "session": lambda ws: ws,
    "path": routed_path,
    "headers": lambda ws: ws.headers,
    "close_code": lambda ws: ws.close_code,
}
SPECIAL_TYPES: dict[str, tuple[Any, ...]] = {
    "path": (RoutedPath, str),
    "headers": (Headers, Mapping),
    "close_code": (int, int | None),
}
# Known only when the connection has ended.
LATE_NAMES = ("close_code",)

# A path parameter of such a name could only be a slip.
REFUSED_NAMES = ("ws", "websocket")


@dataclass(frozen=True, slots=True)
class Supplied:
    """A parameter that gets something of the connection's own."""

    name: str
    is_positional: bool
    supply: Callable[[Connection], Any]

    def value(self, ws: Connection, errors: list[ErrorDetail]) -> Any:
        """Return the value for one connection."""
        return self.supply(ws)


@dataclass(frozen=True, slots=True)
class Converted:
    """A parameter that gets what the client wrote in the URL, converted."""

    name: str
    is_positional: bool
    source: Literal["path", "query"]
    convert: Convert | None
    is_list: bool = False
    default: Any = inspect.Parameter.empty

    def value(self, ws: Connection, errors: list[ErrorDetail]) -> Any:
        """Return the value for one connection, or add to *errors* why there is none."""
        if self.source == "path" or self.name in ws.path_params:  # a prefix may add some
            given = ws.path_params[self.name]
        elif self.name not in ws.query_params:
            return self.default
        elif self.is_list:
            given = ws.query_params.getlist(self.name)
        else:
            given = ws.query_params[self.name]
        if self.convert is None:
            return given
        try:
            return self.convert(given)
        except InvalidMessage as exc:
            at = [self.source, self.name]
            errors.extend(error | {"loc": at + error["loc"]} for error in exc.errors)
            return None


class CallPlan:
    """How to call one handler: the source of every argument.

    Args:
        handler: The function.
        path_params: Names that the route's path has.
        owner: How error messages name the handler.
        skip_first: Whether the first parameter is `self`.
        has_ended: Whether the handler is called when the connection has ended, and may
            ask for `close_code`.

    Raises:
        ConfigurationError: a parameter that nothing can supply, or an annotation that
            cannot be resolved or converted to.
    """

    def __init__(
        self,
        handler: Callable[..., Any],
        path_params: Collection[str],
        *,
        owner: str | None = None,
        skip_first: bool = False,
        has_ended: bool = False,
    ) -> None:
        self.handler = handler
        owner = owner or f"view {name_of(handler)}()"
        for name in path_params:
            if name in REFUSED_NAMES:
                raise ConfigurationError(
                    f"{owner}: the path has a parameter {name!r}, which names the "
                    "connection; call it something else"
                )
        known = [name for name in SPECIAL if has_ended or name not in LATE_NAMES]
        planner = _Planner(owner, path_params, known)
        hints = resolve_hints(handler, owner)
        bound = handler.keywords if isinstance(handler, partial) else {}
        parameters = [*inspect.signature(handler).parameters.values()][1 if skip_first else 0 :]
        self.parameters = tuple(
            planner.plan(parameter, hints.get(parameter.name, parameter.empty))
            for parameter in parameters
            if parameter.name not in bound
        )

    def bind(self, ws: Connection) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and keyword arguments for one connection.

        Raises:
            InvalidParameters: what the client gave cannot be converted; all of it.
        """
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        errors: list[ErrorDetail] = []
        for parameter in self.parameters:
            value = parameter.value(ws, errors)
            if parameter.is_positional:
                args.append(value)
            else:
                kwargs[parameter.name] = value
        if errors:
            raise InvalidParameters(errors)
        return args, kwargs

    def call(self, ws: Connection, *first: Any) -> Any:
        """Call the handler for one connection, with *first* before all it asks for."""
        args, kwargs = self.bind(ws)
        return self.handler(*first, *args, **kwargs)


def name_of(handler: Any) -> str:
    """Return the name by which people know a handler."""
    while isinstance(handler, partial):
        handler = handler.func
    return getattr(handler, "__name__", type(handler).__name__)


def resolve_hints(handler: Callable[..., Any], owner: str) -> dict[str, Any]:
    """Return the annotations of a handler, those written as strings among them.

    Raises:
        ConfigurationError: an annotation names something that cannot be found.
    """
    while isinstance(handler, partial):
        handler = handler.func
    if not inspect.isroutine(handler):  # an object that can be called
        handler = type(handler).__call__
    try:
        hints = typing.get_type_hints(handler, include_extras=True)
    except NameError as exc:
        raise ConfigurationError(
            f"{owner}: an annotation cannot be resolved: {exc}; "
            "define or import the name at the top of the module"
        ) from exc
    except Exception as exc:  # an annotation is an expression, and may raise anything
        raise ConfigurationError(f"{owner}: an annotation is no type: {exc}") from exc
    hints.pop("return", None)
    return hints


def value_types_of(handler: Callable[..., Any], owner: str) -> tuple[Any, Any] | None:
    """Return what `ws: WebSocket[Recv, Send]` says, or None where nothing says it."""
    for hint in map(_bare, resolve_hints(handler, owner).values()):
        if _is_connection(hint) and get_args(hint):
            args = get_args(hint)
            return args[0], args[-1]  # `WebSocket[T]` is `WebSocket[T, T]`
    return None


@dataclass(frozen=True, slots=True)
class _Planner:
    owner: str
    path_params: Collection[str]
    special: Collection[str]

    def plan(self, parameter: inspect.Parameter, hint: Any) -> Supplied | Converted:
        """Return where the value of one parameter comes from."""
        name = parameter.name
        is_positional = parameter.kind is parameter.POSITIONAL_ONLY
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            self._refuse_stars(parameter)
        if _is_connection(hint):
            self._check_connection(hint, name)
            return Supplied(name, is_positional, SPECIAL["ws"])
        if hint is RoutedPath:
            return Supplied(name, is_positional, routed_path)
        if name in self.path_params:
            self._check_readable(hint, name, may_repeat=False)
            convert = str if hint is str else self._converter(hint, name)
            return Converted(name, is_positional, "path", convert)
        if name in self.special and _may_be_special(name, hint):
            return Supplied(name, is_positional, SPECIAL[name])
        if parameter.default is parameter.empty:
            self._refuse(name)
        self._check_readable(hint, name, may_repeat=True)
        convert = self._converter(hint, name)
        return Converted(name, is_positional, "query", convert, _is_list(hint), parameter.default)

    def _converter(self, hint: Any, name: str) -> Convert | None:
        if hint in (inspect.Parameter.empty, Any, str):
            return None
        from bocadillo.schemas import validator_for

        try:
            return validator_for(readable(hint), is_text=True)
        except ConfigurationError as exc:
            raise ConfigurationError(f"{self.owner}: parameter {name!r}: {exc}") from exc

    def _check_connection(self, hint: Any, name: str) -> None:
        cls = get_origin(_bare(hint)) or _bare(hint)
        if not issubclass(WebSocket, cls):
            raise ConfigurationError(
                f"{self.owner}: parameter {name!r} asks for {cls.__name__}, which a connection "
                "is not; annotate it with bocadillo.WebSocket"
            )

    def _check_readable(self, hint: Any, name: str, *, may_repeat: bool) -> None:
        """Refuse a type that no text of a URL could ever be."""
        for part in _parts(hint, may_repeat=may_repeat):
            cls = get_origin(part) or part
            if cls in (*_LISTS, dict, Mapping) or _has_fields(cls):
                raise ConfigurationError(
                    f"{self.owner}: parameter {name!r} cannot be {hint!r}: a path parameter is "
                    "one text, a query parameter one text or a list of them"
                )

    def _refuse_stars(self, parameter: inspect.Parameter) -> NoReturn:
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
        raise ConfigurationError(
            f"{self.owner}: parameter {stars}{parameter.name} cannot be supplied; name each "
            "parameter (in a decorator, functools.wraps keeps the names)"
        )

    def _refuse(self, name: str) -> NoReturn:
        path = ", ".join(sorted(self.path_params)) or "none"
        raise ConfigurationError(
            f"{self.owner}: nothing supplies parameter {name!r}; possible: an annotation "
            f"WebSocket or RoutedPath, a path parameter (here: {path}), one of the names "
            f"{', '.join(self.special)}, or a default, which makes it a query parameter"
        )


def _bare(hint: Any) -> Any:
    """Return a type without `Annotated` and without `| None`."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        others = [arg for arg in get_args(hint) if arg is not types.NoneType]
        return _bare(others[0]) if len(others) == 1 else hint
    return hint


def _is_connection(hint: Any) -> bool:
    cls = get_origin(_bare(hint)) or _bare(hint)
    return isinstance(cls, type) and issubclass(cls, HTTPConnection)


def _may_be_special(name: str, hint: Any) -> bool:
    if hint in (inspect.Parameter.empty, Any):
        return True
    allowed = SPECIAL_TYPES.get(name, ())
    return hint in allowed or get_origin(hint) in allowed


# A repeated query key gives any of these.
_LISTS = (
    *(list, set, frozenset, tuple, deque),
    *(Collection, Sequence, MutableSequence, Set, MutableSet),
)


def _is_list(hint: Any) -> bool:
    """Tell whether a query key may be repeated: `list[int]`, `set[str] | None`, …"""
    hint = _resolved(hint)
    origin = get_origin(hint)
    if origin is Annotated or origin in (Union, types.UnionType):
        return any(_is_list(arg) for arg in get_args(hint))
    return (origin or hint) in _LISTS


def _parts(hint: Any, *, may_repeat: bool) -> Iterator[Any]:
    """Yield the types of the single texts that a parameter is made of."""
    hint = _resolved(hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        yield from _parts(args[0], may_repeat=may_repeat)
    elif origin in (Union, types.UnionType):
        for arg in args:
            yield from _parts(arg, may_repeat=may_repeat)
    elif may_repeat and (origin or hint) in _LISTS:
        for arg in args:
            yield from _parts(arg, may_repeat=False)
    else:
        yield hint


def _resolved(hint: Any) -> Any:
    """Return what a `NewType` stands for."""
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    return hint


def _has_fields(cls: Any) -> bool:
    return isinstance(cls, type) and (
        is_typeddict(cls) or is_dataclass(cls) or hasattr(cls, "model_fields")
    )


def readable(hint: Any) -> Any:
    """Return a type as it can be read from a URL, where everything is text.

    Enum members and literals that are no `str` are found by how they print.
    """
    hint = _resolved(hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return Annotated[readable(args[0]), *hint.__metadata__]
    if origin in (Union, types.UnionType):
        return Union[tuple(readable(arg) for arg in args)]  # noqa: UP007
    if Collection in (hint, origin):  # pydantic does not know it
        return list[readable(args[0])] if args else list  # type: ignore[misc]
    if origin in _LISTS:
        return origin[tuple(readable(arg) for arg in args)]
    if origin is Literal:
        bools = {str(value).lower(): value for value in args if isinstance(value, bool)}
        return _named(hint, bools | {str(value): value for value in args})
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _named(hint, {str(member.value): member for member in hint})
    return hint


def _named(hint: Any, by_text: dict[str, Any]) -> Any:
    from pydantic import BeforeValidator

    def by_name(value: Any) -> Any:
        return by_text.get(value, value) if isinstance(value, str) else value

    return Annotated[hint, BeforeValidator(by_name)]
