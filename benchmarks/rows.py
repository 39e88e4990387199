"""What is compared, and under which load: the two tables that all else reads.

A new framework or server is a factory in `apps` or a function in `servers` or `peers`, and
a line here.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from starlette.types import ASGIApp

from benchmarks import apps, events, fans, peers
from benchmarks.servers import MakeApp, Serve, on_bocadillo, on_granian, on_hypercorn, on_uvicorn


def json_text(size_bytes: int) -> bytes:
    """Return `{"id":1,"text":"xx…"}` of exactly *size_bytes*, at least 19.

    Compact, so that whoever parses and writes it again sends back the very same bytes, and
    rows that parse can be compared with rows that do not.
    """
    start, end = b'{"id":1,"text":"', b'"}'
    return start + b"x" * (size_bytes - len(start) - len(end)) + end


def varied_text(size_bytes: int) -> bytes:
    """Return *size_bytes* of words, which a compressor halves or so, and the same each time."""
    words = random.Random(5).choices([f"{n:x}" for n in range(3000)], k=size_bytes)
    return " ".join(words).encode()[:size_bytes]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load, in the words of load.c: mode "echo", "fan", "idle" or "churn".

    Where it is *compressed*, messages go both ways with permessage-deflate; with *tls*, all
    goes through TLS.
    """

    name: str
    connections: int
    in_flight: int = 1
    payload_bytes: int = 64
    mode: str = "echo"
    is_compressed: bool = False
    is_tls: bool = False

    @property
    def title(self) -> str:
        """The load in words."""
        shown = f"{self.mode}, {self.connections:,} connections"
        if self.mode in ("echo", "fan"):
            shown += f" × {self.in_flight} in flight, {_size(self.payload_bytes)}"
        shown += ", compressed" if self.is_compressed else ""
        return shown + (", TLS" if self.is_tls else "")

    @property
    def cost(self) -> str:
        """What is compared, and its unit."""
        costs = {"idle": "KB/connection", "churn": "CPU µs/connection"}
        return costs.get(self.mode, "CPU µs/message")


def _size(size_bytes: int) -> str:
    for unit, bytes_each in (("MiB", 1024 * 1024), ("KiB", 1024)):
        if size_bytes % bytes_each == 0:
            return f"{size_bytes // bytes_each} {unit}"
    return f"{size_bytes} B"


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("64x1", connections=64),
        Scenario("64x16", connections=64, in_flight=16),
        Scenario("16x4-64k", connections=16, in_flight=4, payload_bytes=64 * 1024),
        Scenario("4x2-1m", connections=4, in_flight=2, payload_bytes=1024 * 1024),
        Scenario("deflate", 64, in_flight=4, payload_bytes=1024, is_compressed=True),
        Scenario("tls-64x1", connections=64, is_tls=True),
        Scenario("tls-64x16", connections=64, in_flight=16, is_tls=True),
        Scenario("fan-1", connections=1000, mode="fan"),
        Scenario("fan-16", connections=1000, in_flight=16, mode="fan"),
        Scenario("fan-100", connections=100, mode="fan"),
        Scenario("fan-10000", connections=10_000, mode="fan"),
        Scenario("fan-19000", connections=19_000, mode="fan"),
        Scenario("idle", connections=5000, mode="idle"),
        Scenario("idle-1000", connections=1000, mode="idle"),
        Scenario("idle-10000", connections=10_000, mode="idle"),
        Scenario("idle-19000", connections=19_000, mode="idle"),
        Scenario("churn", connections=32, mode="churn"),
    )
}

ECHOES = ("64x1", "64x16", "16x4-64k")
ALL = (*ECHOES, "4x2-1m", "idle", "churn")
FANS = ("fan-1", "fan-16")
GROWING_FANS = (*FANS, "fan-100", "fan-10000", "fan-19000")
GROWING = (*ALL, "idle-1000", "idle-10000", "idle-19000")
SECURE = ("tls-64x1", "tls-64x16")


