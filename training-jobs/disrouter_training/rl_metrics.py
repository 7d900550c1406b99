"""What each RL step did, per scenario: the place to see an agent turn too careful or too bold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disrouter.artifacts import write_atomically
from disrouter.scenario import Scenario
from disrouter_training.ranks import Ranks
from disrouter_training.shards import read_rows

TRAINER_NUMBERS = ("loss", "kl", "entropy", "grad_norm")
"""What is kept of TRL's own log."""
WINDOW = 5
"""Steps whose mean the stage reports at its end."""


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
        """Mean reward, answer rate, and precision of the answers (None without any)."""
        return {
            "reward": round(self.reward / self.replies, 4),
            "answerRate": round(self.answers / self.replies, 4),
            "precision": round(self.correct / self.answers, 4) if self.answers else None,
        }


class StepMetrics:
    """Collects replies until the step ends, then appends one line on those of all processes to `metrics.jsonl`."""

    def __init__(self, path: Path, ranks: Ranks) -> None:
        self._path, self._ranks = path, ranks
        self._tallies: dict[Scenario, Tally] = {}

    def rewind(self, step: int) -> None:
        """Forget lines after the checkpoint that training resumes from."""
        if not self._ranks.leads:
            return
        rows = [row for row in self._rows() if row["step"] <= step]
        write_atomically(self._path, "".join(json.dumps(row) + "\n" for row in rows))

    def add(self, scenario: Scenario, reward: float, *, refused: bool, correct: bool) -> None:
        """One reply of the current step."""
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
        if self._ranks.leads:
            self._write(step, tallies, logs)

    def _write(self, step: int, tallies: dict[Scenario, Tally], logs: dict[str, Any]) -> None:
        replies = sum(tally.replies for tally in tallies.values())
        row = {
            "step": step,
            "reward": round(sum(tally.reward for tally in tallies.values()) / max(1, replies), 4),
            **{name: logs[name] for name in TRAINER_NUMBERS if name in logs},
            "scenarios": {scenario: tally.summary() for scenario, tally in sorted(tallies.items())},
        }
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def last_steps(self) -> dict[str, Any]:
        """Mean reward of the first and the last steps."""
        rewards = [row["reward"] for row in self._rows()]
        first, last = rewards[:WINDOW], rewards[-WINDOW:]
        if not rewards:
            return {}
        return {"firstReward": round(sum(first) / len(first), 4), "lastReward": round(sum(last) / len(last), 4)}

    def _rows(self) -> list[dict[str, Any]]:
        """Lines so far; a last line torn by a kill belongs to a step after the checkpoint and is cut off."""
        if not self._path.exists():
            return []
        text = self._path.read_text()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            write_atomically(self._path, whole)
        return read_rows(self._path)
