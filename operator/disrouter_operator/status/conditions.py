"""metav1.Condition: a verdict that keeps its transition time until it turns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from disrouter.api import AgentConditionType, AgentStatus, CascadeStatus, Condition, ConditionType
from disrouter_operator.kube.timestamps import timestamp

Verdict = tuple[ConditionType | AgentConditionType, Literal["True", "False"], str, str]
"""Type, status, reason, message of a condition to be."""

CHILD_REFUSED, CHILD_DELAYED, CHILD_NOT_KEPT = "ChildRefused", "ChildDelayed", "ChildNotKept"
"""Reasons of Degraded: what became of a child that was written."""
KSERVE_MISSING = "KServeMissing"
"""Reason of an agent with a model, and of its cascade, on a cluster that does not know InferenceServices."""
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


def condition(status: CascadeStatus, type_: ConditionType) -> Condition | None:
    """A condition by type, None if there is none."""
    return next((each for each in status.conditions if each.type == type_), None)
