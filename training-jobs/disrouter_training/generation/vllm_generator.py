"""Replies of a model to many prompts, by vLLM in this process: prefix caching, continuous batching."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

from disrouter_training.errors import ModelError
from disrouter_training.generation.encoding import Encoder
from disrouter_training.generation.prompts import Prompt
from disrouter_training.generation.transformers_generator import Sample, Sampling
from disrouter_training.process.stop import StopSignal

QUIET = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1"}


class VllmGenerator:
    """A model on the GPUs that this process sees first, or on the CPU by a vLLM that was built for it."""

    def __init__(self, name: str, prompts: Sequence[Prompt], new_tokens: int, stop: StopSignal) -> None:
        self._encoder, self._stop = Encoder(name), stop
        longest = max(len(self._encoder.prompt(prompt)) for prompt in prompts) + new_tokens
        self._llm = _engine(name, longest)

    def replies(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[list[str]]:
        """For each prompt `sampling.samples` replies. Raises as `samples` does."""
        return [[sample.text for sample in each] for each in self.samples(prompts, sampling, seed)]

    def samples(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[list[Sample]]:
        """The same, and which replies were cut. Each prompt has a seed of its own, whatever it is batched with.

        Raises Interrupted before it begins when asked to stop. What vLLM was given it finishes, and that is returned:
        whoever asks keeps a whole shard, and is interrupted before the next one.
        """
        self._stop.check("generation")
        from vllm import SamplingParams

        tokens = [{"prompt_token_ids": self._encoder.prompt(prompt)} for prompt in prompts]
        parameters = [
            SamplingParams(
                n=sampling.samples,
                temperature=sampling.temperature,
                top_p=1.0,
                top_k=0,
                repetition_penalty=1.0,
                max_tokens=sampling.max_new_tokens,
                seed=(seed + number) % 2**31,
                detokenize=False,
            )
            for number in range(len(prompts))
        ]
        outputs = self._llm.generate(tokens, parameters, use_tqdm=False)
        return [self._samples(prompt, output) for prompt, output in zip(prompts, outputs, strict=True)]

    def _samples(self, prompt: Prompt, output: Any) -> list[Sample]:
        given = self._encoder.given(prompt.prefix)
        ordered = sorted(output.outputs, key=lambda completion: completion.index)
        texts = self._encoder.decode([given + list(completion.token_ids) for completion in ordered])
        cut = (completion.finish_reason == "length" for completion in ordered)
        return [Sample(*each) for each in zip(texts, cut, strict=True)]


def _engine(name: str, longest: int) -> Any:
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    gpu = torch.cuda.is_available()
    from vllm import LLM

    try:
        return LLM(
            model=name,
            dtype="auto" if gpu else "float32",
            max_model_len=longest,
            enable_prefix_caching=True,
            enforce_eager=not gpu,
            generation_config="auto",
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"vLLM cannot serve {name}: {reason}; its log is above; set collect.engine to transformers to do without"
        ) from error
