"""`bocadillo run --compress`: off unless it is asked for, and then from so many bytes on."""

import pytest
from websockets.extensions import Extension
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection
from websockets.typing import ExtensionName

from tests.cli.conftest import ECHO, Project, Served
from tests.cli.test_processes import PATIENCE_S, opened, running

COMPRESSED = {
    "": (None, []),
    "--compress": ("permessage-deflate", [256, 1000]),
    "--compress --compress-from-bytes 1000": ("permessage-deflate", [1000]),
}


@pytest.mark.parametrize("options", COMPRESSED)
def test_compression_is_agreed_on_where_it_was_asked_for(project: Project, options: str) -> None:
    """Off by default, whatever a client offers; else from so many bytes on."""
    project.write("chat.py", ECHO)
    agreed, compressed = COMPRESSED[options]

    with (
        running("chat:app", *options.split()) as server,
        opened(f"ws://{server.authority()}/echo") as ws,  # which offers it
    ):
        assert ws.response is not None
        answer = ws.response.headers.get("Sec-WebSocket-Extensions")
        frames = seen_frames(ws)
        for size in (10, 255, 256, 1000):
            ws.send("x" * size)
            assert ws.recv(PATIENCE_S) == "x" * size

    assert (answer and answer.partition(";")[0]) == agreed
    assert [len(frame.data) < 100 for frame in frames] == [
        size == 10 or size in compressed for size in (10, 255, 256, 1000)
    ]


def seen_frames(ws: ClientConnection) -> list[Frame]:
    """Return a list to which the frames of messages are added as they come, before inflating."""
    frames: list[Frame] = []

    class Noting(Extension):
        name = ExtensionName("noting")

        def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
            if frame.opcode is Opcode.TEXT:
                frames.append(frame)
            return frame

        def encode(self, frame: Frame) -> Frame:
            return frame

    ws.protocol.extensions = [*ws.protocol.extensions, Noting()]  # the last decodes first
    return frames


@pytest.mark.parametrize("is_asked", [False, True])
@pytest.mark.parametrize("ws", ["bocadillo", "wsproto"])
def test_compression_is_off_unless_it_is_asked_for(
    served: Served, project: Project, ws: str, is_asked: bool
) -> None:
    """With any protocol; uvicorn's command has it on."""
    words = ["--compress"] if is_asked else []

    project.run("run", "chat:app", "--port", "0", "--ws", ws, *words)

    assert served.config.ws_per_message_deflate is is_asked


def test_a_size_to_compress_from_needs_compression(served: Served, project: Project) -> None:
    """Whoever gives it alone believes that something is compressed."""
    result = project.run("run", "chat:app", "--compress-from-bytes", "100")

    assert result.exit_code == 2
    assert "--compress-from-bytes needs --compress" in result.stderr
    assert not hasattr(served, "config")
