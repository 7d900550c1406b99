"""The data of the SFT stage, exactly as section 3.2.2 builds it. Pure: no model, no files.

For each scenario a question is unanswerable when the frequency of correct answers is under delta = 1 - alpha. Every
scenario gets the same number of examples, half of them answers and half refusals.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from disrouter.refusal import REFUSAL
from disrouter.scenario import Scenario, sft_threshold
from disrouter_training.collect import Collected
from disrouter_training.sources import Question
from disrouter_training.template import as_template

_EPSILON = 1e-9
"""1 - 0.8 is not quite 0.2 in binary; a frequency at the threshold is answerable."""


@dataclass(frozen=True)
class Example:
    """One training example: what the agent is asked and what it should have said."""

    scenario: Scenario
    question: Question
    reply: str


@dataclass(frozen=True)
class Share:
    """What one scenario contributes, for the metrics."""

    scenario: Scenario
    answerable: int
    unanswerable: int
    answers: int
    refusals: int

    @property
    def note(self) -> str | None:
        """Said aloud when a scenario could not be balanced."""
        if not self.answerable:
            return f"{self.scenario}: no question is answerable, so it teaches refusals only"
        if not self.unanswerable:
            return f"{self.scenario}: every question is answerable, so it teaches answers only"
        return None

    def summary(self) -> dict[str, Any]:
        """For `done.json`."""
        counts = {"answerable": self.answerable, "unanswerable": self.unanswerable}
        return {**counts, "answers": self.answers, "refusals": self.refusals, "note": self.note}


def build(collected: Sequence[Collected], samples: int, rng: random.Random) -> tuple[list[Example], list[Share]]:
    """Examples in random order, and each scenario's share.

    A class with too few questions is used again and again, evenly, so that the balance holds; a class without any is
    left out and the share says so.
    """
    quota = max(1, samples // (2 * len(Scenario)))
    examples: list[Example] = []
    shares: list[Share] = []
    for scenario in Scenario:
        able, unable = _part(collected, scenario)
        answers = [_answer(item, scenario, rng) for item in _draw(able, quota, rng)]
        refusals = [Example(scenario, item.question, REFUSAL) for item in _draw(unable, quota, rng)]
        examples += answers + refusals
        shares.append(Share(scenario, len(able), len(unable), len(answers), len(refusals)))
    rng.shuffle(examples)
    return examples, shares


def _part(collected: Sequence[Collected], scenario: Scenario) -> tuple[list[Collected], list[Collected]]:
    threshold = sft_threshold(scenario.alpha) - _EPSILON
    able = [item for item in collected if item.frequency >= threshold and any(item.correct)]
    unable = [item for item in collected if item.frequency < threshold]
    return able, unable


def _draw(items: Sequence[Collected], count: int, rng: random.Random) -> list[Collected]:
    """`count` items, each used equally often give or take one."""
    drawn: list[Collected] = []
    while items and len(drawn) < count:
        drawn += rng.sample(items, min(len(items), count - len(drawn)))
    return drawn


def _answer(item: Collected, scenario: Scenario, rng: random.Random) -> Example:
    """One of the agent's own correct samples, in the Answer template."""
    own = [reply for reply, correct in zip(item.replies, item.correct, strict=True) if correct]
    reply = as_template(rng.choice(own))
    assert reply is not None, "a correct reply has a final answer"
    return Example(scenario, item.question, reply)
