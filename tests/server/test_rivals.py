"""The same streams, read here, by `websockets` and by `wsproto`: the same messages and endings.

Where they differ on purpose:

| what | here | websockets | wsproto |
|---|---|---|---|
| a length in more bytes than needed, of control frames too | 1002 | read | 1002 |
| a close in the middle of a fragmented message | read, as Autobahn 7.1.5 has it | 1002 | read |
| text that cannot become UTF-8 | 1007 at once | at its end | 1007 at once |
| a wrong header whose payload has not come | refused at once | when it has come | at once |
| more than the limit | 1009 | 1009 | has no limit |
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close as TheirClose
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol, State
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate
from wsproto.frame_protocol import FrameProtocol, ParseFailed

from bocadillo.server.deflate import Inflate, compress_once
from bocadillo.server.frames import Close, Ping, Pong
from bocadillo.server.parser import Parser
from tests.server.clients import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    client_frame,
    close,
    fragments,
)
from tests.server.corpus import CORPUS

LIMIT = 20_000
Read = tuple[list[object], str]  # messages, and "ok", or the reason of the failure
Rival = Callable[[bytes, bool], Read]


def here(stream: bytes, deflate: bool) -> Read:
    parser = Parser(LIMIT, Inflate() if deflate else None)
    read: list[object] = list(parser.feed(stream))
    if parser.failure is None:
        return read, "ok"
    return read[:-1], parser.failure.reason


def joined(opcode: int, parts: list[bytes]) -> str | bytes:
    payload = b"".join(parts)
    return payload.decode() if opcode == TEXT else payload


def by_websockets(stream: bytes, deflate: bool) -> Read:
    """Its frames are put together here, as its connections do it."""
    extensions = [PerMessageDeflate(True, True, 15, 15)] if deflate else []
    protocol = Protocol(SERVER, state=State.OPEN, max_size=LIMIT)
    protocol.extensions = list(extensions)
    protocol.receive_data(stream)
    read: list[object] = []
    opcode, parts = 0, list[bytes]()
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        payload = bytes(event.data)
        match event.opcode:
            case Opcode.PING:
                read.append(Ping(payload))
            case Opcode.PONG:
                read.append(Pong(payload))
            case Opcode.CLOSE:
                close = TheirClose.parse(payload)
                read.append(Close(int(close.code), close.reason))
            case kind:
                opcode = opcode if kind is Opcode.CONT else int(kind)
                parts.append(payload)
                if event.fin:
                    try:
                        read.append(joined(opcode, parts))
                    except UnicodeDecodeError:
                        return read, "text"
                    parts = []
    return read, "ok" if protocol.parser_exc is None else str(protocol.parser_exc)


def by_wsproto(stream: bytes, deflate: bool) -> Read:
    extension = WsprotoDeflate()
    extension.accept("permessage-deflate; client_no_context_takeover; server_no_context_takeover")
    protocol = FrameProtocol(client=False, extensions=[extension] if deflate else [])
    protocol.receive_bytes(stream)
    read: list[object] = []
    parts: list[Any] = []
    try:
        for frame in protocol.received_frames():
            payload: Any = frame.payload
            match frame.opcode.name:
                case "PING":
                    read.append(Ping(bytes(payload)))
                case "PONG":
                    read.append(Pong(bytes(payload)))
                case "CLOSE":
                    code, reason = payload
                    read.append(Close(int(code), reason))
                case _:
                    parts.append(payload)
                    if frame.message_finished:
                        read.append(type(payload)().join(parts))
                        parts = []
    except ParseFailed as failed:
        return read, str(failed)
    return read, "ok"


# Failures of ours at which a rival may go on, by the table.
OURS_ALONE: dict[Rival, tuple[str, ...]] = {
    by_websockets: ("as few bytes", "at most 125 bytes", "text is not valid"),
    by_wsproto: ("allowed are",),
}


def compare(stream: bytes, rival: Rival, deflate: bool = False) -> None:
    """Assert that *stream* is read alike, but for the differences of the table."""
    read, ours = here(stream, deflate)
    rivals_read, theirs = rival(stream, deflate)
    if any(words in ours for words in OURS_ALONE[rival]):
        rivals_read = rivals_read[: len(read)]
    elif theirs == "incomplete fragmented message":
        assert isinstance(read.pop(), Close)
    elif ours == "ok":
        assert theirs == "ok", theirs
    elif theirs == "ok":
        # It waits for the rest of a frame that is refused here. With the rest it refuses it too.
        rivals_read, theirs = rival(stream + bytes(2**17), deflate)
        assert theirs != "ok", ours
    assert read == rivals_read


@pytest.mark.parametrize("rival", [by_websockets, by_wsproto])
@pytest.mark.parametrize("kept", CORPUS)
def test_kept_streams_are_read_alike(kept: str, rival: Rival) -> None:
    """What is kept in the corpus has told implementations apart before."""
    compare(bytes.fromhex(CORPUS[kept][0]), rival)


payloads = st.one_of(st.binary(max_size=140), st.text(max_size=60).map(str.encode))
masks = st.binary(min_size=4, max_size=4)
messages = st.builds(
    client_frame,
    st.sampled_from([TEXT, BINARY]),
    st.one_of(st.text(max_size=90).map(str.encode), st.binary(max_size=300)),
    mask=masks,
)
controls = st.builds(client_frame, st.sampled_from([PING, PONG]), st.binary(max_size=125))
closes = st.builds(
    close,
    st.integers(990, 5010) | st.sampled_from([0, 65_535]),
    st.text(max_size=20).map(str.encode) | st.binary(max_size=20),
)
fragmented = st.builds(
    lambda opcode, parts: fragments(opcode, *parts),
    st.sampled_from([TEXT, BINARY]),
    st.lists(payloads, min_size=1, max_size=4),
)
odd = st.builds(
    client_frame,
    st.integers(0, 15),
    payloads,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 1, 2, 3]),
    mask=st.one_of(masks, masks, masks, st.none()),
    announced=st.one_of(st.none(), st.none(), st.integers(0, 2**64 - 1)),
    length_bits=st.sampled_from([None, None, None, 64]),
)
streams = st.lists(st.one_of(messages, controls, fragmented, odd, closes), max_size=6).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A stream in which up to four places are changed, cut out or put in, and its end lost."""
    stream = draw(streams)
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(stream)))
        cut = draw(st.integers(0, 3))
        stream = stream[:start] + draw(st.binary(max_size=3)) + stream[start + cut :]
    return stream[: len(stream) - draw(st.integers(0, 4))]


