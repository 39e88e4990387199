"""What a handler's signature asks for → a call plan, made once per handler.

In this order: by annotation (`Inject[T]`, `WebSocket`, `RoutedPath`), a path parameter of
that name, a special name (`ws`, `websocket`, `session`, `path`, `headers`, and
`close_code` where a connection has ended), a query parameter if there is a default.
Anything else is refused when the route is made. A plan is then carried out once per
connection, before it is accepted.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NoReturn, get_origin

from starlette.datastructures import Headers

from bocadillo.errors import ConfigurationError, ErrorDetail, InvalidMessage, InvalidParameters
from bocadillo.hints import (
    LISTS,
    bare,
    has_fields,
    is_connection,
    is_list,
    name_of,
    parts,
    readable,
    resolve_hints,
)
from bocadillo.injection import Ask, Lifetime, Session, ask_of
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


@dataclass(frozen=True, slots=True)
class Injected:
    """A parameter that gets what a provider supplies."""

    name: str
    is_positional: bool
    ask: Ask

    def value(self, ws: Connection, errors: list[ErrorDetail]) -> Any:
        """Return nothing yet: `Call.inject` asks for the value."""
        return None


Parameter = Supplied | Converted | Injected


class CallPlan:
    """How to call one handler: the source of every argument.

    Args:
        handler: The function.
        path_params: Names that the route's path has.
        owner: How error messages name the handler.
        skip_first: Whether the first parameter is `self`.
        has_ended: Whether the handler is called when the connection has ended, and may
            ask for `close_code`.

    Attributes:
        asks: The parameters that are injected.

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
        self.asks = tuple(p.ask for p in self.parameters if isinstance(p, Injected))
        # What is only known when the call is made, and where it belongs.
        self.late = tuple(
            (place, p)
            for place, p in enumerate(self.parameters)
            if isinstance(p, Supplied) and p.supply is SPECIAL["close_code"]
        )

    def bind(self, ws: Connection) -> "Call":
        """Return the call for one connection, all but what is injected bound.

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
        return Call(self, ws, args, kwargs)


class Call:
    """One call of a handler for one connection, to be made later.

    Args:
        plan: Which handler, and what it asks for.
        ws: The connection.
        args: What it gets by position.
        kwargs: What it gets by name.
    """

    __slots__ = ("_plan", "_ws", "args", "kwargs")

    def __init__(
        self, plan: CallPlan, ws: Connection, args: list[Any], kwargs: dict[str, Any]
    ) -> None:
        self._plan = plan
        self._ws = ws
        self.args = args
        self.kwargs = kwargs

    async def inject(self, session: Session) -> None:
        """Ask for what is injected; raises what a provider raises."""
        for place, parameter in enumerate(self._plan.parameters):
            if isinstance(parameter, Injected):
                self._set(place, parameter, await session.get(parameter.ask))

    async def injected(self, session: Session, *first: Any) -> Any:
        """Ask for what is injected, and make the call."""
        await self.inject(session)
        answer = self(*first)
        return await answer if inspect.isawaitable(answer) else answer

    def __call__(self, *first: Any) -> Any:
        """Make the call, with *first* before all that the handler asks for."""
        for place, parameter in self._plan.late:
            self._set(place, parameter, parameter.supply(self._ws))
        return self._plan.handler(*first, *self.args, **self.kwargs)

    def _set(self, place: int, parameter: Parameter, value: Any) -> None:
        if parameter.is_positional:  # those come before all others
            self.args[place] = value
        else:
            self.kwargs[parameter.name] = value


@dataclass(frozen=True, slots=True)
class _Planner:
    owner: str
    path_params: Collection[str]
    special: Collection[str]

    def plan(self, parameter: inspect.Parameter, hint: Any) -> Parameter:
        """Return where the value of one parameter comes from."""
        name = parameter.name
        is_positional = parameter.kind is parameter.POSITIONAL_ONLY
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            self._refuse_stars(parameter)
        # The connection itself is at hand, whoever supplies the rest.
        ask = ask_of(hint, self.owner, name, Lifetime.SESSION)
        if ask is not None and not is_connection(hint):
            return Injected(name, is_positional, ask)
        if is_connection(hint):
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
        return Converted(name, is_positional, "query", convert, is_list(hint), parameter.default)

    def _converter(self, hint: Any, name: str) -> Convert | None:
        if hint in (inspect.Parameter.empty, Any, str):
            return None
        from bocadillo.schemas import validator_for

        try:
            return validator_for(readable(hint), is_text=True)
        except ConfigurationError as exc:
            raise ConfigurationError(f"{self.owner}: parameter {name!r}: {exc}") from exc

    def _check_connection(self, hint: Any, name: str) -> None:
        cls = get_origin(bare(hint)) or bare(hint)
        if not issubclass(WebSocket, cls):
            raise ConfigurationError(
                f"{self.owner}: parameter {name!r} asks for {cls.__name__}, which a connection "
                "is not; annotate it with bocadillo.WebSocket"
            )

    def _check_readable(self, hint: Any, name: str, *, may_repeat: bool) -> None:
        """Refuse a type that no text of a URL could ever be."""
        for part in parts(hint, may_repeat=may_repeat):
            cls = get_origin(part) or part
            if cls in (*LISTS, dict, Mapping) or has_fields(cls):
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
            f"Inject[…], WebSocket or RoutedPath, a path parameter (here: {path}), one of "
            f"the names {', '.join(self.special)}, or a default, which makes it a query parameter"
        )


def _may_be_special(name: str, hint: Any) -> bool:
    if hint in (inspect.Parameter.empty, Any):
        return True
    allowed = SPECIAL_TYPES.get(name, ())
    return hint in allowed or get_origin(hint) in allowed
