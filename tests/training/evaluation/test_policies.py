"""Controls and cascades on a few questions whose outcome is plain."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from disrouter.scenario import Scenario, reject_threshold
from disrouter_training.data.sources import Question
from disrouter_training.errors import DatasetError
from disrouter_training.evaluation.bootstrap import Resampler
from disrouter_training.evaluation.evidence import Decisions, Evidence, ModelSet, Split
from disrouter_training.evaluation.policies import (
    best_single,
    competences,
    oracle,
    probability_cascade,
    random_mixture,
    sent,
    single,
    text_cascade,
    tuned_cascade,
)
from disrouter_training.evaluation.self_knowledge import (
    balanced,
    distribution,
    easy,
    easy_hard,
    knowing,
    predictor_score,
)

MODELS = ModelSet(("small", "medium", "large"), np.array([0.1, 0.4, 0.9]))
BASE = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]], bool)
ROWS = 40


def split(name: str = "test", base: np.ndarray = BASE) -> Split:
    questions = tuple(Question(id=f"{name}{n}", question=f"{n}?", answer="x") for n in range(len(base)))
    return Split(name, questions, base)


def decisions(chance: list[list[float]], gamma: tuple[float, float] = (0.5, 0.5)) -> Decisions:
    """Refuses where the chance is a half or more, and is right where its base model is."""
    chances = np.array(chance)
    refused = chances >= 0.5
    base = np.tile(BASE[:, :2], (len(chance) // len(BASE), 1))
    correct = dict.fromkeys(Scenario, base & ~refused)
    log_odds = np.log(chances / (1 - chances))
    return Decisions(
        dict.fromkeys(Scenario, refused), correct, base, base, np.zeros_like(base), log_odds, np.array(gamma)
    )


KNOWS = [[0.1, 0.1], [0.9, 0.2], [0.8, 0.7], [0.9, 0.9]]
"""Chances of refusals of agents that know what they know."""
MEASURED = KNOWS * 50
"""As many questions as a calibration is fitted on."""


def test_the_oracle_takes_the_cheapest_that_is_right() -> None:
    routed = oracle(split(), MODELS)
    assert routed.chosen is not None
    assert routed.chosen.tolist() == [0, 1, 2, 0]
    assert routed.utility(0.5).mean() == pytest.approx(3 / 4 - 0.5 * (0.1 + 0.4 + 0.9 + 0.1) / 4)


@given(st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=30), st.floats(0, 1), st.data())
def test_no_routing_among_agents_of_one_cost_beats_the_oracle(
    right: list[tuple[bool, ...]], alpha: float, data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.integers(0, 2), min_size=len(right), max_size=len(right)))
    models = ModelSet(MODELS.names, np.full(3, 0.1))
    own = split("test", np.array(right))
    routed = sent(own.base, models.costs, np.array(chosen))
    assert routed.utility(alpha).mean() <= oracle(own, models).utility(alpha).mean() + 1e-9


def test_the_prompted_cascade_goes_to_the_first_agent_that_does_not_refuse() -> None:
    routed = text_cascade(split(), decisions(KNOWS), MODELS, Scenario.BALANCE)
    assert routed.chosen is not None
    assert routed.chosen.tolist() == [0, 1, 2, 2]
    assert routed.right.tolist() == [1, 1, 1, 0]


def test_the_probability_cascade_answers_where_calibrated_competence_reaches_the_threshold() -> None:
    seed = {"test": decisions(KNOWS), "dev": decisions(MEASURED)}
    routed = probability_cascade(split(), seed, split("dev"), MODELS, 0.5)
    assert routed.chosen is not None
    assert routed.chosen.tolist() == [0, 1, 2, 2]
    always = probability_cascade(split(), seed, split("dev"), MODELS, 1.0)
    assert always.right.tolist() == single(split(), MODELS, 0).right.tolist()


def test_a_sure_agent_whose_reply_refuses_after_all_is_passed_over() -> None:
    sure, dev = decisions(KNOWS), decisions(MEASURED)
    stubborn = replace(sure, plain_refused=np.array([[1, 0], [0, 0], [0, 0], [0, 0]], bool))
    for cascade in (probability_cascade, tuned_cascade):
        routed = cascade(split(), {"test": stubborn, "dev": dev}, split("dev", np.tile(BASE, (50, 1))), MODELS, 0.5)
        assert routed.chosen is not None
        assert routed.chosen.tolist() == [1, 1, 2, 2]


def test_what_a_sure_agent_answers_is_judged_as_it_is_served() -> None:
    """Without the given first words of must-answer, an agent may be worse."""
    worse = replace(decisions(KNOWS), plain=np.zeros((4, 2), bool))
    routed = probability_cascade(split(), {"test": worse, "dev": decisions(MEASURED)}, split("dev"), MODELS, 0.5)
    assert routed.right.tolist() == [0, 0, 1, 0]


def test_each_agent_has_the_threshold_of_its_own_gamma_also_in_a_part_of_the_pool() -> None:
    known = decisions(KNOWS, gamma=(0.5, 2.0))
    assert known.thresholds(0.75).tolist() == [0.5, 0.0625]
    assert known.take([1]).thresholds(0.75).tolist() == [0.0625]
    unsure = decisions([[0.5, 0.5]] * 4)
    chosen = {}
    for bold in ((0.5, 0.5), (4.0, 0.5), (0.5, 4.0)):
        seed = {"test": replace(unsure, gamma=np.array(bold)), "dev": decisions(KNOWS)}
        known_chances = competences(seed["test"], seed["dev"])
        assert (known_chances[0] < reject_threshold(0.5, 0.5)).all(), "neither agent is sure enough for its usual gamma"
        assert (known_chances[0] >= reject_threshold(0.5, 4.0)).all()
        routed = probability_cascade(split(), seed, split("dev"), MODELS, 0.5)
        assert routed.chosen is not None
        chosen[bold] = routed.chosen.tolist()
    assert chosen == {(0.5, 0.5): [2] * 4, (4.0, 0.5): [0] * 4, (0.5, 4.0): [1] * 4}


def test_tuned_thresholds_come_from_dev_alone() -> None:
    reversed_dev = decisions([[1 - c for c in row] for row in KNOWS])
    sound = tuned_cascade(split(), {"test": decisions(KNOWS), "dev": decisions(KNOWS)}, split("dev"), MODELS, 0.5)
    misled = tuned_cascade(split(), {"test": decisions(KNOWS), "dev": reversed_dev}, split("dev"), MODELS, 0.5)
    assert sound.utility(0.5).mean() > misled.utility(0.5).mean()


def test_the_best_single_agent_depends_on_the_preference() -> None:
    base = np.array([[1, 1, 1]] * 5 + [[0, 0, 1]] * 4 + [[0, 1, 1]], bool)
    tuning = split("dev", base)
    assert best_single(tuning, MODELS, 0.2) == 2
    assert best_single(tuning, MODELS, 0.8) == 0


@pytest.mark.parametrize("cost", [0.1, 0.25, 0.9])
def test_a_random_mixture_costs_what_it_is_matched_to(cost: float) -> None:
    routed = random_mixture(split(), split("dev"), MODELS, cost)
    assert routed.cost.mean() == pytest.approx(cost)


def test_a_random_mixture_skips_an_agent_that_others_mixed_do_better() -> None:
    base = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]], bool)
    routed = random_mixture(split("test", base), split("dev", base), MODELS, 0.4)
    assert routed.right.mean() == pytest.approx(0.25 + 0.75 * (0.4 - 0.1) / 0.8)


def test_a_part_of_the_pool_ends_at_its_own_last_agent() -> None:
    seed = {"test": decisions(KNOWS)}
    part = Evidence(MODELS, {"test": split()}, {"trained": [seed]}).take([0, 1])
    routed = text_cascade(part.splits["test"], part.trainings["trained"][0]["test"], part.models, Scenario.BALANCE)
    assert routed.chosen is not None
    assert routed.chosen.tolist() == [0, 1, 1, 1]


def test_evidence_of_other_questions_is_refused() -> None:
    with pytest.raises(DatasetError, match="training trained was not asked the questions of split test"):
        Evidence(MODELS, {"test": split("test", BASE[:3])}, {"trained": [{"test": decisions(KNOWS)}]})


def test_costs_that_fall_along_the_cascade_are_refused() -> None:
    with pytest.raises(ValueError, match="costs must not fall"):
        ModelSet(("a", "b"), np.array([0.9, 0.1]))


def test_an_interval_holds_the_mean_and_narrows_with_more_questions() -> None:
    rng = np.random.default_rng(0)
    few, many = (Resampler(n, 1).interval(rng.normal(0.3, 1, (1, n))) for n in (30, 3000))
    assert few.low < few.mean < few.high
    assert many.high - many.low < (few.high - few.low) / 5
    assert many.low < 0.3 < many.high


def test_a_paired_difference_ignores_what_is_hard_for_both() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 5, (2, 400))
    gain = Resampler(400, 2).interval((hard + 0.1) - hard)
    assert [gain.low, gain.high] == pytest.approx([0.1, 0.1])
    assert gain.low > 0


def test_seeds_that_differ_widen_an_interval() -> None:
    agree, differ = np.zeros((3, 200)), np.repeat([[-0.2], [0.0], [0.2]], 200, axis=1)
    resampler = Resampler(200, 3)
    assert resampler.interval(agree).high == 0
    assert resampler.interval(differ).high > 0.1


def test_easy_questions_are_those_that_the_cheaper_half_can_answer() -> None:
    assert easy(split()).tolist() == [True, True, False, False]
    routed = text_cascade(split(), decisions(KNOWS), MODELS, Scenario.BALANCE)
    assert easy_hard([routed], easy(split())) == pytest.approx((0.25, 0.9))
    assert distribution([routed], 3).tolist() == [0.25, 0.25, 0.5]


def test_a_judge_is_judged_on_as_many_right_as_wrong_questions() -> None:
    base = np.array([[1, 1, 1]] * 30 + [[0, 1, 1]] * 10, bool)
    truth = base[:, 0]
    assert truth[balanced(truth)].mean() == 0.5
    perfect = predictor_score(
        split("test", base), (0, "small"), ("External", "perfect"), [truth.astype(float)], [truth]
    )
    assert (perfect.questions, perfect.accuracy, perfect.f1, perfect.auc) == (20, 1, 1, 1)
    yes = np.ones(len(base), bool)
    blind = predictor_score(split("test", base), (0, "small"), ("External", "always yes"), [yes.astype(float)], [yes])
    assert (blind.accuracy, blind.auc) == (0.5, 0.5)
    assert blind.f1 == pytest.approx(2 / 3)


def test_what_training_taught_and_took_is_relative_to_what_the_base_model_knew() -> None:
    must_answer = np.array([[1, 0], [1, 1], [0, 0], [0, 0]], bool)
    none = np.zeros_like(must_answer)
    own = Decisions(
        dict.fromkeys(Scenario, none),
        dict.fromkeys(Scenario, must_answer),
        must_answer,
        must_answer,
        none,
        np.array(KNOWS),
        np.array([0.5, 0.5]),
    )
    evidence = Evidence(MODELS, {"test": split()}, {"trained": [{"test": own}]})
    small, medium = knowing(evidence, evidence.splits["test"], "trained")
    assert (small.base_accuracy, small.must_answer_accuracy) == (0.25, 0.5)
    assert (small.delta_performance, small.forgotten) == (1.0, 0.0)
    assert (medium.delta_performance, medium.forgotten) == (0.0, 0.5)


def test_the_macro_average_lets_every_kind_count_alike() -> None:
    """Of one kind three questions, of which one is right; of the other one, which is right: not 2/4 but 2/3."""
    kinds, right = ["a", "a", "a", "b"], [True, False, False, True]
    questions = tuple(Question(id=str(n), question=f"{n}?", answer="x", kind=kind) for n, kind in enumerate(kinds))
    found = Split("test", questions, np.array([[each, True] for each in right]))
    weights = found.balance()
    assert weights is not None
    assert float(np.mean(found.base[:, 0] * weights)) == pytest.approx((1 / 3 + 1) / 2)
    assert float(weights.mean()) == pytest.approx(1)


def test_there_is_no_macro_average_of_one_kind_or_of_questions_without_one() -> None:
    assert split().balance() is None
    questions = tuple(Question(id=str(n), question=f"{n}?", answer="x", kind=kind) for n, kind in enumerate("aab"))
    base = np.ones((3, 2), bool)
    assert Split("test", questions[:2], base[:2]).balance() is None
    mixed = (questions[0], questions[2], questions[1].model_copy(update={"kind": None}))
    assert Split("test", mixed, base).balance() is None


def test_families_are_reported_where_a_person_can_read_them_all() -> None:
    def families(count: int) -> set[str]:
        questions = tuple(
            Question(id=str(n), question=f"{n}?", answer="x", kind="mmlu", family=f"subject {n}") for n in range(count)
        )
        return set(Split("test", questions, np.ones((count, 2), bool)).groups())

    assert families(24) == {"mmlu", *(f"subject {n}" for n in range(24))}
    assert families(25) == {"mmlu"}
