"""What a pass knows when it decides on its agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from disrouter.api import AgentStatus
from disrouter_operator.kube.observed import Observed
from disrouter_operator.kube.timestamps import timestamp
from disrouter_operator.manifests.cascade import Cascade
from disrouter_operator.settings import Settings
from disrouter_operator.smoke_probe import Answers


@dataclass(frozen=True)
class View:
    """One moment: what is wanted, what is, what the last pass said, and what the installation decided."""

    cascade: Cascade
    observed: Observed
    settings: Settings
    now: datetime
    before: Mapping[str, AgentStatus]
    """Agents' states after the last pass, by name."""
    answers: Answers = field(default_factory=dict)
    """To the smoke questions of this pass."""

    @property
    def stamp(self) -> str:
        """Now, as it is written."""
        return timestamp(self.now)
