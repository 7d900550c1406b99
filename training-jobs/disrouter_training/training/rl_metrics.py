"""What each RL step did, per scenario: the place to see an agent turn too careful or too bold, and the guard that does.

A scenario-conditioned reward has two traps: an agent that answers everything, and one that answers nothing. In either
all replies to a question earn alike, so their advantage is nothing and the policy does not come back by itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from disrouter.scenario import Scenario
from disrouter_training.process.ranks import Ranks
from disrouter_training.training.step_log import Digest, StepLog, kept

WINDOW = 5
"""Steps whose mean the stage reports at its end."""
COLLAPSED = 0.005
"""Share of replies that may still be of the other action in a collapsed agent."""
HEALTHY = 0.02
"""Least share of either action in a step whose checkpoint is worth keeping."""


@dataclass
class Tally:
    """Replies under one scenario in one step; a stated alpha counts with the scenario nearest to it."""

    replies: int = 0
    answers: int = 0
    correct: int = 0
    reward: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.replies + other.replies,
            self.answers + other.answers,
            self.correct + other.correct,
            self.reward + other.reward,
        )

    def summary(self) -> dict[str, float | None]:
        """Mean reward, coverage, and precision of the answers (None without any)."""
        return {
            "reward": round(self.reward / self.replies, 4),
            "coverage": round(self.answers / self.replies, 4),
            "precision": round(self.correct / self.answers, 4) if self.answers else None,
        }


class Guard:
    """Watches the coverage over all scenarios. A window of 0 steps watches nothing."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._rates: deque[float] = deque(maxlen=max(1, window))

    def see(self, rate: float) -> None:
        """The coverage of the next step, in [0, 1]."""
        self._rates.append(rate)

    @property
    def healthy(self) -> bool:
        """Whether the last step had both answers and refusals."""
        return bool(self._rates) and HEALTHY <= self._rates[-1] <= 1 - HEALTHY

    @property
    def collapse(self) -> str | None:
        """What the agent came to do, None while it does both."""
        if not self._window or len(self._rates) < self._window:
            return None
        mean = fmean(self._rates)
        if COLLAPSED < mean < 1 - COLLAPSED:
            return None
        return f"{'answered' if mean > 0.5 else 'refused'} everything in {self._window} steps"


class StepMetrics:
    """Collects replies until the step ends, then appends one line on those of all processes."""

    def __init__(self, log: StepLog, ranks: Ranks, guard: Guard) -> None:
        self._log, self._ranks, self.guard = log, ranks, guard
        self._digest = Digest(ranks)
        self._tallies: dict[Scenario, Tally] = {}

    def rewind(self, step: int) -> None:
        """Go on after the checkpoint of this step."""
        for row in self._log.rewind(step):
            self.guard.see(row["coverage"])

    def add(self, scenario: Scenario, reward: float, *, refused: bool, correct: bool, text: str = "") -> None:
        """One reply of the current step."""
        self._digest.add(f"{scenario}/{text}".encode())
        tally = self._tallies.setdefault(scenario, Tally())
        tally.replies += 1
        tally.answers += not refused
        tally.correct += correct
        tally.reward += reward

    def close_step(self, step: int, logs: dict[str, Any]) -> None:
        """The step is done, in all processes: write its line."""
        tallies: dict[Scenario, Tally] = {}
        for part in self._ranks.gather(dict(self._tallies)):
            for scenario, tally in part.items():
                tallies[scenario] = tallies.get(scenario, Tally()) + tally
        self._tallies.clear()
        replies = max(1, sum(tally.replies for tally in tallies.values()))
        rate = sum(tally.answers for tally in tallies.values()) / replies
        self.guard.see(rate)
        numbers = {
            "reward": round(sum(tally.reward for tally in tallies.values()) / replies, 4),
            "coverage": round(rate, 4),
            **kept(logs),
            "data": self._digest.take(),
            "scenarios": {scenario: tally.summary() for scenario, tally in sorted(tallies.items())},
        }
        self._log.append(step, numbers)

    def last_steps(self) -> dict[str, Any]:
        """Mean reward of the first and the last steps."""
        rewards = [row["reward"] for row in self._log.rows()]
        first, last = rewards[:WINDOW], rewards[-WINDOW:]
        if not rewards:
            return {}
        return {"firstReward": round(sum(first) / len(first), 4), "lastReward": round(sum(last) / len(last), 4)}
