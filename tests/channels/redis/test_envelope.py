"""An envelope carries a publication as it is, and nothing else is taken for one."""

from hypothesis import given
from hypothesis import strategies as st

from bocadillo.channels.publications import Position, Publication
from bocadillo.channels.redis.envelope import seal, unseal

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts | st.binary(), st.none() | st.text(), st.integers(1), st.text("abc-123", min_size=1))
def test_whatever_is_sealed_is_unsealed_as_it_was(
    payload: str | bytes, exclude: str | None, offset: int, epoch: str
) -> None:
    """Text as text, bytes as bytes, ids of any characters."""
    head = f"b1 {offset} {epoch} 1500 ".encode()

    publication = unseal("x", head + seal(payload, exclude))

    position = Position(offset, epoch)
    assert publication == Publication("x", payload, position, 1.5, exclude)
    assert type(publication.payload) is type(payload)


@given(st.binary())
def test_other_bytes_are_no_publication(foreign: bytes) -> None:
    """Nothing that comes raises."""
    assert unseal("x", foreign) is None
    unseal("x", b"b1 1 e 1 t " + foreign)
