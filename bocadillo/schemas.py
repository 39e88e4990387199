"""Python types as schemas: validating what comes in, dumping what goes out.

Only this room, `eventmodels` and `eventtables` know pydantic and msgspec models. A
*schema* is made once, when a route is made; `load` and `dump` are what its codec calls
per message.
"""

import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, Protocol, TypeAlias, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from bocadillo.errors import ConfigurationError, ErrorDetail, InvalidMessage, summary

# Whether what is sent must be of the type, is made one of the type, or is not looked at.
OnSend: TypeAlias = Literal["check", "convert", "trust"]

# More than these are counted, but not listed.
MAX_ERRORS = 1000


class Schema(Protocol):
    """JSON payload ⇄ validated value of one Python type."""

    def load(self, payload: str | bytes) -> Any:
        """Return the value in *payload*; raise `InvalidMessage` with all errors found."""

    def dump(self, value: Any) -> str:
        """Return *value* as JSON text; raise `TypeError` if it cannot be encoded."""


def schema_for(type_: Any, **options: Any) -> Schema:
    """Return the schema of a type: msgspec's where a `msgspec.Struct` is in it, else pydantic's.

    Args:
        type_: The type.
        options: `on_send`, `options` and `context`, as `Json` takes them; a Struct
            knows only the first.

    Raises:
        ConfigurationError: neither library can make a schema of the type.
    """
    try:
        if has_struct(type_):
            return _MsgspecSchema(type_, options.get("on_send", "check"))
        return _PydanticSchema(type_, **options)
    except ConfigurationError:
        raise
    except Exception as exc:
        raise _unusable(type_, exc) from exc


def adapter_for(type_: Any) -> TypeAdapter[Any]:
    """Return pydantic's adapter of a type.

    Raises:
        ConfigurationError: pydantic has no schema for the type, or one that would only
            validate when the value is used.
    """
    if inspect.isroutine(type_):  # pydantic would validate the arguments of a call
        raise ConfigurationError(f"{type_!r} is a function, not a type of data")
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(type_)
        adapter.rebuild(raise_errors=True)
    # A type's own code runs here, and pydantic has many exceptions of its own.
    except Exception as exc:
        raise _unusable(type_, exc) from exc
    if _is_lazy(adapter.core_schema):
        raise ConfigurationError(
            f"{type_!r} is validated only when it is iterated over; write list[…] instead"
        )
    return adapter


def _unusable(type_: Any, exc: Exception) -> ConfigurationError:
    first = str(exc).partition("\n")[0]
    return ConfigurationError(f"{type_!r} cannot be used as a type of data: {first}")


def _is_lazy(schema: Any) -> bool:
    """Tell whether a pydantic core schema has a generator in it."""
    if isinstance(schema, Mapping):
        return schema.get("type") == "generator" or any(map(_is_lazy, schema.values()))
    return isinstance(schema, list | tuple) and any(map(_is_lazy, schema))


def validator_for(type_: Any, *, is_text: bool = False) -> Callable[[Any], Any]:
    """Return a function that validates an already decoded value as a type.

    It raises `InvalidMessage` with all errors found.

    Args:
        type_: The type.
        is_text: Whether values are texts from a URL, where "nan" and "inf" are no numbers.
    """
    adapter = adapter_for(type_)
    if is_text:
        # "nan" is a slip in a URL, though pydantic takes it for a float.
        with contextlib.suppress(PydanticUserError):  # a type with a configuration of its own
            adapter = TypeAdapter(type_, config=ConfigDict(allow_inf_nan=False))
    validate = adapter.validate_python

    def validator(value: Any) -> Any:
        try:
            return validate(value)
        except ValidationError as exc:
            raise _invalid(exc) from None
        except Exception as exc:  # a validator of the type's own
            raise InvalidMessage(f"{type(exc).__name__}: {exc}") from exc

    return validator


def dumper_for(type_: Any) -> Callable[[Any], Any]:
    """Return a function that validates a value as a type and returns it as plain values.

    It raises `TypeError` for a value that is not of the type.
    """
    adapter = adapter_for(type_)

    def dumper(value: Any) -> Any:
        try:
            return adapter.dump_python(adapter.validate_python(value), by_alias=True)
        except ValidationError as exc:
            raise TypeError(f"cannot send {type(value).__name__}: {_invalid(exc)}") from None
        except (PydanticSerializationError, ValueError, RecursionError) as exc:
            raise TypeError(f"cannot send {type(value).__name__}: {exc}") from None

    return dumper


def error_details(exc: ValidationError, *, has_context: bool = False) -> list[ErrorDetail]:
    """Return all errors of a pydantic exception, as `{"loc", "msg", "type"}`.

    Args:
        exc: The exception; of more than `MAX_ERRORS` errors only the number is told.
        has_context: Whether to add "ctx", plain JSON values, where an error has one.
    """
    count = exc.error_count()
    if count > MAX_ERRORS:  # a list of them would take seconds and gigabytes
        text = f"{count} errors, more than can be told"
        return [{"loc": [], "msg": text, "type": "too_many_errors"}]
    details = []
    for error in exc.errors(include_url=False, include_context=has_context, include_input=False):
        detail: ErrorDetail = {"loc": [*error["loc"]], "msg": error["msg"], "type": error["type"]}
        if "ctx" in error:
            detail["ctx"] = to_jsonable_python(error["ctx"], fallback=str)
        details.append(detail)
    return details


