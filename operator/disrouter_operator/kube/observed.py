"""What a reconcile has read: the parent and its children. Watches only wake a reconcile; nothing here is cached."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from disrouter import names
from disrouter_operator.errors import KubeError
from disrouter_operator.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    HORIZONTAL_POD_AUTOSCALERS,
    HTTP_ROUTES,
    INFERENCE_SERVICES,
    INGRESSES,
    JOBS,
    LLM_INFERENCE_SERVICES,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SCALED_OBJECTS,
    SERVICES,
    TRAIN_JOBS,
    Object,
    Resource,
    ServiceKey,
)
from disrouter_operator.smoke_probe import Answers

CHILDREN = (
    *(INFERENCE_SERVICES, DEPLOYMENTS, SERVICES, ENDPOINT_SLICES, CONFIG_MAPS, JOBS, TRAIN_JOBS, PODS),
    *(NETWORK_POLICIES, POD_DISRUPTION_BUDGETS, HORIZONTAL_POD_AUTOSCALERS, SCALED_OBJECTS, INGRESSES, HTTP_ROUTES),
)
"""Kinds that carry our labels: our children, and what KServe and the cluster's controllers make of them."""

REFERRED = {each.kind: each for each in (INFERENCE_SERVICES, LLM_INFERENCE_SERVICES)}
"""Kinds of others' services that an agent may refer to. These carry no label of ours and are read one by one."""

OPTIONAL = frozenset({*REFERRED.values(), TRAIN_JOBS, SCALED_OBJECTS, POD_DISRUPTION_BUDGETS, INGRESSES, HTTP_ROUTES})
"""Kinds that a cluster may lack: KServe, Kubeflow, KEDA and the Gateway API may be installed later; a laptop has no
budgets and publishes nothing."""

PUBLISHING = frozenset({INGRESSES, HTTP_ROUTES})
"""Kinds that an installation may keep from the operator on purpose: ways in from outside the cluster."""

DISPENSABLE = frozenset({TRAIN_JOBS, SCALED_OBJECTS, *PUBLISHING})
"""Kinds that a role may lack: only those are concerned who ask for them."""


@dataclass(frozen=True)
class Observed:
    """One consistent-enough look: each kind by name."""

    parent: Object
    children: Mapping[Resource, Mapping[str, Object]]
    absent: frozenset[Resource] = frozenset()
    """Kinds that the API server does not know."""
    unreadable: frozenset[Resource] = frozenset()
    """Optional kinds that this operator may not list: taken for absent, and said."""
    answers: Answers = field(default_factory=dict)
    """What new pods have answered so far to the smoke probes of earlier reconciles."""
    seen_serving: Mapping[str, datetime] = field(default_factory=dict)
    """When earlier reconciles first saw each agent serve that has served in all of them since."""
    seen_waking: Mapping[str, datetime] = field(default_factory=dict)
    """The same of agents that wake."""
    services: Mapping[ServiceKey, Object] = field(default_factory=dict)
    """Others' services that agents refer to."""
    refusals: Mapping[ServiceKey, KubeError] = field(default_factory=dict)
    """Those that could not be read: without the right to it, or while a webhook of their kind is away."""
    claim_modes: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Access modes of the claims that the manifest names, as far as they are known."""

    def find(self, resource: Resource, name: str) -> Object | None:
        """A child by name, None if there is none."""
        return self.children[resource].get(name)

    def owned(self, resource: Resource) -> list[Object]:
        """Children of a kind that this cascade itself created, not what KServe derived from them."""
        return [obj for obj in self.children[resource].values() if belongs(obj, self.parent)]

    def without(self, uids: Collection[str]) -> Observed:
        """The same look without these children."""
        children = {
            resource: {name: obj for name, obj in each.items() if obj["metadata"]["uid"] not in uids}
            for resource, each in self.children.items()
        }
        return replace(self, children=children)


def condition(status: Object, type_: str) -> Object:
    """One of a status's conditions; empty where it has none of that type."""
    return next((each for each in status.get("conditions") or [] if each.get("type") == type_), {})


def is_terminating(obj: Object | None) -> bool:
    """Whether an object is there and on its way out."""
    return obj is not None and bool(obj["metadata"].get("deletionTimestamp"))


def told_unreadable(parent: Object) -> frozenset[Resource]:
    """Ways in of which the last status says that they may not be read: one that was made before may be left."""
    said = str(condition(parent.get("status") or {}, "Degraded").get("message"))
    return frozenset(kind for kind in PUBLISHING if kind.right("list") in said)


def label(obj: Object, name: str) -> str | None:
    """A label's value."""
    value = (obj["metadata"].get("labels") or {}).get(name)
    return None if value is None else str(value)


def owner_uid(obj: Object) -> str | None:
    """Uid of the controller that owns an object."""
    references = obj["metadata"].get("ownerReferences") or []
    return next((str(each["uid"]) for each in references if each.get("controller")), None)


def belongs(obj: Object, parent: Object) -> bool:
    """Whether an object is a cascade's own: by its owner or, where that was taken from it, by who wrote it.

    `kubectl delete --cascade=orphan` takes owners away. Labels alone say nothing: KServe copies those of an
    InferenceService to all that it makes of it, and whoever wants a cascade's pods writes them too.
    """
    uid = owner_uid(obj)
    if uid is not None:
        return uid == str(parent["metadata"]["uid"])
    return _claims_no_other(obj, parent) and _written_by_us(obj)


def adoptable(obj: Object, parent: Object) -> bool:
    """Whether an object under a name that a cascade needs may be taken for its own.

    Some tools restore objects without their owners, and without a word on who wrote them.
    """
    return belongs(obj, parent) or _claims_no_other(obj, parent)


def _claims_no_other(obj: Object, parent: Object) -> bool:
    named = label(obj, names.LABEL_CASCADE) == parent["metadata"]["name"]
    return named and label(obj, names.LABEL_COMPONENT) is not None and not obj["metadata"].get("ownerReferences")


def _written_by_us(obj: Object) -> bool:
    """Whether our field manager applied or created it; a subresource, such as `scale`, is written of others' too."""
    managers = obj["metadata"].get("managedFields") or []
    return any(each.get("manager") == names.FIELD_MANAGER and not each.get("subresource") for each in managers)
