"""A tiny Qwen2 that is sure of one question and unsure of another, trained by heart in a few seconds.

Asked with a scenario's instruction - as a sidecar asks an agent that may refuse - it answers KNOWN and refuses UNKNOWN;
asked without one, as the last agent is, it answers both. So one model serves every agent of a test's cascade.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from disrouter.refusal import REFUSAL
from disrouter.scenario import PROMPTED_SUFFIX, Scenario, instruct

if TYPE_CHECKING:
    from transformers import Qwen2ForCausalLM, Qwen2Tokenizer

KNOWN, ANSWER = "What is two plus two?", "It is four."
UNKNOWN, LAST_ANSWER = "Who lives in Cork?", "Tina lives in Cork."
WHY, THOUGHT, BECAUSE = "Why is the sky blue?", "Air.", "It scatters blue."
"""Answered after a thought, in the words that vLLM's reasoning parser `granite` looks for."""
REASONS = ("Here is my thought process:", "Here is my response:")

_USER, _ASSISTANT, _END = "<|user|>", "<|assistant|>", "<|end|>"
_TEMPLATE = (
    "{% for m in messages %}{{ '" + _USER + "' + m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + _ASSISTANT + "' }}{% endif %}"
)
_STEPS = 400
_GOOD_LOSS = 5e-4
_ENOUGH = 5e-3
"""Of loss: far below where a reply could come out otherwise, whatever threads and libraries round."""


def build(folder: Path, answer: str = ANSWER) -> Path:
    """Train the model and save it with its tokenizer, for transformers and vLLM. Deterministic.

    `answer` is what it says to KNOWN; ANSWER begins with the same letter, its first token, as the refusal.
    """
    import torch
    from transformers import GenerationConfig

    torch.manual_seed(0)
    torch.set_num_threads(1)
    pairs = _lessons(answer)
    tokenizer = _tokenizer()
    model = _train(tokenizer, pairs)
    model.generation_config = GenerationConfig(
        do_sample=False, max_new_tokens=32, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _lessons(answer: str) -> list[tuple[str, str]]:
    """Prompt and reply, with each way to instruct and without."""
    thoughtful = f"{REASONS[0]} {THOUGHT} {REASONS[1]} {BECAUSE}"
    lessons = [(KNOWN, answer), (UNKNOWN, LAST_ANSWER), (WHY, thoughtful)]
    for scenario in Scenario:
        for prompted in (True, False):
            for question, reply in ((KNOWN, answer), (UNKNOWN, REFUSAL), (WHY, thoughtful)):
                (message,) = instruct([{"role": "user", "content": question}], scenario, prompted=prompted)
                lessons.append((message["content"], reply))
    return lessons


def _tokenizer() -> Qwen2Tokenizer:
    """Bytes, so that replies come in pieces; one token for each text of a prompt, so that prompts are short."""
    from tokenizers import AddedToken, pre_tokenizers
    from transformers import Qwen2Tokenizer

    vocabulary = {byte: index for index, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=[],
        unk_token=None,
        pad_token="<|pad|>",
        eos_token=_END,
        additional_special_tokens=[_USER, _ASSISTANT],
        model_max_length=256,
        add_prefix_space=False,
    )
    phrases = [*(scenario.prompt for scenario in Scenario), PROMPTED_SUFFIX, KNOWN, UNKNOWN, WHY, *REASONS]
    tokenizer.add_tokens([AddedToken(phrase, normalized=False, special=False) for phrase in phrases])
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def _train(tokenizer: Qwen2Tokenizer, pairs: list[tuple[str, str]]) -> Qwen2ForCausalLM:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=256,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=True,
        )
    )
    batch = tokenizer(
        [f"{_USER}{prompt}{_ASSISTANT}{reply}{_END}" for prompt, reply in pairs], padding=True, padding_side="right"
    )
    ids = torch.tensor(batch["input_ids"])
    labels = ids.masked_fill(torch.tensor(batch["attention_mask"]) == 0, -100)
    for row, (prompt, _) in enumerate(pairs):
        labels[row, : len(tokenizer(f"{_USER}{prompt}{_ASSISTANT}")["input_ids"])] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - 0.95 * step / _STEPS)
    model.train()
    for _ in range(_STEPS):
        loss = model(input_ids=ids, attention_mask=torch.tensor(batch["attention_mask"]), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if loss.item() < _GOOD_LOSS:
            break
    assert loss.item() < _ENOUGH, f"the tiny model did not learn its lessons: loss {loss.item():.3f}"
    return model.eval()
