"""The `SelfRoutingCascade` resource: its models, its rules, its CRD."""

from disrouter.api.crd import crd
from disrouter.api.rules import parse, violations
from disrouter.api.spec import (
    Agent,
    CascadeSpec,
    DeploymentMode,
    Rollout,
    SelfAwareness,
    Training,
    Untrained,
)
from disrouter.api.status import AgentStatus, CascadeStatus, Condition, ConditionType, Phase

__all__ = [
    "Agent",
    "AgentStatus",
    "CascadeSpec",
    "CascadeStatus",
    "Condition",
    "ConditionType",
    "DeploymentMode",
    "Phase",
    "Rollout",
    "SelfAwareness",
    "Training",
    "Untrained",
    "crd",
    "parse",
    "violations",
]
