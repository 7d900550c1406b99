"""What the base models of a pool answer, once for all seeds: the ground truth of every control and baseline.

Each must answer every question greedily; training questions also several times, so that baselines learn from the same
measure of competence as the agents; and on the others each verifies its own answers, as AutoMix asks it to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from disrouter.artifacts import CollectConfig
from disrouter.recipe import filled_in, merge
from disrouter_training.data.correctness import same_answer
from disrouter_training.data.sources import Question
from disrouter_training.data.split import DEV, HELDOUT, TEST, TRAIN
from disrouter_training.generation.batch_queries import BatchQueries, Phrase, Query, replies, reply
from disrouter_training.generation.prompts import Prompt, chat, must_answer
from disrouter_training.generation.transformers_generator import Sampling
from disrouter_training.pool.file import Pool, PoolAgent
from disrouter_training.process.places import resolve
from disrouter_training.process.progress import Say
from disrouter_training.process.stop import StopSignal

VERIFICATIONS = 10
"""Reflections on each answer (Appendix F)."""
VERDICT = "correct"
VERDICT_TOKENS = 24
"""Of a verification: the verdict stands in its first words."""
ASK, AGREE = "asked", "agreement"
"""Two ways to verify: the agent is asked whether its answer is right, or answers again and is compared."""
_VERIFY = (
    "Your task is to evaluate if the AI Generated Answer is correct, based on the question. "
    "Choose between Correct or Incorrect."
)


@dataclass(frozen=True)
class BaseAnswers:
    """Of one base model."""

    greedy: Mapping[str, Mapping[str, str]]
    """Reply by split and question id."""
    samples: Mapping[str, Sequence[str]]
    """Replies to training questions at the temperature of `collect`."""
    verified: Mapping[str, Mapping[str, float]]
    """Share of verifications that approve of the greedy reply, by way and question id; empty for the last agent."""


@dataclass(frozen=True)
class Questions:
    """All questions of a pool by split."""

    splits: Mapping[str, Sequence[Question]]

    @property
    def judged(self) -> list[Question]:
        """All but those to train on."""
        return [q for name in (DEV, TEST, HELDOUT) for q in self.splits.get(name, ())]

    @property
    def everything(self) -> list[Question]:
        """All of them."""
        return [*self.splits[TRAIN], *self.judged]


def ask_base(
    pool: Pool, agent: PoolAgent, questions: Questions, folder: Path, world: tuple[StopSignal, Say, Path]
) -> BaseAnswers:
    """Ask a base model or go on with it. `world` is the stop signal, what says progress, and where claims are."""
    stop, say, pvc_root = world
    collect = _collect(pool, agent)
    model = resolve(agent.model, pvc_root)
    here = base_folder(pool, agent, questions, folder)

    def batch(name: str, *, samples: int = 1, temperature: float = 0.0) -> BatchQueries:
        limits = {"max_new_tokens": collect.max_new_tokens, "batch_size": collect.batch_size}
        sampling = Sampling(samples=samples, temperature=temperature, **limits)
        return BatchQueries(here / name, f"{agent.name}: {name}", sampling, stop, say)

    one = batch("greedy")
    greedy = one.ask(questions.everything, [Query("replies", model, reply(must_answer, one.sampling))])["replies"]
    replied = {str(row["id"]): str(row["reply"]) for row in greedy}
    many = batch("samples", samples=collect.samples, temperature=collect.temperature)
    sampled = many.ask(questions.splits[TRAIN], [Query("replies", model, replies(must_answer, many.sampling, _seed))])
    verified: dict[str, dict[str, float]] = {}
    if agent != pool.agents[-1]:
        verifying = batch("verify", samples=VERIFICATIONS, temperature=1.0)
        verified = _verify(verifying, model, questions.judged, replied)
    return BaseAnswers(
        {name: {q.id: replied[q.id] for q in each} for name, each in questions.splits.items()},
        {str(row["id"]): list(row["replies"]) for row in sampled["replies"]},
        verified,
    )


def base_folder(pool: Pool, agent: PoolAgent, questions: Questions, folder: Path) -> Path:
    """Where a base model's answers are kept; another one for other questions."""
    return folder / f"{agent.name}-{_key(agent.model, _collect(pool, agent), questions.everything)}"


def verdict(text: str) -> bool:
    """Whether a verification approves; anything but a clear yes does not."""
    words = text.lower().replace("the ai generated answer is", " ").split()
    return any(word.strip(".,:;!*\"'()") == VERDICT for word in words)


def _verify(
    batch: BatchQueries, model: str, questions: Sequence[Question], replied: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    phrase: Phrase = lambda question: verification(question, replied[question.id])  # noqa: E731
    whole = batch.sampling
    limits = {"max_new_tokens": min(VERDICT_TOKENS, whole.max_new_tokens), "batch_size": whole.batch_size}
    short = Sampling(samples=whole.samples, temperature=whole.temperature, **limits)
    queries = [
        Query(ASK, model, replies(phrase, short, _seed)),
        Query(AGREE, model, replies(must_answer, whole, _seed)),
    ]
    rows = batch.ask(questions, queries)
    approves: dict[str, Callable[[Question, str], bool]] = {
        ASK: lambda _, text: verdict(text),
        AGREE: lambda question, text: same_answer(question, replied[question.id], text),
    }
    asked = {question.id: question for question in questions}
    return {
        way: {
            str(row["id"]): sum(approve(asked[str(row["id"])], text) for text in row["replies"]) / len(row["replies"])
            for row in rows[way]
        }
        for way, approve in approves.items()
    }


def verification(question: Question, answer: str) -> Prompt:
    """AutoMix's self-verification, without examples: the agents are asked everything zero-shot."""
    content = f"{_VERIFY}\nQuestion: {chat(question)[0]['content']}\nAI Generated Answer: {answer}"
    return Prompt([{"role": "user", "content": content}])


def _collect(pool: Pool, agent: PoolAgent) -> CollectConfig:
    return CollectConfig.model_validate(filled_in(merge(pool.recipe, agent.recipe)).get("collect", {}))


def _seed(number: int) -> int:
    return 1000 + number


def _key(model: str, collect: CollectConfig, questions: Sequence[Question]) -> str:
    digest = hashlib.sha256(json.dumps([model, collect.dump()], sort_keys=True).encode())
    for question in questions:
        digest.update(question.model_dump_json().encode())
    return digest.hexdigest()[:10]
