"""The base models: Qwen2 architecture, four sizes, and how to run them in batches."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from offline_pool.tokenizer import encode_prompt


@dataclass(frozen=True)
class Size:
    """`heads` attention heads of 32, the smallest head that vLLM's CPU attention takes."""

    layers: int
    heads: int

    @property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return 32 * self.heads


SIZES: Final[dict[str, Size]] = {
    "nano": Size(layers=3, heads=1),
    "small": Size(layers=3, heads=2),
    "medium": Size(layers=3, heads=3),
    "large": Size(layers=4, heads=4),
}


def build_model(size: Size, tokenizer: Qwen2Tokenizer, seed: int) -> Qwen2ForCausalLM:
    """A randomly initialised model whose generation settings stop at the end of a turn."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=(len(tokenizer) + 7) // 8 * 8,
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        intermediate_size=3 * size.hidden,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="sdpa",
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def save(model: Qwen2ForCausalLM, tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    """Write float16 weights (half the size; loading them as float32 keeps the accuracy) and the tokenizer."""
    model.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load(folder: Path) -> tuple[Qwen2ForCausalLM, Qwen2Tokenizer]:
    """The model in float32, ready to generate, and its tokenizer."""
    model: Any = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    return model.eval(), AutoTokenizer.from_pretrained(folder)


@torch.inference_mode()
def respond(
    model: Qwen2ForCausalLM,
    tokenizer: Qwen2Tokenizer,
    users: list[str],
    *,
    samples: int = 0,
    seed: int = 0,
    batch: int = 150,
) -> list[list[str]]:
    """Responses to user messages: one greedy response each, or `samples` at temperature 1."""
    torch.manual_seed(seed)
    any_model: Any = model
    mode: dict[str, Any] = {"do_sample": False}
    if samples:
        mode = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "num_return_sequences": samples}
    replies: list[str] = []
    for start in range(0, len(users), batch):
        prompts = [{"input_ids": encode_prompt(tokenizer, user)} for user in users[start : start + batch]]
        inputs = tokenizer.pad(prompts, return_tensors="pt")
        output = any_model.generate(**inputs, max_new_tokens=64, **mode)
        new = output[:, inputs["input_ids"].shape[1] :]
        replies += tokenizer.batch_decode(new, skip_special_tokens=True)
    each = max(1, samples)
    return [replies[i : i + each] for i in range(0, len(replies), each)]
