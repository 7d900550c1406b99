"""Ready means working: an operator that lacks the definition, rights or KServe says so, and recovers by itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from disrouter_operator.manifests.serving.engine_container import SERVER
from support import helm
from support.cluster import NAMESPACE, Cluster, image, values
from support.pool import SMALL, cascade, scripted
from support.team import STARTS, team

pytestmark = pytest.mark.timeout(600)
SOON, LATER = "--timeout=30s", "--timeout=120s"
"""For what cannot come about, and for what must."""
KSERVE = "inferenceservices.serving.kserve.io"


@pytest.fixture
def releases(cluster: Cluster) -> Iterator[helm.Releases]:
    """helm, on a cluster that knows nothing of ours before and after."""
    cluster.clean()
    cluster.kubectl("create", "namespace", NAMESPACE)
    yield cluster.releases()
    cluster.clean()


def install(cluster: Cluster, patience: str = SOON, **more: Any) -> subprocess.CompletedProcess[str]:
    """As a person installs, who does not want to wait for long."""
    where = ("--namespace", NAMESPACE, "--kubeconfig", str(cluster.kubeconfig))
    given = json.dumps(values(**more))
    return helm.helm(
        "install", "disrouter", str(helm.OPERATOR), *where, "--wait", patience, "--values", "-", stdin=given
    )


def ready(cluster: Cluster) -> bool:
    """Whether both operator pods are Ready."""
    conditions = [pod["status"].get("conditions") or [] for pod in cluster.operator_pods()]
    states = [each["status"] for found in conditions for each in found if each["type"] == "Ready"]
    return states == ["True", "True"]


def lines(cluster: Cluster, words: str) -> list[str]:
    """The lines of all operator pods' logs that hold `words`."""
    return [line for line in cluster.operator_logs().splitlines() if words in line]


def never_restarted(cluster: Cluster) -> bool:
    """Waiting is no reason to be killed."""
    states = [state for pod in cluster.operator_pods() for state in pod["status"]["containerStatuses"]]
    return all(state["restartCount"] == 0 for state in states)


def waited_for(
    cluster: Cluster, done: subprocess.CompletedProcess[str], words: str, mend: Callable[[], object]
) -> None:
    """helm gave up, each pod said why in one line, and with the remedy the pods become ready as they are."""
    assert done.returncode != 0
    assert "not ready" in done.stderr, done.stderr
    said = lines(cluster, words)
    assert 1 <= len(said) <= len(cluster.operator_pods()), cluster.operator_logs()
    mend()
    cluster.wait("readiness", lambda: ready(cluster))
    assert never_restarted(cluster)
    assert lines(cluster, "ready: this replica leads and its watches are open")


def test_without_the_definition_helm_fails_and_the_log_says_what_to_install(
    cluster: Cluster, releases: helm.Releases
) -> None:
    words = (
        "not ready: the definition selfroutingcascades.disrouter.io is not installed; install the chart disrouter-crds"
    )
    waited_for(cluster, install(cluster), words, lambda: releases("install", "disrouter-crds", str(helm.CRDS)))


def test_without_rights_helm_fails_and_the_log_names_them(cluster: Cluster, releases: helm.Releases) -> None:
    releases("install", "disrouter-crds", str(helm.CRDS))

    def bind() -> None:
        releases("upgrade", "disrouter", str(helm.OPERATOR), values=values())

    waited_for(
        cluster, install(cluster, rbac={"create": False}), "let the chart bind its role (rbac.create: true)", bind
    )


@pytest.mark.usefixtures("disposable")
def test_without_kserve_external_agents_are_served_and_the_others_say_what_is_missing(
    cluster: Cluster, releases: helm.Releases
) -> None:
    releases("install", "disrouter-crds", str(helm.CRDS))
    with without_kserve(cluster) as install_kserve, team(cluster, "alone") as place:
        done = install(cluster, LATER)
        assert done.returncode == 0, f"{done.stderr}\n{cluster.operator_logs()}"
        cluster.wait("its word of it", lambda: bool(lines(cluster, "KServe is not installed")))
        place.apply(*provider())
        outside = {"name": "outside", "cost": 0.5, "external": {"url": "http://provider/v1", "model": "big"}}
        place.apply(cascade("external", outside), cascade("served", scripted("small", 0.1)))
        place.until("the external agent", lambda: place.ready("external"), STARTS)
        place.until("its answer", lambda: place.ask("external", "anything")[0][1] == "outside")
        place.until("what is missing", lambda: place.condition("served", "Ready")["reason"] == "KServeMissing")
        assert "install KServe" in place.condition("served", "AgentsReady")["message"]
        assert "KServeMissing" in {event["reason"] for event in place.get("events")["items"]}
        install_kserve()
        place.until("the agent with a model", lambda: place.ready("served"), STARTS)
        assert place.ask("served", "anything") == [["small answers by weights none", "small"]] * 2
    assert never_restarted(cluster)


@contextmanager
def without_kserve(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """KServe's definition is away until what is yielded is called. Nobody's InferenceServices may go with it."""
    assert cluster.kubectl("get", KSERVE, "--all-namespaces", "-o", "name") == "", "InferenceServices would be lost"
    definition = json.loads(cluster.kubectl("get", "crd", KSERVE, "-o", "json"))
    definition.pop("status")
    definition["metadata"] = {name: definition["metadata"].get(name) for name in ("name", "labels", "annotations")}

    def install_again() -> None:
        if cluster.kubectl_process("get", "crd", KSERVE).returncode != 0:
            cluster.kubectl("create", "-f", "-", stdin=json.dumps(definition))

    cluster.kubectl("delete", "crd", KSERVE, "--timeout=50s")
    try:
        yield install_again
    finally:
        install_again()


def provider() -> list[dict[str, Any]]:
    """An OpenAI-compatible server that is nobody's agent."""
    labels = {"app": "provider"}
    command = [*SERVER, "none", "--served-model-name=big", "--host=::", "--port=8000"]
    container = {"name": "main", "image": image("scripted"), "command": command, "resources": SMALL}
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "provider", "labels": labels},
            "spec": {"containers": [container]},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "provider"},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8000}]},
        },
    ]
