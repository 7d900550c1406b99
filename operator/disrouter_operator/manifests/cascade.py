"""The parent of a reconcile: a cascade that keeps every rule, and what its children have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from disrouter import names
from disrouter.api import Agent, CascadeSpec, Training, parse, violations
from disrouter.errors import InvalidCascade, Violation
from disrouter_operator.kube.resources import CASCADES, Object, Resource

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MAX_NONCE = 253
"""Characters of a retrain annotation that go into `run.json` as they are; an annotation may hold 256 KiB."""
COMPONENT_AGENT = "agent"
COMPONENT_TRAINING = "training"
COMPONENT_ROUTES = "routes"
COMPONENT_ENDPOINT = "endpoint"


@dataclass(frozen=True)
class Cascade:
    """A valid SelfRoutingCascade with its identity."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: CascadeSpec
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, obj: Object) -> Cascade:
        """Check and read a cascade as the API server stores it. Raises InvalidCascade with every violation."""
        found = [*violations(obj), *_dropped_fields(obj)]
        if found:
            raise InvalidCascade(found)
        metadata = obj["metadata"]
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            spec=parse(obj),
            annotations=metadata.get("annotations") or {},
        )

    @property
    def training(self) -> Training:
        """`spec.training` of a cascade that has an agent to train."""
        assert self.spec.training is not None, "the rules demand spec.training where an agent is trained"
        return self.spec.training

    def agent_object(self, agent: str) -> str:
        """Name of the InferenceService (served elsewhere: of the Deployment and Service) of an agent."""
        return names.agent_object(self.namespace, self.name, agent)

    def nonce(self, agent: str) -> str | None:
        """What the retrain annotations say of an agent; another text is another run."""
        said = [self.annotations.get(f"{names.ANNOTATION_RETRAIN}{suffix}") for suffix in ("", f".{agent}")]
        if said == [None, None]:
            return None
        text = json.dumps(said)
        return text if len(text) <= MAX_NONCE else hashlib.sha256(text.encode()).hexdigest()

    def labels(self, component: str, agent: str | None = None) -> dict[str, str]:
        """Labels by which a reconcile finds its children and Services find their pods. They never change."""
        labels = {names.LABEL_CASCADE: self.name, names.LABEL_COMPONENT: component}
        return labels if agent is None else labels | {names.LABEL_AGENT: agent}

    def child(self, resource: Resource, name: str, labels: Mapping[str, str]) -> Object:
        """The head of a child's manifest: identity, labels, and the owner for the garbage collector."""
        return {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": dict(labels),
                "ownerReferences": [
                    {
                        "apiVersion": CASCADES.api_version,
                        "kind": CASCADES.kind,
                        "name": self.name,
                        "uid": self.uid,
                        "controller": True,
                    }
                ],
            },
        }

    def indexed(self) -> Iterator[tuple[int, Agent]]:
        """Agents with their place in the list, cheapest first."""
        return iter(enumerate(self.spec.agents))


def _dropped_fields(obj: Object) -> list[Violation]:
    """Unknown fields that the API server pruned but `kubectl apply` recorded, so that none is silently ignored."""
    applied = _last_applied(obj)
    if applied is None:
        return []
    return [
        Violation(each.field, f"{each.message} (the API server dropped it; found in annotation {LAST_APPLIED})")
        for each in violations(applied)
        if each.message.startswith("unknown field")
    ]


def _last_applied(obj: Object) -> dict[str, Any] | None:
    text = obj["metadata"].get("annotations", {}).get(LAST_APPLIED)
    try:
        applied = json.loads(text) if text else None
    except ValueError:
        return None
    return applied if isinstance(applied, dict) else None
