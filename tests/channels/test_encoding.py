"""A value is encoded once, whoever reads it."""

from bocadillo.channels import Channels
from tests.channels.readers import Noting
from tests.fakes import run

READERS = 100


class Counting:
    """A codec that counts what it is asked for."""

    def __init__(self) -> None:
        self.encoded: list[object] = []

    def encode(self, value: object) -> str:
        self.encoded.append(value)
        return f"<{value}>"

    def decode(self, payload: str | bytes) -> object:
        raise AssertionError("nothing is decoded")


def test_a_value_is_encoded_once_for_all_readers() -> None:
    """A large message to a thousand readers costs the work of one, and the memory of one."""
    codec = Counting()

    async def scenario() -> None:
        async with Channels() as channels:
            readers = [Noting(f"{number}") for number in range(READERS)]
            for reader in readers:
                await channels.join(reader, "x")

            published = await channels.publish("x", "hello", codec=codec)

            assert published.readers_here == READERS
            assert codec.encoded == ["hello"]
            assert {id(payload) for reader in readers for payload in reader.payloads} == {
                id(readers[0].payloads[0])
            }
            late = Noting("late")
            await channels.join(late, "x", history=1)
            assert late.payloads == ["<hello>"]
            assert codec.encoded == ["hello"]

    run(scenario)
