"""A plain chat's body but for the user's text: parsed once, it makes the engine's body of each text that comes."""

from __future__ import annotations

from typing import NamedTuple

from disrouter_sidecar.agents.abilities import Abilities
from disrouter_sidecar.agents.engine import judging_by_text
from disrouter_sidecar.cascade.fast_path.first_text import MARK, marked, parted
from disrouter_sidecar.cascade.fast_path.plan import Plan
from disrouter_sidecar.decision.stream import Expectation
from disrouter_sidecar.http.memory_limits import parsed_size
from disrouter_sidecar.openai import CHAT
from disrouter_sidecar.openai.constraints import CONSTRAINTS
from disrouter_sidecar.openai.query import Query, dumps, engine_fields, parse
from disrouter_sidecar.request.needs import needs_of

MAX_BYTES = 4 * 1024
"""A longer one is not remembered."""
_ROLE = b'"role"'


class Envelope(NamedTuple):
    """How the engine's body begins and ends, for one plan."""

    start: bytes
    end: bytes
    stream: bool
    size: int
    """Bytes of memory that a request in it is reckoned to take, its text left out."""
    expectation: Expectation
    """Of the reply."""


def envelope_of(plan: Plan, abilities: Abilities, before: bytes, after: bytes, length: int) -> Envelope | None:
    """None for what is more than a plain chat, or where the mark does not stand for a message's text.

    `length` is that of the whole body. Raises InvalidRequest and Rejected.
    """
    rest = marked(before, after)
    query = parse(rest, CHAT, plan.guide.table)
    if not _is_plain(plan, query) or not _can_take(plan, abilities, query, length):
        return None
    if not any(message.get("content") == MARK for message in query.fields["messages"]):
        return None
    parts = parted(_asked(plan, query))
    return None if parts is None else Envelope(*parts, query.stream, parsed_size(rest), _expectation(plan, query))


def whole_envelope(plan: Plan, abilities: Abilities, body: bytes) -> Envelope | None:
    """The same of a body in which no text was found."""
    query = parse(body, CHAT, plan.guide.table)
    if not _is_plain(plan, query) or not _can_take(plan, abilities, query, len(body)):
        return None
    return Envelope(_asked(plan, query), b"", query.stream, parsed_size(body), _expectation(plan, query))


def is_worth_remembering(before: bytes, after: bytes) -> bool:
    """Whether it may come again. What follows a text in a conversation is another one each time."""
    return len(before) + len(after) <= MAX_BYTES and _ROLE not in after


def _is_plain(plan: Plan, query: Query) -> bool:
    """Whether nothing in the body makes it more than a plain chat."""
    if query.model != plan.guide.table.cascade or query.tools or (query.stream and not plan.streams):
        return False
    return query.preference is None and CONSTRAINTS.isdisjoint(query.fields)


def _can_take(plan: Plan, abilities: Abilities, query: Query, length: int) -> bool:
    """Whether the engine is not known to lack what the request brings."""
    if not (plan.bounded or abilities.known):
        return True
    needs = needs_of(query.fields, query.fields["messages"], length)
    limit = plan.served.route.capabilities.context_length or abilities.context_length()
    return not needs.capabilities and (limit is None or needs.tokens <= limit)


def _expectation(plan: Plan, query: Query) -> Expectation:
    return judging_by_text(query, plan.served.route).expectation


def _asked(plan: Plan, query: Query) -> bytes:
    return dumps(engine_fields(query, plan.served.model, plan.stated, plan.awareness))
