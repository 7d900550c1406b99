"""The data construction of section 3.2.2."""

import random
from collections import Counter

from disrouter.refusal import REFUSAL
from disrouter.scenario import Scenario
from disrouter_training.collect import Collected
from disrouter_training.sft_data import build
from disrouter_training.sources import Question

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
    examples, _ = build(broad(), 600, random.Random(0))
    counts = Counter((example.scenario, example.reply == REFUSAL) for example in examples)
    assert counts == {(scenario, refuses): 100 for scenario in Scenario for refuses in (True, False)}


def test_the_threshold_is_one_minus_alpha() -> None:
    examples, shares = build(broad(), 6000, random.Random(0))
    least = {Scenario.PERFORMANCE_FIRST: 8, Scenario.BALANCE: 5, Scenario.COST_FIRST: 2}
    for example in examples:
        frequency = int(example.question.id[1:].split("-")[0])
        assert (example.reply != REFUSAL) == (frequency >= least[example.scenario])
    assert [share.answerable for share in shares] == [12, 24, 36]


def test_questions_of_a_small_class_are_reused_evenly() -> None:
    items = [collected(f"easy{number}", 10) for number in range(3)] + [collected(f"hard{n}", 0) for n in range(40)]
    examples, _ = build(items, 120, random.Random(0))
    used = Counter(e.question.id for e in examples if e.reply != REFUSAL and e.scenario is Scenario.BALANCE)
    assert sorted(used.values()) == [6, 7, 7]


def test_an_agent_that_knows_nothing_is_taught_refusals_only_and_it_is_said() -> None:
    examples, shares = build([collected(f"q{n}", 0) for n in range(5)], 60, random.Random(0))
    assert {example.reply for example in examples} == {REFUSAL}
    assert all("no question is answerable" in str(share.note) for share in shares)


def test_an_agent_that_knows_everything_is_taught_answers_only_and_it_is_said() -> None:
    examples, shares = build([collected(f"q{n}", 10) for n in range(5)], 60, random.Random(0))
    assert {example.reply for example in examples} == {RIGHT}
    assert all("every question is answerable" in str(share.note) for share in shares)


def test_answers_are_the_agents_own_correct_samples_in_the_template() -> None:
    examples, _ = build([collected("a", 9, reply=FREE), collected("b", 0)], 60, random.Random(0))
    answers = {example.reply for example in examples} - {REFUSAL}
    assert answers == {"Let's think step by step: It is so. The final answer is: yes."}


def test_the_same_seed_gives_the_same_data() -> None:
    first, second, other = (build(broad(), 60, random.Random(seed))[0] for seed in (1, 1, 2))
    assert first == second
    assert first != other
