"""What is remembered of agents between requests: open circuit breakers, retries left, the adapter, abilities, load."""

from __future__ import annotations

from collections.abc import Callable

from disrouter_sidecar.agents.abilities import Abilities
from disrouter_sidecar.agents.circuit_breaker import Breakers
from disrouter_sidecar.agents.engine_cap import Inflight
from disrouter_sidecar.agents.lora_adapter import Adapters
from disrouter_sidecar.agents.retry_budget import RetryBudget
from disrouter_sidecar.config import Config
from disrouter_sidecar.http.ports import Upstream


class Neighbours:
    """One sidecar's circuit breakers, retry budget, adapters, what its engine cannot do, and how much it is at."""

    def __init__(self, config: Config, upstream: Upstream, clock: Callable[[], float]) -> None:
        self.breakers = Breakers(clock)
        self.retries = RetryBudget()
        self.adapters = Adapters(config, upstream)
        self.abilities = Abilities(clock)
        self.inflight = Inflight()
