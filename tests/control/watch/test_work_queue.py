"""The keyed work queue: deduplicated, one worker a key, backoff a key."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest

from disrouter.backoff import Backoff
from disrouter_operator.watch.work_queue import KeyedQueue

Work = Callable[[str], Awaitable[float | None]]


async def _until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not ready():  # noqa: ASYNC110  the condition is the test's, nothing announces it
            await asyncio.sleep(0.001)


async def _run(queue: KeyedQueue[str], ready: Callable[[], bool]) -> None:
    task = asyncio.create_task(queue.run(workers=3))
    try:
        await _until(ready)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_many_wake_ups_are_one_pass() -> None:
    done: list[str] = []

    async def work(key: str) -> None:
        done.append(key)

    queue = KeyedQueue(work)
    for _ in range(100):
        queue.add("a")
    queue.add("b")
    await _run(queue, queue.idle)
    assert sorted(done) == ["a", "b"]


async def test_a_key_that_is_being_worked_on_is_worked_on_again_but_never_twice_at_once() -> None:
    active, most, reconciles = 0, 0, 0

    async def work(key: str) -> None:
        nonlocal active, most, reconciles
        active, reconciles = active + 1, reconciles + 1
        most = max(most, active)
        if reconciles == 1:
            queue.add(key)
            queue.add(key)
        await asyncio.sleep(0.005)
        active -= 1

    queue = KeyedQueue(work)
    queue.add("a")
    await _run(queue, lambda: reconciles == 2 and queue.idle())
    assert most == 1


async def test_a_failing_key_backs_off_alone_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    tries: list[float] = []
    seen: list[int] = []
    others = 0
    loop = asyncio.get_running_loop()

    async def work(key: str) -> float | None:
        nonlocal others
        if key == "bad":
            tries.append(loop.time())
            seen.append(others)
            raise RuntimeError("no")
        others += 1
        return 0.001

    queue = KeyedQueue(work, backoff=Backoff(first=0.02))
    queue.add("bad")
    queue.add("good")
    await _run(queue, lambda: len(tries) == 4)
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert all(gap >= wait * 0.9 for gap, wait in zip(gaps, (0.02, 0.04, 0.08), strict=True))
    assert all(later > earlier for earlier, later in itertools.pairwise(seen)), "the other key goes on meanwhile"
    assert [record.getMessage() for record in caplog.records] == ["pass over bad failed: no"] * 4


def test_backoff_doubles_up_to_its_limit() -> None:
    backoff = Backoff(first=0.5, longest=300.0)
    assert [backoff.delay(failures) for failures in (1, 2, 3, 50)] == [0.5, 1.0, 2.0, 300.0]


async def test_an_earlier_wish_wins_and_a_wake_up_cancels_the_timer() -> None:
    done = 0

    async def work(key: str) -> None:
        nonlocal done
        done += 1

    queue = KeyedQueue(work)
    queue.add_after("a", 30)
    queue.add_after("a", 0.01)
    queue.add_after("a", 60)
    await _run(queue, lambda: done == 1)
    queue.add_after("b", 30)
    queue.add("b")
    await _run(queue, lambda: done == 2)
    assert not queue._timers
