"""What each agent decided about a request, and why: numbers and names, never text.

A record for each agent that was asked or passed over, in order. A sidecar that another one asked hands its records back
in a header, so that the sidecar which the client asked knows them all, logs them, and tells them who asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson

from disrouter_sidecar.openai.usage import MAX_HEADER

Decision = dict[str, Any]
"""`agent`, `decision`, `cost` (as in the route table), and what is known of `milliseconds`, `reason`, `prompt_tokens`,
`completion_tokens`, and by probability `refusal_probability`, `competence` and `threshold`."""
Evidence = dict[str, float]
"""What a decision by probability was made from."""
_USAGE = re.compile(
    rb'"usage": ?\{"prompt_tokens": ?(0|[1-9]\d{0,14}),(?: ?"total_tokens": ?\d+,)?'
    rb' ?"completion_tokens": ?(0|[1-9]\d{0,14})'
)
"""As vLLM and most others write it, read at once; elsewhere each number is looked for by itself."""
_EITHER = tuple(
    (kind, re.compile(rb'"(?:%b)_tokens"\s*:\s*(\d{1,15})' % names))
    for kind, names in (("prompt_tokens", rb"prompt|input"), ("completion_tokens", rb"completion|output"))
)
_END_BYTES = 1024
"""Of a reply, at the end of which engines report its usage."""


def tokens_at_end(reply: bytes) -> Decision:
    """The usage that the end of an answer reports, whole or streamed, in any API; empty where it reports none."""
    place = reply.rfind(b'"usage"', -_END_BYTES)
    if place < 0:
        return {}
    both = _USAGE.match(reply, place)
    if both is not None:
        return {"prompt_tokens": int(both[1]), "completion_tokens": int(both[2])}
    return {kind: int(found[1]) for kind, pattern in _EITHER if (found := pattern.search(reply, place)) is not None}


def tokens_text(reply: bytes) -> str:
    """The same as JSON, each field with a comma before it."""
    place = reply.rfind(b'"usage"', -_END_BYTES)
    both = None if place < 0 else _USAGE.match(reply, place)
    if both is None:
        return "".join([f',"{kind}":{count}' for kind, count in tokens_at_end(reply).items()])
    prompt, completion = both.groups()
    return f',"prompt_tokens":{prompt.decode()},"completion_tokens":{completion.decode()}'


def header_of(decisions: Iterable[Decision]) -> str:
    """One line of JSON. Where a header could not hold all, those before the last, the answer's, are left out."""
    kept = list(decisions)
    while len(line := orjson.dumps(kept)) > MAX_HEADER and len(kept) > 1:
        del kept[-2]
    return line.decode()
