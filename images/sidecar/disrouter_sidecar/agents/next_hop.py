"""The next hop: forwards the client's original bytes to another agent's sidecar, which runs the rest of the chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from disrouter.names import (
    HEADER_DEADLINE,
    HEADER_DECISIONS,
    HEADER_PATH,
    HEADER_PREFERENCE,
    HEADER_PREFIX,
    HEADER_REQUEST_ID,
    HEADER_SCENARIO,
)
from disrouter.routes import RouteTable
from disrouter_sidecar.agents.attempt import AgentAttempt, AttemptContext
from disrouter_sidecar.headers import Headers, Lines, lines
from disrouter_sidecar.http.ports import Reply, SentRequest, Upstream
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
        self.bearer = bearer
        self._attempt = attempt

    def ask(self, parent: AttemptContext, agent: str, path: Sequence[str], ahead: int) -> AgentAttempt:
        """Ask one, behind which `ahead` agents may be asked in turn. Raises UpstreamFailed."""
        context, budget = parent.context, parent.budget
        head = head_of_hop(context.headers, path) + lines(
            {
                **parent.trace(),
                **self.bearer(),
                HEADER_DEADLINE: budget.header(),
                HEADER_REQUEST_ID: context.request_id,
            }
        )
        attempt = self._attempt(parent, budget, ahead)
        attempt.ask(
            self._upstream, url_of(context.table, agent, context.query.dialect.path), head, context.query.raw, ahead
        )
        return attempt

    def go_on(self, parent: AttemptContext, ahead: int, sent: SentRequest, *, bounded: bool) -> AgentAttempt:
        """Read the reply of one that was asked before; `bounded`: its wait ends with the request's deadline."""
        parent.budget.waits_already(bounded=bounded)
        attempt = self._attempt(parent, parent.budget, ahead)
        attempt.take(sent)
        return attempt


def url_of(table: RouteTable, agent: str, api: str) -> str:
    """Where the sidecar of an agent is asked for one of the APIs."""
    return f"{table.agents[agent].url}/v1{api}"


def head_of_hop(headers: Mapping[str, str], path: Sequence[str]) -> Lines:
    """What the requests to a sidecar have in common that come from one client, by its headers: what varies is last."""
    return lines(
        {
            "content-type": headers.get("content-type", JSON),
            HEADER_PATH: ",".join(path),
            **{name: headers[name] for name in _HOP_HEADERS if name in headers},
        }
    )


def headers_of_hops(reply: Reply) -> Headers:
    """The `x-disrouter-*` headers that the sidecars behind have set, but for what is between sidecars."""
    headers = reply.headers
    return {name: headers[name] for name in headers if name.startswith(HEADER_PREFIX) and name != HEADER_DECISIONS}
