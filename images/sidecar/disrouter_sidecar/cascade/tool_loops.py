"""Which agent began a loop of tool calls: it goes on with it, for another would have to trust calls it did not make.

A loop is known by the conversation before its last calls. Remembered is a digest alone, never a text, and only by the
sidecar that the request came to: behind a Service of several pods another one may be asked, which then routes anew.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

MAX_LOOPS = 4096
"""Conversations that are remembered, the latest."""
_Turn = Mapping[str, Any]


class ToolLoops:
    """Conversations with tools that an agent has answered."""

    def __init__(self) -> None:
        self._agents: OrderedDict[bytes, str] = OrderedDict()

    def remember(self, turns: Sequence[_Turn], agent: str) -> None:
        """`agent` has answered this conversation."""
        digest = _digest(turns)
        self._agents[digest] = agent
        self._agents.move_to_end(digest)
        if len(self._agents) > MAX_LOOPS:
            self._agents.popitem(last=False)

    def began(self, turns: Sequence[_Turn]) -> str | None:
        """The agent whose calls this conversation brings the results of; None where it brings none, or is not known."""
        before = _before_last_calls(turns)
        return self._agents.get(_digest(before)) if before else None


def _before_last_calls(turns: Sequence[_Turn]) -> Sequence[_Turn]:
    """The conversation that was answered by the calls whose results come last; empty where none come."""
    end = len(turns)
    while end and _is_result(turns[end - 1]):
        end -= 1
    if end == len(turns):
        return ()
    while end and _is_call(turns[end - 1]):
        end -= 1
    return turns[:end]


def _is_result(turn: _Turn) -> bool:
    """Of a chat, of the responses API, or of Anthropic's messages."""
    if turn.get("role") in ("tool", "function") or str(turn.get("type", "")).endswith("_call_output"):
        return True
    return turn.get("role") == "user" and any(kind == "tool_result" for kind in _kinds(turn))


def _is_call(turn: _Turn) -> bool:
    """What the agent said when it called: the call, and in the responses API its words and thoughts beside it."""
    kind = str(turn.get("type", ""))
    return turn.get("role") == "assistant" or kind.endswith("_call") or kind == "reasoning"


def _kinds(turn: _Turn) -> list[Any]:
    content = turn.get("content")
    return [part.get("type") for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _digest(turns: Sequence[_Turn]) -> bytes:
    return hashlib.blake2b(orjson.dumps(turns, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
