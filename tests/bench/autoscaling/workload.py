"""Who is simulated: agents as engines of assumed speeds, and queries that come in bursts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

REFUSAL_TOKENS = 5
"""As many as the words of a refusal take."""
FIRST_TOKENS = 2
"""After as many an answer is known for one, and its client gets them."""


@dataclass(frozen=True)
class AgentModel:
    """One agent: what its pods cost, how fast they are, and what an autoscaler is told of it."""

    name: str
    gpus: int
    """Of one pod."""
    start_seconds: float
    """From the pod's creation until its engine serves: the weights' loading, compilation, graphs."""
    slots: int
    """Sequences that a pod has in its batch at most (vLLM's max_num_seqs); the others wait."""
    prefill: float
    """Seconds for a prompt."""
    token: float
    """Seconds a token while one sequence is in the batch."""
    token_full: float
    """The same in a full batch; between the two it grows with the batch."""
    tokens: int
    """Mean length of an answer."""
    refuses: float
    """Share of what comes that it refuses."""
    target: int
    """Requests that a pod is to have at once."""
    least: int = 1
    most: int = 8

    @property
    def rps(self) -> float:
        """Requests in a second that a pod is to have: its throughput, as full as `target` is of its batch."""
        token = self.token_full
        answer, refusal = self.prefill + self.tokens * token, self.prefill + REFUSAL_TOKENS * token
        return self.target / (self.refuses * refusal + (1 - self.refuses) * answer)

    def token_seconds(self, batch: int) -> float:
        """Seconds a token in a batch of this size."""
        return self.token + (self.token_full - self.token) * min(batch, self.slots) / self.slots


SMALL = AgentModel("small", 1, 90, 32, 0.05, 0.008, 0.020, 200, 0.5, 16)
MEDIUM = AgentModel("medium", 1, 180, 32, 0.10, 0.012, 0.030, 250, 0.4, 16)
LARGE = AgentModel("large", 4, 300, 32, 0.25, 0.025, 0.050, 300, 0.0, 16)
CHAIN = (SMALL, MEDIUM, LARGE)


@dataclass(frozen=True)
class Query:
    """One query and what becomes of it: drawn beforehand, so that every autoscaler meets the same."""

    number: int
    moment: float
    """When it comes, in seconds."""
    refused: tuple[bool, ...]
    """Of each agent, whether it would refuse it."""
    tokens: tuple[int, ...]
    """Of each agent, how long its answer would be."""


@dataclass(frozen=True)
class Traffic:
    """Queries in a second over time."""

    seconds: float
    base: float
    burst: float
    """Queries in a second at the height of a burst."""
    bursts: int
    burst_seconds: float
    ramp: float = 30.0
    """Seconds in which a burst rises."""

    def rate(self, moment: float, starts: tuple[float, ...]) -> float:
        """Queries in a second at this moment, where bursts begin at these."""
        for start in starts:
            if start <= moment < start + self.burst_seconds:
                return self.base + (self.burst - self.base) * min(1.0, (moment - start) / self.ramp)
        return self.base


ROOMY = Traffic(seconds=2 * 3600, base=4, burst=24, bursts=2, burst_seconds=1200)
"""At its base a pod of each agent is a third full; a burst brings six times as much."""
TIGHT = Traffic(seconds=2 * 3600, base=6, burst=48, bursts=2, burst_seconds=1200)
"""At its base a pod is half full or more; a burst brings eight times as much, which the entry cannot take."""
OFFICE = Traffic(seconds=4 * 3600, base=0, burst=3, bursts=2, burst_seconds=1800)


def queries(traffic: Traffic, chain: tuple[AgentModel, ...], seed: int) -> Iterator[Query]:
    """A Poisson process whose rate follows the bursts; lengths of answers are exponential."""
    dice = random.Random(seed)
    room = traffic.seconds / traffic.bursts
    starts = tuple(
        place * room + dice.uniform(0.1, 0.9) * (room - traffic.burst_seconds) for place in range(traffic.bursts)
    )
    fastest, moment, number = max(traffic.base, traffic.burst), 0.0, 0
    while True:
        moment += dice.expovariate(fastest)
        if moment >= traffic.seconds:
            return
        if dice.random() * fastest >= traffic.rate(moment, starts):
            continue
        refused = tuple(dice.random() < agent.refuses for agent in chain)
        tokens = tuple(1 + int(dice.expovariate(1 / agent.tokens)) for agent in chain)
        yield Query(number, moment, refused, tokens)
        number += 1


def packed(chain: tuple[AgentModel, ...]) -> tuple[AgentModel, ...]:
    """The same chain whose pods are to be nearly full."""
    return tuple(replace(agent, target=agent.slots * 7 // 8) for agent in chain)


def with_none(chain: tuple[AgentModel, ...]) -> tuple[AgentModel, ...]:
    """The same chain whose last agent may have no pods."""
    return (*chain[:-1], replace(chain[-1], least=0))
