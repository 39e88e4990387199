"""How a value that is published becomes a payload."""

import functools
from typing import Any

from bocadillo.codecs import EVENT, JSON, Codec, Payload, codec_for
from bocadillo.errors import ConfigurationError


def encode(value: Any, codec: Any) -> Payload:
    """Return *value* as a payload.

    Args:
        value: What to publish.
        codec: A name, type or codec object, as a route's value type; None for JSON.

    Raises:
        TypeError: the value cannot be encoded so, or the codec returns no payload.
        UnicodeEncodeError: the text has half of a surrogate pair.
        ConfigurationError: the codec cannot be used.
    """
    payload = (JSON if codec is None else _codec_of(codec)).encode(value)
    if isinstance(payload, str):
        payload.isascii() or payload.encode()  # half of a surrogate pair is refused here
    elif not isinstance(payload, bytes):
        raise TypeError(f"a codec must return str or bytes, got {type(payload).__name__}")
    return payload


def _codec_of(codec: Any) -> Codec:
    try:
        found = _cached_codec(codec)
    except TypeError:  # not hashable
        found = codec_for(codec)
    if found is EVENT:
        raise ConfigurationError("cannot publish raw events; give another codec")
    return found


# A codec of a type is a schema, which is dear to make.
_cached_codec = functools.lru_cache(maxsize=256)(codec_for)
