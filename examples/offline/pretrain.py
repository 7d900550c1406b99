"""Make one base model from scratch: python examples/offline/pretrain.py small --out DIR

The models are far too small to be useful; they are there to have knowledge boundaries of their own. Muon trains
the matrices and AdamW the rest.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Qwen2ForCausalLM, Qwen2Tokenizer

from offline_pool.corpus import Corpus
from offline_pool.model import SIZES, build_model, save
from offline_pool.tokenizer import build_tokenizer, encode, encode_prompt
from offline_pool.world import World

BATCH = 64
STEPS = {"nano": 4400, "small": 5200, "medium": 2400, "large": 3000}
SEEDS = {"nano": 11, "small": 12, "medium": 13, "large": 14}
"""One seed a model: another crawl of the world each, so that models differ in which rare facts they know."""
FORESIGHT_WEIGHT = 0.5
FORESIGHT = 3
"""How many tokens ahead the head looks. The third token of a worked answer is the recalled value."""
Row = tuple[list[int], list[int]]
"""Prompt ids and response ids."""


@dataclass(frozen=True)
class Batch:
    """Right-padded `ids` and `labels` [rows, longest]; only response tokens have labels, the others -100.

    `openings` [rows] is the position whose next token opens the response, `ahead` [rows] the token FORESIGHT later.
    """

    ids: Tensor
    labels: Tensor
    openings: Tensor
    ahead: Tensor


class Foresight(nn.Module):
    """A head for pretraining alone: where the response opens, foretell its third token.

    Multi-token prediction (Gloeckle et al., 2024, arXiv:2404.19737) at one position. Large models look an entity up
    while they read it (Ferrando et al., 2024, arXiv:2411.14257), so what they know is present before they write. A
    model of two layers looks it up only where it writes it, and its first token could not tell whether it will
    succeed. The head learns values, never whether they are right, and is dropped in the end.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.turn = nn.Linear(hidden, hidden, bias=False)

    def forward(self, states: Tensor, embedding: Tensor) -> Tensor:
        """Logits [rows, vocabulary] from last hidden states [rows, hidden]."""
        return functional.linear(self.turn(states), embedding)


def collate(rows: list[Row]) -> Batch:
    """Pad rows to one batch."""
    longest = max(len(prompt) + len(reply) for prompt, reply in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full((len(rows), longest), -100)
    for i, (prompt, reply) in enumerate(rows):
        end = len(prompt) + len(reply)
        ids[i, :end] = torch.tensor(prompt + reply)
        labels[i, len(prompt) : end] = torch.tensor(reply)
    openings = torch.tensor([len(prompt) - 1 for prompt, _ in rows])
    ahead = torch.tensor([reply[min(FORESIGHT, len(reply)) - 1] for _, reply in rows])
    return Batch(ids, labels, openings, ahead)


def batches(corpus: Corpus, tokenizer: Qwen2Tokenizer, steps: int, seed: int) -> Iterator[Batch]:
    """Draw `steps` batches. Rows of 32 batches are sorted by length first, so that little is padding."""
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


def loss_of(model: Qwen2ForCausalLM, foresight: Foresight, batch: Batch) -> tuple[Tensor, Tensor]:
    """Next-token loss on the responses, and the foresight head's loss; nats."""
    any_model: Any = model
    states = any_model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
    embedding = any_model.get_input_embeddings().weight
    logits = functional.linear(states[:, :-1], embedding)
    loss = functional.cross_entropy(logits.flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=-100)
    opening = states[torch.arange(len(batch.openings)), batch.openings]
    return loss, functional.cross_entropy(foresight(opening, embedding), batch.ahead)


def optimizers(model: Qwen2ForCausalLM, foresight: Foresight) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings, norms and biases."""
    named = [*model.named_parameters(), *foresight.named_parameters()]
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
    """Train in place; prints a progress line every 100 steps."""
    foresight = Foresight(model.config.hidden_size)
    steppers = optimizers(model, foresight)
    schedules = [torch.optim.lr_scheduler.LambdaLR(s, lambda k: rate(k, steps)) for s in steppers]
    began, average = time.monotonic(), 0.0
    model.train()
    for step, batch in enumerate(batches(corpus, tokenizer, steps, seed), start=1):
        loss, foretold = loss_of(model, foresight, batch)
        torch.autograd.backward(loss + FORESIGHT_WEIGHT * foretold)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper, schedule in zip(steppers, schedules, strict=True):
            stepper.step()
            stepper.zero_grad(set_to_none=True)
            schedule.step()
        average = loss.item() if step == 1 else 0.97 * average + 0.03 * loss.item()
        if step % 100 == 0 or step == steps:
            spent = time.monotonic() - began
            left = spent / step * (steps - step)
            print(
                f"step {step} of {steps}, loss {average:.3f}, foresight {foretold.item():.2f}, {left:.0f} s left",
                flush=True,
            )


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
