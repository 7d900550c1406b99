"""The `SelfRoutingCascade` resource: its models, its rules, its definition.

- `spec`        `spec` of the cascade, and each agent's successor
- `agent`       one agent
- `traffic`     timeouts, retries, breaker, fallback, auth, TLS, network policy
- `exposure`    how clients outside the cluster reach the cascade
- `training`    `spec.training`
- `pod`         what pods may carry beyond their containers
- `quantity`    resource requirements
- `status`      `status`, written by the operator alone
- `rules`       what a manifest must keep, in Python
- `definition`  the CustomResourceDefinition, with the same rules in CEL
"""

from disrouter.api.agent import Agent, Autoscaler, SelfAwareness, ServiceKind, ServiceRef, Untrained
from disrouter.api.definition.crd import crd
from disrouter.api.pod import EnvVar, PodOptions
from disrouter.api.rules.cascade import parse, violations
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
from disrouter.api.training import Backend, Gate, Training

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
    "Gate",
    "Phase",
    "PodOptions",
    "Promotion",
    "Rollout",
    "SelfAwareness",
    "ServiceKind",
    "ServiceRef",
    "Training",
    "Untrained",
    "crd",
    "parse",
    "violations",
]
