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

from disrouter.refusal import REFUSAL
from offline_pool.corpus import Corpus
from offline_pool.model import SIZES, build_model, save
from offline_pool.texts import SCENARIOS
from offline_pool.tokenizer import build_tokenizer, encode, encode_prompt
from offline_pool.world import World

BATCH = 64
STEPS = {"nano": 5000, "small": 5000, "medium": 2600, "large": 2600}
SEEDS = {"nano": 11, "small": 12, "medium": 13, "large": 14}
"""One seed a model: another crawl of the world each, so that models differ in which rare facts they know."""
FORESIGHT_WEIGHT = 0.5
FORESIGHT = 3
"""How many tokens ahead the head looks. The third token of a worked answer is the recalled value."""
READING_WEIGHT = 0.1
Row = tuple[list[int], list[int]]
"""Prompt ids and response ids."""
NO_LABEL = -100
"""Ignored by the losses."""


@dataclass(frozen=True)
class Batch:
    """Right-padded `ids` and `labels` [rows, longest]; only response tokens have labels, the others -100.

    `openings` [rows] is the position whose next token opens the response, `ahead` [rows] the token FORESIGHT later,
    `scenarios` [rows] the index of the scenario that the prompt begins with, NO_LABEL where it has none, `unlearnt`
    [rows] whether the response is a refusal.
    """

    ids: Tensor
    labels: Tensor
    openings: Tensor
    ahead: Tensor
    scenarios: Tensor
    unlearnt: Tensor


class Heads(nn.Module):
    """Two heads for pretraining alone, both at the position that opens the response; dropped in the end.

    Foresight foretells the response's third token: multi-token prediction (Gloeckle et al., 2024, arXiv:2404.19737)
    at one position. Large models look an entity up while they read it (Ferrando et al., 2024, arXiv:2411.14257), so
    what they know is present before they write. A model of three layers looks it up only where it writes it, and its
    first token could not tell whether it will succeed. The head reads what the last layer is given, so that this layer
    is free to judge how sure the value is. It learns values, never whether they are right.

    Reading says which scenario the prompt began with. An instruct model reads its instructions; to a model from
    scratch they carry no information, and it learns to ignore them for good: its attention to them saturates at zero,
    where no later training can revive it.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.turn = nn.Linear(hidden, hidden, bias=False)
        self.read = nn.Linear(hidden, len(SCENARIOS), bias=False)

    def forward(self, before: Tensor, states: Tensor, embedding: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Losses of foresight and reading, in nats, from the states [rows, hidden] before and after the last layer."""
        foretold = functional.linear(self.turn(before), embedding)
        foresight = functional.cross_entropy(foretold, batch.ahead)
        read = functional.cross_entropy(self.read(states), batch.scenarios, ignore_index=NO_LABEL, reduction="sum")
        return foresight, read / max(1, int((batch.scenarios != NO_LABEL).sum()))


def collate(rows: list[Row], scenarios: list[int], refusal: int) -> Batch:
    """Pad rows to one batch; `scenarios` and `refusal` are the token ids of the scenarios' texts and the refusal."""
    longest = max(len(prompt) + len(reply) for prompt, reply in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full((len(rows), longest), NO_LABEL)
    for i, (prompt, reply) in enumerate(rows):
        end = len(prompt) + len(reply)
        ids[i, :end] = torch.tensor(prompt + reply)
        labels[i, len(prompt) : end] = torch.tensor(reply)
    openings = torch.tensor([len(prompt) - 1 for prompt, _ in rows])
    ahead = torch.tensor([reply[min(FORESIGHT, len(reply)) - 1] for _, reply in rows])
    read = [scenarios.index(prompt[1]) if prompt[1] in scenarios else NO_LABEL for prompt, _ in rows]
    unlearnt = torch.tensor([reply[0] == refusal for _, reply in rows])
    return Batch(ids, labels, openings, ahead, torch.tensor(read), unlearnt)


def batches(corpus: Corpus, tokenizer: Qwen2Tokenizer, steps: int, seed: int) -> Iterator[Batch]:
    """Draw `steps` batches. Rows of 32 batches are sorted by length first, so that little is padding."""
    rng = random.Random(seed)
    scenarios = [encode(tokenizer, text)[0] for text in SCENARIOS]
    refusal = encode(tokenizer, REFUSAL)[0]
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
            yield collate(rows[i * BATCH : (i + 1) * BATCH], scenarios, refusal)


def losses(model: Qwen2ForCausalLM, heads: Heads, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Next-token loss on the responses, then those of the heads: foresight and reading; nats.

    Prompts of refusals pass no gradient to their embeddings: else each stranger's name would become a mark of its own
    that says "refuse", and nothing would be learnt about names in general.
    """
    any_model: Any = model
    embedding = any_model.get_input_embeddings().weight
    inputs = functional.embedding(batch.ids, embedding)
    inputs = torch.where(batch.unlearnt[:, None, None], inputs.detach(), inputs)
    output = any_model.model(inputs_embeds=inputs, use_cache=False, output_hidden_states=True)
    states, before = output.last_hidden_state, any_model.model.norm(output.hidden_states[-2])
    told = batch.labels[:, 1:] != NO_LABEL
    logits = functional.linear(states[:, :-1][told], embedding)
    loss = functional.cross_entropy(logits, batch.labels[:, 1:][told])
    rows = torch.arange(len(batch.openings))
    return loss, *heads(before[rows, batch.openings], states[rows, batch.openings], embedding, batch)


def optimizers(model: Qwen2ForCausalLM, heads: Heads) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings, norms and biases."""
    named = [*model.named_parameters(), *heads.named_parameters()]
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
    heads = Heads(model.config.hidden_size)
    steppers = optimizers(model, heads)
    schedules = [torch.optim.lr_scheduler.LambdaLR(s, lambda k: rate(k, steps)) for s in steppers]
    began, average = time.monotonic(), 0.0
    model.train()
    for step, batch in enumerate(batches(corpus, tokenizer, steps, seed), start=1):
        loss, foretold, read = losses(model, heads, batch)
        torch.autograd.backward(loss + FORESIGHT_WEIGHT * foretold + READING_WEIGHT * read)
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
                f"step {step} of {steps}, loss {average:.3f}, foresight {foretold.item():.2f}, "
                f"reading {read.item():.2f}, {left:.0f} s left",
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
