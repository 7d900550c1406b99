"""Loading a model and its tokenizer, with errors that a person can act on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from disrouter_training.errors import ModelError


def load_tokenizer(name: str) -> Any:
    """The tokenizer, padding on the left as generation needs. Raises ModelError without a chat template."""
    tokenizer = _load(AutoTokenizer.from_pretrained, name, "tokenizer")
    if not tokenizer.chat_template:
        raise ModelError(f"the tokenizer of {name} has no chat template; use an instruct model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def load_model(name: str, *, train: bool) -> Any:
    """The model on this machine's device: full precision to train or on a CPU, bfloat16 to generate on a GPU."""
    gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if gpu and not train else torch.float32
    model = _load(AutoModelForCausalLM.from_pretrained, name, "model", dtype=dtype)
    return model.to("cuda" if gpu else "cpu")


def _load(loader: Any, name: str, what: str, **options: Any) -> Any:
    if name.startswith("/") and not Path(name).is_dir():
        raise ModelError(f"no {what} at {name}: there is no such directory; check model.uri and the mounted claim")
    try:
        return loader(name, **options)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"cannot load the {what} {name}: {reason}; check model.uri") from error
