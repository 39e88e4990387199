"""How long a process waits before it connects again."""

import itertools
import random

from bocadillo.channels.redis.listening import (
    MAX_RECONNECT_AFTER_S,
    RECONNECT_AFTER_S,
    reconnect_delays_s,
)


def delays_s(seed: int, count: int) -> list[float]:
    """Return the first delays of a process, as chance would have them."""
    random.seed(seed)
    return [*itertools.islice(reconnect_delays_s(), count)]


def test_delays_grow_up_to_a_bound() -> None:
    """A blip is over at once, and a server that stays away is left in peace."""
    for seed in range(50):
        for tries, delay_s in enumerate(delays_s(seed, 30)):
            longest_s = min(RECONNECT_AFTER_S * 2**tries, MAX_RECONNECT_AFTER_S)
            assert longest_s / 2 <= delay_s <= longest_s


def test_delays_of_many_processes_are_spread() -> None:
    """A server that comes back is not asked by all of them at once."""
    for tries in range(10):
        delays = sorted(delays_s(seed, 10)[tries] for seed in range(100))
        longest_s = min(RECONNECT_AFTER_S * 2**tries, MAX_RECONNECT_AFTER_S)
        assert len({*delays}) == 100
        assert delays[-1] - delays[0] > longest_s / 3
