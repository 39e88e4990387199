"""The messages of events as models: one for each event.

A message is a JSON object `{"type": <event>, "ref": <string or integer>?, …}`. Its model is
made of the fields that a handler asks for, or of a model that the user wrote, by pydantic,
or by msgspec where Structs are in it.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    StrictInt,
    StrictStr,
    create_model,
)
from pydantic.fields import FieldInfo

from bocadillo.errors import ConfigurationError
from bocadillo.schemas import adapter_for, has_struct

TYPE = "type"
REF = "ref"

# What every server and client can write and read: a signed integer of 64 bits.
MAX_REF = 2**63 - 1


@dataclass(frozen=True, slots=True)
class MessageField:
    """One field of an event's message.

    Args:
        name: Its key.
        hint: Its type.
        default: What it is where the message lacks it; `Parameter.empty` for none.
    """

    name: str
    hint: Any
    default: Any = Parameter.empty


@dataclass(frozen=True, slots=True)
class Shape:
    """What the message of one event has in it, before it is made a model.

    Args:
        owner: Whose it is, as error messages name it.
        event: The event.
        fields: The fields besides `type` and `ref`.
        whole: The model that the whole message is, instead of fields; or None.
    """

    owner: str
    event: str
    fields: tuple[MessageField, ...] = ()
    whole: type | None = None

    @property
    def has_structs(self) -> bool:
        """Whether msgspec has to validate it."""
        return any(has_struct(hint) for hint in self._hints)

    @property
    def has_pydantic(self) -> bool:
        """Whether pydantic has to validate it."""
        defaults = (field.default for field in self.fields)
        return any(_is_pydantics(hint) for hint in self._hints) or any(
            isinstance(default, FieldInfo) for default in defaults
        )

    @property
    def _hints(self) -> list[Any]:
        return [*(field.hint for field in self.fields), *([self.whole] if self.whole else [])]


@dataclass(frozen=True, slots=True)
class Model:
    """The model of one event's messages.

    Args:
        cls: The class: a pydantic model or a Struct, with attributes `type` and `ref`.
        attributes: The attribute that holds a field, by the field's name.
    """

    cls: Any
    attributes: Mapping[str, str]


def model_for(shape: Shape, *, by_msgspec: bool) -> Model:
    """Return the model of an event's messages, made by msgspec or by pydantic.

    Raises:
        ConfigurationError: a field's type, or the model, cannot be used.
    """
    make = _struct if by_msgspec else _pydantic_model
    try:
        return make(shape)
    except ConfigurationError:
        raise
    except Exception as exc:  # both libraries raise many kinds for what they cannot use
        first = str(exc).partition("\n")[0]
        raise ConfigurationError(
            f"{shape.owner}: no model can be made of its messages: {first}"
        ) from exc


def is_whole(hint: Any) -> bool:
    """Tell whether a type may be the model of a whole message."""
    return isinstance(hint, type) and (issubclass(hint, BaseModel) or has_struct(hint))


# pydantic


def _pydantic_model(shape: Shape) -> Model:
    ref = Annotated[StrictInt, Field(ge=-MAX_REF - 1, le=MAX_REF)] | StrictStr | None
    # With aliases, or a user's model could give them others.
    definitions: dict[str, Any] = {
        TYPE: (Literal[shape.event], Field(alias=TYPE)),
        REF: (ref, Field(None, alias=REF)),
    }
    if shape.whole is not None:
        return Model(_of_users_model(shape, shape.whole, definitions), {})
    attributes = {}
    for field in shape.fields:
        if field.name == TYPE:
            attributes[TYPE] = TYPE
            continue
        _check_hint(shape, field)
        attribute, hint = field.name, field.hint
        if (
            attribute.startswith("_")
            or hasattr(BaseModel, attribute)
            or attribute == "model_config"
        ):
            # pydantic keeps such names to itself.
            attribute = f"field_{attribute.strip('_')}"
            while attribute in definitions or any(f.name == attribute for f in shape.fields):
                attribute += "_"
            hint = Annotated[hint, Field(alias=field.name)]
        default = ... if field.default is Parameter.empty else field.default
        definitions[attribute] = (hint, default)
        attributes[field.name] = attribute
    config = ConfigDict(extra="forbid", protected_namespaces=(), arbitrary_types_allowed=False)
    cls = create_model(_class_name(shape.event), __config__=config, **definitions)
    cls.model_rebuild(raise_errors=True)
    return Model(cls, attributes)


def _check_hint(shape: Shape, field: MessageField) -> None:
    try:
        adapter_for(field.hint)
    except ConfigurationError as exc:
        raise ConfigurationError(
            f"{shape.owner}: parameter {field.name!r}: {exc}. Parameters are the fields of a "
            "message; what a provider supplies is written Inject[…]"
        ) from exc


def _of_users_model(shape: Shape, base: Any, definitions: dict[str, Any]) -> type:
    """Return a user's model that has `type` and `ref`, and forbids what it does not know."""
    if issubclass(base, RootModel):
        raise ConfigurationError(
            f"{shape.owner}: {base.__name__} is a RootModel, and a message is an object"
        )
    tag = base.model_fields.get(TYPE)
    if tag is not None:
        _check_tag(shape, base, tag.annotation)
    if REF in base.model_fields:
        del definitions[REF]
    forbidding = {} if "extra" in base.model_config else {"extra": "forbid"}
    return create_model(  # type: ignore[no-any-return]
        base.__name__,
        __base__=base,
        __module__=base.__module__,
        __doc__=base.__doc__,
        __cls_kwargs__=forbidding,
        **definitions,
    )


