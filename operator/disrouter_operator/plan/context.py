"""What every decision of a plan reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from disrouter.api import AgentStatus
from disrouter_operator.kube.observed import Observed
from disrouter_operator.kube.timestamps import timestamp
from disrouter_operator.manifests.cascade import Cascade
from disrouter_operator.settings import Settings


@dataclass(frozen=True)
class Context:
    """One moment: what is wanted, what is, what the last reconcile said, and what the installation decided."""

    cascade: Cascade
    observed: Observed
    settings: Settings
    now: datetime
    before: Mapping[str, AgentStatus]
    """Agents' states after the last reconcile, by name."""
    edited: bool = False
    """The manifest is another one than that reconcile saw."""

    @property
    def stamp(self) -> str:
        """Now, as it is written."""
        return timestamp(self.now)
