"""The simulation of autoscalers: the documented algorithm, no query lost, and what follows by reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.autoscaling import hpa, policies, report
from bench.autoscaling.simulation import Outcome, Simulation
from bench.autoscaling.telemetry import SCRAPED, Counters, Prometheus
from bench.autoscaling.workload import CHAIN, AgentModel, Traffic, queries, with_none

HOUR = Traffic(seconds=3600, base=1, burst=12, bursts=1, burst_seconds=900)


def run(policy: policies.Policy, chain: tuple[AgentModel, ...] = CHAIN, traffic: Traffic = HOUR) -> Outcome:
    return Simulation(chain, policy, queries(traffic, chain, 7), 7).run(traffic.seconds)


@pytest.mark.parametrize("policy", policies.POLICIES, ids=lambda policy: policy.name)
def test_every_query_is_answered_once_whatever_scales(policy: policies.Policy) -> None:
    asked = list(queries(HOUR, CHAIN, 7))
    outcome = run(policy)
    assert len(outcome.waits) == len(asked) > 1000
    assert min(outcome.waits) > 0


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert run(policies.WHOLE) == run(policies.WHOLE)


def test_enough_pods_from_the_beginning_leave_nobody_waiting() -> None:
    ample = tuple(replace(agent, least=8) for agent in CHAIN)
    assert report.late(run(policies.QUEUE, ample)) < 1


def test_a_last_agent_that_may_be_cold_costs_less_and_loses_nobody() -> None:
    quiet = Traffic(seconds=3 * 3600, base=0, burst=4, bursts=2, burst_seconds=600)
    warm, cold = run(policies.WHOLE, traffic=quiet), run(policies.WHOLE, with_none(CHAIN), quiet)
    assert cold.gpu_hours < warm.gpu_hours
    assert len(cold.waits) == len(warm.waits)
    assert 0 < cold.instead < len(cold.waits) / 2
    assert warm.instead == 0


@pytest.mark.parametrize(
    ("value", "pods", "wanted"), [(0, 3, 0), (32, 1, 1), (35, 1, 1), (36, 1, 2), (90, 3, 3), (85, 3, 3), (200, 3, 7)]
)
def test_an_hpa_asks_for_a_share_of_a_value_but_for_little(value: float, pods: int, wanted: int) -> None:
    assert hpa.by_value(value, 32, pods) == wanted


def test_pods_that_start_count_as_idle_where_more_are_wanted() -> None:
    assert hpa.by_utilisation([1.0], 0.8, 1) == 2
    assert hpa.by_utilisation([1.0], 0.8, 2) == 2
    assert hpa.by_utilisation([], 0.8, 1) == 1
    assert hpa.by_utilisation([0.2, 0.2], 0.8, 2) == 1


def test_pods_come_at_once_within_bounds_and_go_after_five_minutes() -> None:
    behaviour = hpa.Behaviour(1, 8)
    assert behaviour.pods(0, 1, 20) == 5
    assert behaviour.pods(15, 5, 20) == 8
    assert behaviour.pods(30, 8, 2) == 8
    assert behaviour.pods(316, 8, 2) == 2
    assert behaviour.pods(331, 2, 0) == 2
    assert behaviour.pods(700, 2, 0) == 1


def test_what_is_ahead_is_what_comes_times_the_share_that_is_refused() -> None:
    counters, prometheus = Counters(), Prometheus([4, 4, 4])
    for look in range(41):
        prometheus.scrape(look * SCRAPED, counters)
        counters.received[0] += 60 if look < 36 else 300
        counters.decided[0] += 60
        counters.wanted[0, 1] += 30
        counters.received[1] += 30
        counters.decided[1] += 30
        counters.wanted[1, 2] += 6
        counters.inflight[1] = [2, 4, 90]
    now = 40 * SCRAPED
    assert prometheus.present(1) == 96
    assert prometheus.seconds(1, now) == pytest.approx((2 + 4 + 4) * SCRAPED * 40 / (30 * 40), rel=0.05)
    assert prometheus.ahead(1, now) == pytest.approx(300 / SCRAPED * 0.5, rel=0.05)
    assert prometheus.from_entry(2, now) == pytest.approx(300 / SCRAPED * 0.5 * 0.2, rel=0.05)
    assert prometheus.ahead(2, now) == pytest.approx(30 / SCRAPED * 0.2, rel=0.05)
    assert prometheus.seconds(2, now) == 1
