"""Which offers of permessage-deflate are accepted, and what is answered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.headers import parse_extension

from bocadillo.server.deflate import Deflate, DeflateOptions, negotiate
from tests.server.counting import calls

D = "permessage-deflate"
PLAIN = DeflateOptions(True, True, 15, 15)  # asks for nothing
FRUGAL = DeflateOptions(False, False, 10, 11)

# Offer, options, answer.
ANSWERS = [
    (D, PLAIN, D),
    (f" {D} ", PLAIN, D),
    (f"{D}; server_no_context_takeover", PLAIN, f"{D}; server_no_context_takeover"),
    (f"{D}; client_no_context_takeover", PLAIN, f"{D}; client_no_context_takeover"),
    (f"{D};client_max_window_bits", PLAIN, D),
    (f"{D}; client_max_window_bits=10", PLAIN, f"{D}; client_max_window_bits=10"),
    (f'{D}; client_max_window_bits="10"', PLAIN, f"{D}; client_max_window_bits=10"),
    (f"{D}; client_max_window_bits=8", PLAIN, f"{D}; client_max_window_bits=8"),
    (f"{D}; server_max_window_bits = 9", PLAIN, f"{D}; server_max_window_bits=9"),
    (f"{D}; server_max_window_bits=15", PLAIN, f"{D}; server_max_window_bits=15"),
    (
        D,
        FRUGAL,
        f"{D}; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10",
    ),
    (
        f"{D}; client_max_window_bits; server_max_window_bits=12",
        FRUGAL,
        f"{D}; server_no_context_takeover; client_no_context_takeover; "
        "server_max_window_bits=10; client_max_window_bits=11",
    ),
    (
        f"{D}; client_max_window_bits=9; server_max_window_bits=9",
        FRUGAL,
        f"{D}; server_no_context_takeover; client_no_context_takeover; "
        "server_max_window_bits=9; client_max_window_bits=9",
    ),
]

REFUSED = [
    "",
    ",",
    ";",
    "=",
    '"',
    "x-webkit-deflate-frame",
    "permessage-bzip2; agreed_level=9",
    f"{D}x",
    f"{D}=1",
    f"{D};",
    f"{D}; ",
    f"{D}; unknown",
    f"{D}; server_no_context_takeover=1",
    f"{D}; client_no_context_takeover=",
    f"{D}; server_max_window_bits",
    f"{D}; server_max_window_bits=",
    f"{D}; server_max_window_bits=7",
    f"{D}; server_max_window_bits=8",
    f"{D}; server_max_window_bits=16",
    f"{D}; server_max_window_bits=99",
    f"{D}; server_max_window_bits=09",
    f"{D}; server_max_window_bits=+9",
    f"{D}; server_max_window_bits=１０",
    f"{D}; client_max_window_bits=0",
    f'{D}; client_max_window_bits="',
    f'{D}; client_max_window_bits="10',
    f'{D}; client_max_window_bits=""',
    f'{D}; client_max_window_bits="10, {D}',
    f"{D}; client_max_window_bits; client_max_window_bits=10",
    f"{D}; server_no_context_takeover; server_no_context_takeover",
    f'foo; x=", {D}"',
    f"{D}" + "; server_no_context_takeover" * 2000,
]


@pytest.mark.parametrize(("offer", "options", "answer"), ANSWERS)
def test_an_offer_is_answered_by_what_both_want(
    offer: str, options: DeflateOptions, answer: str
) -> None:
    """RFC 7692 §7.1: never more than the client offers."""
    response, _ = negotiate([offer], options)

    assert response == answer


@pytest.mark.parametrize("offer", REFUSED)
def test_an_offer_that_is_wrong_or_cannot_be_had_is_passed_over(offer: str) -> None:
    """The connection goes on without compression, or with the next offer."""
    assert negotiate([offer]) == (None, None)
    assert negotiate([offer, D], PLAIN)[0] == D


def test_the_first_offer_that_can_be_had_wins() -> None:
    """RFC 7692 §5.1: the client lists what it likes best first."""
    offers = f"foo, {D}; server_max_window_bits=8, {D}; server_max_window_bits=12, {D}"

    assert negotiate([offers], PLAIN)[0] == f"{D}; server_max_window_bits=12"
    assert negotiate(["foo", "bar", offers], PLAIN)[0] == f"{D}; server_max_window_bits=12"


def test_no_header_is_no_compression() -> None:
    """Most clients other than browsers offer nothing."""
    assert negotiate([]) == (None, None)


def test_the_agreement_says_what_each_end_does() -> None:
    """What is answered and what is done must not differ."""
    offer = f"{D}; client_max_window_bits=10; server_max_window_bits=9; server_no_context_takeover"

    _, agreed = negotiate([offer], PLAIN)

    assert agreed == Deflate(
        server_takeover=False,
        client_takeover=True,
        server_max_window_bits=9,
        client_max_window_bits=10,
        level=PLAIN.level,
    )


def test_by_default_no_window_outlives_a_message() -> None:
    """Memory of idle connections is what a server has least of."""
    _, agreed = negotiate([f"{D}; client_max_window_bits"])

    assert agreed is not None
    assert (agreed.server_takeover, agreed.client_takeover) == (False, False)


def test_a_client_that_cannot_limit_its_window_is_not_asked_to() -> None:
    """RFC 7692 §7.1.2.2: it would fail the connection; 15 bits are read then."""
    _, agreed = negotiate([D], FRUGAL)

    assert agreed is not None
    assert agreed.client_max_window_bits == 15


@given(
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(9, 15),
    st.none() | st.just(True) | st.integers(9, 15),
    st.builds(DeflateOptions, st.booleans(), st.booleans(), st.integers(9, 15), st.integers(9, 15)),
)
def test_websockets_accepts_every_answer_to_its_offers(
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: int | None,
    client_bits: int | bool | None,
    options: DeflateOptions,
) -> None:
    """A client that does not like the answer closes the connection."""
    client = ClientPerMessageDeflateFactory(
        server_no_takeover, client_no_takeover, server_bits, client_bits
    )
    said = [
        name if value is None else f"{name}={value}" for name, value in client.get_request_params()
    ]

    response, agreed = negotiate(["; ".join([D, *said])], options)

    assert response is not None
    ((_, parameters),) = parse_extension(response)
    accepted = client.process_response_params(parameters, [])
    assert agreed is not None
    assert accepted.remote_no_context_takeover is not agreed.server_takeover
    assert accepted.remote_max_window_bits == agreed.server_max_window_bits
    assert accepted.local_max_window_bits <= agreed.client_max_window_bits
    # A client that resets its window where it need not is read all the same.
    assert agreed.client_takeover or accepted.local_no_context_takeover


@given(st.lists(st.sampled_from([*'ab;,=" \t\\', D]), max_size=60).map("".join))
def test_nothing_in_a_header_raises(value: str) -> None:
    """It comes from a stranger, before the application has seen it."""
    response, agreed = negotiate([value, D], PLAIN)

    assert response is not None
    assert agreed is not None


@pytest.mark.parametrize(
    "unit",
    [f"{D}; unknown, ", '"', '",', 'x="', "a;", ",", f"{D}; server_max_window_bits=99,"],
)
def test_the_work_grows_with_the_header_and_not_faster(unit: str) -> None:
    """A header of 8 KB is all that a stranger needs for a quadratic one."""
    few = calls(lambda: negotiate([unit * 500]))
    many = calls(lambda: negotiate([unit * 1000]))

    assert many <= 2 * few + 100