@dataclass(frozen=True, slots=True)
class Row:
    """A program to measure.

    Args:
        name: What `--rows` calls it.
        title: What the report calls it.
        serve: Serves it on a listening socket.
        baseline: Name of the row that its cost is compared with; its own name for none.
        payload: Returns what the clients send, of a given size in bytes.
        scenarios: The names of the scenarios that it runs.
        needs: The modules without which it cannot run.
        is_tls: Whether it is served by TLS.
    """

    name: str
    title: str
    serve: Serve
    baseline: str = "raw"
    payload: Callable[[int], bytes] = json_text
    scenarios: tuple[str, ...] = ALL
    needs: tuple[str, ...] = ()
    is_tls: bool = False

    def missing(self) -> list[str]:
        """Return the modules that it needs and that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


def _ours(
    name: str,
    title: str,
    make_app: MakeApp,
    scenarios: tuple[str, ...] = ALL,
    needs: tuple[str, ...] = (),
) -> Row:
    return Row(name, title, on_bocadillo(make_app), "ours-raw", json_text, scenarios, needs)


def _server(name: str, serve: Serve) -> Row:
    return Row(name, f"{name}, its own echo", serve, baseline=name, needs=(name, "uvloop"))


def _fan(name: str, title: str, serve: Serve, scenarios: tuple[str, ...] = FANS) -> Row:
    return Row(name, title, serve, baseline="fan", scenarios=scenarios)


def _events(
    name: str,
    title: str,
    make_app: Callable[[], ASGIApp],
    payload: Callable[[int], bytes] = events.event_text,
    needs: tuple[str, ...] = (),
) -> Row:
    return Row(name, title, on_uvicorn(make_app), "raw", payload, ECHOES, needs)


def _deflate(name: str, title: str, serve: Serve) -> Row:
    return Row(name, title, serve, "raw-deflate", varied_text, ("deflate",))


def _secure(name: str, title: str, serve: Serve, needs: tuple[str, ...] = ()) -> Row:
    return Row(name, title, serve, "tls-raw", scenarios=SECURE, needs=needs, is_tls=True)


ROWS = {
    row.name: row
    for row in (
        # uvicorn's default protocol is its websockets-sansio.
        Row("raw", "raw ASGI", on_uvicorn(apps.raw), scenarios=GROWING),
        Row("raw-websockets", "raw ASGI, websockets", on_uvicorn(apps.raw, ws="websockets")),
        Row(
            "raw-wsproto",
            "raw ASGI, wsproto",
            on_uvicorn(apps.raw, ws="wsproto"),
            needs=("wsproto",),
        ),
        Row("starlette", "Starlette", on_uvicorn(apps.starlette)),
        Row("fastapi", "FastAPI", on_uvicorn(apps.fastapi), needs=("fastapi",)),
        Row("litestar", "Litestar", on_uvicorn(apps.litestar), needs=("litestar",)),
        Row("bocadillo-text", "bocadillo, text", on_uvicorn(apps.bocadillo_text)),
        Row("bocadillo-json", "bocadillo, json", on_uvicorn(apps.bocadillo_json)),
        Row("bocadillo-typed", "bocadillo, typed", on_uvicorn(apps.bocadillo_typed)),
        _ours("ours-raw", "ours: raw ASGI", apps.raw, GROWING),
        _ours("ours-text", "ours: bocadillo, text", apps.bocadillo_text, GROWING),
        _ours("ours-starlette", "ours: Starlette", apps.starlette),
        _ours("ours-fastapi", "ours: FastAPI", apps.fastapi, needs=("fastapi",)),
        _ours("ours-litestar", "ours: Litestar", apps.litestar, needs=("litestar",)),
        _server("picows", peers.picows_echo),
        _server("websockets", peers.websockets_echo),
        _server("aiohttp", peers.aiohttp_echo),
        Row("granian", "granian, raw ASGI", on_granian(apps.raw), "granian", needs=("granian",)),
        Row(
            "hypercorn",
            "hypercorn, raw ASGI",
            on_hypercorn(apps.raw),
            "hypercorn",
            needs=("hypercorn", "uvloop"),
        ),
        Row("raw-asyncio", "raw ASGI, asyncio's loop", on_uvicorn(apps.raw, loop="asyncio")),
        Row(
            "ours-asyncio",
            "ours: raw ASGI, asyncio's loop",
            on_bocadillo(apps.raw, loop="asyncio"),
            "ours-raw",
        ),
        _events("events", "bocadillo, events, pydantic", events.bocadillo_pydantic),
        _events(
            "events-msgspec",
            "bocadillo, events, msgspec",
            events.bocadillo_msgspec,
            needs=("msgspec",),
        ),
        _events("events-starlette", "Starlette + pydantic by hand", events.starlette_pydantic),
        _events(
            "events-litestar",
            "Litestar, listener of a model",
            events.litestar_listener,
            needs=("litestar",),
        ),
        _events("events-chanx", "chanx", events.chanx, events.chanx_text, needs=("chanx",)),
        _deflate("raw-deflate", "raw ASGI", on_uvicorn(apps.raw, compress=True)),
        _deflate("ours-deflate", "ours: raw ASGI", on_bocadillo(apps.raw, compress=True)),
        _secure("tls-raw", "raw ASGI", on_uvicorn(apps.raw, with_tls=True)),
        _secure("tls-ours-raw", "ours: raw ASGI", on_bocadillo(apps.raw, with_tls=True)),
        _secure(
            "tls-ours-text",
            "ours: bocadillo, text",
            on_bocadillo(apps.bocadillo_text, with_tls=True),
        ),
        _secure("tls-picows", "picows, its own echo", peers.picows_secure, ("picows", "uvloop")),
        _fan("fan", "raw ASGI, a loop of sends", on_uvicorn(fans.loop), GROWING_FANS),
        _fan("ours-fan-loop", "ours: raw ASGI, a loop of sends", on_bocadillo(fans.loop)),
        _fan("ours-fan", "ours: bocadillo.broadcast", on_bocadillo(fans.extension), GROWING_FANS),
        _fan(
            "ours-fan-publish",
            "ours: bocadillo, publish",
            on_bocadillo(fans.publish),
            GROWING_FANS,
        ),
        _fan("ours-fan-view", "ours: bocadillo, WebSocketView", on_bocadillo(fans.view)),
        Row(
            "picows-fan",
            "picows, a loop of sends",
            peers.picows_fan,
            "fan",
            scenarios=FANS,
            needs=("picows", "uvloop"),
        ),
    )
}
