"""Loading a model and its tokenizer, with errors that a person can act on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from disrouter.artifacts import Precision
from disrouter_training.errors import ModelError
from disrouter_training.publish import verify


def load_tokenizer(name: str) -> Any:
    """The tokenizer, padding on the left as generation needs. Raises ModelError without a chat template."""
    tokenizer = _load(AutoTokenizer.from_pretrained, name, "tokenizer")
    if not tokenizer.chat_template:
        raise ModelError(f"the tokenizer of {name} has no chat template; use an instruct model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def computes_in_bf16(precision: Precision) -> bool:
    """Whether matrix products run in bf16. Raises ModelError where a GPU is asked for what it does not have."""
    gpu = torch.cuda.is_available()
    able = not gpu or torch.cuda.is_bf16_supported()
    if precision is Precision.BF16 and not able:
        raise ModelError(f"{torch.cuda.get_device_name()} has no bf16; set precision to fp32 or auto")
    return precision is Precision.BF16 or (precision is Precision.AUTO and gpu and able)


def load_model(name: str, *, train: bool, frozen_bf16: bool = False) -> Any:
    """The model on this machine's device: full precision to train or on a CPU, bfloat16 to generate on a GPU.

    `frozen_bf16` is for weights that stay as they are under an adapter: they need no more than they compute with.
    """
    gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if frozen_bf16 or (gpu and not train) else torch.float32
    model = _load(AutoModelForCausalLM.from_pretrained, name, "model", dtype=dtype)
    return model.to("cuda" if gpu else "cpu")


def _load(loader: Any, name: str, what: str, **options: Any) -> Any:
    if name.startswith("/") and not Path(name).is_dir():
        raise ModelError(f"no {what} at {name}: there is no such directory; check model.uri and the mounted claim")
    if name.startswith("/"):
        verify(Path(name))
    try:
        return loader(name, **options)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"cannot load the {what} {name}: {reason}; check model.uri") from error
