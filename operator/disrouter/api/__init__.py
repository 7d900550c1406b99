"""The `SelfRoutingCascade` resource: its models, its rules, its CRD."""

from disrouter.api.agent import Agent, Autoscaler, SelfAwareness, Untrained
from disrouter.api.crd import crd
from disrouter.api.pod import EnvVar, PodOptions
from disrouter.api.rules import parse, violations
from disrouter.api.spec import CascadeSpec, DeploymentMode, Rollout
from disrouter.api.status import (
    AgentConditionType,
    AgentStatus,
    CascadeStatus,
    Condition,
    ConditionType,
    Phase,
    Promotion,
)
from disrouter.api.training import Backend, Training

__all__ = [
    "Agent",
    "AgentConditionType",
    "AgentStatus",
    "Autoscaler",
    "Backend",
    "CascadeSpec",
    "CascadeStatus",
    "Condition",
    "ConditionType",
    "DeploymentMode",
    "EnvVar",
    "Phase",
    "PodOptions",
    "Promotion",
    "Rollout",
    "SelfAwareness",
    "Training",
    "Untrained",
    "crd",
    "parse",
    "violations",
]
