"""Told or cancelled, never both: handlers whose client has left."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bocadillo import ConfigurationError, WebSocket, WebSocketDisconnect, leaving
from bocadillo.leaving import Cancellation, Times, Watch
from tests.fakes import FakeServer, left, run, settle, text

Handler = Callable[[WebSocket[Any, Any]], Awaitable[object]]

FAST = Times(leave_grace_s=0.05, shutdown_grace_s=0.2)


@pytest.fixture(autouse=True)
def _quick_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "SWEEP_INTERVAL_S", 0.01)


async def handle(server: FakeServer, handler: Handler, times: Times = FAST) -> Cancellation | None:
    """Run a handler under watch; return why it was cancelled, None if it was not."""
    ws = await server.accepted()

    async def watched() -> Cancellation | None:
        watch = Watch(ws, times)
        try:
            await handler(ws)
        except asyncio.CancelledError:
            return watch.cancellation
        finally:
            watch.stop()
            ws._inbox.close()
        return None

    return await asyncio.create_task(watched())


def test_a_handler_that_does_not_come_back_is_cancelled() -> None:
    """A client that left must not keep a handler and what it holds for ever."""

    async def scenario() -> None:
        assert await handle(FakeServer(left(1000, "")), lambda ws: asyncio.sleep(60))

    run(scenario)


def test_a_client_that_leaves_later_is_noticed_too() -> None:
    """The reading ahead waits for it, however long that takes."""

    async def scenario() -> None:
        server = FakeServer(text("unread"))

        async def handler(ws: WebSocket) -> None:
            while server.queue.qsize():  # until the sweep has read ahead
                await asyncio.sleep(0.001)
            server.queue.put_nowait(left(1001))
            await asyncio.sleep(60)

        assert await handle(server, handler)

    run(scenario)


def test_a_handler_that_is_told_is_never_cancelled() -> None:
    """An `except WebSocketDisconnect` block may take its time."""

    async def scenario() -> None:
        steps = []

        async def handler(ws: WebSocket) -> None:
            try:
                await ws.receive()
            except WebSocketDisconnect:
                steps.append("told")
                await asyncio.sleep(0.3)  # six times the grace
                steps.append("done")

        assert not await handle(FakeServer(left(4000, "")), handler)
        assert steps == ["told", "done"]

    run(scenario)


def test_a_handler_that_is_told_by_a_send_is_never_cancelled() -> None:
    """On servers that let a send succeed, the sweep makes it fail."""

    async def scenario() -> None:
        told = []

        async def handler(ws: WebSocket) -> None:
            try:
                while True:
                    await ws.send("tick")
                    await asyncio.sleep(0.001)
            except WebSocketDisconnect as exc:
                told.append(exc.code)
                await asyncio.sleep(0.2)

        assert not await handle(FakeServer(left(4000, "")), handler)
        assert told == [4000]

    run(scenario)


def test_a_handler_that_works_through_its_messages_is_left_to_finish() -> None:
    """Ten messages followed at once by a close are all handled, each within the grace."""

    async def scenario() -> None:
        server = FakeServer(*(text(str(n)) for n in range(10)), left(1000, ""))
        got = []

        async def handler(ws: WebSocket) -> None:
            async for message in ws:
                await asyncio.sleep(0.03)
                got.append(message)
            got.append("end")

        assert not await handle(server, handler)
        assert got == [*map(str, range(10)), "end"]

    run(scenario)


def test_a_handler_that_stops_coming_back_is_cancelled_then() -> None:
    """Coming back once is no licence to stay."""

    async def scenario() -> None:
        async def handler(ws: WebSocket) -> None:
            await asyncio.sleep(0.04)
            await ws.receive()
            await asyncio.sleep(60)

        assert await handle(FakeServer(text("a"), left(1000, "")), handler)

    run(scenario)


def test_a_handler_that_waits_in_receive_is_not_read_ahead_for() -> None:
    """It is told at once, and its connection costs the sweep one look."""

    async def scenario() -> None:
        server = FakeServer()

        async def handler(ws: WebSocket) -> None:
            reader = asyncio.create_task(ws.receive())
            await asyncio.sleep(0.1)
            assert ws._inbox.is_waiting
            assert ws._inbox._ahead_task is None
            server.queue.put_nowait(text("a"))
            assert await reader == "a"

        assert not await handle(server, handler)

    run(scenario)


def test_a_handler_that_has_closed_by_itself_is_not_cancelled() -> None:
    """Its client has not left; the handler did, and may clean up."""

    async def scenario() -> None:
        server = FakeServer()
        done = []

        async def handler(ws: WebSocket) -> None:
            await ws.close(4000)
            server.queue.put_nowait(left(4000, ""))
            await asyncio.sleep(0.2)
            done.append(True)

        assert not await handle(server, handler)
        assert done

    run(scenario)


def test_a_shutdown_cancels_after_its_grace_whether_told_or_not() -> None:
    """uvicorn tells of it as a leaving with 1012; the process wants to end."""

    async def scenario() -> None:
        async def told(ws: WebSocket) -> None:
            with pytest.raises(WebSocketDisconnect, match="1012"):
                await ws.receive()
            await asyncio.sleep(60)

        loop = asyncio.get_running_loop()
        for handler in (told, lambda ws: asyncio.sleep(60)):
            began = loop.time()
            assert await handle(FakeServer(left(1012)), handler)
            assert loop.time() - began >= FAST.shutdown_grace_s

    run(scenario)


def test_a_peer_that_takes_nothing_counts_as_lost() -> None:
    """A peer that stops reading must not hold a handler, and what it holds, for ever."""

    async def scenario() -> None:
        server = FakeServer()
        reached = []

        async def handler(ws: WebSocket) -> None:
            reached.append(ws)
            await ws.send("first")
            fake: Any = ws
            fake._raw_send = lambda event: asyncio.sleep(60)
            await ws.send("never taken")

        why = await handle(server, handler, Times(send_timeout_s=0.05))

        assert why is Cancellation.DEAF
        assert reached[0].close_code == 1006
        with pytest.raises(WebSocketDisconnect, match="1006"):
            await reached[0].send("x")

    run(scenario)


def test_a_peer_that_takes_each_message_in_time_is_left_alone() -> None:
    """Slow is not deaf: the time counts for one message."""

    async def scenario() -> None:
        async def handler(ws: WebSocket) -> None:
            fake: Any = ws
            fake._raw_send = lambda event: asyncio.sleep(0.06)
            for _ in range(5):
                await ws.send("taken slowly")

        assert not await handle(FakeServer(), handler, Times(send_timeout_s=0.2))

    run(scenario)


def test_a_handler_is_cancelled_once() -> None:
    """A second cancellation would break into its clean-up."""

    async def scenario() -> None:
        async def cancelled_twice() -> int:
            watch = Watch(await FakeServer().accepted(), FAST)
            watch._cancel(Cancellation.DEAF)
            watch._cancel()
            task = asyncio.current_task()
            assert task is not None
            count = task.cancelling()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(0)
            watch.stop()
            assert watch.cancellation is Cancellation.DEAF
            assert task.cancelling() == 0
            return count

        task = asyncio.create_task(cancelled_twice())
        assert await task == 1

    run(scenario)


def test_the_sweep_ends_with_its_last_connection() -> None:
    """An event loop with nothing to do has no timer of ours; stopping twice is harmless."""

    async def scenario() -> None:
        ws = await FakeServer().accepted()
        watch = Watch(ws, FAST)
        sweep = watch._sweep
        assert sweep._timer is not None
        second = Watch(await FakeServer().accepted(), FAST)
        assert second._sweep is sweep

        watch.stop()
        second.stop()
        watch.stop()

        assert sweep._timer is None

    run(scenario)


def test_a_finished_loop_leaves_nothing_behind() -> None:
    """Tests and scripts make many loops."""

    async def scenario() -> None:
        await handle(FakeServer(left(1000, "")), lambda ws: asyncio.sleep(60))
        await settle()

    before = len(leaving._sweeps)
    for _ in range(3):
        run(scenario)
    gc.collect()

    assert len(leaving._sweeps) <= before


def test_a_connection_outside_of_a_task_is_refused() -> None:
    """Only a task can be cancelled."""

    async def scenario() -> None:
        ws = await FakeServer().accepted()
        errors: list[Exception] = []

        def outside() -> None:
            try:
                Watch(ws, FAST)
            except ConfigurationError as exc:
                errors.append(exc)

        asyncio.get_running_loop().call_soon(outside)
        await settle()

        assert "asyncio task" in str(errors[0])

    run(scenario)


@pytest.mark.parametrize("value", [-1, "5", None, True, float("nan")])
def test_a_time_that_is_no_number_of_seconds_is_refused(value: Any) -> None:
    """Said where it is written, not when the first client leaves."""
    with pytest.raises(ConfigurationError, match="leave_grace_s must be a number of seconds"):
        Times(leave_grace_s=value)


def test_the_times_have_their_documented_defaults() -> None:
    """The documentation names them."""
    assert Times() == Times(1.5, 5, 30, 10)


def test_another_views_send_does_not_count_as_telling() -> None:
    """A chat sends to everybody; whoever vanished must still be cancelled."""

    async def scenario() -> None:
        server = FakeServer()
        reached: list[WebSocket] = []

        async def idle(ws: WebSocket) -> None:
            reached.append(ws)
            await asyncio.sleep(60)

        async def other() -> None:
            server.send_error = OSError("gone")
            server.queue.put_nowait(left(1006))
            with pytest.raises(WebSocketDisconnect):
                await reached[0].send("hi")

        handling = asyncio.create_task(handle(server, idle))
        while not reached:
            await asyncio.sleep(0)
        await asyncio.create_task(other())

        assert await handling is Cancellation.LEFT

    run(scenario)


def test_a_peer_that_takes_nothing_is_found_however_many_tasks_send() -> None:
    """A new message must not start the clock again."""

    async def scenario() -> None:
        async def handler(ws: WebSocket) -> None:
            fake: Any = ws
            fake._raw_send = lambda event: asyncio.sleep(60)
            async with asyncio.TaskGroup() as group:
                while True:
                    group.create_task(ws.send("never taken"))
                    await asyncio.sleep(0.02)

        assert await handle(FakeServer(), handler, Times(send_timeout_s=0.1)) is Cancellation.DEAF

    run(scenario)


def test_a_message_after_a_long_silence_has_all_of_its_time() -> None:
    """The clock starts with the message."""

    async def scenario() -> None:
        async def handler(ws: WebSocket) -> None:
            await ws.send("taken")
            await asyncio.sleep(0.2)
            fake: Any = ws
            fake._raw_send = lambda event: asyncio.sleep(0.08)
            await ws.send("taken slowly")

        assert not await handle(FakeServer(), handler, Times(send_timeout_s=0.15))

    run(scenario)


def test_a_server_without_asyncio_gets_one_clear_error() -> None:
    """hypercorn can run trio."""

    async def prepared() -> WebSocket:
        return await FakeServer().accepted()

    ws = run(prepared)

    with pytest.raises(ConfigurationError, match="runs on asyncio"):
        Watch(ws, FAST)
