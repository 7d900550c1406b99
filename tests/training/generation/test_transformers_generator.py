"""Replies of a real tiny model."""

from pathlib import Path

import pytest

from disrouter.scenario import Scenario
from disrouter_training.data.sources import Question
from disrouter_training.data.template import THINK
from disrouter_training.errors import Interrupted
from disrouter_training.generation.prompts import free, must_answer
from disrouter_training.generation.transformers_generator import Sampling, TransformersGenerator
from disrouter_training.process.stop import StopSignal
from support.tiny_agent import question_rows

QUESTIONS = [Question.model_validate(row) for row in question_rows()]
GREEDY = Sampling(samples=1, temperature=0, max_new_tokens=16, batch_size=8)
DRAWN = Sampling(samples=4, temperature=1, max_new_tokens=16, batch_size=8)


@pytest.fixture(scope="module")
def generator(volumes: Path) -> TransformersGenerator:
    return TransformersGenerator(str(volumes / "models" / "tiny"), StopSignal())


def test_a_must_answer_reply_is_whole_with_the_words_it_was_given(generator: TransformersGenerator) -> None:
    ((reply,),) = generator.replies([must_answer(QUESTIONS[0])], GREEDY, seed=0)
    assert reply.startswith(THINK)
    assert reply.endswith(f"The final answer is: {QUESTIONS[0].answer}.")


def test_padding_changes_no_greedy_reply(generator: TransformersGenerator) -> None:
    prompts = [
        must_answer(QUESTIONS[0]),
        free(QUESTIONS[1], Scenario.BALANCE, prompted=True),
        must_answer(QUESTIONS[3]),
    ]
    together = generator.replies(prompts, GREEDY, seed=0)
    assert together == [generator.replies([prompt], GREEDY, seed=0)[0] for prompt in prompts]


def test_samples_repeat_with_the_seed_and_differ_without(generator: TransformersGenerator) -> None:
    prompts = [must_answer(question) for question in QUESTIONS[1:20:2]]
    first, same, other = (generator.replies(prompts, DRAWN, seed=seed) for seed in (1, 1, 2))
    assert first == same != other
    assert {len(replies) for replies in first} == {4}


def test_several_replies_read_their_prompt_once_and_mean_the_same(generator: TransformersGenerator) -> None:
    prompts = [must_answer(QUESTIONS[0]), free(QUESTIONS[1], Scenario.BALANCE, prompted=True)]
    nearly_greedy = Sampling(samples=4, temperature=0.01, max_new_tokens=16, batch_size=8)
    read: list[tuple[int, ...]] = []
    watched = generator._model.register_forward_pre_hook(
        lambda _module, _arguments, named: read.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    try:
        several = generator.replies(prompts, nearly_greedy, seed=0)
    finally:
        watched.remove()
    assert several == [[reply] * 4 for (reply,) in generator.replies(prompts, GREEDY, seed=0)]
    assert read[0][0] == len(prompts)
    assert set(read[1:]) == {(4 * len(prompts), 1)}


def test_a_reply_that_ran_into_the_limit_is_told_from_one_that_ended(generator: TransformersGenerator) -> None:
    short = Sampling(samples=1, temperature=0, max_new_tokens=3, batch_size=8)
    for sampling, cut in ((GREEDY, False), (short, True)):
        ((sample,),) = generator.samples([must_answer(QUESTIONS[0])], sampling, seed=0)
        assert sample.cut is cut
        assert [[sample.text]] == generator.replies([must_answer(QUESTIONS[0])], sampling, seed=0)


def test_long_work_tells_how_much_of_it_is_done_token_by_token(volumes: Path) -> None:
    shares: list[float] = []
    generator = TransformersGenerator(str(volumes / "models" / "tiny"), StopSignal(), shares.append)
    prompts = [must_answer(question) for question in QUESTIONS[:20]]
    generator.replies(prompts, GREEDY, seed=0)
    assert shares == sorted(shares)
    assert 0 < shares[0] < 1 / 20
    assert 0.8 < shares[-1] <= 1.0 + 1e-9
    before = len(shares)
    generator.replies(prompts[:8], GREEDY, seed=0)
    assert 0 < shares[before] < 1 / 8, "every work begins anew"


def test_a_stop_ends_even_a_long_batch(volumes: Path) -> None:
    stop = StopSignal()
    generator = TransformersGenerator(str(volumes / "models" / "tiny"), stop)
    stop.requested = True
    endless = Sampling(samples=1, temperature=5, max_new_tokens=1_000_000, batch_size=8)
    with pytest.raises(Interrupted, match="run it again to go on"):
        generator.replies([must_answer(QUESTIONS[0])], endless, seed=0)
