"""The next hop: the client's original bytes for another agent's sidecar, which decides for itself and all behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from disrouter.names import (
    HEADER_DEADLINE,
    HEADER_PATH,
    HEADER_PREFERENCE,
    HEADER_PREFIX,
    HEADER_REQUEST_ID,
    HEADER_SCENARIO,
)
from disrouter_sidecar.asked import Asked
from disrouter_sidecar.attempt import Answer, judge_agent
from disrouter_sidecar.budget import Budget
from disrouter_sidecar.ports import Headers, Reply, Upstream
from disrouter_sidecar.replies import JSON

_HOP_HEADERS = (HEADER_SCENARIO, HEADER_PREFERENCE)
"""Headers of the client that travel on; its Authorization never does, neither to an engine nor to another agent."""


@dataclass(slots=True)
class Hop:
    """Other agents, for one request."""

    asked: Asked
    upstream: Upstream
    budget: Budget
    bearer: Headers
    """What shows the others that a sidecar asks."""

    async def ask(self, agent: str, path: Sequence[str], ahead: int) -> tuple[Answer, Headers]:
        """Its answer and headers; `ahead` agents may be asked in turn. Raises UpstreamFailed, ChainEnded."""
        headers = {
            "content-type": self.asked.headers.get("content-type", JSON),
            HEADER_REQUEST_ID: self.asked.request_id,
            HEADER_PATH: ",".join(path),
            HEADER_DEADLINE: self.budget.header(),
            **self.asked.trace_headers(),
            **self.asked.headers_of(_HOP_HEADERS),
            **self.bearer,
        }
        reply = await self.upstream.ask(
            f"{self.asked.table.agents[agent].url}/v1{self.asked.query.dialect.path}",
            self.asked.query.raw,
            headers,
            connect=self.budget.connect(),
            head=self.budget.first(ahead),
        )
        return await judge_agent(reply, self.budget, ahead), told(reply)


def told(reply: Reply) -> Headers:
    """What the hops behind tell of themselves."""
    return {key: value for key, value in reply.headers.items() if key.startswith(HEADER_PREFIX)}
