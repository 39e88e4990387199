"""The law of states and events, over every pair of them."""

import itertools

import pytest

from bocadillo.errors import ConnectionStateError
from bocadillo.states import (
    ACCEPT,
    CLOSE,
    DENIAL_BODY,
    DENIAL_START,
    DISCONNECT,
    LAST_DENIAL_BODY,
    NEXT,
    SEND,
    State,
    advance,
    allowed,
)

EVENTS = (ACCEPT, SEND, CLOSE, DENIAL_START, DENIAL_BODY, LAST_DENIAL_BODY, DISCONNECT)

# The ASGI specification once more, a row for each state, so that a slip shows.
LAW: dict[State, dict[str, State]] = {
    State.CONNECTING: {
        ACCEPT: State.OPEN,
        CLOSE: State.CLOSED,
        DENIAL_START: State.DENYING,
        DISCONNECT: State.LEFT,
    },
    State.DENYING: {
        DENIAL_BODY: State.DENYING,
        LAST_DENIAL_BODY: State.CLOSED,
        DISCONNECT: State.LEFT,
    },
    State.OPEN: {SEND: State.OPEN, CLOSE: State.CLOSED, DISCONNECT: State.LEFT},
    State.LEFT: {CLOSE: State.LEFT, DISCONNECT: State.LEFT},
    State.CLOSED: {DISCONNECT: State.CLOSED},
}
PAIRS = [*itertools.product(State, (*EVENTS, "websocket.receive", "no such event", ""))]


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_every_state_answers_every_event(state: State, event: str) -> None:
    """Each pair is either allowed or refused in words that name the choices."""
    if event in LAW[state]:
        assert advance(state, event) is LAW[state][event]
    else:
        with pytest.raises(ConnectionStateError) as caught:
            advance(state, event)
        assert str(caught.value) == (
            f"cannot send {event!r} while {state.value}; allowed now: {allowed(state)}"
        )


def test_the_table_holds_nothing_but_the_law() -> None:
    """No pair is allowed that nobody thought of."""
    pairs = {(state, event): after for state in LAW for event, after in LAW[state].items()}

    assert pairs == NEXT


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.CONNECTING, "websocket.accept, websocket.close, websocket.http.response.start"),
        (State.DENYING, "websocket.http.response.body, websocket.http.response.body, last"),
        (State.OPEN, "websocket.close, websocket.send"),
        (State.LEFT, "websocket.close"),
        (State.CLOSED, "nothing"),
    ],
)
def test_the_choices_are_what_the_application_may_send(state: State, words: str) -> None:
    """A disconnect is the server's to say, so it is never offered."""
    assert allowed(state) == words


@pytest.mark.parametrize("end", [State.LEFT, State.CLOSED])
def test_what_has_ended_stays_ended(end: State) -> None:
    """No event opens a connection again."""
    assert {NEXT[end, event] for event in EVENTS if (end, event) in NEXT} == {end}


def test_every_state_can_come_to_an_end() -> None:
    """From anywhere there is a way to LEFT, whatever the application does."""
    for state in {*State} - {State.CLOSED}:
        assert advance(state, DISCONNECT) is State.LEFT


def test_every_state_can_be_reached() -> None:
    """A state that no event leads to would be dead text."""
    reached = {State.CONNECTING, *NEXT.values()}

    assert reached == {*State}
