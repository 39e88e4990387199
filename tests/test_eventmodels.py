"""The models of events: made of parameters, or of what the user wrote."""

from dataclasses import dataclass
from inspect import Parameter
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, ValidationError
from pydantic.alias_generators import to_pascal

from bocadillo.errors import ConfigurationError
from bocadillo.eventmodels import MAX_REF, MessageField, Model, Shape, is_whole, model_for

LIBRARIES = pytest.mark.parametrize("msgspec_", [False, True], ids=["pydantic", "msgspec"])


class Point(BaseModel):
    x: int
    y: int = 0


class Spot(msgspec.Struct):
    x: int
    y: int = 0


def shape(*fields: tuple[Any, ...], event: str = "move", whole: Any = None) -> Shape:
    """Return the shape of one event; a field is its name, type, and perhaps a default."""
    return Shape("event 'move': move()", event, tuple(MessageField(*f) for f in fields), whole)


def read(model: Model, value: dict[str, Any]) -> Any:
    """Return a message of a model, by the library that made it."""
    if issubclass(model.cls, BaseModel):
        return model.cls.model_validate(value)
    return msgspec.convert(value, model.cls)


# Both libraries


@LIBRARIES
def test_a_field_of_a_message_is_validated_and_has_its_default(msgspec_: bool) -> None:
    """The signature of a handler is all that has to be written."""
    model = model_for(shape(("x", int), ("label", str, "here")), by_msgspec=msgspec_)

    message = read(model, {"type": "move", "x": 1})

    assert (message.type, message.ref, message.x, message.label) == ("move", None, 1, "here")
    with pytest.raises((ValidationError, msgspec.ValidationError)):
        read(model, {"type": "move", "x": "far"})


@LIBRARIES
def test_unknown_keys_and_other_events_are_refused(msgspec_: bool) -> None:
    """A key that is misspelled would be a default in silence."""
    model = model_for(shape(("x", int)), by_msgspec=msgspec_)

    for wrong in ({"type": "move", "x": 1, "z": 1}, {"type": "other", "x": 1}):
        with pytest.raises((ValidationError, msgspec.ValidationError)):
            read(model, wrong)


@LIBRARIES
@pytest.mark.parametrize("ref", ["a", "", 0, -5, MAX_REF, -MAX_REF - 1, None])
def test_a_ref_is_a_string_or_an_integer_of_64_bits(msgspec_: bool, ref: Any) -> None:
    """What comes in can be sent back."""
    model = model_for(shape(), by_msgspec=msgspec_)

    assert read(model, {"type": "move", "ref": ref}).ref == ref


@LIBRARIES
@pytest.mark.parametrize("ref", [MAX_REF + 1, -MAX_REF - 2, True, 1.5, [1], {}])
def test_any_other_ref_is_refused(msgspec_: bool, ref: Any) -> None:
    """No server could write it, or no client could match it."""
    model = model_for(shape(), by_msgspec=msgspec_)

    with pytest.raises((ValidationError, msgspec.ValidationError)):
        read(model, {"type": "move", "ref": ref})


AWKWARD = [
    *("self_", "_x", "_", "copy", "json", "dict", "model_config", "model_fields", "schema"),
    *("message", "errors", "send", "field_copy", "construct", "cls", "model_name"),
]


@LIBRARIES
def test_a_field_may_have_any_name(msgspec_: bool) -> None:
    """The protocol is the user's, and not a library's."""
    fields = [(name, int) for name in AWKWARD]
    model = model_for(shape(*fields), by_msgspec=msgspec_)
    value = {name: number for number, name in enumerate(AWKWARD)}

    message = read(model, {"type": "move", **value})

    assert {name: getattr(message, model.attributes[name]) for name in AWKWARD} == value


def test_an_error_names_the_field_as_the_message_does() -> None:
    """Not as the attribute, which pydantic wants to be another."""
    model = model_for(shape(("copy", int), ("_x", int)), by_msgspec=False)

    with pytest.raises(ValidationError) as caught:
        read(model, {"type": "move", "copy": "a"})

    assert [error["loc"] for error in caught.value.errors()] == [("copy",), ("_x",)]


@LIBRARIES
def test_a_parameter_called_type_is_the_event(msgspec_: bool) -> None:
    """Which a handler of many events could ask for."""
    model = model_for(shape(("type", str)), by_msgspec=msgspec_)

    message = read(model, {"type": "move"})

    assert getattr(message, model.attributes["type"]) == "move"


@LIBRARIES
def test_a_default_that_can_change_is_not_shared(msgspec_: bool) -> None:
    """One client's list must not be the next one's."""
    model = model_for(shape(("tags", list[str], [])), by_msgspec=msgspec_)

    read(model, {"type": "move"}).tags.append("mine")

    assert read(model, {"type": "move"}).tags == []


