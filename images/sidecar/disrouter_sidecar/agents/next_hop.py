"""The next hop: the client's original bytes for another agent's sidecar, which decides for itself and all behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from disrouter.names import (
    HEADER_DEADLINE,
    HEADER_PATH,
    HEADER_PREFERENCE,
    HEADER_PREFIX,
    HEADER_REQUEST_ID,
    HEADER_SCENARIO,
)
from disrouter_sidecar.agents.attempt import AgentAttempt, Errand
from disrouter_sidecar.headers import Headers, lines
from disrouter_sidecar.http.ports import Reply, Upstream
from disrouter_sidecar.openai.errors import JSON

_HOP_HEADERS = (HEADER_SCENARIO, HEADER_PREFERENCE)
"""Headers of the client that travel on; its Authorization never does, neither to an engine nor to another agent."""


class Hops:
    """The sidecars of other agents."""

    def __init__(self, upstream: Upstream, bearer: Callable[[], Headers]) -> None:
        """`bearer` is what shows the others that a sidecar asks."""
        self._upstream = upstream
        self._bearer = bearer

    def ask(self, errand: Errand, agent: str, path: Sequence[str], ahead: int) -> AgentAttempt:
        """Ask one, behind which `ahead` agents may be asked in turn. Raises UpstreamFailed."""
        asked, budget = errand.asked, errand.budget
        headers = {
            "content-type": asked.headers.get("content-type", JSON),
            HEADER_REQUEST_ID: asked.request_id,
            HEADER_PATH: ",".join(path),
            HEADER_DEADLINE: budget.header(),
            **errand.trace(),
            **asked.headers_of(_HOP_HEADERS),
            **self._bearer(),
        }
        attempt = AgentAttempt(errand, budget, ahead)
        url = f"{asked.table.agents[agent].url}/v1{asked.query.dialect.path}"
        attempt.ask(self._upstream, url, lines(headers), asked.query.raw, ahead)
        return attempt


def told(reply: Reply) -> Headers:
    """What the hops behind tell of themselves."""
    return {key: value for key, value in reply.headers.items() if key.startswith(HEADER_PREFIX)}