def _check_tag(shape: Shape, base: type, annotation: Any) -> None:
    given = get_args(annotation) if get_origin(annotation) is Literal else (shape.event,)
    if shape.event not in given:
        raise ConfigurationError(
            f"{shape.owner}: {base.__name__}.type is one of {', '.join(map(repr, given))}, which "
            f"the event {shape.event!r} is not"
        )


def _is_pydantics(hint: Any) -> bool:
    """Tell whether a type is pydantic's own, or says something that msgspec would not see."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return True
    if get_origin(hint) is Annotated:
        msgspec = sys.modules.get("msgspec")
        known = (msgspec.Meta, str) if msgspec is not None else (str,)
        if not all(isinstance(meta, known) for meta in hint.__metadata__):
            return True
    return any(_is_pydantics(arg) for arg in get_args(hint))


# msgspec


def _struct(shape: Shape) -> Model:
    import msgspec

    number = Annotated[int, msgspec.Meta(ge=-MAX_REF - 1, le=MAX_REF)]
    # By that name, or a user's Struct could rename it.
    ref = (REF, str | number | None, msgspec.field(name=REF, default=None))
    fields: list[Any] = [] if _has_field(shape.whole, REF) else [ref]
    attributes = {}
    for field in shape.fields:
        attributes[field.name] = field.name
        if field.name == TYPE:
            continue
        default = () if field.default is Parameter.empty else (field.default,)
        fields.append((field.name, field.hint, *default))
    bases: tuple[type, ...] = ()
    if shape.whole is not None:
        _check_struct(shape, shape.whole)
        bases = (shape.whole,)
    cls = msgspec.defstruct(
        shape.whole.__name__ if shape.whole else _class_name(shape.event),
        fields,
        bases=bases or None,
        module=shape.whole.__module__ if shape.whole else None,
        namespace={TYPE: shape.event},
        tag_field=TYPE,
        tag=shape.event,
        forbid_unknown_fields=True,
        kw_only=True,
    )
    msgspec.json.Decoder(cls)  # which knows what cannot be decoded
    return Model(cls, attributes)


def _check_struct(shape: Shape, base: Any) -> None:
    config = base.__struct_config__
    if config.array_like:
        raise ConfigurationError(f"{shape.owner}: {base.__name__} is an array, not an object")
    if config.tag not in (None, shape.event) or config.tag_field not in (None, TYPE):
        raise ConfigurationError(
            f"{shape.owner}: {base.__name__} has the tag {config.tag_field}={config.tag!r}; "
            f"make it tag={shape.event!r}, or leave it out"
        )
    if _has_field(base, TYPE):
        raise ConfigurationError(
            f"{shape.owner}: {base.__name__} has a field 'type', where the event's name stands; "
            "leave it out"
        )


def _has_field(cls: Any, name: str) -> bool:
    return name in getattr(cls, "__struct_encode_fields__", ())


# Both


def _class_name(event: str) -> str:
    words = re.split(r"[^0-9A-Za-z]+", event)
    return "".join(word[:1].upper() + word[1:] for word in words) or "Message"
