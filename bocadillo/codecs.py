"""Codecs: payload on the wire ⇄ value in Python.

A codec is two methods, `decode(payload)` and `encode(value)`, where a payload is `str`
(a text frame) or `bytes` (a binary frame). The codec of a route is chosen once, when
the route is made: `codec_for` turns a name, a Python type or a codec object into one.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, Final, Literal, Protocol, runtime_checkable

import orjson

from bocadillo.errors import ConfigurationError, InvalidJson, InvalidMessage

Payload = str | bytes

# Lists and objects in one another that orjson writes.
MAX_DEPTH = 254

# RFC 6455 §7.4.1: 1003 is "a type of data it cannot accept".
WRONG_FRAME = 1003


@runtime_checkable
class Codec(Protocol):
    """What turns payloads into values and back.

    `decode` may raise any exception for a payload that it cannot use; the connection
    turns it into an `InvalidMessage`.
    """

    def decode(self, payload: Payload) -> Any:
        """Return the value in *payload*: `str` of a text frame, `bytes` of a binary one."""

    def encode(self, value: Any) -> Payload:
        """Return *value* as `str`, for a text frame, or as `bytes`, for a binary one."""


def decode_json(payload: Payload) -> Any:
    """Return the JSON value in *payload*; malformed JSON is an `InvalidJson`."""
    try:
        value = orjson.loads(payload)
    except json.JSONDecodeError as exc:
        raise InvalidJson(exc) from None
    # orjson reads four times as deep as it writes: what came in could not go out again.
    if len(payload) > 2 * MAX_DEPTH and _may_be_deep(payload):
        try:
            orjson.dumps(value)
        except TypeError:
            raise InvalidMessage(f"JSON is nested more than {MAX_DEPTH} deep") from None
    return value


def _may_be_deep(payload: Payload) -> bool:
    if isinstance(payload, str):
        return payload.count("[") + payload.count("{") > MAX_DEPTH
    return payload.count(b"[") + payload.count(b"{") > MAX_DEPTH


def encode_json(value: Any) -> str:
    """Return *value* as compact JSON text; what cannot be encoded is a `TypeError`."""
    return orjson.dumps(value, default=jsonable, option=orjson.OPT_NON_STR_KEYS).decode()


def jsonable(value: Any) -> Any:
    """Return *value* as something orjson can write: models, Structs, Decimals, sets, …

    Raises:
        TypeError: nothing knows how to write it.
    """
    if hasattr(value, "__struct_fields__"):
        import msgspec

        return msgspec.to_builtins(value, enc_hook=jsonable)
    if isinstance(value, PurePath):
        return str(value)
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    def refuse_or_write(unknown: Any) -> Any:
        if unknown is value:
            raise TypeError(f"{type(value).__name__} cannot be written as JSON")
        return jsonable(unknown)

    try:
        return to_jsonable_python(value, by_alias=True, fallback=refuse_or_write)
    except (PydanticSerializationError, ValueError) as exc:
        raise TypeError(str(exc)) from None


class Text:
    """Text frames as `str`."""

    value_type = "text"

    def decode(self, payload: Payload) -> str:
        """Return *payload*; a binary frame is an `InvalidMessage`."""
        if isinstance(payload, str):
            return payload
        raise _wrong_frame("text", payload)

    def encode(self, value: Any) -> str:
        """Return *value*; anything but `str` is a `TypeError`."""
        if isinstance(value, str):
            return value
        raise TypeError(f"a text frame takes str, got {type(value).__name__}")


class Bytes:
    """Binary frames as `bytes`."""

    value_type = "bytes"

    def decode(self, payload: Payload) -> bytes:
        """Return *payload*; a text frame is an `InvalidMessage`."""
        if isinstance(payload, str):
            raise _wrong_frame("binary", payload)
        return payload

    def encode(self, value: Any) -> bytes:
        """Return *value* as `bytes`; `bytearray` and `memoryview` are copied."""
        if isinstance(value, bytes):
            return value
        if isinstance(value, bytearray | memoryview):
            return bytes(value)
        raise TypeError(f"a binary frame takes bytes, got {type(value).__name__}")


class Json:
    """JSON as any value, or as validated values of a type; read from either frame.

    Args:
        type_: What the values are validated against: a model, dataclass, `TypedDict`,
            union, `list[int]`, … Left out: any JSON value, by orjson, which reads
            integers beyond 64 bits as `float` and writes NaN and infinity as `null`.
        frame: "text" or "binary", the kind of frame that is sent.
        on_send: "check" refuses what is not of the type, "convert" validates it as if it
            were received, so that a dict becomes a model, "trust" writes it as it is.
        options: Options of pydantic's `dump_json`; `by_alias` is on unless they say
            otherwise.
        context: What pydantic's validators get as their context.

    `decode` raises `InvalidJson` for malformed JSON, and for a type `InvalidMessage`
    with all errors. `encode` raises `TypeError`; it takes models, dataclasses, dates,
    UUIDs, enums, Decimals and what else pydantic can write.
    """

    def __init__(
        self,
        type_: Any = Any,
        *,
        frame: str = "text",
        on_send: Literal["check", "convert", "trust"] = "check",
        options: Mapping[str, Any] | None = None,
        context: Any = None,
    ) -> None:
        if frame not in ("text", "binary"):
            raise ConfigurationError(f"frame must be 'text' or 'binary', got {frame!r}")
        if on_send not in ("check", "convert", "trust"):
            raise ConfigurationError(
                f"on_send must be 'check', 'convert' or 'trust', got {on_send!r}"
            )
        self.value_type = "json" if type_ is Any else type_
        self.decode: Callable[[Payload], Any] = decode_json
        encode: Callable[[Any], str] = encode_json
        if type_ is not Any:
            from bocadillo.schemas import schema_for

            schema = schema_for(type_, on_send=on_send, options=options, context=context)
            self.decode, encode = schema.load, schema.dump
        self.encode: Callable[[Any], Payload] = encode
        if frame == "binary":
            self.encode = lambda value: encode(value).encode()


class MessagePack:
    """MessagePack in binary frames, by ormsgpack (extra `msgpack`).

    Args:
        type_: What the values are validated against, by pydantic; left out: any value.
    """

    def __init__(self, type_: Any = Any) -> None:
        try:
            import ormsgpack
        except ImportError:
            raise ConfigurationError(
                "MessagePack needs ormsgpack: pip install 'bocadillo[msgpack]'"
            ) from None
        self.value_type = "msgpack" if type_ is Any else self
        self._unpack = ormsgpack.unpackb
        self._pack = ormsgpack.packb
        self._options = ormsgpack.OPT_NON_STR_KEYS
        self._validate: Callable[[Any], Any] | None = None
        self._dump: Callable[[Any], Any] | None = None
        if type_ is not Any:
            from bocadillo.schemas import dumper_for, validator_for

            self._validate, self._dump = validator_for(type_), dumper_for(type_)

    def decode(self, payload: Payload) -> Any:
        """Return the value in a binary frame; anything else is an `InvalidMessage`."""
        if isinstance(payload, str):
            raise _wrong_frame("binary", payload)
        try:
            value = self._unpack(payload, option=self._options)
        except ValueError as exc:
            raise InvalidMessage(f"not MessagePack: {exc}") from None
        return value if self._validate is None else self._validate(value)

    def encode(self, value: Any) -> bytes:
        """Return *value* packed; what cannot be packed is a `TypeError`."""
        if self._dump is not None:
            value = self._dump(value)
        packed: bytes = self._pack(value, default=jsonable, option=self._options)
        return packed


class Event:
    """Raw ASGI events, for those who want to see everything."""

    value_type = "event"

    def decode(self, payload: Payload) -> Any:
        """Never called: an event is handed over before any payload is looked at."""
        raise NotImplementedError

    def encode(self, value: Any) -> Payload:
        """Never called: an event is sent as it is."""
        raise NotImplementedError


EVENT: Final = Event()
TEXT: Final = Text()
BYTES: Final = Bytes()
JSON: Final = Json()

_NAMED: dict[str, Callable[[], Codec]] = {
    "text": lambda: TEXT,
    "bytes": lambda: BYTES,
    "json": lambda: JSON,
    "msgpack": MessagePack,
    "event": lambda: EVENT,
}
_TYPED: dict[Any, Codec] = {str: TEXT, bytes: BYTES, Any: JSON}


def codec_for(value_type: Any) -> Codec:
    """Return the codec of a name, a Python type or a codec object.

    Raises:
        ConfigurationError: the name is unknown or the type cannot be used; the
            message lists what is possible.
    """
    if isinstance(value_type, str):
        if value_type in _NAMED:
            return _NAMED[value_type]()
        raise ConfigurationError(f"unknown value type {value_type!r}; {_possible()}")
    if isinstance(value_type, Codec):
        return _judging(value_type)
    try:
        if value_type in _TYPED:
            return _TYPED[value_type]
    except TypeError:  # not hashable, so not one of them
        pass
    try:
        return Json(value_type)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{exc}; {_possible()}") from exc


def _possible() -> str:
    names = ", ".join(repr(name) for name in _NAMED)
    return (
        f"possible: {names}, a Python type (model, dataclass, TypedDict, union, list[int], …), "
        "or an object with decode(payload) and encode(value)"
    )


class Judged:
    """A user's codec, whose exceptions in `decode` are the verdict on the payload."""

    def __init__(self, codec: Codec) -> None:
        self.value_type = codec
        self._decode = codec.decode
        self.encode = codec.encode

    def decode(self, payload: Payload) -> Any:
        """Return the value, or raise `InvalidMessage` from whatever was raised."""
        try:
            return self._decode(payload)
        except InvalidMessage:
            raise
        except Exception as exc:
            raise InvalidMessage(f"{type(exc).__name__}: {exc}") from exc


def _judging(codec: Codec) -> Codec:
    if isinstance(codec, type):
        raise ConfigurationError(f"{codec!r} is a class of codecs; give an instance; {_possible()}")
    if inspect.iscoroutinefunction(codec.decode) or inspect.iscoroutinefunction(codec.encode):
        raise ConfigurationError(f"{codec!r} is no codec: decode and encode must not be async")
    known = (Text, Bytes, Json, MessagePack, Event, Judged)
    # What says of itself that it raises nothing but InvalidMessage needs no judge.
    is_known = isinstance(codec, known) or getattr(codec, "raises_invalid_message", False)
    return codec if is_known else Judged(codec)


def _wrong_frame(wanted: str, payload: Payload) -> InvalidMessage:
    got = "text" if isinstance(payload, str) else "binary"
    text = f"expected a {wanted} frame, got a {got} frame"
    error = {"loc": [], "msg": text, "type": "wrong_frame"}
    return InvalidMessage(text, errors=[error], code=WRONG_FRAME)
