"""What a message costs without a server: `python -m benchmarks.inprocess`.

Each program echoes messages that are there already, within one thread: receive and send,
nothing else. The CPU time of the best of many rounds hardly depends on what else runs.
"""

import argparse
import asyncio
import gc
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message

from benchmarks import apps, events, machine
from benchmarks.options import at_least
from benchmarks.rows import json_text

PAYLOAD_BYTES = 64


@dataclass(frozen=True, slots=True)
class Program:
    """A program, and what it echoes, of a size in bytes."""

    make_app: Callable[[], ASGIApp]
    payload: Callable[[int], bytes] = json_text


RAW = "raw ASGI"
TEXT_VIEW = "bocadillo: async for, send"
JSON_VIEW = "bocadillo, json: async for, send"
EVENTS = "bocadillo, events, pydantic"
EVENTS_MSGSPEC = "bocadillo, events, msgspec"

PROGRAMS = {
    RAW: Program(apps.raw),
    "Starlette: receive_text, send_text": Program(apps.starlette),
    TEXT_VIEW: Program(apps.bocadillo_text),
    "bocadillo: receive, send": Program(apps.bocadillo_receive),
    "bocadillo: receive_text, send_text": Program(apps.bocadillo_receive_text),
    JSON_VIEW: Program(apps.bocadillo_json),
    "bocadillo, typed: async for, send": Program(apps.bocadillo_typed),
    "Starlette, events by hand": Program(events.starlette_pydantic, events.event_text),
    EVENTS: Program(events.bocadillo_pydantic, events.event_text),
    EVENTS_MSGSPEC: Program(events.bocadillo_msgspec, events.event_text),
}

# What one program may cost over another at most, in microseconds.
GOALS = ((TEXT_VIEW, RAW, 0.6), (EVENTS, JSON_VIEW, 1.8), (EVENTS_MSGSPEC, JSON_VIEW, 0.8))


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU per message of one program, in microseconds."""

    program: str
    us: float
    over_raw_us: float


def main() -> None:
    options = _options()
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "options": {"rounds": options.rounds, "messages": options.messages},
        "machine": machine.machine(),
        "versions": machine.versions(),
    }
    costs = measure(options.rounds, options.messages)
    print(_markdown(facts, costs), end="")
    if options.json is not None:
        report = {**facts, "results": [asdict(cost) for cost in costs], "goals": _goals(costs)}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def measure(rounds: int, messages: int) -> list[Cost]:
    """Return the cost of each program: the best of *rounds* rounds of *messages* messages."""
    programs = {name: program.make_app() for name, program in PROGRAMS.items()}
    texts = {name: one.payload(PAYLOAD_BYTES).decode() for name, one in PROGRAMS.items()}
    for name, app in programs.items():
        _check(name, app, texts[name])
    best = dict.fromkeys(programs, float("inf"))
    for _ in range(rounds):
        for name, app in programs.items():
            best[name] = min(best[name], asyncio.run(_time(app, texts[name], messages)))
    return [Cost(name, us, us - best[RAW]) for name, us in best.items()]


async def _time(app: ASGIApp, text: str, messages: int) -> float:
    """Return the CPU time per message, in microseconds."""

    async def send(event: Message) -> None:
        pass

    queued = _events(text, messages)

    async def receive() -> Message:
        return next(queued)

    gc.collect()
    gc.disable()
    try:
        start = time.thread_time_ns()
        await app(_scope(), receive, send)
        return (time.thread_time_ns() - start) / messages / 1000
    finally:
        gc.enable()


def _check(name: str, app: ASGIApp, text: str) -> None:
    """Refuse to measure a program that does not echo."""
    sent: list[Message] = []
    queued = _events(text, 2)

    async def receive() -> Message:
        return next(queued)

    async def send(event: Message) -> None:
        sent.append(event)

    async def run() -> None:
        await app(_scope(), receive, send)

    asyncio.run(run())
    echoes = [event.get("text") for event in sent if event["type"] == "websocket.send"]
    if echoes != [text] * 2:
        raise RuntimeError(f"{name} does not echo: of two messages it made {echoes}")


def _events(text: str, messages: int) -> Iterator[Message]:
    """Return what a server would hand over: a connection with that many messages."""
    return itertools.chain(
        [{"type": "websocket.connect"}],
        itertools.repeat({"type": "websocket.receive", "text": text}, messages),
        [{"type": "websocket.disconnect", "code": 1000, "reason": ""}],
    )


def _scope() -> dict[str, Any]:
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "scheme": "ws",
        "path": "/",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "subprotocols": [],
    }


# Reporting


def _markdown(facts: Mapping[str, Any], costs: Sequence[Cost]) -> str:
    rows = [
        f"| {cost.program} | {cost.us:.3f} | "
        + ("–" if cost.program == RAW else f"{cost.over_raw_us:+.3f}")
        + " |"
        for cost in costs
    ]
    options = facts["options"]
    paragraphs = [
        f"# In-process benchmarks of {facts['date']}",
        machine.in_words(facts["machine"], facts["versions"]),
        f"Best of {options['rounds']} rounds of {options['messages']} messages of "
        f"{PAYLOAD_BYTES} B, received and sent.",
        "\n".join(["| program | CPU µs/message | over raw ASGI |", "|---|---:|---:|", *rows]),
        "\n".join(
            f"- {goal['program']}: at most {goal['at_most_us']} µs over {goal['over']}. "
            f"Now {goal['now_us']:.3f}: {'met' if goal['is_met'] else 'not met'}."
            for goal in _goals(costs)
        ),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _goals(costs: Sequence[Cost]) -> list[dict[str, Any]]:
    us = {cost.program: cost.us for cost in costs}
    return [
        {
            "program": program,
            "over": other,
            "at_most_us": at_most_us,
            "now_us": us[program] - us[other],
            "is_met": us[program] - us[other] <= at_most_us,
        }
        for program, other, at_most_us in GOALS
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.inprocess",
        description="Measure what a message costs a program, without a server.",
    )
    add = parser.add_argument
    add("--rounds", type=at_least(1, int), default=25, help="the best counts; default: 25")
    add("--messages", type=at_least(1, int), default=20_000, help="a round; default: 20000")
    add("--json", type=Path, metavar="FILE", help="write everything there, too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
