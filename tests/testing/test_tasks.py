"""Where a task stands, in words."""

import asyncio

from bocadillo.testing.tasks import doing


def test_task_is_told_by_how_it_ended_or_where_it_is() -> None:
    """The words of the time-outs."""

    async def fail() -> None:
        raise LookupError("oops")

    async def scenario() -> list[str]:
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(asyncio.sleep(0)),
            loop.create_task(fail()),
            loop.create_task(asyncio.sleep(10)),
            loop.create_task(asyncio.sleep(10)),
        ]
        told = [doing(tasks[0])]
        tasks[2].cancel()
        await asyncio.wait(tasks[:3])
        told += [doing(task) for task in tasks]
        tasks[3].cancel()
        return told

    told = asyncio.run(scenario())

    assert told[:4] == [
        "has not begun",
        "has ended",
        "has ended by LookupError('oops')",
        "was cancelled",
    ]
    assert told[4].startswith("waits in sleep(), tasks.py:")
