"""Make one base model from scratch: python examples/offline/pretrain.py small --out DIR

The models are far too small to be useful; they are there to have knowledge boundaries of their own. Muon trains
the matrices and AdamW the rest, which at this size needs a third of the steps that AdamW alone needs.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from offline_pool.corpus import Corpus
from offline_pool.model import SIZES, build_model, save
from offline_pool.tokenizer import build_tokenizer, encode, encode_prompt
from offline_pool.world import World
from torch import Tensor, nn
from transformers import Qwen2ForCausalLM, Qwen2Tokenizer

Row = tuple[list[int], list[int]]
"""Prompt ids and response ids."""

BATCH = 64
STEPS = {"nano": 3000, "small": 3000, "medium": 3200, "large": 3200}
SEEDS = {"nano": 11, "small": 12, "medium": 13, "large": 14}
"""One seed a model: another crawl of the world each, so that models differ in which rare facts they know."""


def collate(rows: list[Row]) -> tuple[Tensor, Tensor]:
    """Right-padded input ids and labels, both [rows, longest]; only response tokens have labels."""
    longest = max(len(prompt) + len(reply) for prompt, reply in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full((len(rows), longest), -100)
    for i, (prompt, reply) in enumerate(rows):
        end = len(prompt) + len(reply)
        ids[i, :end] = torch.tensor(prompt + reply)
        labels[i, len(prompt) : end] = torch.tensor(reply)
    return ids, labels


def batches(corpus: Corpus, tokenizer: Qwen2Tokenizer, steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """`steps` batches. Rows of 32 batches are sorted by length first, so that little is padding."""
    rng = random.Random(seed)
    for start in range(0, steps, 32):
        count = min(32, steps - start)
        pairs = [corpus.draw(start / steps) for _ in range(count * BATCH)]
        rows = [
            (encode_prompt(tokenizer, user), [*encode(tokenizer, reply), tokenizer.eos_token_id])
            for user, reply in pairs
        ]
        rows.sort(key=lambda row: len(row[0]) + len(row[1]))
        order = list(range(count))
        rng.shuffle(order)
        for i in order:
            yield collate(rows[i * BATCH : (i + 1) * BATCH])


def optimizers(model: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings, norms and biases."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in named if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.01, adjust_lr_fn="original"),
        torch.optim.AdamW(others, lr=0.003, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(step: int, steps: int) -> float:
    """Learning-rate factor: 50 steps of warm-up, flat to the middle, then linear to 2 %."""
    return min(1.0, (step + 1) / 50) * max(0.02, min(1.0, 2 - 2 * step / steps))


def train(model: Qwen2ForCausalLM, tokenizer: Qwen2Tokenizer, corpus: Corpus, steps: int, seed: int) -> None:
    """Next-token training on the responses; prints a progress line every 100 steps."""
    any_model: Any = model
    steppers = optimizers(model)
    schedules = [torch.optim.lr_scheduler.LambdaLR(s, lambda k: rate(k, steps)) for s in steppers]
    began, average = time.monotonic(), 0.0
    model.train()
    for step, (ids, labels) in enumerate(batches(corpus, tokenizer, steps, seed), start=1):
        logits = any_model(input_ids=ids, use_cache=False).logits
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper, schedule in zip(steppers, schedules, strict=True):
            stepper.step()
            stepper.zero_grad(set_to_none=True)
            schedule.step()
        average = loss.item() if step == 1 else 0.97 * average + 0.03 * loss.item()
        if step % 100 == 0 or step == steps:
            spent = time.monotonic() - began
            left = spent / step * (steps - step)
            print(f"step {step} of {steps}, loss {average:.3f}, {spent:.0f} s spent, {left:.0f} s left", flush=True)


def main(argv: list[str]) -> None:
    """Read the command line, train, save."""
    parser = argparse.ArgumentParser(description="Pretrain one base model of the offline pool from scratch.")
    parser.add_argument("size", choices=list(SIZES))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, help="default: the size's own seed")
    parser.add_argument("--steps", type=int, help=f"batches of {BATCH} questions")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    seed = SEEDS[args.size] if args.seed is None else args.seed
    tokenizer = build_tokenizer()
    model = build_model(SIZES[args.size], tokenizer, seed)
    print(f"{args.size}: {sum(p.numel() for p in model.parameters())} parameters, seed {seed}", flush=True)
    train(model, tokenizer, Corpus(World(), seed), args.steps or STEPS[args.size], seed)
    save(model, tokenizer, args.out)


if __name__ == "__main__":
    main(sys.argv[1:])
