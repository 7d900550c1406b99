"""Measure base models: python examples/offline/measure.py [MODEL_DIR ...]

Prints one line a model: greedy accuracy in-domain (test) and held-out, by family, the competence histogram on test
(share of questions by how many of 8 samples at temperature 1 are right), and what scenario texts do to a model that
was never trained to heed them: its accuracy, and how often it refuses.
"""

import argparse
import json
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from transformers import Qwen2ForCausalLM, Qwen2Tokenizer

from disrouter.refusal import REFUSAL
from disrouter.scenario import PROMPTED_SUFFIX, Scenario
from offline_pool import texts
from offline_pool.model import SIZES, load, respond
from offline_pool.questions import read_jsonl

HERE = Path(__file__).parent
EDGES = (0.0, 0.01, 0.2, 0.5, 0.8, 0.99, 1.01)
"""Competence bins: never right, below .2, below .5, below .8, below 1, always right."""

Agent = tuple[Qwen2ForCausalLM, Qwen2Tokenizer]
Rows = list[dict[str, Any]]


def ask(agent: Agent, rows: Rows, prefix: str = "", samples: int = 0) -> list[list[str]]:
    """Responses per row: one greedy response, or `samples` at temperature 1."""
    return respond(*agent, [f"{prefix}{row['instruction']}\n{row['question']}" for row in rows], samples=samples)


def competence(rows: Rows, replies: list[list[str]]) -> list[float]:
    """Share of right responses per row: 0 or 1 when greedy, a frequency when sampled."""
    graded = zip(rows, replies, strict=True)
    return [mean(texts.final_answer(reply) == row["answer"] for reply in many) for row, many in graded]


def refused(replies: list[list[str]]) -> float:
    """Share of the rows whose first response is the refusal."""
    return round(mean(many[0].startswith(REFUSAL) for many in replies), 3)


def histogram(values: list[float]) -> list[float]:
    """Share of the values in each bin of EDGES."""
    return [round(mean(low <= v < high for v in values), 3) for low, high in pairwise(EDGES)]


def by(rows: Rows, values: list[float], *keys: str) -> dict[str, float]:
    """Mean value per combination of the rows' keys."""
    groups: dict[str, list[float]] = defaultdict(list)
    for row, value in zip(rows, values, strict=True):
        groups[" ".join(str(row[key]) for key in keys)].append(value)
    return {key: round(mean(group), 3) for key, group in sorted(groups.items())}


def report(folder: Path, test: Rows, heldout: Rows) -> dict[str, Any]:
    """Everything measured about one model."""
    agent = load(folder)
    greedy = competence(test, replies := ask(agent, test))
    outside = competence(heldout, ask(agent, heldout))
    sampled = competence(test, ask(agent, test, samples=8))
    prompted = {s: ask(agent, test, f"{s.prompt}{PROMPTED_SUFFIX}\n") for s in Scenario}
    return {
        "model": folder.name,
        "parameters": agent[0].num_parameters(),
        "test": round(mean(greedy), 3),
        "heldout": round(mean(outside), 3),
        "kind": by(test, greedy, "kind"),
        "histogram": histogram(sampled),
        "uncertain": round(mean(0.2 <= v <= 0.8 for v in sampled), 3),
        "with scenario": {s: round(mean(competence(test, ask(agent, test, f"{s.prompt}\n"))), 3) for s in Scenario},
        "with scenario and hint": {s: round(mean(competence(test, prompted[s])), 3) for s in Scenario},
        "refused": {"plain": refused(replies)} | {s: refused(prompted[s]) for s in Scenario},
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
