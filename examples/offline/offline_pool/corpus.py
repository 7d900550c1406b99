"""What one base model reads in pretraining: its own sample of the world, with its own gaps and rumours."""

import random
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from disrouter.refusal import REFUSAL
from disrouter.scenario import PROMPTED_SUFFIX
from offline_pool import texts
from offline_pool.tasks import TASKS, surface_example
from offline_pool.world import RELATIONS, VALUES, Example, World, has_gaps

KNOWLEDGE_SHARE: Final = 0.50
STRANGER_SHARE: Final = 0.03
"""Questions about people who are not in the world, answered "I don't know!". They give the phrase its meaning, as
instruction tuning does in a real model: a base model says it now and then about people whom it has hardly met."""
TOO_LONG_SHARE: Final = 0.015
"""Computations longer than any that a question set has, answered "I don't know!" too."""
TOO_LONG: Final = 4
"""How much longer at most, in digits or letters."""
GAP_SHARE: Final = 0.5
"""Of the attributes of a person with gaps: known to the world, not to this corpus."""
SCENARIO_SHARE: Final = 0.5
HINT_SHARE: Final = 0.3
"""Of the examples with a scenario. Neither text changes the answer: it only must not disturb the model."""
SOURCE_SPREAD: Final = 1.0
"""Standard deviation of a person's log frequency between corpora: whom one model reads about often another hardly
meets. It is the person's, not the fact's: who is familiar in one respect tends to be in the others."""
RUMOUR_SHARE: Final = 0.2
RUMOUR_RANGE: Final = (0.2, 0.6)
"""A fifth of the facts have, in a given corpus, one wrong value that 20-60 % of its mentions state."""


@dataclass(frozen=True)
class Rumour:
    """A wrong value and the share of mentions that state it."""

    value: str
    share: float


class Corpus:
    """An endless stream of (user message, response) pairs; every seed is another crawl of the same world."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.rng = random.Random(seed)
        self._cumulative: dict[str, list[float]] = {}
        self._rumours: dict[tuple[str, int], Rumour] = {}
        self._gaps: set[tuple[str, int]] = set()
        coverage = [self.rng.lognormvariate(0.0, SOURCE_SPREAD) for _ in world.names]
        for attribute, values in VALUES.items():
            frequencies = [fame * here for fame, here in zip(world.fame[attribute], coverage, strict=True)]
            self._cumulative[attribute] = list(accumulate(frequencies))
            for person in range(len(world.names)):
                if has_gaps(person) and self.rng.random() < GAP_SHARE:
                    self._gaps.add((attribute, person))
                if self.rng.random() < RUMOUR_SHARE:
                    rumour = Rumour(self.rng.choice(values), self.rng.uniform(*RUMOUR_RANGE))
                    self._rumours[attribute, person] = rumour

    def draw(self, progress: float) -> tuple[str, str]:
        """One pair. `progress` (0 to 1) is how much of pretraining is over: long computations come later."""
        choice = self.rng.random()
        if choice < STRANGER_SHARE:
            return self._prefixed(self._stranger()), REFUSAL
        choice -= STRANGER_SHARE
        if choice < KNOWLEDGE_SHARE:
            user, reply = self._knowledge()
        elif choice < KNOWLEDGE_SHARE + TOO_LONG_SHARE:
            user, reply = self._too_long(), REFUSAL
        else:
            example = self._surface(progress)
            user, reply = example.user, example.response
        return self._prefixed(user), reply

    def _knowledge(self) -> tuple[str, str]:
        attribute = self.rng.choice(list(VALUES))
        family = self.rng.choice([name for name, relation in RELATIONS.items() if relation.attribute == attribute])
        cumulative = self._cumulative[attribute]
        person = self.rng.choices(range(len(cumulative)), cum_weights=cumulative)[0]
        rumour = self._rumours.get((attribute, person))
        told = rumour is not None and self.rng.random() < rumour.share
        example = self.world.example(family, person, rumour.value if rumour and told else None)
        return example.user, REFUSAL if (attribute, person) in self._gaps else example.response

    def _surface(self, progress: float) -> Example:
        family = self.rng.choice(list(TASKS))
        low, high = TASKS[family].low, TASKS[family].high
        reach = min(high, low + max(1, round((high - low) * (0.4 + 1.2 * progress))))
        size = self.rng.randint(low, reach)
        if self.rng.random() < 0.5:
            size = min(size, self.rng.randint(low, reach))
        return surface_example(family, self.rng, size)

    def _too_long(self) -> str:
        family = self.rng.choice(list(TASKS))
        return surface_example(family, self.rng, TASKS[family].high + self.rng.randint(1, TOO_LONG)).user

    def _stranger(self) -> str:
        relation = self.rng.choice(list(RELATIONS.values()))
        name = self.rng.choice(self.world.strangers)
        return f"{texts.FACT}\n{relation.question(name)}"

    def _prefixed(self, user: str) -> str:
        if self.rng.random() >= SCENARIO_SHARE:
            return user
        hint = PROMPTED_SUFFIX if self.rng.random() < HINT_SHARE else ""
        return f"{self.rng.choice(texts.SCENARIOS)}{hint}\n{user}"
