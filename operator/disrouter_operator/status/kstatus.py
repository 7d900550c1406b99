"""The two conditions by which tools that know nothing of cascades (Flux, Helm's wait, `kubectl wait`) tell how it goes.

kstatus reads: an observedGeneration that is behind, or Reconciling=True: in progress; Stalled=True: failed, and waiting
does not help; else Ready decides. Training goes on for hours beside a cascade that serves, so it is no reconciling.
"""

from __future__ import annotations

from datetime import datetime

from disrouter.api import CascadeStatus, ConditionType
from disrouter_operator.status.conditions import CHILD_REFUSED, KSERVE_MISSING, Verdict, condition, conditions

NEEDS_A_PERSON = frozenset({"SpecInvalid", "InternalError", CHILD_REFUSED, KSERVE_MISSING, "AgentFailed"})
"""Reasons of Ready=False that no waiting cures."""


def complete(after: CascadeStatus, before: CascadeStatus, now: datetime) -> CascadeStatus:
    """`after` with Reconciling and Stalled as its Ready asks for them."""
    ready = condition(after, ConditionType.READY)
    if ready is None:
        return after
    waits = ready.status != "True"
    stalled = waits and ready.reason in NEEDS_A_PERSON
    verdicts: list[Verdict] = [
        _verdict(ConditionType.RECONCILING, ready.reason, ready.message, holds=waits and not stalled),
        _verdict(ConditionType.STALLED, ready.reason, ready.message, holds=stalled),
    ]
    found = conditions(verdicts, before.conditions, after.observed_generation or 0, now)
    others = [each for each in after.conditions if each.type not in (ConditionType.RECONCILING, ConditionType.STALLED)]
    return after.model_copy(update={"conditions": (*others, *found)})


def _verdict(type_: ConditionType, reason: str, message: str, *, holds: bool) -> Verdict:
    return (type_, "True", reason, message) if holds else (type_, "False", "AsExpected", "see Ready")
