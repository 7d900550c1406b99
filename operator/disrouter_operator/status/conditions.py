"""metav1.Condition: a verdict that keeps its transition time until it turns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from disrouter.api import AgentConditionType, AgentStatus, CascadeStatus, Condition, ConditionType
from disrouter_operator.kube.timestamps import timestamp
from disrouter_operator.status import pod_troubles

Verdict = tuple[ConditionType | AgentConditionType, Literal["True", "False"], str, str]
"""Type, status, reason, message of a condition to be."""

CHILD_REFUSED, CHILD_DELAYED, CHILD_NOT_KEPT = "ChildRefused", "ChildDelayed", "ChildNotKept"
"""Reasons of Degraded: what became of a child that was written."""
CLAIM_CONFINED = "ClaimConfined"
"""Reason of Degraded, while nothing failed: a claim cannot be mounted by all pods that want it."""
KSERVE_MISSING = "KServeMissing"
"""Reason of an agent, and of its cascade, on a cluster that does not know the kind of KServe that serves it."""
SERVICE_MISSING = "ServiceMissing"
SERVICE_NOT_READY = "ServiceNotReady"
SERVICE_WITHOUT_ADDRESS = "ServiceWithoutAddress"
"""Reasons of an agent that refers to a service of others (`serviceRef`): what its keeper may be about to mend."""
SERVICE_UNREADABLE = "ServiceUnreadable"
SERVICE_OF_CASCADE = "ServiceOfCascade"
MODEL_UNNAMED = "ModelUnnamed"
"""The same: what waiting does not cure."""
TELLING = pod_troubles.REASONS | {SERVICE_MISSING, SERVICE_NOT_READY, SERVICE_UNREADABLE, SERVICE_WITHOUT_ADDRESS}
"""What keeps an agent from serving and somebody should look at."""
SCALED_TO_ZERO, WAKING = "ScaledToZero", "Waking"
"""Reasons of an agent that serves nobody and is as it should be: without pods, and with its first one on its way."""
COLD = frozenset({SCALED_TO_ZERO, WAKING})
MAX_MESSAGE = 4096
"""Of a condition's message; enough for every broken rule and bounded for etcd."""


def conditions(
    verdicts: Sequence[Verdict], before: Sequence[Condition], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Verdicts as conditions; an unchanged status keeps its transition time."""
    old = {each.type: each for each in before}
    return tuple(
        Condition(
            type=type_,
            status=status,
            reason=reason,
            message=message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 1]}…",
            last_transition_time=old[type_].last_transition_time
            if type_ in old and old[type_].status == status
            else timestamp(now),
            observed_generation=generation,
        )
        for type_, status, reason, message in verdicts
    )


def merged(old: Sequence[Condition], new: Sequence[Condition]) -> tuple[Condition, ...]:
    """`old` with those that `new` has of the same type replaced."""
    replaced = {each.type: each for each in new}
    kept = tuple(replaced.pop(each.type, each) for each in old)
    return kept + tuple(replaced.values())


def serving(agent: AgentStatus) -> Condition | None:
    """An agent's condition on its pods."""
    return next((each for each in agent.conditions if each.type == AgentConditionType.SERVING), None)


def cold(agent: AgentStatus) -> bool:
    """Whether it has no pods, as it may, or had none and its first one is on its way."""
    said = serving(agent)
    return said is not None and said.reason in COLD


def condition(status: CascadeStatus, type_: ConditionType) -> Condition | None:
    """A condition by type, None if there is none."""
    return next((each for each in status.conditions if each.type == type_), None)
