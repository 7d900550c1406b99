"""`metrics.jsonl` of a training stage: a line an optimizer step, which a resumed stage goes on with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from disrouter.artifacts import write_atomically
from disrouter_training.data.shards import Row, read_rows, write_rows
from disrouter_training.process.ranks import Ranks

DIGEST_DIGITS = 16
METRICS_FILE = "metrics.jsonl"
TRAINER_NUMBERS = {
    "loss": "loss",
    "kl": "kl",
    "entropy": "entropy",
    "grad_norm": "grad_norm",
    "completions/mean_length": "length",
}
"""What is kept of the trainer's own log, and under which name. Length is in tokens."""


class StepLog:
    """The lines of a stage. Of several processes the leader writes; all know them."""

    def __init__(self, path: Path, ranks: Ranks) -> None:
        self._path, self._ranks = path, ranks

    def rewind(self, step: int) -> list[Row]:
        """Forget lines after the checkpoint that training resumes from; those that are left, in every process."""
        return self._ranks.from_leader(lambda: self._cut(step))

    def append(self, step: int, numbers: dict[str, Any]) -> None:
        """Write the line of a step that is done."""
        if self._ranks.leads:
            with self._path.open("a") as file:
                file.write(json.dumps({"step": step, **numbers}) + "\n")

    def rows(self) -> list[Row]:
        """Lines so far; a last line torn by a kill belongs to a step after the checkpoint and is cut off."""
        if not self._path.exists():
            return []
        text = self._path.read_text()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            write_atomically(self._path, whole)
        return read_rows(self._path)

    def _cut(self, step: int) -> list[Row]:
        rows = [row for row in self.rows() if row["step"] <= step]
        write_rows(self._path, rows)
        return rows


class Digest:
    """A fingerprint of what a step was trained on, in order: equal lines of two runs saw equal data."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._hash = hashlib.sha256()

    def add(self, data: bytes) -> None:
        """Part of the current step."""
        self._hash.update(len(data).to_bytes(8, "big") + data)

    def take(self) -> str:
        """The fingerprint of the step over all processes; the next one begins."""
        digests = self._ranks.gather(self._hash.hexdigest())
        self._hash = hashlib.sha256()
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:DIGEST_DIGITS]


def kept(logs: dict[str, Any]) -> dict[str, Any]:
    """The trainer's numbers that a line has."""
    return {ours: logs[theirs] for theirs, ours in TRAINER_NUMBERS.items() if theirs in logs}
