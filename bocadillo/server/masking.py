"""XOR with a mask of four bytes (RFC 6455 §5.3): in C where that is installed."""

from collections.abc import Callable
from typing import TypeAlias

Chunk: TypeAlias = bytes | bytearray | memoryview


def apply_mask_in_python(payload: Chunk, mask: bytes) -> bytes:
    """Return *payload* masked, or unmasked, by the four bytes *mask*.

    One XOR of two large integers: several times slower than C, and linear.
    """
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")
    return masked.to_bytes(size, "little")


apply_mask: Callable[[Chunk, bytes], bytes]
try:
    from websockets.speedups import apply_mask as apply_mask_in_c
except ImportError:  # PyPy, or a platform for which `websockets` has no wheel
    apply_mask = apply_mask_in_python
else:
    apply_mask = apply_mask_in_c
