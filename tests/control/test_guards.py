"""What keeps the operator polite and honest: limit, lease, probe."""

from __future__ import annotations

import asyncio

import pytest

from disrouter_operator.kube.leader_election import Election
from disrouter_operator.kube.rate_limit import TokenBucket
from disrouter_operator.kube.resources import LEASES
from disrouter_operator.telemetry.probes import Pulse
from support.kube_fake import KubeFake


class _Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


async def test_a_burst_goes_out_at_once_and_then_so_many_a_second() -> None:
    time = _Time()
    bucket = TokenBucket(rate=10, burst=5, monotonic=time, sleep=time.sleep)
    assert [await bucket.take() for _ in range(5)] == [0.0] * 5
    for _ in range(20):
        await bucket.take()
    assert time.now == pytest.approx(2.0)
    time.now += 100
    assert [await bucket.take() for _ in range(5)] == [0.0] * 5
    assert await bucket.take() == pytest.approx(0.1)


async def test_requests_that_wait_at_the_same_time_each_get_a_place_of_their_own() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))

    bucket = TokenBucket(rate=10, burst=1, monotonic=lambda: 0.0, sleep=sleep)
    await asyncio.gather(*(bucket.take() for _ in range(5)))
    assert slept == [0.1, 0.2, 0.3, 0.4]


async def test_a_lease_says_since_when_and_how_often_it_changed_hands() -> None:
    kube, time = KubeFake(), _Time()
    first = Election(kube, "default", "first", monotonic=time, sleep=time.sleep)
    await first.acquire()
    acquired = kube.one(LEASES, first.name)["spec"]["acquireTime"]
    assert await first._attempt(1.0)
    spec = kube.one(LEASES, first.name)["spec"]
    assert (spec["acquireTime"], spec["leaseTransitions"]) == (acquired, 0)
    second = Election(kube, "default", "second", monotonic=time, sleep=time.sleep)
    await second.acquire()
    spec = kube.one(LEASES, first.name)["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("second", 1)


async def test_a_candidate_judges_a_lease_by_its_own_clock_whatever_the_holders_says() -> None:
    kube, time = KubeFake(), _Time()
    holder = Election(kube, "default", "first", monotonic=time, sleep=time.sleep)
    await holder.acquire()
    kube.one(LEASES, holder.name)["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
    second = Election(kube, "default", "second", monotonic=time, sleep=time.sleep)
    assert not await second._attempt(1.0), "an old time on the lease is the holder's clock, not a silence"
    started = time.now
    await second.acquire()
    assert time.now - started >= holder.duration


def test_the_probe_fails_when_cascades_wait_and_no_pass_ends() -> None:
    time, idle = _Time(), True
    pulse = Pulse(monotonic=time, stale_after=10, idle=lambda: idle)
    time.now = 1000
    assert pulse.trouble() is None, "at rest, silence is no sign of death"
    idle = False
    time.now = 1005
    assert pulse.trouble() is None
    time.now = 1011
    assert "no reconcile ended" in str(pulse.trouble())
    pulse.beat()
    assert pulse.trouble() is None
