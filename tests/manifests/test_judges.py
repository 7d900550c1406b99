"""The static judges' own rules: nothing unexplained, no explanation without a reason or a finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from judges.verdict import Accepted, Finding, Verdict, accepted, idle, unexplained

FINDING = Finding("CKV_1", "chart:Pod.a.b", "bad")
VERDICTS = [Verdict("checkov", findings=(FINDING,))]


def test_a_finding_needs_an_explanation_of_its_check_and_place() -> None:
    assert unexplained(VERDICTS, []) == [FINDING]
    assert unexplained(VERDICTS, [Accepted("CKV_1", "child-*", "why")]) == [FINDING]
    assert unexplained(VERDICTS, [Accepted("CKV_2", "*", "why")]) == [FINDING]
    assert unexplained(VERDICTS, [Accepted("CKV_1", "chart:*", "why")]) == []


def test_an_explanation_that_nothing_needs_is_named() -> None:
    kept, old = Accepted("CKV_1", "*", "why"), Accepted("CKV_9", "*", "why")
    assert idle(VERDICTS, [kept, old]) == [old]


def test_every_explanation_gives_its_reason() -> None:
    for entry in accepted():
        assert len(entry.reason) > 30, entry


def test_an_entry_without_a_reason_is_no_explanation(tmp_path: Path) -> None:
    path = tmp_path / "accepted.yaml"
    path.write_text("- {check: CKV_1, what: '*'}\n")
    with pytest.raises(TypeError, match="reason"):
        accepted(path)
