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

from benchmarks import apps, machine
from benchmarks.options import at_least
from benchmarks.rows import json_text

PAYLOAD_BYTES = 64

PROGRAMS: dict[str, Callable[[], ASGIApp]] = {
    "raw ASGI": apps.raw,
    "Starlette: receive_text, send_text": apps.starlette,
    "bocadillo: async for, send": apps.bocadillo_text,
    "bocadillo: receive, send": apps.bocadillo_receive,
    "bocadillo: receive_text, send_text": apps.bocadillo_receive_text,
    "bocadillo, json: async for, send": apps.bocadillo_json,
    "bocadillo, typed: async for, send": apps.bocadillo_typed,
}
RAW = "raw ASGI"
TEXT_VIEW = "bocadillo: async for, send"
GOAL_OVER_RAW_US = 0.6  # for TEXT_VIEW, at most


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
        report = {**facts, "results": [asdict(cost) for cost in costs], "goal": _goal(costs)}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def measure(rounds: int, messages: int) -> list[Cost]:
    """Return the cost of each program: the best of *rounds* rounds of *messages* messages."""
    programs = {name: make_app() for name, make_app in PROGRAMS.items()}
    for name, app in programs.items():
        _check(name, app)
    best = dict.fromkeys(programs, float("inf"))
    for _ in range(rounds):
        for name, app in programs.items():
            best[name] = min(best[name], asyncio.run(_time(app, messages)))
    return [Cost(name, us, us - best[RAW]) for name, us in best.items()]


async def _time(app: ASGIApp, messages: int) -> float:
    """Return the CPU time per message, in microseconds."""

    async def send(event: Message) -> None:
        pass

    events = _events(messages)

    async def receive() -> Message:
        return next(events)

    gc.collect()
    gc.disable()
    try:
        start = time.thread_time_ns()
        await app(_scope(), receive, send)
        return (time.thread_time_ns() - start) / messages / 1000
    finally:
        gc.enable()


def _check(name: str, app: ASGIApp) -> None:
    """Refuse to measure a program that does not echo."""
    sent: list[Message] = []
    events = _events(2)

    async def receive() -> Message:
        return next(events)

    async def send(event: Message) -> None:
        sent.append(event)

    async def run() -> None:
        await app(_scope(), receive, send)

    asyncio.run(run())
    echoes = [event.get("text") for event in sent if event["type"] == "websocket.send"]
    if echoes != [json_text(PAYLOAD_BYTES).decode()] * 2:
        raise RuntimeError(f"{name} does not echo: of two messages it made {echoes}")


def _events(messages: int) -> Iterator[Message]:
    """Return what a server would hand over: a connection with that many messages."""
    text = json_text(PAYLOAD_BYTES).decode()
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
    goal = _goal(costs)
    options = facts["options"]
    paragraphs = [
        f"# In-process benchmarks of {facts['date']}",
        machine.in_words(facts["machine"], facts["versions"]),
        f"Best of {options['rounds']} rounds of {options['messages']} messages of "
        f"{PAYLOAD_BYTES} B, received and sent.",
        "\n".join(["| program | CPU µs/message | over raw ASGI |", "|---|---:|---:|", *rows]),
        f"Goal: {goal['program']}: at most {goal['at_most_over_raw_us']} µs over raw ASGI. "
        f"Now {goal['over_raw_us']:.3f}: {'met' if goal['is_met'] else 'not met'}.",
    ]
    return "\n\n".join(paragraphs) + "\n"


def _goal(costs: Sequence[Cost]) -> dict[str, Any]:
    over_raw_us = next(cost.over_raw_us for cost in costs if cost.program == TEXT_VIEW)
    return {
        "program": TEXT_VIEW,
        "at_most_over_raw_us": GOAL_OVER_RAW_US,
        "over_raw_us": over_raw_us,
        "is_met": over_raw_us <= GOAL_OVER_RAW_US,
    }


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