@LIBRARIES
def test_an_event_may_have_any_name(msgspec_: bool) -> None:
    """It need not look like a name of Python."""
    for event in ("room.join", "1", "—", "a b", "class"):
        model = model_for(shape(event=event), by_msgspec=msgspec_)
        assert read(model, {"type": event}).type == event


@pytest.mark.parametrize(
    ("event", "name"), [("room.join", "RoomJoin"), ("say", "Say"), ("—", "Message")]
)
def test_a_model_is_named_after_its_event(event: str, name: str) -> None:
    """A schema of it can be read."""
    assert model_for(shape(event=event), by_msgspec=False).cls.__name__ == name


# pydantic


def test_constraints_field_defaults_and_nested_models_are_pydantics() -> None:
    """What works in a model works in a signature."""
    model = model_for(
        shape(
            ("n", Annotated[int, Field(gt=0)]),
            ("even", Annotated[int, AfterValidator(lambda value: value // 2 * 2)], 3),
            ("tags", list[str], Field(default_factory=lambda: ["new"], max_length=2)),
            ("to", Point),
            ("named", int, Field(alias="as")),
            ("copy", int, Field(5, gt=1)),
        ),
        by_msgspec=False,
    )

    message = read(model, {"type": "move", "n": 1, "even": 5, "to": {"x": 1}, "as": 7})

    assert (message.n, message.even, message.tags) == (1, 4, ["new"])
    assert (message.to, message.named) == (Point(x=1), 7)
    assert getattr(message, model.attributes["copy"]) == 5
    with pytest.raises(ValidationError) as caught:
        read(
            model,
            {"type": "move", "n": 0, "tags": ["", "", ""], "to": {"x": "a"}, "as": 1, "copy": 0},
        )
    assert [error["loc"] for error in caught.value.errors()] == [
        *(("n",), ("tags",), ("to", "x"), ("copy",))
    ]


def test_a_model_of_the_users_is_the_whole_message() -> None:
    """With `type` and `ref`, which it need not declare, and its methods."""

    class Move(BaseModel):
        """Moves by x."""

        x: int

        def twice(self) -> int:
            return self.x * 2

    model = model_for(shape(whole=Move), by_msgspec=False)
    message = read(model, {"type": "move", "x": 2, "ref": 1})

    assert (message.twice(), message.type, message.ref) == (4, "move", 1)
    assert isinstance(message, Move)
    assert (model.cls.__name__, model.cls.__doc__) == ("Move", "Moves by x.")
    assert [*Move.model_fields] == ["x"], "the user's own is as it was"
    with pytest.raises(ValidationError):
        read(model, {"type": "move", "x": 2, "z": 1})


@pytest.mark.parametrize("extra", ["ignore", "allow", "forbid"])
def test_a_model_that_says_what_unknown_keys_are_is_believed(extra: Any) -> None:
    """The default is to refuse them, and no more than that."""

    class Open(BaseModel):
        model_config = ConfigDict(extra=extra)

    model = model_for(shape(whole=Open), by_msgspec=False)
    value = {"type": "move", "z": 1}

    if extra == "forbid":
        with pytest.raises(ValidationError):
            read(model, value)
    else:
        assert hasattr(read(model, value), "z") == (extra == "allow")


def test_a_model_may_declare_type_and_ref_itself() -> None:
    """As one that is used elsewhere, too."""

    class Move(BaseModel):
        type: Literal["move", "jump"] = "jump"
        ref: int

    model = model_for(shape(whole=Move), by_msgspec=False)

    assert read(model, {"type": "move", "ref": 5}).ref == 5
    for wrong in ({"type": "move"}, {"type": "jump", "ref": 1}, {"ref": 1}):
        with pytest.raises(ValidationError):
            read(model, wrong)


def test_a_literal_type_of_another_event_is_refused() -> None:
    """No message could ever be both."""

    class Jump(BaseModel):
        type: Literal["jump", "leap"]

    with pytest.raises(ConfigurationError, match=r"Jump.type is one of 'jump', 'leap', which"):
        model_for(shape(whole=Jump), by_msgspec=False)


def test_a_root_model_is_refused() -> None:
    """A message is an object."""

    class Names(RootModel[list[str]]):
        pass

    with pytest.raises(ConfigurationError, match="Names is a RootModel, and a message is an obj"):
        model_for(shape(whole=Names), by_msgspec=False)


def test_aliases_of_a_model_do_not_rename_type_and_ref() -> None:
    """Which belong to the protocol."""

    class Pascal(BaseModel):
        model_config = ConfigDict(alias_generator=to_pascal)
        some_text: str

    model = model_for(shape(whole=Pascal), by_msgspec=False)
    message = read(model, {"type": "move", "ref": 3, "SomeText": "a"})

    assert (message.some_text, message.ref) == ("a", 3)


def test_a_type_that_pydantic_cannot_use_is_refused_by_name() -> None:
    """Where the view is registered, and not when the first message comes."""
    with pytest.raises(ConfigurationError, match=r"event 'move': move\(\): parameter 'x': .*obj"):
        model_for(shape(("x", object())), by_msgspec=False)


def test_a_default_that_pydantic_cannot_use_is_refused() -> None:
    """The exception says whose it is, in one line."""
    wrong = Field(discriminator="kind")

    with pytest.raises(ConfigurationError, match="no model can be made of its messages: ") as told:
        model_for(shape(("x", int, wrong)), by_msgspec=False)

    assert "\n" not in str(told.value)


# msgspec


class Tagged(msgspec.Struct, tag="move"):
    x: int


class Renamed(msgspec.Struct, rename="upper", frozen=True):
    x: int


class WithRef(msgspec.Struct):
    ref: str


@pytest.mark.parametrize(
    ("struct", "value"),
    [
        (Spot, {"type": "move", "x": 1}),
        (Tagged, {"type": "move", "x": 1}),
        (Renamed, {"type": "move", "X": 1, "ref": 5}),
        (WithRef, {"type": "move", "ref": "a"}),
    ],
)
def test_a_struct_is_the_whole_message(struct: type, value: dict[str, Any]) -> None:
    """With or without a tag, frozen or renamed; `ref` is always called so."""
    model = model_for(shape(whole=struct), by_msgspec=True)

    message = read(model, value)

    assert (message.type, message.ref) == ("move", value.get("ref"))
    assert isinstance(message, struct)
    with pytest.raises(msgspec.ValidationError):
        read(model, value | {"z": 1})


class Array(msgspec.Struct, array_like=True):
    x: int


class Other(msgspec.Struct, tag="jump"):
    x: int


class Kind(msgspec.Struct, tag_field="kind"):
    x: int


class WithType(msgspec.Struct):
    type: str


@pytest.mark.parametrize(
    ("struct", "text"),
    [
        (Array, "Array is an array, not an object"),
        (Other, "Other has the tag type='jump'; make it tag='move', or leave it out"),
        (Kind, "Kind has the tag kind='Kind'; make it"),
        (WithType, "WithType has a field 'type', where the event's name stands"),
    ],
)
def test_a_struct_that_is_no_message_of_the_event_is_refused(struct: type, text: str) -> None:
    """The exception says what to change."""
    with pytest.raises(ConfigurationError, match=text):
        model_for(shape(whole=struct), by_msgspec=True)


def test_what_msgspec_cannot_use_is_refused_by_name() -> None:
    """When the table is made it would not be known whose it is."""
    with pytest.raises(ConfigurationError, match=r"event 'move': move\(\): no model can be made"):
        model_for(shape(("x", Spot | WithRef)), by_msgspec=True)


# What a shape is made of


@dataclass
class Data:
    x: int


class Typed(TypedDict):
    x: int


@pytest.mark.parametrize(
    ("hint", "is_one"),
    [
        *((Point, True), (Spot, True), (Data, False), (Typed, False), (dict, False)),
        *((int, False), (Any, False), (list[Spot], False), ("Point", False)),
    ],
)
def test_only_models_and_structs_are_whole_messages(hint: Any, is_one: bool) -> None:
    """A parameter `message: str` is a field like any other."""
    assert is_whole(hint) is is_one


@pytest.mark.parametrize(
    ("made", "structs", "pydantic"),
    [
        (shape(("x", int)), False, False),
        (shape(("x", list[Spot])), True, False),
        (shape(("x", list[Point])), False, True),
        (shape(("x", Annotated[int, Field(gt=0)])), False, True),
        (shape(("x", Annotated[int, msgspec.Meta(gt=0)])), False, False),
        (shape(("x", Annotated[int, "a note"])), False, False),
        (shape(("x", int, Field(5))), False, True),
        (shape(whole=Spot), True, False),
        (shape(whole=Point), False, True),
    ],
)
def test_a_shape_knows_which_library_it_needs(made: Shape, structs: bool, pydantic: bool) -> None:
    """One library validates all events of a view."""
    assert (made.has_structs, made.has_pydantic) == (structs, pydantic)


def test_a_field_without_a_default_is_required() -> None:
    """`None` is a default like any other."""
    assert MessageField("x", int).default is Parameter.empty
    assert model_for(shape(("x", int | None, None)), by_msgspec=False).cls(type="move").x is None
