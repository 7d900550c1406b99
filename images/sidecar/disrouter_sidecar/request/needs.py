"""What a request needs of an agent's engine, and whether an agent has it: by the route table, or by its errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from disrouter.routes import Capabilities

BYTES_PER_TOKEN = 8
"""More than any tokenizer takes at a time on average over a long prompt: an estimate of its tokens from below."""
_IMAGES = frozenset(("image", "image_url", "input_image", "video", "video_url", "image_embeds"))
_AUDIO = frozenset(("audio", "audio_url", "input_audio"))
_FORMATS = ("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar")
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


class Capability(StrEnum):
    """What an engine may not be able to take."""

    IMAGES = "images"
    AUDIO = "audio"
    TOOLS = "tools"
    STRUCTURED_OUTPUT = "structured output"


class Needs(NamedTuple):
    """What one request brings."""

    capabilities: frozenset[Capability]
    tokens: int
    """Of prompt and answer together, from below."""


def needs_of(fields: Mapping[str, Any], turns: Iterable[Mapping[str, Any]], size: int) -> Needs:
    """By the request's fields, its turns, and the bytes of its body."""
    needed = {capability for turn in turns for capability in _of_content(turn.get("content"))}
    if fields.get("tools") or fields.get("functions"):
        needed.add(Capability.TOOLS)
    if _is_structured(fields):
        needed.add(Capability.STRUCTURED_OUTPUT)
    if needed & {Capability.IMAGES, Capability.AUDIO}:
        size = 0  # its bytes are not text
    asked = [value for name in _LIMITS if isinstance(value := fields.get(name), int) and value > 0]
    return Needs(frozenset(needed), size // BYTES_PER_TOKEN + max(asked, default=0))


def lack(needs: Needs, known: Capabilities, learned: Iterable[Capability], limit: int | None) -> str | None:
    """The first need that an agent does not meet, in words; what the route table says outranks what was learned."""
    declared, learned = _declared(known), frozenset(learned)
    for capability in sorted(needs.capabilities):
        if declared[capability] is False or (declared[capability] is None and capability in learned):
            return f"it takes no {capability.value}"
    most = known.context_length or limit
    return f"its context of {most} tokens is too short" if most is not None and needs.tokens > most else None


def declares(known: Capabilities) -> bool:
    """Whether the route table says of this agent that it lacks anything."""
    return known.context_length is not None or False in _declared(known).values()


def _declared(known: Capabilities) -> Mapping[Capability, bool | None]:
    return {
        Capability.IMAGES: known.images,
        Capability.AUDIO: known.audio,
        Capability.TOOLS: known.tools,
        Capability.STRUCTURED_OUTPUT: known.structured_output,
    }


def _of_content(content: Any) -> Iterable[Capability]:
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _IMAGES:
            yield Capability.IMAGES
        elif kind in _AUDIO:
            yield Capability.AUDIO
        elif kind == "tool_result":
            yield from _of_content(part.get("content"))


def _is_structured(fields: Mapping[str, Any]) -> bool:
    if any(fields.get(name) for name in _FORMATS):
        return True
    text, config = fields.get("text"), fields.get("output_config")
    for format_ in (
        fields.get("response_format"),
        text.get("format") if isinstance(text, dict) else None,
        config.get("format") if isinstance(config, dict) else None,
    ):
        if isinstance(format_, dict) and format_.get("type") not in (None, "text"):
            return True
    return False
