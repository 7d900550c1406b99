"""Why an agent could not be used, read from its status and body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from disrouter_sidecar.errors import Reason, UpstreamFailed
from disrouter_sidecar.http.ports import Reply

_OWN_FAULTS = {
    401: Reason.AUTH,
    402: Reason.AUTH,
    403: Reason.AUTH,
    404: Reason.NOT_FOUND,
    408: Reason.TIMEOUT,
    429: Reason.RATE_LIMITED,
    503: Reason.COLD,
}
"""Failures between an agent and its engine or provider: the client cannot mend them and does not see them."""
_NO_SUCH_API = (405, 501)
_NO_SUCH_PATH = re.compile(r'"detail"\s*:\s*"not found"|invalid url|unknown_url|unknown request url')
"""In a 404 of FastAPI, OpenAI or a sidecar: the path is unknown, not the model."""
_CONTEXT_STATUS = (400, 413, 422)
_CONTEXT_PHRASES = (
    "context_length_exceeded",
    "context length",
    "context window",
    "maximum model length",
    "max_model_len",
)
MAX_RETRY_AFTER = 3600
"""Longest wait in seconds that a client is asked for."""
MAX_INSPECTED = 16 * 1024
"""Bytes of an error's body that are searched."""


def reason_of(status: int, body: bytes) -> Reason | None:
    """Why an agent with this reply has failed; None where the reply goes to the client.

    A question too long for this agent may fit the next one, and a key, model name, quota or balance is this agent's
    own; any other 4xx would be the same everywhere. Redirects are never followed (they would carry a key elsewhere), so
    they count as a broken server.
    """
    if 200 <= status < 300:
        return None
    text = body[:MAX_INSPECTED].decode(errors="replace").lower()
    if status in _NO_SUCH_API or (status == 404 and _NO_SUCH_PATH.search(text)):
        return Reason.UNSUPPORTED
    if status in _OWN_FAULTS:
        return _OWN_FAULTS[status]
    if status >= 500 or status < 400:
        return Reason.SERVER_ERROR
    if status in _CONTEXT_STATUS and any(phrase in text for phrase in _CONTEXT_PHRASES):
        return Reason.CONTEXT_LENGTH
    return None


def reason_of_event(error: Mapping[str, Any]) -> Reason | None:
    """The same for an `error` event under status 200; without a usable code it counts as a broken server."""
    code = error.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    if error.get("code") == "context_length_exceeded":
        status = 400
    return reason_of(status, f"{error.get('code')} {error.get('message')}".encode())


def failure_of(reply: Reply, reason: Reason) -> UpstreamFailed:
    """The failure that a reply with this reason is, with the wait that the agent asks for (RFC 9110, seconds only)."""
    wait = reply.headers.get("retry-after", "")
    seconds = min(int(wait), MAX_RETRY_AFTER) if wait.isascii() and wait.isdigit() and len(wait) < 10 else None
    return UpstreamFailed(reason, f"status {reply.status}", seconds)
