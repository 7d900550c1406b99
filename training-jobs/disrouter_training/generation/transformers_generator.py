"""Replies of a model to many prompts, by transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from transformers import GenerationConfig, StoppingCriteriaList
from transformers.cache_utils import DynamicLayer

from disrouter.artifacts import CollectConfig
from disrouter.calibration import FirstTokenSignal
from disrouter_training.generation.encoding import Encoder
from disrouter_training.generation.first_token import FirstTokens, alike, first_tokens
from disrouter_training.generation.halving import Halving
from disrouter_training.generation.prompts import Prompt
from disrouter_training.models.loading import load_model
from disrouter_training.process.progress import Say, say_on_stderr
from disrouter_training.process.stop import StopSignal

Told = Callable[[float], None]
"""Hears the share in [0, 1] of what was asked for that is done, after every token."""


class Sample(NamedTuple):
    """A reply, and whether it was cut at the most tokens that it might have."""

    text: str
    cut: bool


class Sampling:
    """How replies are drawn. Temperature 0 is greedy."""

    def __init__(self, *, samples: int, temperature: float, max_new_tokens: int, batch_size: int) -> None:
        self.samples, self.temperature = samples, float(temperature)
        self.max_new_tokens, self.batch_size = max_new_tokens, batch_size

    @property
    def prompts_at_once(self) -> int:
        """Prompts of a batch, so that about `batch_size` sequences are generated together."""
        return max(1, self.batch_size // self.samples)

    def config(self, model: Any, tokenizer: Any) -> Any:
        """Every knob set, because a hub model's own defaults (Qwen: top_p 0.8) would change the distribution."""
        stops = model.generation_config.eos_token_id
        common = {
            "max_new_tokens": self.max_new_tokens,
            "num_return_sequences": self.samples,
            "repetition_penalty": 1.0,
            "eos_token_id": stops if stops is not None else tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
        if self.temperature == 0:
            return GenerationConfig(do_sample=False, **common)
        return GenerationConfig(do_sample=True, temperature=self.temperature, top_k=0, top_p=1.0, **common)


def greedy(config: CollectConfig, *, tokens: int | None = None) -> Sampling:
    """One reply, the likeliest, with a run's limits; of at most `tokens`, where another length is meant."""
    limit = config.max_new_tokens if tokens is None else tokens
    return Sampling(samples=1, temperature=0, max_new_tokens=limit, batch_size=config.batch_size)


class TransformersGenerator:
    """A model in this process, on a CPU or one GPU."""

    def __init__(self, name: str, stop: StopSignal, told: Told = lambda _: None, say: Say = say_on_stderr) -> None:
        self._encoder = Encoder(name)
        self._halving = Halving(say)
        self._told = told
        self._share_done = self._share_of_batch = 0.0
        self._model = load_model(name, train=False).eval()
        self._stop = stop

    def replies(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[list[str]]:
        """For each prompt `sampling.samples` replies; the same seed gives the same. Raises as `samples` does."""
        return [[sample.text for sample in each] for each in self.samples(prompts, sampling, seed)]

    def samples(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[list[Sample]]:
        """The same, and which replies were cut.

        Raises Interrupted between and within batches when asked to stop; half a batch is thrown away.
        """
        torch.manual_seed(seed)
        config = sampling.config(self._model, self._encoder.tokenizer)
        self._share_done = 0.0

        def work(part: Sequence[Prompt]) -> list[list[Sample]]:
            self._share_of_batch = len(part) / len(prompts)
            found = self._batch(part, sampling, config)
            self._share_done += self._share_of_batch
            return found

        return self._halving.map(prompts, sampling.prompts_at_once, work)

    def first_tokens(self) -> FirstTokens:
        """What its refusals and its answers begin with. Raises ModelError as `first_token.first_tokens` does."""
        return first_tokens(self._encoder)

    def signals(self, prompts: Sequence[Prompt], tokens: FirstTokens, batch_size: int) -> list[FirstTokenSignal]:
        """For each prompt how likely a reply begins with either token."""
        either = [alike(self._encoder, token) for token in (tokens.refusal, tokens.answer)]
        return self._halving.map(prompts, batch_size, lambda part: self._signals(part, either))

    @torch.inference_mode()
    def _signals(self, prompts: Sequence[Prompt], either: Sequence[list[int]]) -> list[FirstTokenSignal]:
        inputs = self._pad([self._encoder.prompt(each) for each in prompts])
        chances = torch.softmax(self._model(**inputs, logits_to_keep=1).logits[:, -1].double(), dim=-1)
        sums = (chances[:, ids].sum(dim=-1).tolist() for ids in either)
        self._stop.check("generation")
        return [FirstTokenSignal(*each) for each in zip(*sums, strict=True)]

    @torch.inference_mode()
    def _batch(self, prompts: Sequence[Prompt], sampling: Sampling, config: Any) -> list[list[Sample]]:
        prefixes = [self._encoder.given(prompt.prefix) for prompt in prompts]
        inputs = self._pad([self._encoder.prompt(prompt) for prompt in prompts])
        asked = inputs["input_ids"].shape[1]

        def each_token(ids: torch.Tensor, _scores: object, **_: object) -> torch.Tensor:
            written = (ids.shape[1] - asked) / sampling.max_new_tokens
            self._told(self._share_done + self._share_of_batch * written)
            return torch.full((ids.shape[0],), self._stop.requested, device=ids.device)

        output = self._model.generate(
            **self._read_once(inputs, config),
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([each_token]),
        )
        new = output[:, asked:].tolist()
        self._stop.check("generation")
        samples = sampling.samples
        full = [prefixes[index // samples] + ids for index, ids in enumerate(new)]
        stops = config.eos_token_id
        ends = set(stops if isinstance(stops, list) else [stops])
        cut = [ends.isdisjoint(ids) for ids in new]
        found = [Sample(*each) for each in zip(self._encoder.decode(full), cut, strict=True)]
        return [found[i : i + samples] for i in range(0, len(found), samples)]

    def _read_once(self, inputs: Any, config: Any) -> Any:
        """The inputs, with all but their last token in the cache where several replies would each read the prompt."""
        several = config.num_return_sequences
        if several == 1 or inputs["input_ids"].shape[1] == 1:
            return inputs
        first = GenerationConfig(max_new_tokens=1, return_dict_in_generate=True, pad_token_id=config.pad_token_id)
        cache = self._model.generate(**inputs, generation_config=first).past_key_values
        if not all(type(layer) is DynamicLayer for layer in cache.layers):
            return inputs  # sliding windows and states forget what crop would have to give back
        cache.crop(-1)
        cache.batch_repeat_interleave(several)
        return {**inputs, "past_key_values": cache}

    def _pad(self, ids: Sequence[list[int]]) -> Any:
        """Token ids as one batch, padded on the left."""
        encoded = [{"input_ids": each} for each in ids]
        return self._encoder.tokenizer.pad(encoded, return_tensors="pt").to(self._model.device)
