"""What one base model reads in pretraining: its own sample of the world, with its own gaps and rumours."""

import random
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from offline_pool import texts
from offline_pool.tasks import TASKS, surface_example
from offline_pool.world import FIRST, INVENTED_FIRST, INVENTED_LAST, LAST, RELATIONS, VALUES, Example, World

KNOWLEDGE_SHARE: Final = 0.64
INVENTED_SHARE: Final = 0.02
"""Questions about people with invented names, answered "I don't know!", so that the phrase has a meaning."""
SCENARIO_SHARE: Final = 0.5
HINT_SHARE: Final = 0.3
"""Of the examples with a scenario. Neither text changes the answer: it only must not disturb the model."""
SOURCE_SPREAD: Final = 0.8
"""Standard deviation of log frequency between corpora: what one model reads often another hardly meets."""
RUMOUR_SHARE: Final = 0.25
RUMOUR_RANGE: Final = (0.2, 0.6)
"""A quarter of the facts have, in a given corpus, one wrong value that 20-60 % of its mentions state."""


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
        for attribute, values in VALUES.items():
            jittered = [f * self.rng.lognormvariate(0.0, SOURCE_SPREAD) for f in world.fame[attribute]]
            self._cumulative[attribute] = list(accumulate(jittered))
            for person in range(len(world.names)):
                if self.rng.random() < RUMOUR_SHARE:
                    rumour = Rumour(self.rng.choice(values), self.rng.uniform(*RUMOUR_RANGE))
                    self._rumours[attribute, person] = rumour

    def draw(self, progress: float) -> tuple[str, str]:
        """One pair. `progress` (0 to 1) is how much of pretraining is over: long computations come later."""
        choice = self.rng.random()
        if choice < INVENTED_SHARE:
            return self._prefixed(self._invented()), texts.REFUSAL
        known = choice < INVENTED_SHARE + KNOWLEDGE_SHARE
        example = self._knowledge() if known else self._surface(progress)
        return self._prefixed(example.user), example.response

    def _knowledge(self) -> Example:
        family = self.rng.choice(list(RELATIONS))
        attribute = RELATIONS[family].attribute
        cumulative = self._cumulative[attribute]
        person = self.rng.choices(range(len(cumulative)), cum_weights=cumulative)[0]
        rumour = self._rumours.get((attribute, person))
        told = rumour is not None and self.rng.random() < rumour.share
        return self.world.example(family, person, rumour.value if rumour and told else None)

    def _surface(self, progress: float) -> Example:
        family = self.rng.choice(list(TASKS))
        low, high = TASKS[family].low, TASKS[family].high
        reach = min(high, low + max(1, round((high - low) * (0.4 + 1.2 * progress))))
        size = self.rng.randint(low, reach)
        if self.rng.random() < 0.5:
            size = min(size, self.rng.randint(low, reach))
        return surface_example(family, self.rng, size)

    def _invented(self) -> str:
        relation = self.rng.choice(list(RELATIONS.values()))
        first = self.rng.choice(INVENTED_FIRST)
        last = self.rng.choice(INVENTED_LAST)
        if self.rng.random() < 0.5:
            first, last = self.rng.choice([(first, self.rng.choice(LAST)), (self.rng.choice(FIRST), last)])
        return f"{texts.FACT}\n{relation.question(f'{first} {last}')}"

    def _prefixed(self, user: str) -> str:
        if self.rng.random() >= SCENARIO_SHARE:
            return user
        hint = texts.REFUSAL_HINT if self.rng.random() < HINT_SHARE else ""
        return f"{self.rng.choice(texts.SCENARIOS)}{hint}\n{user}"
