"""The probability probe: asks the engine how likely a refusal and an answer are, by the first token alone.

One token with its twenty likeliest alternatives is asked for, whole, without anything that would change the first
token: no grammar, no tool choice, no bias. Both shapes of logprobs are read, the chat's and the completion's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from disrouter.calibration import Calibration, FirstTokenSignal
from disrouter_sidecar.decision.lenient_json import loads

TOP = 20
"""Alternatives asked for: as many as vLLM and OpenAI give without being set up for more."""
_DROPPED = frozenset(
    {
        *("max_completion_tokens", "min_tokens", "stop", "stop_token_ids", "include_stop_str_in_output", "best_of"),
        *("stream_options", "echo", "prompt_logprobs", "return_token_ids", "return_tokens_as_token_ids", "logit_bias"),
        *("response_format", "structured_outputs", "tool_choice", "parallel_tool_calls", "functions", "function_call"),
        *("guided_json", "guided_regex", "guided_choice", "guided_grammar", "bad_words", "allowed_token_ids"),
        *("use_beam_search", "temperature", "top_p", "top_k", "min_p", "seed", "store", "metadata"),
        *("presence_penalty", "frequency_penalty", "repetition_penalty", "logits_processors"),
    }
)


def probe_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The probe for an instructed request of a chat (`messages`) or a completion (`prompt`)."""
    probe = {key: value for key, value in fields.items() if key not in _DROPPED}
    probe.update(max_tokens=1, n=1, stream=False)
    if "tools" in fields:  # left out it would mean `auto`, which engines without a parser of calls refuse
        probe["tool_choice"] = "none"
    probe.update({"logprobs": True, "top_logprobs": TOP} if "messages" in fields else {"logprobs": TOP})
    return probe


def signal_of(body: bytes, calibration: Calibration) -> FirstTokenSignal | None:
    """What a probe's reply says of the calibrated tokens, white space aside; None where it cannot be read.

    A token that is not among the likeliest counts as impossible; the trainer measures over the whole vocabulary, and
    both are held within `MAX_LOG_ODDS`.
    """
    try:
        likely = [(text.strip(), math.exp(logprob)) for text, logprob in _first_token(_logprobs(body))]
        refusal, answer = (_chance(likely, token) for token in (calibration.token, calibration.answer))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError):
        return None
    return FirstTokenSignal(refusal, answer) if likely and refusal >= 0 and answer >= 0 else None


def _chance(likely: Iterable[tuple[str, float]], token: str | None) -> float:
    if token is None:
        return 0.0
    return min(1.0, math.fsum(chance for text, chance in likely if text == token.strip()))


def _logprobs(body: bytes) -> Any:
    return loads(body)["choices"][0]["logprobs"]


def _first_token(logprobs: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Texts and logarithms of the first token's alternatives."""
    if "content" in logprobs:
        for item in logprobs["content"][0]["top_logprobs"]:
            yield item["token"], item["logprob"]
    else:
        yield from logprobs["top_logprobs"][0].items()
