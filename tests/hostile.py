"""Everything that a client of events can send: hypothesis's strategies of payloads."""

import json
from typing import Any

from hypothesis import strategies as st

# Characters of all kinds, half surrogate pairs among them.
_TEXT = st.text(st.characters(), max_size=20)
_HALVES = st.text(st.characters(categories=["Cs", "L"]), min_size=1, max_size=3)

_NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(10**40), 10**40),
    st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**400, 1e308, 5e-324]),
    st.floats(),  # NaN and Infinity are written as literals
)

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXT, _HALVES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(_TEXT, _HALVES), inner, max_size=4)
    ),
    max_leaves=10,
)


def _nested(depth: int, form: tuple[str, str, str]) -> str:
    opening, inner, closing = form
    return opening * depth + inner + closing * depth


_FORMS = [("[", "", "]"), ('{"a":', "1", "}"), ("[", "", ""), ('{"type":', "1", "}")]
DEEP = st.builds(
    _nested,
    st.sampled_from([150, 199, 200, 249, 251, 252, 253, 300, 10_000]),
    st.sampled_from(_FORMS),
)


def _object(pairs: list[tuple[str, str]]) -> str:
    """Return a JSON object, whose keys may be there twice."""
    return "{" + ",".join(f'"{key}":{value}' for key, value in pairs) + "}"


def payloads(
    events: list[str], fields: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[str | bytes]:
    """Return text and bytes: messages of these events, almost messages, and anything else.

    Args:
        events: Names of events.
        fields: What the handlers take, besides anything else.
    """
    types = st.one_of(
        st.sampled_from(events), VALUES, st.sampled_from(events).map(lambda name: name * 10_000)
    )
    of_handlers = st.fixed_dictionaries(
        {}, optional={name: st.one_of(values, VALUES) for name, values in fields.items()}
    )
    messages = st.builds(
        lambda type_, known, ref, more: {**more, **known, **ref, **type_},
        st.one_of(
            st.sampled_from(events).map(lambda event: {"type": event}),
            st.fixed_dictionaries({"type": types}),
            st.just({}),
        ),
        of_handlers,
        st.one_of(st.just({}), st.fixed_dictionaries({"ref": VALUES})),
        st.one_of(st.just({}), st.dictionaries(_TEXT, VALUES, max_size=2)),
    )
    texts = st.one_of(messages, messages, messages, VALUES).map(json.dumps)
    keys = st.sampled_from(["type", "ref", *fields])
    pairs = st.lists(st.tuples(keys, st.one_of(types, VALUES).map(json.dumps)), max_size=6)
    doubled = pairs.map(_object)
    in_place = st.builds(
        lambda event, field, value: f'{{"type":"{event}","{field}":{value}}}',
        st.sampled_from(events),
        keys,
        st.one_of(DEEP, st.integers(1, 5000).map(lambda digits: "9" * digits)),
    )
    cut = st.builds(lambda text, end: text[:end], texts, st.integers(0, 40))
    text = st.one_of(texts, texts, doubled, in_place, DEEP, cut, st.text(max_size=40))
    return st.one_of(text, text, text.map(str.encode), st.binary(max_size=40))
