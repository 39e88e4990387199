"""What the annotations of a handler say: resolved, and as far as parameters care."""

import enum
import inspect
import types
import typing
from collections import deque
from collections.abc import (
    Callable,
    Collection,
    Iterator,
    MutableSequence,
    MutableSet,
    Sequence,
    Set,
)
from dataclasses import is_dataclass
from functools import partial
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from starlette.requests import HTTPConnection
from typing_extensions import is_typeddict

from bocadillo.errors import ConfigurationError


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
    for hint in map(bare, resolve_hints(handler, owner).values()):
        if is_connection(hint) and get_args(hint):
            args = get_args(hint)
            return args[0], args[-1]  # `WebSocket[T]` is `WebSocket[T, T]`
    return None


def bare(hint: Any) -> Any:
    """Return a type without `Annotated` and without `| None`."""
    if get_origin(hint) is Annotated:
        return bare(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        others = [arg for arg in get_args(hint) if arg is not types.NoneType]
        return bare(others[0]) if len(others) == 1 else hint
    return hint


def is_connection(hint: Any) -> bool:
    """Tell whether a type is a connection's, ours or another framework's."""
    cls = get_origin(bare(hint)) or bare(hint)
    return isinstance(cls, type) and issubclass(cls, HTTPConnection)


def has_type_variable(hint: Any) -> bool:
    """Tell whether a type has a variable in it, for which nothing stands."""
    return isinstance(hint, typing.TypeVar) or any(map(has_type_variable, get_args(hint)))


# A repeated query key gives any of these.
LISTS = (
    *(list, set, frozenset, tuple, deque),
    *(Collection, Sequence, MutableSequence, Set, MutableSet),
)


def is_list(hint: Any) -> bool:
    """Tell whether a query key may be repeated: `list[int]`, `set[str] | None`, …"""
    hint = _resolved(hint)
    origin = get_origin(hint)
    if origin is Annotated or origin in (Union, types.UnionType):
        return any(is_list(arg) for arg in get_args(hint))
    return (origin or hint) in LISTS


def parts(hint: Any, *, may_repeat: bool) -> Iterator[Any]:
    """Yield the types of the single texts that a parameter is made of."""
    hint = _resolved(hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        yield from parts(args[0], may_repeat=may_repeat)
    elif origin in (Union, types.UnionType):
        for arg in args:
            yield from parts(arg, may_repeat=may_repeat)
    elif may_repeat and (origin or hint) in LISTS:
        for arg in args:
            yield from parts(arg, may_repeat=False)
    else:
        yield hint


def _resolved(hint: Any) -> Any:
    """Return what a `NewType` stands for."""
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    return hint


def has_fields(cls: Any) -> bool:
    """Tell whether a type is one of objects with fields: a model, dataclass or `TypedDict`."""
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
    if origin in LISTS:
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
