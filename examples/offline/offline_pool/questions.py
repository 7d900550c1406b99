"""The graded question set: which questions go into which split."""

import json
import random
from pathlib import Path
from typing import Any, Final

from offline_pool.tasks import TASKS, surface_example
from offline_pool.world import RELATIONS, Example, World, has_gaps

HELD_OUT: Final = ("food", "drink", "count", "next")
"""Families that pretraining shows and self-awareness training never does: two of each kind."""
SPLITS: Final[dict[str, tuple[int, int]]] = {
    "train": (280, 140),
    "dev": (35, 18),
    "test": (80, 40),
    "heldout": (150, 75),
}
"""Rows of each split per knowledge family and per surface family."""


def split_of(person: int) -> str:
    """Which split may ask about a person: 50 % train, 10 % dev, 30 % test, 10 % none, evenly over fame.

    Held-out questions take the people of the test split: they too must be new to self-awareness training.
    Nobody asks about the last tenth: `Corpus` has gaps of its own about them.
    """
    return "none" if has_gaps(person) else "train" if person % 10 < 5 else "dev" if person % 10 == 5 else "test"


def _row(example: Example, split: str, number: int) -> dict[str, Any]:
    return {
        "id": f"{split}-{example.family}-{number:03d}",
        "instruction": example.instruction,
        "question": example.question,
        "answer": example.answer,
        "grader": "exact",
        "family": example.family,
        "kind": example.kind,
        "difficulty": example.difficulty,
    }


def _knowledge(world: World, family: str, split: str, count: int, rng: random.Random) -> list[Example]:
    source = "test" if split == "heldout" else split
    people = [person for person in range(len(world.names)) if split_of(person) == source]
    return [world.example(family, person) for person in rng.sample(people, count)]


def _surface(family: str, count: int, rng: random.Random, seen: set[str]) -> list[Example]:
    """`count` problems of about even sizes that no split has yet; adds them to `seen`."""
    task = TASKS[family]
    examples: list[Example] = []
    while len(examples) < count:
        example = surface_example(family, rng, rng.randint(task.low, task.asked))
        if example.question not in seen:
            seen.add(example.question)
            examples.append(example)
    return examples


def build_questions(seed: int = 20) -> dict[str, list[dict[str, Any]]]:
    """Every split's rows, shuffled; the same seed gives the same rows everywhere."""
    world, rng = World(), random.Random(seed)
    seen: set[str] = set()
    splits: dict[str, list[dict[str, Any]]] = {}
    for split, (knowledge, surface) in SPLITS.items():
        rows: list[dict[str, Any]] = []
        for family in [*RELATIONS, *TASKS]:
            if (family in HELD_OUT) != (split == "heldout"):
                continue
            if family in RELATIONS:
                examples = _knowledge(world, family, split, knowledge, rng)
            else:
                examples = _surface(family, surface, rng, seen)
            rows += [_row(example, split, i) for i, example in enumerate(examples)]
        rng.shuffle(rows)
        splits[split] = rows
    return splits


def to_jsonl(rows: list[dict[str, Any]]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of one split."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def write_questions(folder: Path, seed: int = 20) -> None:
    """Write train.jsonl, dev.jsonl, test.jsonl and heldout.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in build_questions(seed).items():
        (folder / f"{split}.jsonl").write_text(to_jsonl(rows), encoding="utf-8")
