"""The token bucket: a burst, a rate, and a pause that the API server asks for."""

from __future__ import annotations

import asyncio

import pytest

from disrouter_operator.kube.rate_limit import TokenBucket


class Clock:
    """A clock that sleepers move: each wakes at its moment, in order."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            await asyncio.sleep(0)
            self.now = min(until, self.now + 0.01)


def bucket(clock: Clock, rate: float = 10, burst: float = 2) -> TokenBucket:
    return TokenBucket(rate, burst, clock.monotonic, clock.sleep)


async def test_a_burst_goes_at_once_and_the_rest_by_the_rate() -> None:
    limit = bucket(Clock())
    assert [await limit.take() for _ in range(4)] == pytest.approx([0, 0, 0.1, 0.1])


async def test_after_a_pause_the_rate_alone_counts() -> None:
    clock = Clock()
    limit = bucket(clock)
    limit.hold(3.0)
    assert await limit.take() == pytest.approx(3.1)
    assert await limit.take() == pytest.approx(0.1)


async def test_who_waits_for_a_token_when_a_pause_is_asked_for_waits_for_its_end() -> None:
    clock = Clock()
    limit = bucket(clock, burst=0)
    waiting = asyncio.create_task(limit.take())
    await asyncio.sleep(0)
    limit.hold(3.0)
    await waiting
    assert clock.now >= 3.0


async def test_a_pause_that_does_not_end_is_given_up() -> None:
    clock = Clock()
    limit = bucket(clock)

    async def hold() -> None:
        while True:
            limit.hold(3.0)
            await clock.sleep(2.0)

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await limit.take(patience=10.0)
    holding.cancel()
    assert 10.0 <= clock.now < 20.0
