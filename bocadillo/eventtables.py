"""All events of one view as one tagged union, validated in one pass from the payload.

What is refused is told in the words of the event protocol: places in the message, and for
a message that is no event which events there are.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Union

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from bocadillo.codecs import Payload, decode_json, encode_json, jsonable
from bocadillo.errors import ConfigurationError, ErrorDetail, InvalidMessage, summary
from bocadillo.eventmodels import MAX_REF, REF, TYPE, Model
from bocadillo.schemas import adapter_for, error_details, has_struct, msgspec_error


class InvalidEvent(InvalidMessage):
    """A message that is no event of its view; `ref` is what its answer is to carry."""

    def __init__(self, errors: Sequence[ErrorDetail], ref: str | int | None = None) -> None:
        super().__init__(summary(errors), errors=errors)
        self.ref = ref


class Table:
    """All events of one view: a decoder of payloads, and the words for what is none.

    Args:
        models: The model of each event.
        context: What pydantic's validators get as their context.
    """

    def __init__(self, models: Mapping[str, Model], context: Any = None) -> None:
        self._events = [*models]
        classes = [model.cls for model in models.values()]
        self._has_tag = False
        if not classes:
            self.decode: Callable[[Payload], Any] = self._refuse
        elif has_struct(classes[0]):
            self.decode = self._by_msgspec(classes)
        else:
            self._has_tag = len(classes) > 1  # then pydantic's places begin with it
            self.decode = self._by_pydantic(classes, context)

    def _by_pydantic(self, classes: list[Any], context: Any) -> Callable[[Payload], Any]:
        union: Any = classes[0]
        if self._has_tag:
            union = Annotated[Union[tuple(classes)], Field(discriminator=TYPE)]  # noqa: UP007
        validate = TypeAdapter(union).validator.validate_json
        if context is not None:
            validate = partial(validate, context=context)

        def decode(payload: Payload) -> Any:
            try:
                return validate(payload)
            except ValidationError as exc:
                raise self._explained(payload, exc) from None

        return decode

    def _by_msgspec(self, classes: list[Any]) -> Callable[[Payload], Any]:
        import msgspec

        read = msgspec.json.Decoder(Union[tuple(classes)]).decode  # noqa: UP007
        refusals = (msgspec.DecodeError, RecursionError, UnicodeError)

        def decode(payload: Payload) -> Any:
            try:
                return read(payload)
            except refusals as exc:
                raise self._explained(payload, exc) from None

        return decode

    def _refuse(self, payload: Payload) -> Any:
        raise self._explained(payload, None)

    def _explained(self, payload: Payload, exc: Exception | None) -> InvalidEvent:
        """Return what is wrong with a payload, in the words of the event protocol."""
        try:
            value = decode_json(payload)
        except InvalidMessage as failure:
            return InvalidEvent([{"loc": [], "msg": str(failure), "type": "json_invalid"}])
        if not isinstance(value, dict):
            text = f"a message must be a JSON object, got {_kind(value)}"
            return InvalidEvent([{"loc": [], "msg": text, "type": "object_type"}])
        ref = _ref_of(value)
        event = value.get(TYPE)
        if event not in self._events:
            return InvalidEvent([self._unknown(event, is_missing=TYPE not in value)], ref)
        details = [] if exc is None else errors_of(exc)
        if self._has_tag and isinstance(exc, ValidationError):
            details = [error | {"loc": error["loc"][1:]} for error in details]
        others = [error for error in details if error["loc"][:1] != [REF]]
        if ref is None and others != details:
            # Told once, and not for each member of the union that it is not.
            details = others
            text = "a ref must be a string or an integer of at most 64 bits"
            details.append({"loc": [REF], "msg": text, "type": "ref_type"})
        return InvalidEvent(details, ref)

    def _unknown(self, given: Any, *, is_missing: bool) -> ErrorDetail:
        known = ", ".join(self._events) or "none"
        if is_missing:
            kind, text = "missing", f"a message must have a 'type'; known events: {known}"
        elif isinstance(given, str):
            kind, text = "unknown_event", f"no such event; known events: {known}"
        else:
            kind = "string_type"
            text = f"the type of a message must be a string, got {_kind(given)}"
        context = {"given": given, "permitted": self._events}
        return {"loc": [TYPE], "msg": text, "type": kind, "ctx": context}


def _ref_of(message: dict[str, Any]) -> str | int | None:
    ref = message.get(REF)
    if isinstance(ref, str):
        return ref
    if isinstance(ref, int) and not isinstance(ref, bool) and -MAX_REF - 1 <= ref <= MAX_REF:
        return ref
    return None


_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def _kind(value: Any) -> str:
    return _KINDS[type(value)]


# Errors and answers


def is_validation_error(exc: BaseException) -> bool:
    """Tell whether an exception is pydantic's or msgspec's word for a value not of its type."""
    msgspec = sys.modules.get("msgspec")
    return isinstance(exc, ValidationError) or (
        msgspec is not None and isinstance(exc, msgspec.ValidationError)
    )


def errors_of(exc: BaseException) -> list[ErrorDetail]:
    """Return the errors of an exception of bocadillo's, pydantic's or msgspec's."""
    if isinstance(exc, ValidationError):
        return [_writable(error) for error in error_details(exc, has_context=True)]
    own: list[ErrorDetail] | None = getattr(exc, "errors", None)
    return [msgspec_error(exc)] if own is None else [_writable(error) for error in own]


def _writable(error: ErrorDetail) -> ErrorDetail:
    """Return an error as plain values, without its "ctx" if that cannot be written.

    A client may choose what is in it, such as lists nested 250 deep.
    """
    if "ctx" not in error:
        return error
    try:
        told: ErrorDetail = to_jsonable_python(error, fallback=str)
        encode_json({"errors": [told]})
    except (TypeError, ValueError):
        return {key: value for key, value in error.items() if key != "ctx"}
    return told


def response_validator(type_: Any, owner: str) -> Callable[[Any], Any]:
    """Return a function that validates and fills in what a handler returned.

    It raises the library's validation error.

    Raises:
        ConfigurationError: the type cannot be used.
    """
    if has_struct(type_):
        import msgspec

        def convert(value: Any) -> Any:
            return msgspec.convert(value, type_, from_attributes=True)

        return convert
    try:
        validate = adapter_for(type_).validate_python
    except ConfigurationError as exc:
        raise ConfigurationError(f"{owner}: response_model: {exc}") from exc
    return lambda value: validate(value, from_attributes=True)


def plain_object(value: Any, options: Mapping[str, Any]) -> Any:
    """Return a model, Struct or dataclass as plain values, by pydantic's *options*."""
    if isinstance(value, BaseModel):
        return value.__pydantic_serializer__.to_python(value, mode="json", **options)
    return jsonable(value)
