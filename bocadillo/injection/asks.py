"""Asks: the parameters of handlers that are injected, and how long what they get must live."""

import enum
import sys
from dataclasses import dataclass
from inspect import Parameter
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

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
    """Return the ask of a parameter annotated with `Inject[T]`, or None for any other."""
    # Before dishka is imported nobody can have written one.
    if get_origin(hint) is not Annotated or "dishka" not in sys.modules:
        return None
    from dishka.integrations.base import default_parse_dependency

    key = default_parse_dependency(Parameter(parameter, Parameter.KEYWORD_ONLY), hint)
    return None if key is None else Ask(owner, parameter, key, lifetime)
