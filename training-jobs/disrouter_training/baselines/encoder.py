"""Text models of torch: a small transformer from scratch, and one that starts from the smallest base model.

Both read the text to its end and predict from there; both stop where the loss on dev is least. (RoBERTa and
Qwen2.5-0.5B play these parts in the paper; a pool of tiny models has neither at hand.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from disrouter_training.baselines.early_stopping import EarlyStopping
from disrouter_training.baselines.text import Examples, Predict, condenser, log_loss
from disrouter_training.evaluation.evidence import Floats
from disrouter_training.models.loading import load_model, load_tokenizer

MAX_TOKENS = 256
"""The end of a longer text is read: there the question stands."""
_PIECE = re.compile(r"#[A-Z]\d+|[^\W\d_]+|\d|[^\s]")
"""Names of common lines, words, single digits, single signs."""

Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    epochs: int = 8
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    patience: int = 2
    """Epochs without a better loss on dev before it stops."""


@dataclass(frozen=True)
class Scratch:
    """A transformer of two layers; words that training never saw are spelled out in characters."""

    name: str = "transformer, from scratch"
    recipe: Recipe = field(default_factory=Recipe)
    width: int = 48

    def fit(self, examples: Examples, seed: int) -> Predict:
        encode, size = vocabulary(examples.texts)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _Reader(_Transformer(size, self.width), self.width, examples.targets.shape[1])
            return _train(network, encode, examples, self.recipe)


@dataclass(frozen=True)
class Backbone:
    """The smallest base model with a head in place of its vocabulary, all of it trained."""

    folder: str
    name: str = "smallest model, fine-tuned"
    recipe: Recipe = field(default_factory=lambda: Recipe(learning_rate=5e-4))

    def fit(self, examples: Examples, seed: int) -> Predict:
        tokenizer: Any = load_tokenizer(self.folder)

        def encode(text: str) -> list[int]:
            chat = [{"role": "user", "content": text}]
            rendered = str(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))
            ids: list[int] = tokenizer(rendered, add_special_tokens=False)["input_ids"]
            return ids

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            body: Any = load_model(self.folder, train=True).base_model
            network = _Reader(_Causal(body), body.config.hidden_size, examples.targets.shape[1])
            return _train(network.to(body.device), encode, examples, self.recipe)


class _Transformer(nn.Module):
    """Bidirectional, the mean of its last layer as the text's vector."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(size, width, padding_idx=0)
        self.places = nn.Embedding(MAX_TOKENS, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.tokens(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        states = self.layers(states, src_key_padding_mask=~mask)
        weights = mask.unsqueeze(-1).float()
        return torch.as_tensor((states * weights).sum(1) / weights.sum(1))


class _Causal(nn.Module):
    """A language model's last state."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.body(input_ids=ids, attention_mask=mask.long(), use_cache=False).last_hidden_state
        last = mask.sum(1) - 1
        return torch.as_tensor(states[torch.arange(len(ids)), last])


class _Reader(nn.Module):
    """A body and a head."""

    def __init__(self, body: nn.Module, width: int, outputs: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(width, outputs)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return torch.as_tensor(self.head(self.body(ids, mask)))


def vocabulary(texts: Sequence[str]) -> tuple[Encode, int]:
    """Common lines, words of two texts or more, and characters; 0 pads and 1 is what is none of these."""
    condense = condenser(texts)
    counts: dict[str, int] = {}
    for text in condense(texts):
        for piece in set(_PIECE.findall(text)):
            counts[piece] = counts.get(piece, 0) + 1
    pieces = sorted({*(p for p, count in counts.items() if count > 1), *(c for p in counts for c in p)})
    ids = {piece: number for number, piece in enumerate(pieces, 2)}

    def encode(text: str) -> list[int]:
        out: list[int] = []
        for piece in _PIECE.findall(condense([text])[0]):
            out += [ids[piece]] if piece in ids else [ids.get(character, 1) for character in piece]
        return out or [1]

    return encode, len(ids) + 2


def _train(network: Any, encode: Encode, examples: Examples, recipe: Recipe) -> Predict:
    """The weights with the least loss on dev."""
    device = next(network.parameters()).device
    train = [encode(text)[-MAX_TOKENS:] for text in examples.texts]
    targets = torch.tensor(examples.targets, dtype=torch.float32, device=device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * -(-len(train) // recipe.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 20, 1 - step / steps))

    def predict(texts: Sequence[str]) -> Floats:
        return _predict(network, [encode(text)[-MAX_TOKENS:] for text in texts], device)

    stopping = EarlyStopping(network, recipe.patience)
    for _ in range(recipe.epochs):
        network.train()
        for chosen in _batches(train, recipe.batch):
            logits = network(*_pad([train[i] for i in chosen], device))
            loss: Any = functional.binary_cross_entropy_with_logits(logits, targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        if stopping.should_stop(log_loss(predict(examples.dev_texts), examples.dev_targets)):
            break
    stopping.restore()
    return predict


def _batches(sequences: Sequence[list[int]], size: int) -> list[list[int]]:
    """Random batches of texts of like length, so that little is padding."""
    order = torch.randperm(len(sequences)).tolist()
    buckets = [
        sorted(order[i : i + 16 * size], key=lambda n: len(sequences[n])) for i in range(0, len(order), 16 * size)
    ]
    batches = [bucket[i : i + size] for bucket in buckets for i in range(0, len(bucket), size)]
    return [batches[i] for i in torch.randperm(len(batches)).tolist()]


def _pad(sequences: Sequence[list[int]], device: Any) -> tuple[Tensor, Tensor]:
    width = max(map(len, sequences))
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    mask = torch.zeros(len(sequences), width, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = True
    return ids.to(device), mask.to(device)


@torch.inference_mode()
def _predict(network: Any, sequences: Sequence[list[int]], device: Any) -> Floats:
    network.eval()
    order = sorted(range(len(sequences)), key=lambda n: len(sequences[n]))
    out = np.zeros((len(sequences), network.head.out_features))
    for start in range(0, len(order), 256):
        part = order[start : start + 256]
        out[part] = torch.sigmoid(network(*_pad([sequences[n] for n in part], device))).float().cpu().numpy()
    return out
