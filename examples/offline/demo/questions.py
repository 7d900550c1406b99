"""The test questions of the offline pool, as the demo asks them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Question:
    """A row of the question set; `prompt` is what a client sends."""

    id: str
    family: str
    kind: str
    text: str
    prompt: str
    answer: str


def read(path: Path) -> list[Question]:
    """Rows of a JSONL file in its order."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [
        Question(
            row["id"],
            row["family"],
            row["kind"],
            row["question"],
            f"{row['instruction']}\n{row['question']}",
            row["answer"],
        )
        for row in rows
    ]
