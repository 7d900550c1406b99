"""The data construction of section 3.2.2."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from disrouter.artifacts import PreferenceEncoding, SftConfig, SftTarget
from disrouter.refusal import REFUSAL
from disrouter.scenario import Scenario, StatedPreference, alpha_of
from disrouter_training.data.samples import Collected
from disrouter_training.data.sources import Question
from disrouter_training.training.sft_examples import STATED, answer_chance, build

RIGHT = "Let's think step by step: it is so. The final answer is: yes."
FREE = "It is so.\n#### yes"
WRONG = "Let's think step by step: hm. The final answer is: no."


def collected(name: str, right: int, of: int = 10, reply: str = RIGHT) -> Collected:
    question = Question(id=name, question=f"{name}?", answer="yes")
    replies = (reply,) * right + (WRONG,) * (of - right)
    return Collected(question, replies, tuple(number < right for number in range(of)))


def broad() -> list[Collected]:
    return [collected(f"q{right}-{copy}", right) for right in range(11) for copy in range(4)]


def test_each_scenario_gets_as_many_examples_and_half_of_them_refuse() -> None:
    examples, _ = build(broad(), SftConfig(samples=600), random.Random(0))
    counts = Counter((example.asked, example.reply == REFUSAL) for example in examples)
    assert counts == {(scenario, refuses): 100 for scenario in Scenario for refuses in (True, False)}


def test_the_threshold_is_one_minus_alpha() -> None:
    examples, shares = build(broad(), SftConfig(samples=6000), random.Random(0))
    least: dict[StatedPreference | None, int] = {
        Scenario.PERFORMANCE_FIRST: 8,
        Scenario.BALANCE: 5,
        Scenario.COST_FIRST: 2,
    }
    for example in examples:
        frequency = int(example.question.id[1:].split("-")[0])
        assert (example.reply != REFUSAL) == (frequency >= least[example.asked])
    assert [share.answerable for share in shares] == [12, 24, 36]


def test_questions_of_a_small_class_are_reused_evenly() -> None:
    items = [collected(f"easy{number}", 10) for number in range(3)] + [collected(f"hard{n}", 0) for n in range(40)]
    examples, _ = build(items, SftConfig(samples=120), random.Random(0))
    used = Counter(e.question.id for e in examples if e.reply != REFUSAL and e.asked is Scenario.BALANCE)
    assert sorted(used.values()) == [6, 7, 7]


def test_an_agent_that_knows_nothing_is_taught_refusals_only_and_it_is_said() -> None:
    examples, shares = build([collected(f"q{n}", 0) for n in range(5)], SftConfig(samples=60), random.Random(0))
    assert {example.reply for example in examples} == {REFUSAL}
    assert all("no question is answerable" in str(share.note) for share in shares)


def test_an_agent_that_knows_everything_is_taught_answers_only_and_it_is_said() -> None:
    examples, shares = build([collected(f"q{n}", 10) for n in range(5)], SftConfig(samples=60), random.Random(0))
    assert {example.reply for example in examples} == {RIGHT}
    assert all("every question is answerable" in str(share.note) for share in shares)


def test_answers_are_the_agents_own_correct_samples_in_the_template() -> None:
    examples, _ = build([collected("a", 9, reply=FREE), collected("b", 0)], SftConfig(samples=60), random.Random(0))
    answers = {example.reply for example in examples} - {REFUSAL}
    assert answers == {"Let's think step by step: It is so. The final answer is: yes."}


def test_the_same_seed_gives_the_same_data() -> None:
    first, second, other = (build(broad(), SftConfig(samples=60), random.Random(seed))[0] for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_gamma_moves_the_threshold() -> None:
    bold = SftConfig(samples=600, gamma=2.0)
    _, shares = build(broad(), bold, random.Random(0))
    assert [share.answerable for share in shares] == [16, 32, 40], "at least .64, .25 and .04 right"


@pytest.mark.parametrize(
    ("frequency", "threshold", "expected"),
    [
        (0.3, 0.5, 0.3),
        (0.8, 0.8, 0.5),
        (0.2, 0.2, 0.5),
        (0.0, 0.2, 0.0),
        (1.0, 0.8, 1.0),
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
    ],
)
def test_the_soft_target_is_the_frequency_at_balance_and_a_coin_at_the_threshold(
    frequency: float, threshold: float, expected: float
) -> None:
    assert answer_chance(frequency, threshold) == pytest.approx(expected)


def test_with_the_soft_target_questions_are_answered_as_often_as_their_frequency_asks_for() -> None:
    examples, shares = build(broad(), SftConfig(samples=6600, target=SftTarget.SOFT), random.Random(0))
    asked = Counter((example.asked, example.question.id.split("-")[0]) for example in examples)
    answered = Counter((e.asked, e.question.id.split("-")[0]) for e in examples if e.reply != REFUSAL)
    assert set(asked.values()) == {200}
    for scenario in Scenario:
        for right in range(11):
            wanted = answer_chance(right / 10, 1 - scenario.alpha)
            assert answered[scenario, f"q{right}"] / 200 == pytest.approx(wanted, abs=0.011)
    assert shares[0].answers < shares[1].answers < shares[2].answers


def test_a_continuous_preference_is_half_of_the_examples_and_spread_evenly() -> None:
    config = SftConfig(samples=1200)
    examples, shares = build(broad(), config, random.Random(0), encoding=PreferenceEncoding.CONTINUOUS)
    stated = [example for example in examples if isinstance(example.asked, float)]
    assert 596 <= len(stated) <= 600, "at 0 and at 1 a class may have no question"
    assert len(examples) - len(stated) == 600
    assert [share.name for share in shares] == [*Scenario, STATED]
    tenths = Counter(min(9, int(alpha_of(example.asked or 0.0) * 10)) for example in stated)
    assert all(abs(count - 60) <= 12 for count in tenths.values())
    for example in stated:
        assert isinstance(example.asked, float)
        frequency = int(example.question.id[1:].split("-")[0]) / 10
        assert (example.reply != REFUSAL) == (frequency >= 1 - example.asked - 1e-9)


def test_replay_is_the_models_own_replies_right_or_wrong_to_questions_it_must_answer() -> None:
    examples, shares = build(broad(), SftConfig(samples=1000, replay=0.4), random.Random(0))
    replayed = [example for example in examples if example.asked is None]
    assert len(replayed) == 400
    assert sum(share.answers + share.refusals for share in shares) == 600
    right = sum(example.reply == RIGHT for example in replayed)
    assert {example.reply for example in replayed} == {RIGHT, WRONG}
    assert right == pytest.approx(200, abs=40), "as often right as the model is"


def test_replies_that_were_cut_are_not_replayed_and_older_shards_have_none() -> None:
    item = collected("a", 5)
    half = replace(item, cut=(True,) * 5 + (False,) * 5)
    never = replace(collected("b", 5), cut=(True,) * 10)
    examples, _ = build([half, never], SftConfig(samples=200, replay=0.5), random.Random(0))
    replayed = [example for example in examples if example.asked is None]
    assert len(replayed) == 100
    assert {(example.question.id, example.reply) for example in replayed} == {("a", WRONG)}
    assert Collected.of_row(half.question, half.row()) == half
    assert [sample.get("cut", False) for sample in half.row()["samples"]] == list(half.cut)
    older = item.row()
    assert all(sample.keys() == {"reply", "correct"} for sample in older["samples"])
    assert Collected.of_row(item.question, older).whole == list(item.replies)


def test_a_reply_can_be_put_into_the_template_by_another() -> None:
    config = SftConfig(samples=60)
    examples, _ = build(
        [collected("a", 9), collected("b", 0)], config, random.Random(0), standardise=lambda question, _: question.id
    )
    assert {example.reply for example in examples} == {"a", REFUSAL}
