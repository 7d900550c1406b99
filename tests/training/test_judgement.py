"""From replies to an evaluation, and from evaluations to a cascade's worth."""

import pytest

from disrouter.artifacts import Evaluation
from disrouter.refusal import REFUSAL
from disrouter.scenario import Scenario, reject_threshold
from disrouter_training.cascade import Terminal, Trained, score
from disrouter_training.errors import DatasetError
from disrouter_training.judgement import Answers, evaluation, predictions, self_assessment
from disrouter_training.sources import Question
from disrouter_training.tables import as_text

RIGHT, WRONG = "The final answer is: yes.", "The final answer is: no."
QUESTIONS = [
    Question(id=name, question=f"{name}?", answer="yes", kind=kind)
    for name, kind in (("a", "knowledge"), ("b", "knowledge"), ("c", "surface"), ("d", "surface"))
]


CHANCES = {"a": 0.1, "b": 0.6, "c": 0.2, "d": 0.9}


def replies(*texts: str) -> dict[str, str]:
    return {question.id: text for question, text in zip(QUESTIONS, texts, strict=True)}


def answers() -> Answers:
    """It knows a and b, and refuses b and d; c it answers wrongly."""
    candidate = replies(RIGHT, REFUSAL, WRONG, REFUSAL)
    return Answers(
        base=replies(RIGHT, RIGHT, WRONG, WRONG),
        forced=replies(RIGHT, RIGHT, WRONG, WRONG),
        serving=dict.fromkeys(Scenario, replies(WRONG, WRONG, WRONG, RIGHT)),
        candidate=dict.fromkeys(Scenario, candidate),
    )


def test_an_evaluation_holds_the_papers_measures() -> None:
    result = evaluation("r", QUESTIONS, answers(), gamma=0.5)
    assert (result.base_accuracy, result.forced_accuracy, result.questions) == (0.5, 0.5, 4)
    for item in result.scenarios:
        assert (item.answer_rate, item.accuracy_when_answering) == (0.5, 0.5)
        assert item.utility == pytest.approx((1 + 2 * reject_threshold(item.scenario.alpha)) / 4)
        assert item.serving_utility == 0.25
        assert (item.self_assessment_accuracy, item.self_assessment_f1) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("answered", "right", "expected"),
    [
        ([True, False], [True, False], (1.0, 1.0)),
        ([False, False], [True, False], (0.5, 0.0)),
        ([False, False], [False, False], (1.0, 1.0)),
    ],
)
def test_self_assessment_is_accuracy_and_f1(
    answered: list[bool], right: list[bool], expected: tuple[float, float]
) -> None:
    assert self_assessment(answered, right) == expected


def cascade() -> tuple[list[Trained], Terminal]:
    rows = predictions(QUESTIONS, answers(), CHANCES)
    agent = Trained("small", 0.1, evaluation("r", QUESTIONS, answers(), gamma=0.5), rows)
    return [agent], Terminal("large", 0.9, {"a": True, "b": True, "c": True, "d": False})


def test_policies_are_scored_over_all_questions_and_by_kind() -> None:
    scores = {(s.scenario, s.group, s.policy): s for s in score(*cascade())}
    routed = scores[Scenario.BALANCE, "all", "cascade"]
    assert (routed.accuracy, routed.cost) == (0.5, 0.5)
    assert routed.utility == pytest.approx(0.5 - 0.5 * 0.5)
    best = scores[Scenario.BALANCE, "all", "oracle"]
    assert best.accuracy == 0.75
    assert best.cost == pytest.approx((3 * 0.1 + 0.9) / 4)
    assert routed.regret == pytest.approx(best.utility - routed.utility)
    assert scores[Scenario.BALANCE, "knowledge", "smallest"].accuracy == 1
    assert scores[Scenario.BALANCE, "surface", "largest"].accuracy == 0.5
    assert scores[Scenario.BALANCE, "all", "random"].accuracy == pytest.approx((2 + 3) / 8)


def test_agents_that_were_asked_different_questions_are_not_compared() -> None:
    agents, terminal = cascade()
    other = Terminal(terminal.name, terminal.cost, {"a": True, "z": True})
    with pytest.raises(DatasetError, match="asked different questions"):
        score(agents, other)


def test_the_tables_are_aligned() -> None:
    agents, terminal = cascade()
    text = as_text(agents, terminal, score(agents, terminal))
    assert isinstance(agents[0].evaluation, Evaluation)
    assert text.splitlines()[:4] == [
        "Agents on 4 evaluation questions",
        "agent   cost  base acc  forced acc  answers perf  answers balance  answers cost  self-assess acc     F1",
        "small  0.100     0.500       0.500         0.500            0.500         0.500            0.500  0.500",
        "large  0.900     0.750           -         1.000            1.000         1.000                -      -",
    ]
    widths = {len(line) for line in text.splitlines() if line.split()[:1] in (["cascade"], ["oracle"], ["random"])}
    assert len(widths) == 2
