"""What routing is worth: performance, cost, utility, the local reward, and the controls to compare with.

Source: equations 1, 2 and 7 of the paper; Oracle and the random, smallest and largest controls as in its Table 2.
Competence tables are sequences over queries of sequences over agents (cheapest first): `correct[q][k]` is 1 when
agent k answers query q correctly, else 0. Costs are in [0, 1], one an agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from disrouter.scenario import reject_threshold

Correct = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Outcome:
    """Mean performance and mean cost of a routing policy over a set of queries (eq. 1)."""

    performance: float
    cost: float

    def utility(self, alpha: float) -> float:
        """Performance - alpha * Cost (eq. 2)."""
        return self.performance - alpha * self.cost


def reward(*, refused: bool, correct: bool, alpha: float, gamma: float = 0.5) -> float:
    """The local, scenario-conditioned reward of one reply (eq. 7): 1, 0, or (1 - alpha) ** gamma for a refusal."""
    if refused:
        return reject_threshold(alpha, gamma)
    return 1.0 if correct else 0.0


def outcome(correct: Correct, costs: Sequence[float], chosen: Sequence[int]) -> Outcome:
    """The outcome of sending query q to agent `chosen[q]`. Raises ValueError on shapes that do not fit."""
    _check(correct, costs)
    if len(chosen) != len(correct):
        raise ValueError(f"{len(chosen)} choices for {len(correct)} queries")
    count = len(correct)
    performance = sum(row[agent] for row, agent in zip(correct, chosen, strict=True)) / count
    return Outcome(performance, sum(costs[agent] for agent in chosen) / count)


def cascade_choice(refuses: Sequence[Sequence[bool]]) -> list[int]:
    """The agent that answers each query: the first that does not refuse; the last always answers (section 2.2.2)."""
    return [next((k for k, refused in enumerate(row[:-1]) if not refused), len(row) - 1) for row in refuses]


def oracle_choice(correct: Correct) -> list[int]:
    """The cheapest agent that is right; where none is right, the cheapest of all."""
    return [next((k for k, right in enumerate(row) if right), 0) for row in correct]


def oracle(correct: Correct, costs: Sequence[float]) -> Outcome:
    """Topline: every query goes to the cheapest agent that is right."""
    return outcome(correct, costs, oracle_choice(correct))


def single(correct: Correct, costs: Sequence[float], agent: int) -> Outcome:
    """Control: one agent answers everything (smallest: 0, largest: -1)."""
    index = range(len(costs))[agent]
    return outcome(correct, costs, [index] * len(correct))


def random_control(correct: Correct, costs: Sequence[float]) -> Outcome:
    """Control: the exact expectation of a uniformly random agent, without drawing any."""
    _check(correct, costs)
    agents = len(costs)
    performance = sum(sum(row) for row in correct) / (len(correct) * agents)
    return Outcome(performance, sum(costs) / agents)


def regret(policy: Outcome, best: Outcome, alpha: float) -> float:
    """Utility that the policy leaves on the table against `best`, usually the Oracle; 0 when it equals it."""
    return best.utility(alpha) - policy.utility(alpha)


def _check(correct: Correct, costs: Sequence[float]) -> None:
    if not correct:
        raise ValueError("no queries to score")
    for index, row in enumerate(correct):
        if len(row) != len(costs):
            raise ValueError(f"query {index} has {len(row)} scores for {len(costs)} agents")
