"""From replies to the numbers of an evaluation. Pure: no model, no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from disrouter.artifacts import Evaluation, ScenarioResult
from disrouter.calibration import FirstTokenSignal
from disrouter.refusal import is_refusal
from disrouter.scenario import Scenario, reward
from disrouter_training.data.correctness import is_right
from disrouter_training.data.sources import Question
from disrouter_training.evaluation.discrimination import discrimination
from disrouter_training.evaluation.results import Prediction

Replies = Mapping[str, str]
"""Reply by question id."""


@dataclass(frozen=True)
class Answers:
    """What was replied: by base model and candidate when they must answer, and in each scenario by both contenders."""

    base: Replies
    must_answer: Replies
    plain: Replies
    """Of the candidate to the client's own question, as the probability mode asks it."""
    serving: Mapping[Scenario, Replies]
    candidate: Mapping[Scenario, Replies]


def evaluation(run: str, questions: Sequence[Question], answers: Answers, gamma: float) -> Evaluation:
    """The contract's result."""
    must_answer = [is_right(question, answers.must_answer[question.id]) for question in questions]
    return Evaluation(
        run=run,
        questions=len(questions),
        base_accuracy=_mean([is_right(question, answers.base[question.id]) for question in questions]),
        must_answer_accuracy=_mean(must_answer),
        plain_accuracy=_mean([is_right(question, answers.plain[question.id]) for question in questions]),
        plain_refusals=_mean([is_refusal(answers.plain[question.id]) for question in questions]),
        scenarios=tuple(_scenario(questions, answers, must_answer, scenario, gamma) for scenario in Scenario),
        discrimination=discrimination([_willing(answers, question) for question in questions], must_answer),
    )


def predictions(
    split: str, questions: Sequence[Question], answers: Answers, signals: Mapping[str, FirstTokenSignal]
) -> list[Prediction]:
    """One row per question and scenario, for `report` and for people. `split` is test, dev or heldout."""
    return [
        Prediction(
            split=split,
            id=question.id,
            family=question.family,
            kind=question.kind,
            scenario=scenario,
            refused=is_refusal(answers.candidate[scenario][question.id]),
            correct=is_right(question, answers.candidate[scenario][question.id]),
            must_answer_correct=is_right(question, answers.must_answer[question.id]),
            base_correct=is_right(question, answers.base[question.id]),
            plain_correct=is_right(question, answers.plain[question.id]),
            plain_refused=is_refusal(answers.plain[question.id]),
            refusal_chance=round(min(1.0, signals[question.id].refusal), 6),
            refusal_log_odds=round(signals[question.id].log_odds, 4),
        )
        for scenario in Scenario
        for question in questions
    ]


def self_assessment(answered: Sequence[bool], would_be_right: Sequence[bool]) -> tuple[float, float]:
    """Accuracy and F1 of `it answers` as a prediction of `it would be right` (section 4.3, Table 5)."""
    pairs = list(zip(answered, would_be_right, strict=True))
    hits = sum(a and r for a, r in pairs)
    accuracy = _mean([a == r for a, r in pairs])
    relevant = sum(answered) + sum(would_be_right)
    return accuracy, 2 * hits / relevant if relevant else 1.0


def _scenario(
    questions: Sequence[Question], answers: Answers, must_answer: Sequence[bool], scenario: Scenario, gamma: float
) -> ScenarioResult:
    candidate = answers.candidate[scenario]
    answered = [not is_refusal(candidate[question.id]) for question in questions]
    right = [is_right(question, candidate[question.id]) for question in questions]
    accuracy, f1 = self_assessment(answered, must_answer)
    return ScenarioResult(
        scenario=scenario,
        coverage=_mean(answered),
        selective_accuracy=_mean([r for r, a in zip(right, answered, strict=True) if a]),
        utility=_mean_reward(questions, candidate, scenario, gamma),
        serving_utility=_mean_reward(questions, answers.serving[scenario], scenario, gamma),
        self_assessment_accuracy=accuracy,
        self_assessment_f1=f1,
    )


def _willing(answers: Answers, question: Question) -> int:
    """In how many scenarios the candidate answers."""
    return sum(not is_refusal(replies[question.id]) for replies in answers.candidate.values())


def _mean_reward(questions: Sequence[Question], replies: Replies, scenario: Scenario, gamma: float) -> float:
    """Mean local reward (eq. 7)."""
    rewards = [
        reward(
            refused=is_refusal(replies[question.id]),
            correct=is_right(question, replies[question.id]),
            alpha=scenario.alpha,
            gamma=gamma,
        )
        for question in questions
    ]
    return sum(rewards) / len(rewards)


def _mean(values: Sequence[bool]) -> float:
    """Share of True; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0
