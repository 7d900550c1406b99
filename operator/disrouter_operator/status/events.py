"""Kubernetes Events: each transition once, because they are derived from the change between two statuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from disrouter.api import AgentStatus, CascadeStatus, ConditionType, Phase
from disrouter_operator.kube.resources import CASCADES, EVENTS, Object
from disrouter_operator.kube.timestamps import timestamp
from disrouter_operator.status.conditions import (
    CHILD_DELAYED,
    CHILD_NOT_KEPT,
    CHILD_REFUSED,
    CLAIM_CONFINED,
    KSERVE_MISSING,
    TELLING,
    condition,
    serving,
)

COMPONENT = "disrouter"
_UNWRITTEN = (CHILD_REFUSED, CHILD_DELAYED, CHILD_NOT_KEPT)
MAX_MESSAGE = 1024
"""The API server's limit for an Event's message."""


@dataclass(frozen=True)
class Note:
    """Something that happened, for `kubectl describe`."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Series:
    """The same news `count` times."""

    name: str
    """Of the Event object."""
    first: datetime
    last: datetime
    count: int


def transitions(before: CascadeStatus, after: CascadeStatus) -> list[Note]:
    """What changed between two reconciles."""
    old = {agent.name: agent for agent in before.agents}
    notes = [*_condition_notes(before, after), *_write_notes(before, after)]
    for agent in after.agents:
        notes += _agent_notes(old.get(agent.name), agent)
    gone = old.keys() - {agent.name for agent in after.agents}
    return notes + [Note("Normal", "Removed", f"agent {name} is drained and deleted") for name in sorted(gone)]


def repaired(obj: Object, managers: list[str]) -> Note:
    """A child was changed by somebody else and is as the cascade wants it again."""
    name = f"{obj['kind']} {obj['metadata']['name']}"
    return Note("Warning", "ChildRepaired", f"{name} was changed by {', '.join(managers)} and is restored")


def adopted(obj: Object) -> Note:
    """A child that nobody owned any more is the cascade's again."""
    name = f"{obj['kind']} {obj['metadata']['name']}"
    return Note("Normal", "ChildAdopted", f"{name} had the cascade's labels and no owner, and is its own again")


def rescaled(obj: Object, managers: list[str]) -> Note:
    """Somebody else gave a Deployment more or fewer pods than the cascade lets it have."""
    name, pods = obj["metadata"]["name"], obj["spec"]["replicas"]
    text = f"Deployment {name} was scaled by {', '.join(managers)} and has {pods} pods again, as spec.agents says"
    return Note("Warning", "ChildRepaired", text)


def manifest(parent: Object, note: Note, series: Series) -> Object:
    """The Event object of a note."""
    metadata = parent["metadata"]
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"name": series.name, "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": CASCADES.api_version,
            "kind": CASCADES.kind,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": note.type,
        "reason": note.reason,
        "message": note.message[:MAX_MESSAGE],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": timestamp(series.first),
        "lastTimestamp": timestamp(series.last),
        "count": series.count,
    }


def _condition_notes(before: CascadeStatus, after: CascadeStatus) -> Iterator[Note]:
    for type_, good, bad in (
        (ConditionType.SPEC_VALID, "SpecValid", "SpecInvalid"),
        (ConditionType.READY, "Ready", "NotReady"),
    ):
        old, new = condition(before, type_), condition(after, type_)
        first_good = old is None and type_ is ConditionType.SPEC_VALID
        if new is None or (old is not None and old.status == new.status):
            continue
        if new.status == "True" and not first_good:
            yield Note("Normal", good, new.message)
        elif new.status != "True" and (old is not None or type_ is ConditionType.SPEC_VALID):
            yield Note("Warning", bad, f"{new.reason}: {new.message}")


def _write_notes(before: CascadeStatus, after: CascadeStatus) -> Iterator[Note]:
    """A child that cannot be written as it should be, also in a cascade that was not ready anyway; and its end."""
    old, new = condition(before, ConditionType.DEGRADED), condition(after, ConditionType.DEGRADED)
    was, said = (each.message if each is not None and each.reason in _UNWRITTEN else None for each in (old, new))
    if new is not None and said is not None and said != was:
        yield Note("Warning", new.reason, said)
    elif was is not None and said is None:
        yield Note("Normal", "ChildrenWritten", "every child is written as it should be again")
    if new is not None and new.reason == CLAIM_CONFINED and (old is None or old.reason != CLAIM_CONFINED):
        yield Note("Warning", CLAIM_CONFINED, new.message)


def _agent_notes(old: AgentStatus | None, new: AgentStatus) -> Iterator[Note]:
    if old is not None:
        yield from _moves(old, new)
    yield from _troubles(old, new)
    if old is None and new.phase is Phase.PENDING:
        return  # every agent begins so
    if old is None or old.phase is not new.phase or (new.phase.failed and old.reason != new.reason):
        text = f"agent {new.name} is {new.phase}: {new.message or new.reason or 'as wanted'}"
        reason = KSERVE_MISSING if new.reason == KSERVE_MISSING else str(new.phase)
        yield Note("Warning" if new.phase.failed else "Normal", reason, text)
    elif new.reason != old.reason and "Suspended" in (old.reason, new.reason):
        what = "is suspended" if new.reason == "Suspended" else "goes on"
        yield Note("Normal", "Suspended" if new.reason == "Suspended" else "Resumed", f"training of {new.name} {what}")


def _troubles(old: AgentStatus | None, new: AgentStatus) -> Iterator[Note]:
    """What keeps pods from serving, also while the agent trains or others of its pods serve; the same once."""
    was, now = (serving(agent) if agent is not None else None for agent in (old, new))
    if now is not None and now.reason in TELLING and (was is None or was.reason != now.reason):
        yield Note("Warning", now.reason, f"agent {new.name}: {now.message}")


def _moves(old: AgentStatus, new: AgentStatus) -> Iterator[Note]:
    """What changes without a change of phase: weights, a roll-back, pods that requests go to, a failed attempt."""
    if new.revision is not None and new.revision != old.revision:
        yield Note("Normal", "RolledBack", f"agent {new.name} goes back to {new.revision}; its training rests")
    elif new.served_run is not None and old.served_run != new.served_run:
        yield Note("Normal", "Promoted", f"agent {new.name} moves to the weights of run {new.served_run}")
    if old.workload is not None and new.workload is not None and old.workload != new.workload:
        yield Note("Normal", "Switched", f"requests to agent {new.name} go to {new.workload}")
    if new.failed_job is not None and new.failed_job != old.failed_job and not new.phase.failed:
        yield Note("Warning", "AttemptFailed", f"agent {new.name}: {new.message}")
