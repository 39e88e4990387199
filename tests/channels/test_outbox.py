"""An outbox is bounded in number and bytes, and says what it does when it is full."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocadillo import ConfigurationError
from bocadillo.channels import OutboxCounters
from bocadillo.channels.counters import Losses
from bocadillo.channels.outbox import Outbox, Payload, WhenFull


def content(outbox: Outbox) -> list[Payload]:
    """Take all there is."""
    taken = []
    while (payload := outbox.take()) is not None:
        taken.append(payload)
    return taken


def test_payloads_are_taken_in_the_order_they_were_offered() -> None:
    """A client reads a conversation from its beginning."""
    outbox = Outbox()

    accepted = [outbox.offer(payload) for payload in ("a", b"b", "c")]

    assert accepted == [True, True, True]
    assert len(outbox) == 3
    assert content(outbox) == ["a", b"b", "c"]
    assert len(outbox) == 0


def test_an_empty_outbox_gives_none() -> None:
    """Whoever writes knows by that to end, even where payloads are empty texts."""
    outbox = Outbox()

    outbox.offer("")

    assert outbox.take() == ""
    assert outbox.take() is None


@pytest.mark.parametrize("bounds", [{"limit": 2}, {"max_bytes": 2}], ids=str)
def test_a_full_outbox_refuses_and_keeps_what_it_has(bounds: dict[str, Any]) -> None:
    """By "close" a reader gets all of it, or is told that it does not."""
    outbox = Outbox(**bounds)

    accepted = [outbox.offer(payload) for payload in ("a", "b", "c")]

    assert accepted == [True, True, False]
    assert outbox.dropped == 0
    assert content(outbox) == ["a", "b"]


@pytest.mark.parametrize("bounds", [{"limit": 2}, {"max_bytes": 2}], ids=str)
def test_a_full_outbox_may_keep_the_newest_and_count_the_loss(bounds: dict[str, Any]) -> None:
    """A reader that falls behind sees the present, and the loss shows in a number."""
    outbox = Outbox(**bounds, when_full="drop_oldest")

    accepted = [outbox.offer(payload) for payload in ("a", "b", "c")]

    assert accepted == [True, True, True]
    assert outbox.dropped == 1
    assert content(outbox) == ["b", "c"]


def test_a_large_payload_drops_as_many_as_it_needs_room() -> None:
    """The bound of bytes holds for payloads of any sizes."""
    outbox = Outbox(max_bytes=4, when_full="drop_oldest")

    for payload in ("a", "b", "c", "ddd"):
        outbox.offer(payload)

    assert content(outbox) == ["c", "ddd"]


@pytest.mark.parametrize("when_full", ["close", "drop_oldest", "latest"])
def test_a_payload_larger_than_all_is_held_where_nothing_else_is(when_full: WhenFull) -> None:
    """Otherwise a single large message would close every connection."""
    outbox = Outbox(max_bytes=2, when_full=when_full)

    assert outbox.offer("large")
    assert content(outbox) == ["large"]


def test_taking_and_clearing_make_room() -> None:
    """The bounds are of what waits now, not of all that ever did."""
    outbox = Outbox(max_bytes=2)
    outbox.offer("ab")

    outbox.take()
    assert outbox.offer("cd")
    outbox.clear()
    assert outbox.offer("ef")

    assert content(outbox) == ["ef"]


def test_of_payloads_with_one_key_only_the_newest_waits() -> None:
    """A reader that is slow sees the present price of each thing, not all of its past."""
    outbox = Outbox(when_full="latest")

    for payload, key in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a"), ("b22", "b")):
        assert outbox.offer(payload, key)

    assert (len(outbox), outbox.placed, outbox.conflated, outbox.dropped) == (2, 2, 3, 0)
    assert content(outbox) == ["a3", "b22"]


def test_a_key_that_changes_all_the_time_keeps_its_place() -> None:
    """Put behind the others at each change, it would never come out."""
    outbox = Outbox(when_full="latest")
    outbox.offer("hot 0", "hot")

    for n in range(1, 100):
        outbox.offer(f"hot {n}", "hot")
        outbox.offer(f"{n}", n)

    assert outbox.take() == "hot 99"


def test_a_key_that_was_taken_has_a_place_again() -> None:
    """What waits is of the present; what was taken is of the past."""
    outbox = Outbox(when_full="latest")

    outbox.offer("1", "a")
    assert outbox.take() == "1"
    outbox.offer("2", "a")
    outbox.clear()
    outbox.offer("3", "a")
    outbox.offer("4", "b")

    assert content(outbox) == ["3", "4"]
    assert outbox.conflated == 0


def test_payloads_without_a_key_are_never_replaced() -> None:
    """What the same connection gets from elsewhere is complete."""
    outbox = Outbox(when_full="latest")

    for payload, key in (("1", None), ("a1", "a"), ("2", None), ("a2", "a")):
        outbox.offer(payload, key)

    assert content(outbox) == ["1", "a2", "2"]


@pytest.mark.parametrize("bounds", [{"limit": 2}, {"max_bytes": 4}], ids=str)
def test_an_outbox_full_of_keys_drops_the_oldest(bounds: dict[str, Any]) -> None:
    """More keys than fit are as any other payloads."""
    outbox = Outbox(**bounds, when_full="latest")

    for key in ("a", "b", "c"):
        assert outbox.offer(f"{key}1", key)
    outbox.offer("a2", "a")

    assert outbox.dropped == 2
    assert content(outbox) == ["c1", "a2"]


def test_a_newest_payload_that_is_larger_makes_room_for_itself() -> None:
    """The bound of bytes holds for what is replaced, too."""
    outbox = Outbox(max_bytes=4, when_full="latest")
    for payload, key in (("1", "a"), ("2", "b"), ("3", "c")):
        outbox.offer(payload, key)

    outbox.offer("4444", "b")

    assert (content(outbox), outbox.dropped) == (["4444"], 2)


def test_keys_mean_nothing_to_other_policies() -> None:
    """They keep what they promise, whoever offers."""
    for when_full in ("close", "drop_oldest"):
        outbox = Outbox(when_full=when_full)

        outbox.offer("1", "a")
        outbox.offer("2", "a")

        assert content(outbox) == ["1", "2"]
        assert (outbox.conflated, outbox.placed) == (0, 2)


@pytest.mark.parametrize("when_full", ["close", "drop_oldest", "latest"])
@pytest.mark.parametrize("bounds", [{"limit": 2}, {"max_bytes": 4}], ids=str)
def test_what_comes_at_once_may_be_more_than_the_bounds(
    bounds: dict[str, Any], when_full: WhenFull
) -> None:
    """A history that was asked for is no sign of a slow reader."""
    outbox = Outbox(**bounds, when_full=when_full)
    history = [f"{n}." for n in range(9)]

    assert outbox.offer("a.")
    outbox.make_room(len(history), sum(map(len, history)))
    assert all(outbox.offer(payload) for payload in history)
    assert outbox.offer("b.")
    assert outbox.is_wide

    assert content(outbox) == ["a.", *history, "b."]
    assert (outbox.is_wide, outbox.dropped) == (False, 0)


@pytest.mark.parametrize("bounds", [{"limit": 2}, {"max_bytes": 4}], ids=str)
def test_bounds_are_as_before_when_what_came_at_once_is_taken(bounds: dict[str, Any]) -> None:
    """A client gets no more room by asking for its history."""
    outbox = Outbox(**bounds)
    outbox.make_room(3, 6)
    for payload in ("1.", "2.", "3."):
        assert outbox.offer(payload)

    assert outbox.offer("a.")
    for _ in range(3):
        outbox.take()
        while outbox.offer("b."):
            pass

    assert len(outbox) == 2
    assert not outbox.is_wide


@pytest.mark.parametrize("bounds", [{"limit": 2}, {"max_bytes": 4}], ids=str)
def test_what_came_at_once_is_not_dropped_all_at_once(bounds: dict[str, Any]) -> None:
    """One new payload too many costs one old one, as ever."""
    outbox = Outbox(**bounds, when_full="drop_oldest")
    outbox.make_room(3, 6)
    for payload in ("1.", "2.", "3.", "a.", "b.", "c.", "d."):
        assert outbox.offer(payload)

    assert outbox.dropped == 2
    assert content(outbox) == ["3.", "a.", "b.", "c.", "d."]
    for payload in ("e.", "f.", "g."):
        assert outbox.offer(payload)
    assert content(outbox) == ["f.", "g."]


def test_room_that_was_not_made_use_of_is_taken_back() -> None:
    """Of keys that are the same only one waits."""
    outbox = Outbox(limit=1, when_full="latest")
    outbox.make_room(5, 5)
    for payload in "12345":
        outbox.offer(payload, "key")

    assert outbox.take() == "5"
    assert not outbox.is_wide
    outbox.make_room(5, 5)
    outbox.clear()
    assert not outbox.is_wide


def test_what_fits_needs_no_more_room() -> None:
    """Most histories are small."""
    outbox = Outbox(limit=3)
    outbox.make_room(3, 3)

    assert not outbox.is_wide


def test_outboxes_count_together_what_each_of_them_counts() -> None:
    """One number for a whole process."""
    losses = Losses()
    outboxes = [Outbox(limit=1, when_full="drop_oldest"), Outbox(limit=1, when_full="latest")]
    for outbox in outboxes:
        outbox.losses = losses
        for key in ("a", "b", "b"):
            outbox.offer(key, key)

    assert [outbox.counters for outbox in outboxes] == [OutboxCounters(2, 0), OutboxCounters(1, 1)]
    assert (losses.dropped, losses.conflated) == (3, 1)


@given(
    st.lists(st.none() | st.text(max_size=5), max_size=40),
    st.integers(1, 4),
    st.integers(1, 8),
    st.sampled_from(["close", "drop_oldest", "latest"]),
)
def test_an_outbox_never_holds_more_than_its_bounds(
    steps: list[str | None], limit: int, max_bytes: int, when_full: WhenFull
) -> None:
    """Whatever comes in whichever order: memory is bounded, and nothing is lost unseen."""
    outbox = Outbox(limit, max_bytes, when_full)
    held: list[str] = []

    for step in steps:
        if step is None:
            assert outbox.take() == (held.pop(0) if held else None)
        elif outbox.offer(step):
            held.append(step)
            held = held[len(held) - len(outbox) :]
        assert len(outbox) == len(held) <= limit
        assert sum(map(len, held)) <= max_bytes or len(held) == 1

    assert content(outbox) == held


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "at least 1 payload and 1 byte, got 0 and"),
        ({"max_bytes": 0}, "at least 1 payload and 1 byte, got 1024 and 0"),
        ({"when_full": "wait"}, "'drop_oldest' or 'latest', got 'wait'"),
    ],
    ids=str,
)
def test_bounds_and_policies_that_cannot_be_are_refused(
    options: dict[str, Any], message: str
) -> None:
    """An outbox for nothing would close every reader at its first payload."""
    with pytest.raises(ConfigurationError, match=message):
        Outbox(**options)
