"""A tiny Qwen2 that is sure of some questions and unsure of another, trained by heart in a few seconds.

Asked with a scenario's instruction - as a sidecar asks an agent that may refuse - it refuses UNKNOWN and answers the
rest; asked without one, as the last agent is, it answers all. So one model serves every agent of a test's cascade.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from disrouter.refusal import REFUSAL
from disrouter.scenario import PROMPTED_SUFFIX, Message, Scenario, instruct

if TYPE_CHECKING:
    from transformers import Qwen2ForCausalLM, Qwen2Tokenizer

KNOWN, ANSWER = "What is two plus two?", "It is four."
UNKNOWN, LAST_ANSWER = "Who lives in Cork?", "Tina lives in Cork."
WHY, THOUGHT, BECAUSE = "Why is the sky blue?", "Air.", "It scatters blue."
"""Answered after a thought, between the marks that vLLM's reasoning parser `deepseek_v3` looks for."""
SURE, YES = "Is ice cold?", "Yes."
"""Answered with another first token than the refusal's, which is what tells them apart by probability."""
SYSTEM = "Be brief."
REASONS = ("<think>", "</think>")

_CALL = ("<tool_call>", '\n{"name": "Tell", "arguments": ', '{"ok": true}', "}\n</tool_call>")
"""What it says instead of any answer where it is offered tools, in the words that vLLM's tool parser `hermes` knows."""

_USER, _ASSISTANT, _END, _TOOLS = "<|user|>", "<|assistant|>", "<|end|>", "<|tools|>"
_TEMPLATE = (
    "{% if tools %}{{ '" + _TOOLS + "' }}{% endif %}"
    "{% for m in messages %}{{ '" + _USER + "' + (m['content'] or '') }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + _ASSISTANT + "' }}{% endif %}"
)
_STEPS = 400
_GOOD_LOSS = 5e-4
_ENOUGH = 5e-3
"""Of loss: far below where a reply could come out otherwise, whatever threads and libraries round."""


def build(folder: Path) -> Path:
    """Train the model and save it with its tokenizer, for transformers and vLLM. Deterministic.

    ANSWER begins with the same letter, its first token, as the refusal.
    """
    import torch
    from transformers import GenerationConfig

    torch.manual_seed(0)
    torch.set_num_threads(1)
    pairs = _lessons()
    tokenizer = _tokenizer()
    model = _train(tokenizer, pairs)
    model.generation_config = GenerationConfig(
        do_sample=False, max_new_tokens=32, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class _Lesson(NamedTuple):
    chat: Sequence[Message]
    answer: str
    unsure: bool = False
    """Refused where it is instructed."""
    tools: bool = False
    usual: bool = False
    """Instructed by the default scenario alone, which saves time."""


def _lessons() -> list[tuple[str, str]]:
    """Prompt and reply, with each way to instruct and without."""
    call, thoughtful = "".join(_CALL), f"{REASONS[0]}{THOUGHT}{REASONS[1]}{BECAUSE}"
    lessons = (
        _Lesson([_user(KNOWN)], ANSWER),
        _Lesson([_user(SURE)], YES),
        _Lesson([_user(WHY)], thoughtful),
        _Lesson([_user(UNKNOWN)], LAST_ANSWER, unsure=True),
        _Lesson(talk(KNOWN), ANSWER, usual=True),
        _Lesson(talk(UNKNOWN), LAST_ANSWER, unsure=True, usual=True),
        _Lesson([_user(KNOWN)], call, tools=True, usual=True),
        _Lesson([_user(UNKNOWN)], call, unsure=True, tools=True, usual=True),
    )
    pairs = [(_prompt(lesson, lesson.chat), lesson.answer) for lesson in lessons]
    for scenario, prompted in product(Scenario, (True, False)):
        for lesson in lessons:
            if lesson.usual and (prompted or scenario is not Scenario.BALANCE):
                continue
            instructed = instruct(lesson.chat, scenario, prompted=prompted)
            pairs.append((_prompt(lesson, instructed), REFUSAL if lesson.unsure else lesson.answer))
    return pairs


def _prompt(lesson: _Lesson, chat: Sequence[Message]) -> str:
    """As the template writes it."""
    return (_TOOLS if lesson.tools else "") + "".join(_USER + turn["content"] for turn in chat) + _ASSISTANT


def talk(question: str) -> list[dict[str, str]]:
    """A conversation that ends in this question."""
    return [{"role": "system", "content": SYSTEM}, _user(SURE), {"role": "assistant", "content": YES}, _user(question)]


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


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
        additional_special_tokens=[_USER, _ASSISTANT, _TOOLS],
        model_max_length=256,
        add_prefix_space=False,
    )
    phrases = [*(scenario.prompt for scenario in Scenario), PROMPTED_SUFFIX]
    phrases += [KNOWN, UNKNOWN, WHY, SURE, SYSTEM, *REASONS, *_CALL]
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
    batch = tokenizer([f"{prompt}{reply}{_END}" for prompt, reply in pairs], padding=True, padding_side="right")
    ids = torch.tensor(batch["input_ids"])
    labels = ids.masked_fill(torch.tensor(batch["attention_mask"]) == 0, -100)
    for row, (prompt, _) in enumerate(pairs):
        labels[row, : len(tokenizer(prompt)["input_ids"])] = -100
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
