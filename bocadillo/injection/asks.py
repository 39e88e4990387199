"""Asks: the parameters of handlers that are injected, and how long what they get must live."""

import enum
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import Parameter
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from bocadillo.errors import ConfigurationError

if TYPE_CHECKING:
    from dishka.entities.key import DependencyKey


class Lifetime(enum.IntEnum):
    """How long an object lives, the longest first; the names are those of dishka's scopes."""

    APP = 0
    SESSION = 1
    REQUEST = 2


@dataclass(frozen=True, slots=True)
class Ask:
    """One injected parameter.

    Args:
        owner: Who asks, as error messages name it.
        parameter: Name of the parameter.
        key: What it asks for, as dishka knows it.
        lifetime: The shortest life that what it gets may have.
    """

    owner: str
    parameter: str
    key: "DependencyKey"
    lifetime: Lifetime

    def __str__(self) -> str:
        return f"{self.owner}: parameter {self.parameter!r} asks for {self.wanted}"

    @property
    def wanted(self) -> str:
        """What it asks for, as error messages name it."""
        hint, component = self.key.type_hint, self.key.component
        is_plain = isinstance(hint, type) and not get_args(hint)
        name = hint.__qualname__ if is_plain else str(hint)
        return f"{name} of component {component!r}" if component else name


def ask_of(hint: Any, owner: str, parameter: str, lifetime: Lifetime) -> Ask | None:
    """Return the ask of a parameter annotated with `Inject[T]`, or None for any other.

    Raises:
        ConfigurationError: `Inject[T]` is a part of the annotation.
    """
    # Before dishka is imported nobody can have written one.
    if "dishka" not in sys.modules:
        return None
    key = _key_in(hint, parameter)
    if key is not None:
        return Ask(owner, parameter, key, lifetime)
    for part in _parts(hint):
        inner = _key_in(part, parameter)
        if inner is not None:
            wanted = Ask(owner, parameter, inner, lifetime).wanted
            raise ConfigurationError(
                f"{owner}: parameter {parameter!r} is injected as a whole, or not at all; write "
                f"Inject[{wanted}], and have a provider of what else it may be"
            )
    return None


def _key_in(hint: Any, parameter: str) -> "DependencyKey | None":
    if get_origin(hint) is not Annotated:
        return None
    from dishka.integrations.base import default_parse_dependency

    return default_parse_dependency(Parameter(parameter, Parameter.KEYWORD_ONLY), hint)


def _parts(hint: Any) -> Iterator[Any]:
    for part in get_args(hint):
        yield part
        yield from _parts(part)
