"""The chart's roles grant what the operator uses and nothing else: recorded while it goes through a cascade's life."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from disrouter import names
from support import clusters, operators
from support.controlplane import ControlPlane
from support.places import Place
from support.proxying import proxying
from support.replicas import Replica, killed_at_the_end

pytestmark = pytest.mark.controlplane

ABSENT = {("trainer.kubeflow.org", "trainjobs")}
"""Kubeflow's kind is not installed: rights that find nothing here."""


def _granted(plane: ControlPlane) -> set[tuple[str, str, str]]:
    """Every (group, resource, verb) of the roles, for kinds that this API server has."""
    served = set(plane.kubectl("api-resources", "-o", "name").split())
    return {
        (group, resource, verb)
        for rule in [*operators.RULES, *operators.LEASE_RULES]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if ".".join(filter(None, [resource.partition("/")[0], group])) in served and (group, resource) not in ABSENT
    }


def test_every_right_of_the_role_is_used_and_no_other_is_missed(plane: ControlPlane, tmp_path: Path) -> None:
    place = Place(plane, "rights")
    account = operators.service_account(plane, tmp_path)
    operators.may_lead(plane, place.namespace)
    with proxying(plane, seed=0) as proxy:
        kubeconfig = proxy.kubeconfig(account, tmp_path / "proxied.kubeconfig")
        where = place.namespace
        replica = Replica("operator", kubeconfig, tmp_path, namespaces=where, lease_namespace=where, resync_seconds="5")
        with killed_at_the_end(replica):
            replica.ensure()
            _live(place)
            renewed = ("coordination.k8s.io", "leases", "patch")
            plane.wait("a renewal of the lease", lambda: renewed in proxy.rights(), 120)
            replica.signal(signal.SIGTERM)
            plane.wait("a clean end", replica.ended, 120)
        used = {right for right in proxy.rights() if right[2] != "discover" and right[:2] not in ABSENT}
        refused = {(each.resource, each.verb) for each in proxy.requests if each.status == 403}
    granted = _granted(plane)
    assert not refused, replica.text()
    assert granted - used == set(), "granted and never used"
    assert used - granted == set(), "used, so somebody else grants it"


def _live(place: Place) -> None:
    """Everything that makes the operator create, change, repair and delete each kind."""
    manifest = clusters.example(drainSeconds=0, networkPolicy={"enabled": True})
    manifest["spec"]["agents"][0] |= {"replicas": {"min": 2, "max": 3}, "resources": {"limits": {"cpu": "1"}}}
    manifest["spec"] |= {"httpRoute": {"parentRefs": [{"name": "old"}]}, "ingress": {"hosts": ["old.example.com"]}}
    manifest["spec"]["auth"] = {"anonymous": True}
    theirs = {"name": "theirs", "serviceRef": {"kind": "LLMInferenceService", "name": "phi"}, "cost": 0.5}
    manifest["spec"]["agents"].insert(2, theirs)
    place.apply(manifest)
    _until(place, "ConfigMap/qwen-routes", "InferenceService/qwen-small", "Service/qwen", "Deployment/qwen-large")
    _until(place, "PodDisruptionBudget/qwen", "HorizontalPodAutoscaler/qwen-small")
    _until(place, "HTTPRoute/qwen", "Ingress/qwen")
    _scaled(place)
    _former_budget(place)
    manifest["spec"]["agents"][0]["autoscaling"] = {"target": 60}
    place.apply(manifest)
    for number in range(2):  # the same news twice is one Event with a count
        _repaired(place, number)
    manifest["spec"]["training"] |= {"seed": 1, "suspend": True}
    place.apply(manifest)
    manifest["spec"]["training"]["suspend"] = False
    manifest["spec"]["networkPolicy"] = {"enabled": False}
    del manifest["spec"]["agents"][0]["replicas"], manifest["spec"]["agents"][0]["autoscaling"]
    del manifest["spec"]["httpRoute"], manifest["spec"]["ingress"]
    small, medium, *_ = manifest["spec"]["agents"]
    manifest["spec"]["agents"] = [small, {**medium, "name": "last", "selfAwareness": {"mode": "none"}}]
    place.apply(manifest)
    gone = {"InferenceService/qwen-medium", "Deployment/qwen-large", "Service/qwen-large"}
    gone |= {"PodDisruptionBudget/qwen-small", "HorizontalPodAutoscaler/qwen-small", "HTTPRoute/qwen", "Ingress/qwen"}
    place.plane.wait("the removal", lambda: not gone & place.versions().keys(), 120)
    place.plane.kubectl("delete", "src", "qwen", "-n", place.namespace)


def _scaled(place: Place) -> None:
    """KServe makes a Deployment of one pod, where two are wanted."""
    made = clusters.predictor_deployment(place.plane.get("inferenceservice", place.namespace, "qwen-small"))
    name = made["metadata"]["name"]
    place.plane.apply(made)
    place.plane.wait(
        "its scale", lambda: place.plane.get("deployment", place.namespace, name)["spec"]["replicas"] == 2, 120
    )


def _former_budget(place: Place) -> None:
    """As an earlier version left one for each agent."""
    budget = place.plane.get("poddisruptionbudget", place.namespace, "qwen")
    kept = {key: budget["metadata"][key] for key in ("namespace", "labels", "ownerReferences")}
    place.plane.apply({**budget, "metadata": {**kept, "name": "qwen-small"}, "status": {}})


def _repaired(place: Place, number: int) -> None:
    def ports() -> Any:
        return place.plane.get("service", place.namespace, "qwen")["spec"]["ports"]

    wanted = ports()
    edit = f'[{{"op": "replace", "path": "/spec/ports/0/targetPort", "value": {9000 + number}}}]'
    place.plane.kubectl("patch", "service", "qwen", "-n", place.namespace, "--type=json", "-p", edit)
    place.plane.wait("the repair", lambda: ports() == wanted, 120)
    place.plane.wait("its Event", lambda: _repairs(place) == number + 1, 120)


def _repairs(place: Place) -> int:
    found: list[Any] = place.plane.get("events", place.namespace)["items"]
    ours = (each for each in found if each["reason"] == "ChildRepaired" and each["message"].startswith("Service "))
    return sum(event["count"] for event in ours)


def _until(place: Place, *children: str) -> None:
    place.plane.wait(f"{children}", lambda: set(children) <= place.versions().keys(), 120)
    job = f"{names.LABEL_COMPONENT}=training"
    place.plane.wait("a Job", lambda: bool(place.plane.get("jobs", place.namespace, f"--selector={job}")["items"]), 120)
