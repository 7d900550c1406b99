"""Loading a model and its tokenizer, with errors that a person can act on."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from disrouter.artifacts import Lora, Precision
from disrouter_training.errors import ModelError
from disrouter_training.models.gpu_memory import Shape, is_out_of_memory
from disrouter_training.models.grouped_attention import attend_in_groups
from disrouter_training.models.publishing import verify

T = TypeVar("T")
LARGE_FOR_A_CPU = 50_000_000
"""Parameters from which on a CPU spends its time on matrices; below there is nothing to gain from rounding them."""


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
    able = not gpu or torch.cuda.is_bf16_supported(including_emulation=False)
    if precision is Precision.BF16 and not able:
        raise ModelError(f"{torch.cuda.get_device_name()} has no bf16; set precision to fp32 or auto")
    return precision is Precision.BF16 or (precision is Precision.AUTO and gpu and able)


def release_memory() -> None:
    """Give back what models that nobody refers to any more still hold: Python's cycles, and torch's cache on a GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def unless_too_much(work: Callable[[], T]) -> T | None:
    """What `work` returns; None where memory ran out. Then the error is gone, and with it the tensors that it held."""
    try:
        return work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    release_memory()
    return None


def load_model(name: str, *, train: bool, frozen_bf16: bool = False) -> Any:
    """The model on this machine's device: full precision to train, bfloat16 to generate where that is faster.

    `frozen_bf16` is for weights that stay as they are under an adapter: they need no more than they compute with.
    """
    gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if frozen_bf16 or (not train and _generates_in_bf16(name)) else torch.float32
    model = _load(AutoModelForCausalLM.from_pretrained, name, "model", dtype=dtype)
    return attend_in_groups(model.to("cuda" if gpu else "cpu"))


def _generates_in_bf16(name: str) -> bool:
    if torch.cuda.is_available():
        return True
    return cpu_has_bf16() and sum(each.numel() for each in blueprint(name).parameters()) >= LARGE_FOR_A_CPU


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies matrices in bfloat16 by instructions of its own, twice to thrice as fast."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def blueprint(name: str) -> Any:
    """The model without its weights: what it is made of, at no cost."""
    config = _load(AutoConfig.from_pretrained, name, "configuration")
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def adapter_of(lora: Lora) -> Any:
    """The adapter as peft wants it."""
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules) or "all-linear",
        task_type="CAUSAL_LM",
    )


def shape_of(name: str, lora: Lora | None) -> Shape:
    """What of the model costs memory. Raises ModelError where an adapter names layers that it does not have."""
    model = blueprint(name)
    config = model.config.get_text_config()
    parameters = trained = sum(parameter.numel() for parameter in model.parameters())
    if lora is not None:
        trained = _adapter_size(model, name, lora)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Shape(
        parameters=parameters,
        trained=trained,
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        cached=2 * heads * size,
        vocabulary=config.vocab_size,
        adapted=lora is not None,
    )


def _adapter_size(model: Any, name: str, lora: Lora) -> int:
    from peft import get_peft_model

    try:
        adapted = get_peft_model(model, adapter_of(lora))
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{name} cannot have this adapter: {reason}; correct lora.targetModules") from error
    return sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)


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
