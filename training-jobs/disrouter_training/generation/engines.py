"""What generates: vLLM where it serves a GPU, else transformers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Protocol

import torch

from disrouter.artifacts import Engine
from disrouter_training.errors import ModelError
from disrouter_training.generation.prompts import Prompt
from disrouter_training.generation.transformers_generator import Sample, Sampling, Told, TransformersGenerator
from disrouter_training.models.gpu_memory import rollout_share
from disrouter_training.models.loading import shape_of
from disrouter_training.process.stop import StopSignal


class Generator(Protocol):
    """A model that replies."""

    def replies(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[list[str]]:
        """For each prompt `sampling.samples` replies; the same seed gives the same replies."""
        ...

    def samples(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[list[Sample]]:
        """The same, and which replies were cut."""
        ...


def chosen(engine: Engine, field: str) -> Engine:
    """What `auto` means on this machine. Raises ModelError that names the field where vLLM is asked for in vain."""
    installed = find_spec("vllm") is not None
    if engine is Engine.VLLM and not installed:
        raise ModelError(f"{field} is vllm, which is not installed here; add it to the trainer's image, or set auto")
    if engine is not Engine.AUTO:
        return engine
    return Engine.VLLM if installed and torch.cuda.is_available() else Engine.TRANSFORMERS


def open_generator(
    name: str, engine: Engine, prompts: Sequence[Prompt], new_tokens: int, stop: StopSignal, *, told: Told
) -> Generator:
    """A generator for these prompts, or fewer of them, with at most `new_tokens` of a reply.

    `told` hears from within long work; vLLM does not say.
    """
    if engine is Engine.VLLM:
        from disrouter_training.generation.vllm_generator import VllmGenerator

        return VllmGenerator(name, prompts, new_tokens, stop)
    return TransformersGenerator(name, stop, told)


def rollout_memory(engine: Engine, name: str) -> float:
    """Share of each GPU that the engine of `rl` takes from the trainer. Raises TooLarge as `rollout_share` does."""
    if engine is not Engine.VLLM or not torch.cuda.is_available():
        return 0.0
    return rollout_share(shape_of(name, None).parameters, torch.cuda.get_device_properties(0).total_memory)


def rollouts(engine: Engine, longest: int, share: float) -> dict[str, Any]:
    """TRL's arguments for who generates in `rl`: vLLM in the trainer's own processes, on the trainer's own GPUs.

    `longest` is the most tokens that a prompt with its reply has, `share` what `rollout_memory` says.
    """
    if engine is not Engine.VLLM:
        return {"use_vllm": False}
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": share,
        "vllm_max_model_length": longest,
    }
