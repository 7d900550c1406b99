"""What a run and a soak are said to have shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import report, soak_report
from bench.document import with_section, write_section
from bench.flatness import Soak, Traffic, Watched
from bench.goals import GOALS, Outcome, outcomes
from bench.samples import Memory, Results, Sample
from bench.summary import Spread


def sample(workload: str, target: str, **changes: Any) -> Sample:
    fields: dict[str, Any] = {
        "workload": workload, "target": target, "round": 0, "answered": 100, "tokens": 1000, "failed": 0, "cut": 0,
        "cpu_seconds": 0.01, "requests_per_s": 50.0, "tokens_per_s": 500.0, "foreign": 0.0, "first_token_us": 100.0,
        "token_delay_us": 50.0,
    }  # fmt: skip
    return Sample(**(fields | changes))


def results(*samples: Sample, **changes: Any) -> Results:
    fields: dict[str, Any] = {
        "machine": "a machine", "date": "2026-01-02", "command": "the command", "seconds": 60.0, "rounds": 1,
        "versions": {"nginx": "1.2"}, "samples": samples,
    }  # fmt: skip
    return Results(**(fields | changes))


def soak(*sidecars: Watched, traffic: tuple[Traffic, ...] = (), streams: int = 0) -> Soak:
    return Soak("a machine", "2026-01-02", "the command", 10, sidecars, traffic, streams)


def watched(kib_per_second: float = 0.0, left: tuple[str, ...] = ()) -> Watched:
    points = [(float(second), 30000 + kib_per_second * second) for second in range(0, 600, 5)]
    return Watched("agent-0", points, most_files=9, cpu_seconds=1.5, left=left)


def test_results_survive_being_kept() -> None:
    kept = results(sample("tiny", "nginx"), memory=(Memory("nginx", 0, 1024, 2048, 10),), missing={"litellm": "how"})
    assert Results.from_json(kept.to_json()) == kept


@pytest.mark.parametrize(("value", "verdict"), [(2.1, "met"), (2.2, "missed")], ids=str)
def test_a_goal_is_met_or_missed(value: float, verdict: str) -> None:
    goal = next(goal for goal in GOALS if goal.text.startswith("tiny answers: CPU per request, of nginx"))
    assert Outcome(goal, Spread(value, value, value, 1)).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(1.0, "met"), (0.9, "missed")], ids=str)
def test_for_a_rate_more_is_better(value: float, verdict: str) -> None:
    goal = next(goal for goal in GOALS if goal.text.startswith("fast streams: tokens/s"))
    assert Outcome(goal, Spread(value, value, value, 1)).verdict == verdict


def test_a_goal_without_samples_is_not_measured() -> None:
    assert {outcome.verdict for outcome in outcomes(results())} == {"not measured"}


def test_the_report_has_measured_ratios_and_the_missing_by_name() -> None:
    found = [sample("tiny", "direct"), sample("tiny", "nginx"), sample("tiny", "sidecar", cpu_seconds=0.0125)]
    text = report.render(results(*found, missing={"litellm": "install it"}), "picture.png")
    assert "| tiny answers: CPU per request, of nginx | ≤ 2.1 | 1.25 (1.25 – 1.25) | met |" in text
    assert "**litellm is not, or not wholly, in these numbers**: install it." in text
    assert "(picture.png)" in text


def test_the_report_counts_noise_and_wrong_answers() -> None:
    text = report.render(results(sample("tiny", "nginx", foreign=0.5), sample("tiny", "sidecar", failed=3)), "p.png")
    assert "Samples: 2, of which 1 with more than 0.15 cores" in text
    assert "1 left out for a wrong or missing answer" in text


def test_the_report_names_who_left_requests_unanswered() -> None:
    text = report.render(results(sample("tiny", "nginx"), sample("tiny", "litellm", cut=60)), "p.png")
    assert "not answered within seconds after the end: litellm 60." in text


def test_a_section_replaces_its_old_text_alone() -> None:
    text = with_section(with_section("# Title\n\nOurs.\n", "one", "first"), "two", "second \\1")
    changed = with_section(text, "one", "new")
    assert "first" not in changed
    assert "new" in changed
    assert "second \\1" in changed
    assert changed.startswith("# Title\n\nOurs.\n")
    assert with_section(changed, "one", "new") == changed


def test_a_missing_document_is_begun(tmp_path: Path) -> None:
    write_section(tmp_path / "docs" / "benchmarks.md", "one", "text")
    assert (tmp_path / "docs" / "benchmarks.md").read_text().startswith("# Benchmarks\n")


def test_a_flat_soak_has_no_faults() -> None:
    kept = soak(watched(), traffic=(Traffic("whole", 5, 5, 0, 0, 0), Traffic("hung up", 3, 0, 3, 0, 0)))
    assert kept.faults() == []
    assert "Held" in soak_report.render(kept)


def test_memory_that_grows_is_a_fault_and_one_that_shrinks_is_none() -> None:
    [fault] = soak(watched(kib_per_second=10)).faults()
    assert "memory grew by" in fault
    assert "600 KiB a minute" in fault
    assert soak(watched(kib_per_second=-10)).faults() == []


def test_growth_while_warming_up_does_not_count() -> None:
    points = [(float(second), 30000.0 + 50 * min(second, 100)) for second in range(0, 600, 5)]
    assert Watched("agent-0", points).flat


def test_whatever_is_left_or_lost_is_a_fault() -> None:
    traffic = (Traffic("whole", 9, 6, 0, 1, 2), Traffic("silent", 4, 0, 0, 0, 0))
    faults = soak(watched(left=("80 -> 90",)), traffic=traffic, streams=2).faults()
    assert [fault.split(":")[0] for fault in faults[:3]] == ["agent-0", "whole", "silent"]
    assert "1 connections left open: 80 -> 90" in faults[0]
    assert "1 of 9 requests failed, 2 were lost" in faults[1]
    assert "2 streams" in faults[3]
    assert "Did not hold" in soak_report.render(soak(watched(left=("80 -> 90",))))
