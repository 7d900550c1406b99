"""What must hold, of the ledger and of what is in the cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from chaos.traffic import Asked
from disrouter import names
from disrouter.refusal import is_refusal

KILLED_SECONDS = 6.0
"""After a serving process was killed, how long its pod's address may still be given to clients."""


class Span(NamedTuple):
    """From when to when something that serves was killed, or cut off, in Unix seconds."""

    began: float
    ended: float


def unexplained(ledger: Iterable[Asked], kills: Sequence[Span]) -> list[Asked]:
    """Requests that failed although no serving process was killed while they were under way, or just before."""
    return [each for each in ledger if each.failure and not _explained(each, kills)]


def _explained(asked: Asked, kills: Sequence[Span]) -> bool:
    return any(asked.began - KILLED_SECONDS <= kill.ended and kill.began <= asked.ended for kill in kills)


def shown_refusals(ledger: Iterable[Asked]) -> list[Asked]:
    """Answers that are a refusal, or empty."""
    return [each for each in ledger if not each.failure and (not each.text or is_refusal(each.text))]


def orphans(cascade: Mapping[str, Any], children: Iterable[Mapping[str, Any]]) -> list[str]:
    """Children of agents that the manifest does not have."""
    agents = {agent["name"] for agent in cascade["spec"]["agents"]}
    found = []
    for child in children:
        labels = child["metadata"].get("labels") or {}
        agent = labels.get(names.LABEL_AGENT)
        if agent is not None and agent not in agents and "deletionTimestamp" not in child["metadata"]:
            found.append(f"{child['kind']}/{child['metadata']['name']}")
    return found


def unsettled(cascade: Mapping[str, Any]) -> str | None:
    """Why the status is not that of the manifest as it is now; None where it is."""
    status = cascade.get("status") or {}
    generation = cascade["metadata"]["generation"]
    if status.get("observedGeneration") != generation:
        return f"the status is of generation {status.get('observedGeneration')}, the manifest of {generation}"
    for condition in status.get("conditions") or []:
        if condition["type"] in ("Ready", "AgentsReady") and condition["status"] != "True":
            return f"{condition['type']} is {condition['status']}: {condition['reason']}: {condition['message']}"
    return None if status.get("conditions") else "it has no conditions"
