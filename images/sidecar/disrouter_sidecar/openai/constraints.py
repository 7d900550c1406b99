"""What of a request would keep an agent from refusing: a grammar, a forced tool, a stop string inside the phrase.

Such a request is decided first, without it, and only then answered under it (`agents.engine`). A token limit is none of
it: what it leaves of a refusal is recognised.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from disrouter.refusal import REFUSAL
from disrouter.refusal.text import straight
from disrouter_sidecar.openai.dialect import Fields

LEAST_OUTPUT = 16
"""Tokens of output that OpenAI's responses API asks for at least."""
STEERS = 20
"""Bias of a token, of the 100 that OpenAI allows, from which on it decides what is said."""
_PHRASE = REFUSAL.lower().rstrip("!")
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_FREE = ("auto", "none")


def _set(value: Any) -> bool:
    return bool(value)


def _formats(value: Any) -> bool:
    kind = value.get("type") if isinstance(value, dict) else None
    return kind not in (None, "text")


def _forces(value: Any) -> bool:
    kind = value.get("type", value) if isinstance(value, dict) else value
    return kind not in _FREE


def _requires(value: Any) -> bool:
    return value in ("required", "any") or (isinstance(value, dict) and value.get("type") == "any")


def _steers(value: Any) -> bool:
    """A bias that forbids or forces tokens; a slight one leaves the phrase possible."""
    biases = value.values() if isinstance(value, dict) else ()
    return any(isinstance(bias, int | float) and abs(bias) >= STEERS for bias in biases)


def cuts_refusal(stop: Any) -> bool:
    """Whether a stop string lies inside the phrase, before all of it is said."""
    strings = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    return any(isinstance(text, str) and text and straight(text).lower() in _PHRASE for text in strings)


_BINDS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        (
            *("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "grammar"),
            *("json_schema", "regex", "ebnf", "bad_words", "allowed_token_ids", "logits_processors"),
            *("continue_final_message", "echo", "audio", "output_format"),
        ),
        _set,
    ),
    **dict.fromkeys(("stop", "stop_sequences"), cuts_refusal),
    "logit_bias": _steers,
    "response_format": _formats,
    "text": lambda value: isinstance(value, dict) and _formats(value.get("format")),
    "output_config": lambda value: isinstance(value, dict) and _formats(value.get("format")),
    "tool_choice": _forces,
    "function_call": _forces,
    "modalities": lambda value: isinstance(value, list) and "audio" in value,
    "add_generation_prompt": lambda value: value is False,
}
CONSTRAINTS = frozenset(_BINDS)
"""Fields that may keep an agent from refusing."""
_USELESS = frozenset(
    {
        *("n", "best_of", "use_beam_search", "stream_options", "logprobs", "top_logprobs", "prompt_logprobs"),
        *("return_token_ids", "return_tokens_as_token_ids", "store", "metadata", "prediction", "min_tokens"),
    }
)
"""What a decision has no use for."""


def binding(fields: Fields, *, deferral: bool) -> frozenset[str]:
    """The fields that would keep an agent from refusing; with a `deferral` tool it can where some tool is required."""
    return frozenset(
        name
        for name in CONSTRAINTS & fields.keys()
        if (value := fields[name]) is not None
        and _BINDS[name](value)
        and not (name == "tool_choice" and deferral and _requires(value))
    )


def unconstrained(fields: Fields, bound: frozenset[str], limits: Collection[str]) -> dict[str, Any]:
    """The same question without what binds: streamed, so that it can be ended at the word that decides.

    `limits` are the API's token limits that may be left out: an agent may reason for longer than the answer is.
    """
    free = {name: value for name, value in fields.items() if not (name in bound or name in _USELESS or name in limits)}
    free["stream"] = True
    for name in ("tool_choice", "function_call"):
        if name in bound:  # left out it would mean `auto`, which engines without a parser of calls refuse
            free[name] = {"type": "none"} if isinstance(fields[name], dict) and _by_type(fields) else "none"
    if "continue_final_message" in bound or "add_generation_prompt" in bound:
        free["messages"] = _without_prefill(fields.get("messages"))
        free.pop("continue_final_message", None)
        free.pop("add_generation_prompt", None)
    return free


def _by_type(fields: Fields) -> bool:
    """Whether this is Anthropic's API, which writes every tool choice as an object."""
    tools = fields.get("tools")
    first = tools[0] if isinstance(tools, list) and tools else None
    return isinstance(first, dict) and "input_schema" in first


def _without_prefill(messages: Any) -> Any:
    """Without a last message of the assistant, which the reply would go on with."""
    if isinstance(messages, list) and len(messages) > 1:
        last = messages[-1]
        if isinstance(last, dict) and last.get("role") == "assistant":
            return messages[:-1]
    return messages


def shortest(fields: Fields) -> dict[str, Any]:
    """The same request for as little as an engine gives: only to see whether it takes it. What is wrong stays so."""
    limits = [name for name in _LIMITS if fields.get(name) is not None]
    if not limits:
        return {**fields, "max_output_tokens" if "input" in fields else "max_tokens": _least(fields)}
    return {**fields, **{name: _shorter(fields[name], _least(fields)) for name in limits}}


def _least(fields: Fields) -> int:
    minimum = fields.get("min_tokens")
    least = LEAST_OUTPUT if "input" in fields else 1
    return max(least, minimum) if isinstance(minimum, int) else least


def _shorter(limit: Any, least: int) -> Any:
    return min(limit, least) if isinstance(limit, int) else limit
