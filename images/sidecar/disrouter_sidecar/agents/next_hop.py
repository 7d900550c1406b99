"""The next hop: forwards the client's original bytes to another agent's sidecar, which runs the rest of the chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from disrouter.names import (
    HEADER_DEADLINE,
    HEADER_DECISIONS,
    HEADER_PATH,
    HEADER_PREFERENCE,
    HEADER_PREFIX,
    HEADER_REQUEST_ID,
    HEADER_SCENARIO,
)
from disrouter_sidecar.agents.attempt import AgentAttempt, AttemptContext
from disrouter_sidecar.headers import Headers, lines
from disrouter_sidecar.http.ports import Reply, Upstream
from disrouter_sidecar.openai.errors import JSON

_HOP_HEADERS = (HEADER_SCENARIO, HEADER_PREFERENCE)
"""Headers of the client that are forwarded. Its Authorization never is, to no engine and no agent."""


class Hops:
    """The sidecars of other agents."""

    def __init__(
        self, upstream: Upstream, bearer: Callable[[], Headers], attempt: type[AgentAttempt] = AgentAttempt
    ) -> None:
        """`bearer` gives the headers that identify a sidecar; `attempt` reads what the sidecars reply."""
        self._upstream = upstream
        self._bearer = bearer
        self._attempt = attempt

    def ask(self, parent: AttemptContext, agent: str, path: Sequence[str], ahead: int) -> AgentAttempt:
        """Ask one, behind which `ahead` agents may be asked in turn. Raises UpstreamFailed."""
        context, budget = parent.context, parent.budget
        headers = {
            "content-type": context.headers.get("content-type", JSON),
            HEADER_REQUEST_ID: context.request_id,
            HEADER_PATH: ",".join(path),
            HEADER_DEADLINE: budget.header(),
            **parent.trace(),
            **context.headers_of(_HOP_HEADERS),
            **self._bearer(),
        }
        attempt = self._attempt(parent, budget, ahead)
        url = f"{context.table.agents[agent].url}/v1{context.query.dialect.path}"
        attempt.ask(self._upstream, url, lines(headers), context.query.raw, ahead)
        return attempt


def headers_of_hops(reply: Reply) -> Headers:
    """The `x-disrouter-*` headers that the sidecars behind have set, but for what is between sidecars."""
    headers = reply.headers
    return {name: headers[name] for name in headers if name.startswith(HEADER_PREFIX) and name != HEADER_DECISIONS}
