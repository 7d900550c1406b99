"""Why an agent could not be used, read from its status and body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from disrouter_sidecar.errors import Reason, UpstreamFailed
from disrouter_sidecar.http.ports import Reply
from disrouter_sidecar.request.needs import Capability

_OWN_FAULTS = {
    401: Reason.AUTH,
    402: Reason.AUTH,
    403: Reason.AUTH,
    404: Reason.NOT_FOUND,
    408: Reason.TIMEOUT,
    429: Reason.RATE_LIMITED,
    503: Reason.COLD,
    529: Reason.RATE_LIMITED,
}
"""Failures between an agent and its engine or provider: the client cannot mend them and does not see them."""
_NO_SUCH_API = (405, 501)
_NO_SUCH_PATH = re.compile(r'"detail"\s*:\s*"not found"|invalid url|unknown_url|unknown request url')
"""In a 404 of FastAPI, OpenAI or a sidecar: the path is unknown, not the model."""
ABOUT_REQUEST = (400, 404, 413, 415, 422)
_QUEUE_FULL = re.compile(
    r"queue (?:is )?full|full queue|maximum queue size|too many (?:\w+ )?requests|overloaded|overflow|at capacity"
)
"""In a 503 of an engine that works (SGLang, Triton, TGI) or of a proxy before it (Envoy)."""
_CONTEXT_PHRASES = (
    "context_length_exceeded",
    "context length",
    "context window",
    "context size",
    "maximum model length",
    "max_model_len",
    "prompt is too long",
    "input is too long",
    "too many tokens",
)
_CONTEXT_LIMIT = re.compile(r"(?:context length|max_model_len|context size|context window)[^0-9]{0,40}([0-9]{2,9})")
_LACKS: Mapping[Capability, re.Pattern[str]] = {
    Capability.IMAGES: re.compile(r"multi-?modal|image|vision|video"),
    Capability.AUDIO: re.compile(r"audio"),
    Capability.TOOLS: re.compile(r"tool|function.?call"),
    Capability.STRUCTURED_OUTPUT: re.compile(
        r"response_format|json_schema|json schema|guided|structured|grammar|xgrammar|outlines|output_config"
    ),
}
"""Words of an error about what an engine cannot take."""
_CANNOT = re.compile(
    r"not (?:a multi|enabled|available|implemented|configured|capable)|(?:not|n't) (?:\w+ )?support|only supported"
    r"|unsupported|requires --|to be set|at most 0|disabled|no \w+ (?:processor|parser|backend)"
)
_TEMPLATE = re.compile(r"chat.?template|jinja|must alternate|system (?:message|role|prompt)|roles? (?:must|should)")
"""The engine's template does not take a chat of this shape."""
_NO_FIELD = re.compile(
    r"(?:unknown|unrecognized|unexpected|unpermitted) (?:request )?(?:argument|parameter|field|key|param)"
    r"|extra inputs|not support|unsupported|logprobs|lora|adapter"
)
"""It does not know a field that another engine may know."""
NO_ROOM = frozenset((Reason.RATE_LIMITED, Reason.BUSY))
"""What a client hears as 429: the agent works, and has no room now."""
MAX_RETRY_AFTER = 3600
"""Longest wait in seconds that a client is asked for."""
MAX_INSPECTED = 16 * 1024
"""Bytes of an error's body that are searched."""


def reason_of(status: int, body: bytes) -> Reason | None:
    """Why an agent with this reply has failed; None where the reply goes to the client.

    A question too long for this agent, or with an image that it cannot see, may fit the next one, and a key, model
    name, quota or balance is this agent's own; any other 4xx would be the same everywhere. Redirects are never followed
    (they would carry a key elsewhere), so they count as a broken server.
    """
    if 200 <= status < 300:
        return None
    text = body[:MAX_INSPECTED].decode(errors="replace").lower()
    if status in _NO_SUCH_API or (status == 404 and _NO_SUCH_PATH.search(text)):
        return Reason.UNSUPPORTED
    if status in ABOUT_REQUEST and any(phrase in text for phrase in _CONTEXT_PHRASES):
        return Reason.CONTEXT_LENGTH
    if status == 503 and _QUEUE_FULL.search(text):
        return Reason.RATE_LIMITED
    if not 400 <= status < 500:
        return _OWN_FAULTS.get(status, Reason.SERVER_ERROR)
    inability = Reason.CAPABILITY if status in ABOUT_REQUEST and _is_inability(text) else None
    return _OWN_FAULTS.get(status, inability)


def _is_inability(text: str) -> bool:
    lacks = _CANNOT.search(text) is not None and any(words.search(text) for words in _LACKS.values())
    return lacks or _TEMPLATE.search(text) is not None or _NO_FIELD.search(text) is not None


def lacks_by_error(body: bytes) -> tuple[frozenset[Capability], int | None]:
    """What an agent has shown with this error that it cannot do, and the context length that the error names."""
    text = body[:MAX_INSPECTED].decode(errors="replace").lower()
    limit = _CONTEXT_LIMIT.search(text)
    lacks = (capability for capability, words in _LACKS.items() if words.search(text))
    return frozenset(lacks if _CANNOT.search(text) else ()), int(limit[1]) if limit is not None else None


_STATUS_OF_TYPE = {
    "rate_limit_error": 429,
    "overloaded_error": 503,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "request_too_large": 413,
    "context_length_exceeded": 400,
}


def reason_of_event(error: Mapping[str, Any]) -> Reason | None:
    """The same for an `error` event under status 200; without a usable code it counts as a broken server."""
    return reason_of(status_of_event(error), f"{error.get('code')} {error.get('message')}".encode())


def status_of_event(error: Mapping[str, Any]) -> int:
    """The status that an error event would have had; 500 where it does not say."""
    for key in ("code", "status", "status_code", "type"):
        value = error.get(key)
        if isinstance(value, str):
            value = int(value) if value.isascii() and value.isdigit() else _STATUS_OF_TYPE.get(value.lower())
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return 500


def failure_of(reply: Reply, reason: Reason) -> UpstreamFailed:
    """The failure that a reply with this reason is, with the wait that the agent asks for (RFC 9110, seconds only)."""
    wait = reply.headers.get("retry-after", "")
    seconds = min(int(wait), MAX_RETRY_AFTER) if wait.isascii() and wait.isdigit() and len(wait) < 10 else None
    return UpstreamFailed(reason, f"status {reply.status}", seconds)
