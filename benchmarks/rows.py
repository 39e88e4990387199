"""What is compared, and under which load: the two tables that all else reads.

A new framework or server is a factory in `apps` or a function in `servers`, and a line here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp

from benchmarks import apps, events
from benchmarks.servers import Serve, on_uvicorn


def json_text(size_bytes: int) -> bytes:
    """Return `{"id":1,"text":"xx…"}` of exactly *size_bytes*, at least 19.

    Compact, so that whoever parses and writes it again sends back the very same bytes, and
    rows that parse can be compared with rows that do not.
    """
    start, end = b'{"id":1,"text":"', b'"}'
    return start + b"x" * (size_bytes - len(start) - len(end)) + end


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load, in the words of load.c: mode "echo", "fan" or "idle"."""

    name: str
    connections: int
    in_flight: int
    payload_bytes: int
    mode: str = "echo"

    @property
    def title(self) -> str:
        """The load in words."""
        size = self.payload_bytes
        shown = f"{size // 1024} KiB" if size % 1024 == 0 else f"{size} B"
        return f"{self.mode}, {self.connections} connections × {self.in_flight} in flight, {shown}"


@dataclass(frozen=True, slots=True)
class Row:
    """A program to measure.

    Args:
        name: What `--rows` calls it.
        title: What the report calls it.
        serve: Serves it on a listening socket.
        baseline: Name of the row that its cost is compared with.
        payload: Returns what the clients send, of a given size in bytes.
        modes: The modes of scenarios it can run.
    """

    name: str
    title: str
    serve: Serve
    baseline: str = "raw"
    payload: Callable[[int], bytes] = json_text
    modes: tuple[str, ...] = ("echo",)


def _events(
    name: str,
    title: str,
    make_app: Callable[[], ASGIApp],
    payload: Callable[[int], bytes] = events.event_text,
) -> Row:
    return Row(name, title, on_uvicorn(make_app), payload=payload)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("64x1", connections=64, in_flight=1, payload_bytes=64),
        Scenario("64x16", connections=64, in_flight=16, payload_bytes=64),
        Scenario("16x4-64k", connections=16, in_flight=4, payload_bytes=64 * 1024),
    )
}

ROWS = {
    row.name: row
    for row in (
        Row("raw", "raw ASGI", on_uvicorn(apps.raw)),
        Row("starlette", "Starlette", on_uvicorn(apps.starlette)),
        Row("bocadillo-text", "bocadillo, text", on_uvicorn(apps.bocadillo_text)),
        Row("bocadillo-json", "bocadillo, json", on_uvicorn(apps.bocadillo_json)),
        Row("bocadillo-typed", "bocadillo, typed", on_uvicorn(apps.bocadillo_typed)),
        _events("events", "bocadillo, events, pydantic", events.bocadillo_pydantic),
        _events("events-msgspec", "bocadillo, events, msgspec", events.bocadillo_msgspec),
        _events("events-starlette", "Starlette + pydantic by hand", events.starlette_pydantic),
        _events("events-litestar", "Litestar, listener of a model", events.litestar_listener),
        _events("events-chanx", "chanx", events.chanx, events.chanx_text),
    )
}
