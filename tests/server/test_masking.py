"""Masking: by C or by Python, the same bytes."""

import importlib.util
import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocadillo.server import masking
from bocadillo.server.masking import Chunk, apply_mask, apply_mask_in_python

a_mask = st.binary(min_size=4, max_size=4)


def byte_by_byte(payload: bytes, mask: bytes) -> bytes:
    """RFC 6455 §5.3, word for word."""
    return bytes(octet ^ mask[index % 4] for index, octet in enumerate(payload))


@given(st.binary(max_size=300), a_mask)
def test_each_byte_is_xored_with_the_mask_byte_in_turn(payload: bytes, mask: bytes) -> None:
    """Client and server would read different messages otherwise."""
    expected = byte_by_byte(payload, mask)

    assert apply_mask_in_python(payload, mask) == expected
    assert apply_mask(payload, mask) == expected


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("function", [apply_mask, apply_mask_in_python])
def test_any_kind_of_buffer_is_masked(function: object, kind: type[Chunk]) -> None:
    """What was read may be a view of the buffer it was read into."""
    assert callable(function)
    assert function(kind(b"\x00\x01\x02\x03\x04"), b"abcd") == b"acage"


def loaded_again() -> ModuleType:
    spec = importlib.util.spec_from_file_location("masking_again", masking.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_the_c_extension_python_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyPy, and platforms without a wheel, are served too."""
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)

    module = loaded_again()

    assert module.apply_mask is module.apply_mask_in_python


def test_with_the_c_extension_c_masks() -> None:
    """Losing it by accident would make every message several times slower."""
    pytest.importorskip("websockets.speedups")

    module = loaded_again()

    assert module.apply_mask is not module.apply_mask_in_python