@pytest.mark.parametrize("rival", [by_websockets, by_wsproto])
@settings(max_examples=300, deadline=None)
@given(stream=mutated())
def test_mutated_streams_are_read_alike(rival: Rival, stream: bytes) -> None:
    """A stream on which two parsers differ is a way around whoever filters by one of them."""
    compare(stream, rival)


@pytest.mark.parametrize("rival", [by_websockets, by_wsproto])
@given(stream=st.binary(max_size=60))
def test_random_bytes_are_read_alike(rival: Rival, stream: bytes) -> None:
    """Among them what no builder of frames would make."""
    compare(stream, rival)


compressed = st.builds(
    lambda opcode, text, cut, level: (
        client_frame(
            opcode, (sent := compress_once(text.encode(), 15, level))[:cut], rsv=4, fin=False
        )
        + client_frame(CONTINUATION, sent[cut:])
    ),
    st.sampled_from([TEXT, BINARY]),
    st.text(max_size=200),
    st.integers(0, 30),
    st.integers(1, 9),
)


@pytest.mark.parametrize("rival", [by_websockets, by_wsproto])
@given(stream=st.lists(compressed | messages | controls | odd, max_size=5).map(b"".join))
def test_compressed_streams_are_read_alike(rival: Rival, stream: bytes) -> None:
    """Compressed messages between plain ones, right and wrong."""
    compare(stream, rival, deflate=True)
