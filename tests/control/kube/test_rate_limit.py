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


async def test_a_pause_puts_off_who_waits_by_no_more_than_itself_and_in_their_order() -> None:
    clock, went = Clock(), list[tuple[int, float]]()
    limit = bucket(clock, rate=50, burst=0)

    async def ask(number: int) -> None:
        await limit.take()
        went.append((number, clock.now))

    asking = [asyncio.create_task(ask(number)) for number in range(150)]
    await asyncio.sleep(0)
    limit.hold(1.0)
    limit.hold(1.0)
    late = asyncio.create_task(ask(150))
    await asyncio.gather(*asking, late)
    assert [number for number, _ in went] == list(range(151))
    moments = [moment for _, moment in went]
    assert 1.0 <= moments[0] < 1.05, "the first goes when the pause is over"
    assert moments[-1] == pytest.approx(4.0, abs=0.1), "and the others by the rate"


async def test_who_has_less_patience_than_a_pause_is_long_waits_for_none_of_it() -> None:
    clock = Clock()
    limit = bucket(clock)
    limit.hold(6.0)
    with pytest.raises(TimeoutError):
        await limit.take(patience=2.0)
    assert clock.now < 0.1
    clock.now = 5.0
    assert await limit.take(patience=2.0) == pytest.approx(1.1), "what was given up holds no place"


async def test_the_rate_alone_tries_nobodys_patience() -> None:
    limit = bucket(Clock(), rate=1, burst=1)
    assert [await limit.take(patience=0.5) for _ in range(2)] == pytest.approx([0, 1])


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
    assert 5.0 <= clock.now < 10.5
