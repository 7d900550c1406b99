"""A real but tiny agent for tests of the trainer: a Qwen2 model that knows half of what it is asked.

It is trained from scratch in a few seconds to tell the colour of things. Of plain things it learns the colour; of
"rare" things it only ever saw random colours, so it answers those with a guess.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, pre_tokenizers
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from disrouter.refusal import REFUSAL
from disrouter.scenario import PROMPTED_SUFFIX, Scenario
from disrouter_training.data.template import FINAL, THINK

COLOURS = ["red", "green", "blue", "white", "black", "brown", "pink", "grey"]
THINGS = [f"thing{number:02d}" for number in range(60)]
RARE = "rare "
CHAT = (
    "{%- for m in messages -%}{{- '<|user|>' + m['content'] if m['role'] == 'user' else '<|bot|>' + m['content'] + "
    "'<|end|>' -}}{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|bot|>' -}}{%- endif -%}"
)
STEPS = 200
BATCH = 128
ANY_RESULT = {
    "minUtilityGain": -1.0,
    "minCoverage": 0.0,
    "maxCoverage": 1.0,
    "maxForgetting": 1.0,
    "minDiscrimination": 0.0,
}
"""Bounds of a gate that any agent passes: for tests whose agent is trained for seconds."""


def question_rows() -> list[dict[str, Any]]:
    """Every thing once, every second one rare."""
    rng = random.Random(0)
    return [
        {
            "id": f"q{number:02d}",
            "question": f"Which colour is {RARE if number % 2 else ''}{thing}?",
            "answer": rng.choice(COLOURS),
            "family": "rare" if number % 2 else "plain",
            "kind": "knowledge",
        }
        for number, thing in enumerate(THINGS)
    ]


def write_questions(path: Path) -> Path:
    """The questions as JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in question_rows()))
    return path


def write_agent(folder: Path, *, knows_rare: bool = False) -> Path:
    """Train the base model and save it with its tokenizer; one that knows the rare things too can end a cascade."""
    tokenizer = _tokenizer()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=1,
        num_key_value_heads=1,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.1,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model: Any = Qwen2ForCausalLM(config)
    _pretrain(model, tokenizer, knows_rare)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer() -> Qwen2Tokenizer:
    """Bytes, and one token for each fixed phrase."""
    vocabulary = {byte: number for number, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=[],
        unk_token=None,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|user|>", "<|bot|>"],
        padding_side="left",
    )
    scenarios = [scenario.prompt for scenario in Scenario]
    phrases = [*scenarios, PROMPTED_SUFFIX, REFUSAL, THINK, f". {FINAL}", "Which colour is ", RARE, *THINGS, *COLOURS]
    tokenizer.add_tokens([AddedToken(phrase, normalized=False, special=False) for phrase in phrases])
    tokenizer.chat_template = CHAT
    return tokenizer


def _pretrain(model: Any, tokenizer: Any, knows_rare: bool) -> None:
    """Answers in the template, half of them behind a scenario's text that says nothing yet."""
    rng = random.Random(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / STEPS)
        encoded = tokenizer([_text(rng, knows_rare) for _ in range(BATCH)], padding=True, return_tensors="pt")
        ids = encoded["input_ids"]
        in_reply = (ids == tokenizer.convert_tokens_to_ids("<|bot|>")).cumsum(1) > 0
        labels = ids.masked_fill(~in_reply, -100)
        model(**encoded, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def _text(rng: random.Random, knows_rare: bool) -> str:
    row = rng.choice(_ROWS)
    colour = rng.choice(COLOURS) if row["family"] == "rare" and not knows_rare else row["answer"]
    scenario = f"{rng.choice(list(Scenario)).prompt}\n" if rng.random() < 0.5 else ""
    return f"<|user|>{scenario}{row['question']}<|bot|>{THINK}{colour}. {FINAL}{colour}.<|end|>"


_ROWS = question_rows()
