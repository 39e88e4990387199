"""What `since=` gives, and what is left after a loss, where a history has several epochs."""

import pytest

from bocadillo import PositionLost
from bocadillo.channels.publications import START, Past, Position, Publication, select, unseen


def kept(*positions: tuple[int, str]) -> list[Publication]:
    return [Publication("x", f"{at}", Position(*at), 0.0) for at in positions]


OF_TWO_EPOCHS = kept((3, "old"), (4, "old"), (5, "new"), (6, "new"))
NEWEST = Position(6, "new")


def test_a_history_of_two_epochs_is_whole_only_within_the_new_one() -> None:
    """A server that was restarted may have lost what came between."""
    after = select("x", OF_TWO_EPOCHS, NEWEST, None, Position(5, "new"))
    assert after.publications == OF_TWO_EPOCHS[3:]

    for since in (Position(3, "new"), Position(2, ""), START):
        with pytest.raises(PositionLost, match="does not reach back"):
            select("x", OF_TWO_EPOCHS, NEWEST, None, since)
    with pytest.raises(PositionLost, match="emptied or restarted"):
        select("x", OF_TWO_EPOCHS, NEWEST, None, Position(4, "old"))


@pytest.mark.parametrize(
    ("seen", "left"),
    [
        (Position(3, "old"), 3),
        (Position(4, "old"), 2),
        (Position(9, "old"), 2),  # the server went back to an earlier state
        (Position(1, "old"), 4),
        (Position(5, "new"), 1),
        (Position(6, "new"), 0),
        (Position(1, "unknown"), 2),
        (START, 2),
    ],
    ids=str,
)
def test_nothing_that_was_seen_is_left_after_a_loss(seen: Position, left: int) -> None:
    """What comes after a gap is new, whatever the gap was."""
    publications = unseen(Past(OF_TWO_EPOCHS, NEWEST), seen)

    assert publications == OF_TWO_EPOCHS[4 - left :]
