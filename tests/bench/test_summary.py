"""Numbers from samples: ratios within a round, what is added, the price of a refusal, straight lines."""

from __future__ import annotations

from typing import Any

import pytest

from bench import summary
from bench.samples import Sample


def sample(target: str, number: int = 0, workload: str = "tiny", **changes: Any) -> Sample:
    fields: dict[str, Any] = {
        "workload": workload, "target": target, "round": number, "answered": 100, "tokens": 1000, "failed": 0, "cut": 0,
        "cpu_seconds": 0.01, "requests_per_s": 50.0, "tokens_per_s": 500.0, "foreign": 0.0, "first_token_us": 100.0,
    }  # fmt: skip
    return Sample(**(fields | changes))


def test_cpu_is_divided_by_what_the_workload_counts() -> None:
    assert summary.cpu_us(sample("nginx", workload="tiny")) == pytest.approx(100)
    assert summary.cpu_us(sample("nginx", workload="paced")) == pytest.approx(10)
    assert summary.cpu_us(sample("nginx", tokens=0, workload="paced")) is None


def test_a_ratio_is_taken_within_its_round() -> None:
    samples = [
        sample("nginx", 0, cpu_seconds=0.01), sample("sidecar", 0, cpu_seconds=0.02),
        sample("nginx", 1, cpu_seconds=0.10), sample("sidecar", 1, cpu_seconds=0.30),
    ]  # fmt: skip
    found = summary.rounds(samples, "tiny")
    assert summary.ratios(found, "sidecar", "nginx", summary.cpu_us) == pytest.approx([2, 3])


def test_a_target_with_a_wrong_answer_or_none_is_left_out_of_its_round() -> None:
    samples = [sample("nginx", 0), sample("sidecar", 0, failed=1), sample("nginx", 1), sample("sidecar", 1, answered=0)]
    found = summary.rounds(samples, "tiny")
    assert summary.ratios(found, "sidecar", "nginx", summary.cpu_us) == []
    assert len(summary.values(found, "nginx", summary.cpu_us)) == 2


def test_what_is_added_is_over_the_direct_call_of_the_same_round() -> None:
    samples = [sample(name, first_token_us=us) for name, us in (("direct", 30.0), ("nginx", 80.0), ("sidecar", 130.0))]
    found = summary.rounds(samples, "tiny")
    assert summary.added(found, "sidecar", summary.first_token_us) == [100]
    assert summary.added_ratios(found, "sidecar", "nginx", summary.first_token_us) == [2]


def test_a_rival_that_adds_nothing_gives_no_ratio() -> None:
    samples = [sample(name, first_token_us=us) for name, us in (("direct", 30.0), ("nginx", 30.0), ("sidecar", 130.0))]
    assert summary.added_ratios(summary.rounds(samples, "tiny"), "sidecar", "nginx", summary.first_token_us) == []


def test_a_sample_without_a_first_token_drops_its_round_alone() -> None:
    samples = [
        sample("direct", 0, first_token_us=10.0), sample("nginx", 0, first_token_us=None),
        sample("direct", 1, first_token_us=10.0), sample("nginx", 1, first_token_us=20.0),
    ]  # fmt: skip
    assert summary.added(summary.rounds(samples, "tiny"), "nginx", summary.first_token_us) == [10]


def test_a_refused_agent_is_half_of_what_two_refusals_add() -> None:
    times = (("direct", 30.0), ("nginx", 80.0), ("sidecar", 100.0), ("chain", 400.0))
    found = summary.rounds([sample(name, workload="refusal", first_token_us=us) for name, us in times], "refusal")
    assert summary.refused_hops_us(found, summary.first_token_us) == [150]
    assert summary.refused_hop_ratios(found, summary.first_token_us) == [150 / 80]


def test_a_spread_has_median_and_range_and_nothing_has_none() -> None:
    assert summary.spread([3, 1, 10]) == summary.Spread(3, 1, 10, 3)
    assert summary.spread([]) is None


def test_a_slope_is_not_moved_by_one_odd_point() -> None:
    line = [(float(x), 2.0 * x + 5) for x in range(20)]
    assert summary.slope(line) == pytest.approx(2)
    assert summary.slope([*line[:10], (9.5, 1e6), *line[10:]]) == pytest.approx(2)


@pytest.mark.parametrize("points", [[], [(1.0, 5.0)], [(1.0, 5.0), (1.0, 6.0)]])
def test_too_few_points_make_a_flat_line(points: list[tuple[float, float]]) -> None:
    assert summary.slope(points) == 0
