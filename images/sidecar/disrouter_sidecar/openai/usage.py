"""Tokens of refusals: they were paid for, and no answer shows them.

The reply's `usage` is the answering agent's. Each sidecar whose agent refused adds itself to a header on the way back,
which is known at the commit for whole replies and streams alike. A stream is stopped as soon as it refuses, before an
engine reports its usage: its tokens are then the pieces that arrived, an estimate from below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from disrouter.names import is_dns_label

MAX_HEADER = 8192
_KINDS = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
"""By the names of chats and completions, and of responses."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one agent's refusal; None is not known."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    estimated: bool = False

    def known(self) -> dict[str, Any]:
        """The fields of a record, as far as they are known."""
        counts = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        known: dict[str, Any] = {name: count for name, count in counts.items() if count is not None}
        return known | {"estimated": True} if self.estimated else known


def usage_of(fields: Any) -> Usage | None:
    """The `usage` of a reply or an event, None where it has none."""
    usage = fields.get("usage") if isinstance(fields, dict) else None
    if not isinstance(usage, dict):
        return None
    prompt, completion = (_count(usage, names) for names in _KINDS)
    return None if prompt is None and completion is None else Usage(prompt, completion)


def header_of(agent: str, usage: Usage, behind: str | None) -> str:
    """One line of JSON: this agent's refusal, then those of the agents behind it."""
    return orjson.dumps([{"agent": agent, **usage.known()}, *records_of(behind)]).decode()


def records_of(header: str | None) -> list[dict[str, Any]]:
    """The records of agents that a header between sidecars holds, none where it is no list of them.

    They come from another machine: what could not be written into a header again is left out.
    """
    try:
        parsed = orjson.loads(header) if header is not None and len(header) <= MAX_HEADER else []
    except orjson.JSONDecodeError:
        return []
    entries = parsed if isinstance(parsed, list) else []
    records = [each for each in entries if isinstance(each, dict) and is_dns_label(str(each.get("agent")))]
    return [{name: value for name, value in each.items() if _is_plain(name) and _is_plain(value)} for each in records]


def _is_plain(value: Any) -> bool:
    """Whether a header can hold it again: a number, or text of the characters that a header has."""
    return value.isascii() if isinstance(value, str) else value is None or isinstance(value, (int, float))


def itemised(body: bytes, path: str, header: str) -> bytes:
    """A whole reply with `disrouter: {path, refused}` as its last field; untouched where it is not a JSON object."""
    end = body.rstrip()
    if not (end.startswith(b"{") and end.endswith(b"}") and len(end) > 2):
        return body
    extension = orjson.dumps({"path": path.split(","), "refused": records_of(header)})
    return end[:-1] + b',"disrouter":' + extension + b"}"


def _count(usage: dict[str, Any], names: Sequence[str]) -> int | None:
    for name in names:
        value = usage.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None
