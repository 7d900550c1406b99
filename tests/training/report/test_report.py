"""From predictions of agents to a cascade's worth: policies, controls, tables."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from disrouter.scenario import Scenario
from disrouter_training.data.sources import Question
from disrouter_training.errors import DatasetError
from disrouter_training.evaluation.analysis import Analysis, analyse
from disrouter_training.evaluation.evidence import ModelSet
from disrouter_training.evaluation.results import Prediction
from disrouter_training.evaluation.scores import Row
from disrouter_training.report.command import joined
from disrouter_training.report.figures import figures
from disrouter_training.report.output import write_report
from disrouter_training.report.page import as_html
from disrouter_training.report.tables import as_json, as_text

KINDS = {"a": "knowledge", "b": "knowledge", "c": "surface", "d": "surface"}
QUESTIONS = [Question(id=name, question=f"{name}?", answer="yes", kind=kind) for name, kind in KINDS.items()]
MODELS = ModelSet(("small", "large"), np.array([0.1, 0.9]))
LARGE = {"a": True, "b": True, "c": True, "d": False}


def small() -> list[Prediction]:
    """It knows a and b, and refuses b and d; c it answers wrongly."""
    return [
        Prediction(
            split="test",
            id=name,
            scenario=scenario,
            refused=name in "bd",
            correct=name == "a",
            must_answer_correct=name in "ab",
            base_correct=name in "ab",
            refusal_chance={"a": 0.1, "b": 0.6, "c": 0.2, "d": 0.9}[name],
        )
        for scenario in Scenario
        for name in KINDS
    ]


def analysis() -> Analysis:
    return analyse(joined(MODELS, {"test": QUESTIONS}, [small()], LARGE, [0.5]), lambda _: [])


def rows(found: Analysis) -> dict[tuple[Scenario, str, str], Row]:
    return {(row.scenario, row.group, row.policy): row for row in found.whole.rows}


def test_policies_are_scored_over_all_questions_and_by_kind() -> None:
    scores = rows(analysis())
    routed = scores[Scenario.BALANCE, "all", "cascade trained (text)"]
    assert (routed.accuracy, routed.cost) == (0.5, 0.5)
    assert routed.utility.mean == pytest.approx(0.5 - 0.5 * 0.5)
    best = scores[Scenario.BALANCE, "all", "oracle"]
    assert best.accuracy == 0.75
    assert best.cost == pytest.approx((3 * 0.1 + 0.9) / 4)
    assert routed.regret == pytest.approx(best.utility.mean - routed.utility.mean)
    assert scores[Scenario.BALANCE, "knowledge", "smallest"].accuracy == 1
    assert scores[Scenario.BALANCE, "surface", "largest"].accuracy == 0.5
    assert scores[Scenario.BALANCE, "all", "random"].accuracy == pytest.approx((2 + 3) / 8)


def test_random_at_the_cascades_cost_mixes_the_agents() -> None:
    matched = rows(analysis())[Scenario.BALANCE, "all", "random mixture at the cost of cascade trained (text)"]
    assert matched.cost == pytest.approx(0.5)
    assert matched.accuracy == pytest.approx((0.5 + 0.75) / 2)


def test_without_a_dev_split_nothing_is_fitted_to_what_is_judged() -> None:
    assert {row.policy for row in analysis().whole.rows if row.method == "Self-routing"} == {"cascade trained (text)"}


def test_agents_that_were_asked_different_questions_are_not_compared() -> None:
    with pytest.raises(DatasetError, match="small and large were asked different questions"):
        joined(MODELS, {"test": QUESTIONS}, [small()], {"a": True, "z": True}, [0.5])


def lines(text: str, first: str) -> Sequence[str]:
    return [line for line in text.splitlines() if line.startswith(first)]


def test_the_tables_are_aligned_and_say_who_answers_how_often() -> None:
    text = as_text(analysis())
    assert text.splitlines()[:4] == [
        "Agents: cost, and accuracy of the base model (Table 1)",
        "agent   cost   test",
        "small  0.100  0.500",
        "large  0.900  0.750",
    ]
    oracle = ["0.750", "0.300", "0.690", "0.750", "0.300", "0.600", "0.750", "0.300", "0.510"]
    assert lines(text, "oracle")[0].split() == ["oracle", *oracle]
    alone = next(line.split() for line in lines(text, "small") if "trained" in line)
    assert alone[:6] == ["small", "trained", "test", "0.500", "0.500", "0.500"]
    assert alone[-3:] == ["0.500", "0.500", "0.500"], "of a, b, c, d it judges a and d rightly"


def test_the_report_as_json_has_everything_and_no_nan() -> None:
    content = json.loads(json.dumps(as_json(analysis()), allow_nan=False))
    assert content["questions"] == {"test": 4}
    assert {row["group"] for row in content["whole"]["rows"]} == {"all", "knowledge", "macro average", "surface"}


def test_each_figure_of_the_paper_is_drawn() -> None:
    drawn = figures(analysis())
    named = ("utility", "frontier", "routing", "coverage", "easy-hard", "answered-refused", "delta")
    assert set(drawn) == {f"test-{name}.png" for name in named}
    assert all(picture.startswith(b"\x89PNG") for _, picture in drawn.values())


def test_the_page_marks_the_headline_cascade_and_escapes_names() -> None:
    found = analysis()
    page = as_html(found, "a < b", {})
    assert "<title>a &lt; b</title>" in page
    assert '<tr class="ours"><td>cascade trained (text)</td>' in page
    assert "were chosen on the test questions" in page


def test_without_matplotlib_the_report_has_tables_and_says_how_to_get_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said: list[str] = []
    write_report(analysis(), tmp_path, "title", said.append)
    assert said[0].startswith("no pictures are drawn without matplotlib: pip install")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "report.txt"]
