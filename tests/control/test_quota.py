"""A quota that lets no pod be made, by a real API server, Deployment and Job controller: who says what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from disrouter_operator.operator import Options
from support import clusters, operators
from support.controlplane import ControlPlane
from support.places import Place

pytestmark = pytest.mark.controlplane


@pytest.fixture
def place(plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A namespace in which no pod may be made. Nobody counts quotas here, so the test says what is used."""
    where = Place(plane, "quota")
    hard = {"pods": "0"}
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": where.namespace},
        "spec": {"hard": hard},
    }
    plane.apply(quota)
    used = json.dumps({"status": {"hard": hard, "used": hard}})
    plane.kubectl(
        "patch", "resourcequota", "none", "-n", where.namespace, "--subresource=status", "--type=merge", "-p", used
    )
    account = operators.service_account(plane, tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(account))
    options = Options(settings=operators.SETTINGS, namespaces=(where.namespace,), host="127.0.0.1", port=0)
    with operators.running(account, options):
        yield where


def test_a_quota_without_a_pod_is_told_of_agents_and_of_their_training(place: Place) -> None:
    place.apply(clusters.example())
    place.until(lambda: "exceeded quota: none" in agent(place, "large").get("message", ""), "the quota's words")
    assert serving(agent(place, "large"))["reason"] == "PodRefused"
    place.until(lambda: place.condition("Ready")["reason"] == "PodRefused", "the table's reason")
    place.until(lambda: "has no pod" in agent(place, "small").get("message", ""), "the Job's lack of a pod")
    assert "so it is with agents: no further pod can be made" in agent(place, "small")["message"]
    assert "exceeded quota: none" in agent(place, "small")["message"]
    (name,) = [each["metadata"]["name"] for each in jobs(place) if "small" in each["metadata"]["name"]]
    assert f"kubectl describe job/{name}" in agent(place, "small")["message"]
    described = place.plane.kubectl("describe", "job", name, "-n", place.namespace)
    assert "exceeded quota: none" in described, "what the status sends people to"


def agent(place: Place, name: str) -> Any:
    return next(each for each in place.cascade()["status"]["agents"] if each["name"] == name)


def serving(found: Any) -> Any:
    return next(each for each in found["conditions"] if each["type"] == "Serving")


def jobs(place: Place) -> list[Any]:
    return list(place.plane.get("jobs", place.namespace)["items"])
