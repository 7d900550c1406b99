"""A failing agent is left alone for a while; one request at a time finds out whether it is back."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from disrouter.routes import AgentRoute, RouteTable, Timeouts
from disrouter.routes import Breaker as Settings
from disrouter.terms import Awareness
from disrouter_sidecar.agents.circuit_breaker import Breakers
from disrouter_sidecar.errors import Reason, Rejected, UpstreamFailed
from disrouter_sidecar.request.deadline import Budget
from support.fake_engine import Script
from support.sidecars import REFUSAL, URL_OF_NOBODY, Cascade


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def table(url: str = "http://a", failures: int = 3) -> RouteTable:
    route = AgentRoute(url=url, cost=0.1, awareness=Awareness.NONE)
    settings = Settings(failures=failures, open_seconds=10.0)
    return RouteTable(generation=1, cascade="qwen", entrypoint="a", agents={"a": route}, breaker=settings)


def attempt(
    breakers: Breakers, error: Exception | None = None, *, excused: bool = False, url: str = "http://a"
) -> None:
    """One attempt that ends like this."""
    watch = breakers.guard("a", table(url), lambda: excused)
    watch.end(error)


def is_left_alone(breakers: Breakers) -> bool:
    """Whether an attempt is turned away; one that is not ends without telling anything of the agent."""
    try:
        attempt(breakers, Rejected(503, "overloaded", ""))
    except UpstreamFailed as failure:
        return failure.reason is Reason.BREAKER
    return False


DOWN = UpstreamFailed(Reason.REFUSED, "connection refused")


def test_it_opens_after_failures_in_a_row_and_half_opens_after_its_time() -> None:
    time = Time()
    breakers = Breakers(time)
    for error in (DOWN, DOWN, None, DOWN, DOWN):
        attempt(breakers, error)
        assert not is_left_alone(breakers)
    attempt(breakers, DOWN)
    assert is_left_alone(breakers)
    assert breakers.open() == 1
    time.now += 9.9
    assert is_left_alone(breakers)
    time.now += 0.2
    attempt(breakers)
    assert breakers.open() == 0


def test_a_probe_that_fails_opens_it_again_at_once() -> None:
    time = Time()
    breakers = Breakers(time)
    for _ in range(3):
        attempt(breakers, DOWN)
    time.now += 10
    attempt(breakers, DOWN)
    assert is_left_alone(breakers)
    time.now += 10
    assert not is_left_alone(breakers)


def test_only_one_request_probes_and_one_that_tells_nothing_leaves_the_place_to_the_next() -> None:
    time = Time()
    breakers = Breakers(time)
    for _ in range(3):
        attempt(breakers, DOWN)
    time.now += 10
    watch = breakers.guard("a", table(), lambda: False)
    assert is_left_alone(breakers)
    watch.release()
    assert not is_left_alone(breakers)


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.COLD, Reason.CONNECT, Reason.TIMEOUT, Reason.SERVER_ERROR])
def test_these_failures_count(reason: Reason) -> None:
    breakers = Breakers(Time())
    for _ in range(3):
        attempt(breakers, UpstreamFailed(reason, ""))
    assert is_left_alone(breakers)


@pytest.mark.parametrize(
    "error",
    [
        *(UpstreamFailed(reason, "") for reason in (Reason.CONTEXT_LENGTH, Reason.RATE_LIMITED, Reason.AUTH)),
        None,
        Rejected(400, "bad", ""),
    ],
)
def test_what_the_request_is_to_blame_for_does_not(error: Exception | None) -> None:
    breakers = Breakers(Time())
    for _ in range(9):
        attempt(breakers, error)
    assert not is_left_alone(breakers)


def test_a_deadline_that_the_request_brought_along_does_not_count() -> None:
    breakers = Breakers(Time())
    for _ in range(9):
        attempt(breakers, UpstreamFailed(Reason.TIMEOUT, ""), excused=True)
    assert not is_left_alone(breakers)
    for _ in range(3):
        attempt(breakers, UpstreamFailed(Reason.SERVER_ERROR, ""), excused=True)
    assert is_left_alone(breakers)


def test_a_probe_that_takes_long_does_not_keep_the_others_out_for_ever() -> None:
    time = Time()
    breakers = Breakers(time)
    for _ in range(3):
        attempt(breakers, DOWN)
    time.now += 10
    watch = breakers.guard("a", table(), lambda: False)
    assert is_left_alone(breakers)
    time.now += 10
    assert not is_left_alone(breakers)
    watch.end(None)
    assert breakers.open() == 0


def test_an_attempt_from_before_neither_closes_nor_prolongs_it() -> None:
    time = Time()
    breakers = Breakers(time)
    watch = breakers.guard("a", table(), lambda: False)
    for _ in range(3):
        attempt(breakers, DOWN)
    assert is_left_alone(breakers)
    watch.end(None)
    assert is_left_alone(breakers)
    time.now += 10
    assert not is_left_alone(breakers)


def test_an_agent_that_moved_starts_afresh() -> None:
    breakers = Breakers(Time())
    for _ in range(3):
        attempt(breakers, DOWN)
    attempt(breakers, url="http://b")
    assert breakers.open() == 0


async def test_an_engine_that_is_down_is_soon_not_asked_any_more_and_comes_back(three: Cascade) -> None:
    three.publish(three.table(breaker=Settings(failures=2, open_seconds=10.0)))
    service, time = three.entry.service, Time()
    service.neighbours.breakers = Breakers(time)
    up = service.config
    service.dependencies.engine.use(dataclasses.replace(up, engine_url=URL_OF_NOBODY))
    for _ in range(4):
        assert (await three.ask()).headers["x-disrouter-path"] == "small,medium"
    assert three.entry.metric("disrouter_failovers_total", reason="refused") == 2
    assert three.entry.metric("disrouter_failovers_total", reason="breaker") == 2
    assert three.entry.metric("disrouter_breakers_open") == 1
    service.dependencies.engine.use(up)
    assert (await three.ask()).headers["x-disrouter-path"] == "small,medium"
    time.now += 10
    for _ in range(2):
        assert (await three.ask()).headers["x-disrouter-path"] == "small"
    assert three.entry.metric("disrouter_breakers_open") == 0


async def test_the_next_agent_has_a_breaker_of_its_own(three: Cascade) -> None:
    table = three.table(breaker=Settings(failures=1, open_seconds=60.0))
    lost = replace(table.agents["medium"], url=URL_OF_NOBODY)
    three.publish(replace(table, agents={**table.agents, "medium": lost}))
    three.scripts(REFUSAL, "unused", "four")
    for _ in range(3):
        assert await three.said(await three.ask()) == ("small,medium,large", "four")
    assert three.entry.metric("disrouter_failovers_total", reason="refused") == 1
    assert three.entry.metric("disrouter_failovers_total", reason="breaker") == 2


async def test_a_clients_short_deadline_opens_no_breaker(three: Cascade) -> None:
    three.publish(three.table(breaker=Settings(failures=1, open_seconds=60.0)))
    three.entry.engine.script = Script(hang=True)
    assert (await three.ask(headers={"x-disrouter-deadline": "200"})).status == 503
    three.entry.engine.script = Script(text="four")
    assert await three.said(await three.ask()) == ("small", "four")


def budget(time: Time, limit: float | None, *, stream: bool = False) -> Budget:
    settings = Timeouts(connect=2, first_byte=60, idle=10, whole=300, chain=600)
    return Budget(settings, time, lambda _: None, stream=stream, limit=limit)


@pytest.mark.parametrize(
    ("limit", "stream", "after", "excused"),
    [
        (0.5, True, 0.45, True),
        (0.5, False, 0.3, True),
        (3.0, True, 2.9, True),
        (3.0, True, 2.0, False),
        (590.0, True, 59.9, False),
        (61.0, True, 60.1, False),
        (310.0, False, 300.0, False),
        (599.0, False, 2.0, False),
        (None, True, 599.9, False),
    ],
    ids=["early", "a busy turn early", "behind a connection", "the connection", "first byte", "nearly", "whole", "long",
         "no deadline"],
)  # fmt: skip
def test_a_timeout_is_excused_by_what_bounded_it_not_by_the_clock(
    limit: float | None, stream: bool, after: float, excused: bool
) -> None:
    """Under load timers fire a turn of the loop early, and anybody can send a deadline."""
    time = Time()
    waiting = budget(time, limit, stream=stream)
    waiting.waits()
    time.now += after
    assert waiting.cut_short is excused


def test_a_wait_that_cannot_begin_is_excused_too() -> None:
    time = Time()
    waiting = budget(time, 0.5)
    time.now += 0.6
    with pytest.raises(UpstreamFailed):
        waiting.waits()
    assert waiting.cut_short


async def test_nobody_is_asked_for_what_little_time_is_left(three: Cascade) -> None:
    assert (await three.ask(headers={"x-disrouter-deadline": "40"})).status == 503
    assert all(agent.engine.bodies == [] for agent in three.agents.values())
