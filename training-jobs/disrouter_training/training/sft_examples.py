"""The data of the SFT stage as section 3.2.2 builds it, and what goes beyond it. Pure: no model, no files.

For each scenario a question is unanswerable when the frequency of correct answers is under delta = (1 - alpha) ** gamma
(gamma 1 in the paper). Every scenario gets the same number of examples. With the hard target half of them are answers
and half refusals; with the soft one each question is answered as often as its frequency asks for.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from disrouter.artifacts import PreferenceEncoding, SftConfig, SftTarget
from disrouter.refusal import REFUSAL
from disrouter.scenario import PREFERENCE_DECIMALS, Scenario, StatedPreference, alpha_of, reject_threshold
from disrouter_training.data.samples import Collected
from disrouter_training.data.sources import Question
from disrouter_training.data.standard_form import as_template

STATED = "stated"
"""Name of the share that states alpha as a number."""
_EPSILON = 1e-9
"""1 - 0.8 is not quite 0.2 in binary; a frequency at the threshold is answerable."""

Standardise = Callable[[Question, str], str]
"""A correct reply in the Answer template."""


@dataclass(frozen=True)
class Example:
    """One training example: what the agent is asked and what it should have said."""

    asked: StatedPreference | None
    """None: it must answer (replay)."""
    question: Question
    reply: str


@dataclass(frozen=True)
class Share:
    """What one scenario, or the stated preferences together, contribute; for the metrics."""

    name: str
    answers: int
    refusals: int
    answerable: int | None = None
    unanswerable: int | None = None

    @property
    def note(self) -> str | None:
        """Said aloud when a scenario could not be balanced."""
        if not self.answers:
            return f"{self.name}: no question is answerable, so it teaches refusals only"
        if not self.refusals:
            return f"{self.name}: every question is answerable, so it teaches answers only"
        return None

    def summary(self) -> dict[str, Any]:
        """For `done.json`."""
        counts = {"answerable": self.answerable, "unanswerable": self.unanswerable}
        return {**counts, "answers": self.answers, "refusals": self.refusals, "note": self.note}


def build(
    collected: Sequence[Collected],
    config: SftConfig,
    rng: random.Random,
    *,
    encoding: PreferenceEncoding = PreferenceEncoding.DISCRETE,
    standardise: Standardise | None = None,
) -> tuple[list[Example], list[Share]]:
    """Examples in random order, and each scenario's share.

    A class with too few questions is used again and again, evenly, so that the balance holds; a class without any is
    left out and the share says so.
    """
    maker = _Maker(collected, config, rng, standardise or _template)
    replayed = round(config.samples * config.replay)
    quota = (config.samples - replayed) // (2 * len(Scenario))
    pairs = max(1, quota // 2 if encoding is PreferenceEncoding.CONTINUOUS else quota)
    groups: list[tuple[str, list[StatedPreference]]] = [
        (str(scenario), [scenario for _ in range(2 * pairs)]) for scenario in Scenario
    ]
    if encoding is PreferenceEncoding.CONTINUOUS:
        groups.append((STATED, maker.preferences(2 * pairs * len(Scenario))))
    examples: list[Example] = []
    shares: list[Share] = []
    for name, asked in groups:
        made = maker.soft(asked) if config.target is SftTarget.SOFT else maker.hard(asked)
        examples += made
        shares.append(maker.share(name, asked, made))
    examples += maker.replay(replayed)
    rng.shuffle(examples)
    return examples, shares


def answer_chance(frequency: float, threshold: float) -> float:
    """The soft target: how often a question of this frequency of correct answers should be answered, in [0, 1].

    Its log-odds are those of the frequency less those of the threshold: one half at the threshold, so that the likelier
    action is the paper's, and the frequency itself where the threshold is one half.
    """
    able, unable = frequency * (1 - threshold), (1 - frequency) * threshold
    return able / (able + unable) if able + unable else frequency  # else both are 0, or both are 1


class _Maker:
    """Draws examples from what was collected."""

    def __init__(
        self, collected: Sequence[Collected], config: SftConfig, rng: random.Random, standardise: Standardise
    ) -> None:
        self._items = sorted(collected, key=lambda item: item.frequency)
        self._frequencies = [item.frequency for item in self._items]
        self._gamma, self._rng, self._standardise = config.gamma, rng, standardise

    def preferences(self, count: int) -> list[StatedPreference]:
        """Alphas spread evenly over [0, 1], in pairs of equals so that each can be answered and refused."""
        half = count // 2
        alphas = [round((place + self._rng.random()) / half, PREFERENCE_DECIMALS) for place in range(half)]
        return [alpha for alpha in alphas for _ in range(2)]

    def hard(self, asked: Sequence[StatedPreference]) -> list[Example]:
        """Of each pair one answer and one refusal, where the scenario has questions for it."""
        examples: list[Example] = []
        for one, count in Counter(asked).items():
            able, unable = self._part(one)
            examples += [self._answer(item, one) for item in self._draw(able, count // 2)]
            examples += [Example(one, item.question, REFUSAL) for item in self._draw(unable, count // 2)]
        return examples

    def soft(self, asked: Sequence[StatedPreference]) -> list[Example]:
        """Each question as often as any, answered in proportion to `answer_chance`.

        Systematic sampling along the frequency: the shares come out as asked for, also within each neighbourhood, with
        less noise than independent draws would have.
        """
        alphas = self._rng.sample(list(asked), len(asked))
        pairs = sorted(zip(self._draw(self._items, len(asked)), alphas, strict=True), key=lambda p: p[0].frequency)
        examples: list[Example] = []
        total = self._rng.random()
        for item, one in pairs:
            before, total = total, total + answer_chance(item.frequency, self._threshold(one))
            answered = int(total) > int(before) and any(item.correct)
            examples.append(self._answer(item, one) if answered else Example(one, item.question, REFUSAL))
        return examples

    def replay(self, count: int) -> list[Example]:
        """The base model's own replies, as they are: drawn at its own temperature they ask for no change of it.

        Not those that were cut: an example ends with the end of the turn, and would teach it to stop in mid-sentence.
        """
        drawn = self._draw([item for item in self._items if item.whole], count)
        return [Example(None, item.question, self._rng.choice(item.whole)) for item in drawn]

    def share(self, name: str, asked: Sequence[StatedPreference], made: Sequence[Example]) -> Share:
        """What a group contributes; questions are counted by the threshold where it is one for all of them."""
        refusals = sum(example.reply == REFUSAL for example in made)
        if name == STATED:
            return Share(name, len(made) - refusals, refusals)
        able, unable = self._part(asked[0])
        return Share(name, len(made) - refusals, refusals, len(able), len(unable))

    def _threshold(self, asked: StatedPreference) -> float:
        return reject_threshold(alpha_of(asked), self._gamma)

    def _part(self, asked: StatedPreference) -> tuple[list[Collected], list[Collected]]:
        place = bisect_left(self._frequencies, self._threshold(asked) - _EPSILON)
        return [item for item in self._items[place:] if any(item.correct)], self._items[:place]

    def _draw(self, items: Sequence[Collected], count: int) -> list[Collected]:
        """`count` items, each used equally often give or take one."""
        drawn: list[Collected] = []
        while items and len(drawn) < count:
            drawn += self._rng.sample(items, min(len(items), count - len(drawn)))
        return drawn

    def _answer(self, item: Collected, asked: StatedPreference) -> Example:
        """One of the agent's own correct samples, in the Answer template."""
        own = [reply for reply, correct in zip(item.replies, item.correct, strict=True) if correct]
        return Example(asked, item.question, self._standardise(item.question, self._rng.choice(own)))


def _template(question: Question, reply: str) -> str:
    text = as_template(question, reply)
    assert text is not None, "only a right reply is put into the template"
    return text