def _invalid(exc: ValidationError) -> InvalidMessage:
    errors = error_details(exc)
    return InvalidMessage(summary(errors), errors=errors)


def has_struct(type_: Any) -> bool:
    """Tell whether a `msgspec.Struct` is in a type."""
    msgspec = sys.modules.get("msgspec")  # a Struct exists only where it was imported
    if msgspec is None:
        return False
    cls = get_origin(type_) or type_
    if isinstance(cls, type) and issubclass(cls, msgspec.Struct):
        return True
    return any(has_struct(arg) for arg in get_args(type_))


class _PydanticSchema:
    def __init__(
        self,
        type_: Any,
        *,
        on_send: OnSend = "check",
        options: Mapping[str, Any] | None = None,
        context: Any = None,
    ) -> None:
        adapter = adapter_for(type_)
        self._load = adapter.validate_json
        self._context = context
        written: dict[str, Any] = {"by_alias": True, "warnings": False, **(options or {})}
        write: Callable[..., bytes] = adapter.serializer.to_json
        self._write = partial(write, **written)
        # pydantic leaves instances of dataclasses unseen, but for its warnings.
        self._write_checked = partial(write, **(written | {"warnings": "error"}))
        # A model was validated when it was made.
        is_model = isinstance(type_, type) and issubclass(type_, BaseModel)
        self._trusted = object if on_send == "trust" else type_ if is_model else _NoType
        # However strict it is, pydantic takes a dict for a model.
        self._wanted = BaseModel if is_model and on_send == "check" else object
        is_strict = True if on_send == "check" else None
        self._validate = partial(adapter.validate_python, strict=is_strict, context=context)

    def load(self, payload: str | bytes) -> Any:
        try:
            return self._load(payload, context=self._context)
        except ValidationError as exc:
            raise _invalid(exc) from None

    def dump(self, value: Any) -> str:
        try:
            if isinstance(value, self._trusted):
                return self._write(value).decode()
            if not isinstance(value, self._wanted):
                raise TypeError(
                    f"cannot send {type(value).__name__}: not a model; on_send='convert' makes one"
                )
            return self._write_checked(self._validate(value)).decode()
        except ValidationError as exc:
            raise TypeError(f"cannot send {type(value).__name__}: {_invalid(exc)}") from None
        except (PydanticSerializationError, ValueError, RecursionError) as exc:
            raise TypeError(f"cannot send {type(value).__name__}: {exc}") from None


class _NoType:
    """No value is an instance of this."""


class _MsgspecSchema:
    def __init__(self, type_: Any, on_send: OnSend = "check") -> None:
        import msgspec

        self._decode = msgspec.json.Decoder(type_).decode
        self._encode = msgspec.json.Encoder().encode
        self._convert = partial(msgspec.convert, type=type_)
        struct = type_ if isinstance(type_, type) else _NoType
        self._trusted = object if on_send == "trust" else struct
        self._may_convert = on_send == "convert" or struct is _NoType
        self._invalid = msgspec.DecodeError  # ValidationError is one of its kind

    def load(self, payload: str | bytes) -> Any:
        try:
            return self._decode(payload)
        except (self._invalid, RecursionError, UnicodeError) as exc:
            raise InvalidMessage(str(exc), errors=[msgspec_error(exc)]) from None

    def dump(self, value: Any) -> str:
        try:
            if not isinstance(value, self._trusted):
                if not self._may_convert:
                    raise TypeError(f"not a {self._trusted.__name__}")
                value = self._convert(value)
            return self._encode(value).decode()
        except (self._invalid, TypeError, RecursionError, UnicodeError) as exc:
            raise TypeError(f"cannot send {type(value).__name__}: {exc}") from None


def msgspec_error(exc: BaseException) -> ErrorDetail:
    """Return the error that msgspec tells: always one, with its place in its text."""
    # msgspec names the place in its text: "Expected `int`, got `str` - at `$.a[0].b`".
    text, _, where = str(exc).rpartition(" - at `$")
    if not text:
        text, where = where, ""
    path = where.rstrip("`").replace("[", ".").replace("]", "").split(".")
    loc = [int(part) if part.isdigit() else part for part in path if part]
    field = _FIELD.search(text)
    return {
        "loc": [*loc, field[2]] if field else loc,
        "msg": text,
        "type": _FIELD_ERRORS[field[1]] if field else type(exc).__name__,
    }


# How msgspec names a field that is not there, or should not be.
_FIELD = re.compile(r"^Object (missing required|contains unknown) field `(.*)`$")
_FIELD_ERRORS = {"missing required": "missing", "contains unknown": "extra_forbidden"}
