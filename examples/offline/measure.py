"""Measure base models: python examples/offline/measure.py [MODEL_DIR ...]

Prints one line a model: greedy accuracy in-domain (test) and held-out, by family, the competence histogram on test
(share of questions by how many of 8 samples at temperature 1 are right), and what scenario texts do to a model.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from offline_pool import texts
from offline_pool.model import SIZES, load, respond
from offline_pool.questions import read_jsonl
from transformers import Qwen2ForCausalLM, Qwen2Tokenizer

HERE = Path(__file__).parent
EDGES = (0.0, 0.01, 0.2, 0.5, 0.8, 0.99, 1.01)
"""Competence bins: never right, below .2, below .5, below .8, below 1, always right."""

Agent = tuple[Qwen2ForCausalLM, Qwen2Tokenizer]
Rows = list[dict[str, Any]]


def competence(agent: Agent, rows: Rows, prefix: str = "", samples: int = 0) -> list[float]:
    """Share of right responses per row: 0 or 1 when greedy, a frequency when sampled."""
    users = [f"{prefix}{row['instruction']}\n{row['question']}" for row in rows]
    replies = respond(*agent, users, samples=samples)
    return [mean(texts.final_answer(r) == row["answer"] for r in many) for row, many in zip(rows, replies, strict=True)]


def histogram(values: list[float]) -> list[float]:
    """Share of the values in each bin of EDGES."""
    pairs = list(zip(EDGES, EDGES[1:], strict=False))
    return [round(sum(low <= v < high for v in values) / len(values), 3) for low, high in pairs]


def by(rows: Rows, values: list[float], *keys: str) -> dict[str, float]:
    """Mean value per combination of the rows' keys."""
    groups: dict[str, list[float]] = defaultdict(list)
    for row, value in zip(rows, values, strict=True):
        groups[" ".join(str(row[key]) for key in keys)].append(value)
    return {key: round(mean(group), 3) for key, group in sorted(groups.items())}


def report(folder: Path, test: Rows, heldout: Rows) -> dict[str, Any]:
    """Everything measured about one model."""
    agent = load(folder)
    greedy, outside = competence(agent, test), competence(agent, heldout)
    sampled = competence(agent, test, samples=8)
    scenario = {s.split(".")[0]: round(mean(competence(agent, test, s + "\n")), 3) for s in texts.SCENARIOS}
    hint = [competence(agent, test, f"{s}{texts.REFUSAL_HINT}\n") for s in texts.SCENARIOS[:1]]
    return {
        "model": folder.name,
        "parameters": agent[0].num_parameters(),
        "test": round(mean(greedy), 3),
        "heldout": round(mean(outside), 3),
        "kind": by(test, greedy, "kind"),
        "histogram": histogram(sampled),
        "uncertain": round(mean(0.2 <= v <= 0.8 for v in sampled), 3),
        "scenario": scenario | {"with hint": round(mean(hint[0]), 3)},
        "family": by(test, greedy, "family") | by(heldout, outside, "family"),
        "difficulty": by(test, greedy, "kind", "difficulty"),
    }


def main(argv: list[str]) -> None:
    """Read the command line and print a JSON line for each model."""
    parser = argparse.ArgumentParser(description="Measure base models on the offline pool's questions.")
    parser.add_argument("models", nargs="*", type=Path, default=[HERE / "models" / name for name in SIZES])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    test, heldout = (read_jsonl(HERE / "questions" / f"{split}.jsonl") for split in ("test", "heldout"))
    for folder in args.models:
        print(json.dumps(report(folder, test, heldout)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
