"""Agents that know nothing of themselves are refused by the gate at its defaults, whatever they earn.

Each is judged by its replies to 200 questions, half of which its base model can answer: through `evaluation`, and
through the gate that the operator asks.
"""

import random
from collections.abc import Callable

import pytest

from disrouter.api import Gate
from disrouter.artifacts import Evaluation
from disrouter.calibration import Calibration, CalibrationPoint
from disrouter.refusal import REFUSAL
from disrouter.routes import DecisionMode
from disrouter.scenario import Scenario
from disrouter_operator.plan.training.gate import judge
from disrouter_training.data.sources import Question
from disrouter_training.evaluation.discrimination import discrimination
from disrouter_training.evaluation.judgement import Answers, evaluation

QUESTIONS = [Question(id=str(number), question=f"{number}?", answer="yes") for number in range(200)]
RIGHT, WRONG = "The final answer is: yes.", "The final answer is: no."
GAMMA = 0.5
CALIBRATION = Calibration(token="I", points=(CalibrationPoint(refusal=0.5, competence=0.5),))

Answering = Callable[[int, Scenario], bool]
"""Whether an agent answers a question under a scenario."""


def able(number: int) -> bool:
    """What the base model can answer."""
    return number % 2 == 0


def result(
    answers: Answering, knows: Callable[[int], bool] = able, signal: Callable[[int], float] | None = None
) -> Evaluation:
    """Of an agent that answers as it `knows`; `signal` is its chance of a refusal where it has one."""

    def replies(known: Callable[[int], bool], answers: Callable[[int], bool]) -> dict[str, str]:
        said = {number: RIGHT if known(number) else WRONG for number in range(len(QUESTIONS))}
        return {str(number): text if answers(number) else REFUSAL for number, text in said.items()}

    always = replies(able, lambda _: True)
    found = Answers(
        base=always,
        must_answer=replies(knows, lambda _: True),
        plain=replies(knows, lambda _: True),
        serving=dict.fromkeys(Scenario, always),
        candidate={s: replies(knows, lambda number, s=s: answers(number, s)) for s in Scenario},  # type: ignore[misc]
    )
    made = evaluation("run", QUESTIONS, found, GAMMA)
    if signal is None:
        return made
    right = [knows(number) for number in range(len(QUESTIONS))]
    first_token = discrimination([-signal(number) for number in range(len(QUESTIONS))], right)
    return made.model_copy(update={"first_token_discrimination": first_token, "calibration": CALIBRATION})


def by_chance(share: float) -> Answering:
    rng = random.Random(0)
    return lambda _number, _scenario: rng.random() < share


def mostly_right(number: int, _scenario: Scenario) -> bool:
    """Knows itself, but for every fifth question."""
    return able(number) != (number % 5 == 0)


DEGENERATE = [
    ("refuses everything", result(lambda *_: False), "minCoverage"),
    ("answers everything", result(lambda *_: True), "maxCoverage"),
    ("answers one in a hundred", result(lambda number, _: number % 100 == 0), "minCoverage"),
    ("has one chance for all", result(mostly_right, signal=lambda _: 0.5), "its first token hardly tells"),
    ("answers half by chance", result(by_chance(0.5)), "its text hardly tells"),
    ("has forgotten what it knew", result(lambda n, _: n % 4 == 0, knows=lambda n: n % 4 == 0), "maxForgetting"),
]


@pytest.mark.parametrize(
    ("made", "reason"), [(made, reason) for _, made, reason in DEGENERATE], ids=[name for name, *_ in DEGENERATE]
)
def test_an_agent_that_does_not_know_itself_is_refused_though_it_may_gain(made: Evaluation, reason: str) -> None:
    verdict = judge(made, Gate(), "base", DecisionMode.TEXT if made.calibration is None else DecisionMode.PROBABILITY)
    assert not verdict.passed
    assert reason in verdict.message


def test_most_of_them_gain_in_utility_so_that_utility_alone_would_let_them_through() -> None:
    gains = {name: made.utility_gain for name, made, _ in DEGENERATE}
    assert gains["refuses everything"] > 0.1
    assert sum(gain >= Gate().min_utility_gain for gain in gains.values()) == len(gains)


@pytest.mark.parametrize("mode", DecisionMode)
def test_one_that_knows_itself_passes(mode: DecisionMode) -> None:
    made = result(mostly_right, signal=lambda number: 0.1 if mostly_right(number, Scenario.BALANCE) else 0.9)
    assert judge(made, Gate(), "base", mode).passed


def test_an_area_is_sure_only_with_enough_questions() -> None:
    assert discrimination([1.0, 0.0], [True, True]) is None
    few = discrimination([2.0, 1.0], [True, False])
    many = discrimination([2.0] * 50 + [1.0] * 50, [True] * 50 + [False] * 50)
    assert few is not None
    assert many is not None
    assert few.area == 1.0
    assert few.low < 0.5, "two questions prove nothing"
    assert many.area == 1.0
    assert 0.85 < many.low < 0.95


@pytest.mark.parametrize(("positive", "negative"), [(40, 40), (8, 400)])
def test_the_interval_is_the_wider_of_hanley_and_mcneils_and_that_of_chance(positive: int, negative: int) -> None:
    """Of an area of 5/8: a quarter of the right ones stand above all others, the rest are level with them."""
    scores = [2.0] * (positive // 4) + [1.0] * (positive - positive // 4 + negative)
    found = discrimination(scores, [True] * positive + [False] * negative)
    assert found is not None
    area, pairs = 5 / 8, positive * negative
    assert found.area == pytest.approx(area)
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    own = area * (1 - area) + (positive - 1) * (one - area**2) + (negative - 1) * (two - area**2)
    chance = (positive + negative + 1) / 12
    assert found.low == pytest.approx(area - 1.959964 * (max(own, chance) / pairs) ** 0.5)
