"""helm installs, upgrades, rolls back and uninstalls on a real API server while cascades live.

The operator runs as a process, described by the installed Deployment and with the rights of the installed
ServiceAccount alone. Before this the server knows KServe's resource and nothing of ours. Tests follow the release's
life in their order; what KServe and the kubelet would report is written by them.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from disrouter import __version__, names
from support import helm, installed
from support.controlplane import ControlPlane
from support.places import Place

pytestmark = pytest.mark.controlplane

NAMESPACE = "disrouter"
EXAMPLE = Path(helm.__file__).parent / "charts/qwen-0.1.0.yaml"
PATIENCE = 120.0
PARTS = ("operator", "sidecar", "training")
"""Seconds: the garbage collector looks for new kinds every 30 s."""


@pytest.fixture(scope="module")
def releases(bare: ControlPlane) -> helm.Releases:
    return helm.Releases(bare, NAMESPACE)


@pytest.fixture(scope="module")
def life(bare: ControlPlane) -> Place:
    return Place(bare, "life")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operators")


def agents(place: Place) -> dict[str, tuple[str, int]]:
    """resourceVersion and generation of everything that runs an agent."""
    kinds = ("InferenceService", "Deployment", "Service")
    return {
        f"{child['kind']}/{child['metadata']['name']}": (
            child["metadata"]["resourceVersion"],
            child["metadata"].get("generation", 0),
        )
        for child in place.children()
        if child["kind"] in kinds
    }


def observed(place: Place, **spec: Any) -> None:
    """The previous version's example, with an edit that touches no agent; waits until the operator has seen it."""
    manifest = yaml.safe_load(EXAMPLE.read_text())
    manifest["spec"] |= spec
    place.apply(manifest)


def leads(plane: ControlPlane, lease: str, identity: str) -> bool:
    done = plane.kubectl_process("get", "lease", lease, "-n", NAMESPACE, "-o", "json")
    return done.returncode == 0 and json.loads(done.stdout)["spec"]["holderIdentity"] == identity


def test_a_cascade_of_the_previous_version_serves_under_the_newer_resource(
    bare: ControlPlane, releases: helm.Releases, life: Place, logs: Path
) -> None:
    """The order of docs/upgrade.md: resources first, so for a while the previous operator meets the newer ones."""
    releases("install", "disrouter-crds", str(helm.PREVIOUS[helm.CRDS]), "--create-namespace")
    releases("install", "disrouter", str(helm.PREVIOUS[helm.OPERATOR]))
    bare.apply(yaml.safe_load(EXAMPLE.read_text()), namespace=life.namespace)
    releases("upgrade", "disrouter-crds", str(helm.CRDS))
    # The previous operator's code is not here: today's plays it, with the previous images and today's rights.
    images = {"images": {key: {"tag": "0.1.0"} for key in PARTS}}
    releases("upgrade", "disrouter", str(helm.OPERATOR), values=images)
    with installed.running(bare, "disrouter", NAMESPACE, "previous", logs):
        observed(life)
        life.serve("small", "medium")
        life.external("large")
        life.until(lambda: life.condition("Ready")["status"] == "True", "Ready")


def test_an_upgrade_touches_no_agent_of_a_live_cascade(
    bare: ControlPlane, releases: helm.Releases, life: Place, logs: Path
) -> None:
    before, run = agents(life), life.cascade()["status"]["agents"][0]["run"]
    releases("upgrade", "disrouter", str(helm.OPERATOR), "--reset-values")
    with installed.running(bare, "disrouter", NAMESPACE, "upgraded", logs):
        bare.wait("the new operator to lead", lambda: leads(bare, "disrouter", "upgraded"), PATIENCE)
        observed(life, scenario="cost-first")
    assert agents(life) == before
    assert life.cascade()["status"]["agents"][0]["run"] == run, "nothing is trained again"
    (container,) = installed.deployment(bare, "disrouter", NAMESPACE)["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f":{__version__}")
    assert life.condition("Ready")["status"] == "True"


def test_helm_test_passes_when_its_pod_does(bare: ControlPlane, releases: helm.Releases) -> None:
    command = [helm.binary(), "test", "disrouter", "--namespace", NAMESPACE, "--kubeconfig", str(bare.kubeconfig)]
    selector = "app.kubernetes.io/component=test"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as testing:
        try:
            bare.wait("its pod", lambda: bool(bare.get("pods", NAMESPACE, f"--selector={selector}")["items"]), PATIENCE)
            (pod,) = bare.get("pods", NAMESPACE, f"--selector={selector}")["items"]
            done = ("-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", '{"status": {"phase": "Succeeded"}}')
            bare.kubectl("patch", "pod", pod["metadata"]["name"], *done)
            said, _ = testing.communicate(timeout=PATIENCE)
        finally:
            testing.kill()
    assert testing.returncode == 0, said
    assert "Succeeded" in said
    assert not bare.get("pods", NAMESPACE, f"--selector={selector}")["items"], "the pod of a passed test is removed"


def test_a_rollback_touches_no_agent_either(
    bare: ControlPlane, releases: helm.Releases, life: Place, logs: Path
) -> None:
    before = agents(life)
    releases("rollback", "disrouter", "2")
    with installed.running(bare, "disrouter", NAMESPACE, "rolled-back", logs):
        bare.wait("the old operator to lead", lambda: leads(bare, "disrouter", "rolled-back"), PATIENCE)
        observed(life, scenario="balance")
    assert agents(life) == before
    (container,) = installed.deployment(bare, "disrouter", NAMESPACE)["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(":0.1.0")


def test_uninstalling_leaves_cascades_serving_and_nothing_of_its_own(
    bare: ControlPlane, releases: helm.Releases, life: Place
) -> None:
    releases("upgrade", "disrouter", str(helm.OPERATOR), "--reset-values")
    before = agents(life)
    releases("rollback", "disrouter-crds", "1")
    releases("uninstall", "disrouter")
    releases("uninstall", "disrouter-crds")
    kinds = "deployments,services,serviceaccounts,networkpolicies,poddisruptionbudgets,configmaps,leases,pods"
    kinds = f"{kinds},roles,rolebindings,clusterroles,clusterrolebindings"
    label = "app.kubernetes.io/managed-by=Helm"

    def left() -> list[str]:
        found = bare.get(kinds, NAMESPACE, f"--selector={label}")["items"]
        return [f"{each['kind']}/{each['metadata']['name']}" for each in found]

    bare.wait("the garbage collection of the operator", lambda: not left(), PATIENCE)
    assert bare.get("leases", NAMESPACE)["items"] == []
    assert agents(life) == before
    assert life.cascade()["spec"]["scenario"] == "balance"


def test_installing_again_takes_the_cascades_over_as_they_are(
    bare: ControlPlane, releases: helm.Releases, life: Place, logs: Path
) -> None:
    before = agents(life)
    releases("install", "disrouter-crds", str(helm.CRDS), "--take-ownership")
    releases("install", "disrouter", str(helm.OPERATOR))
    with installed.running(bare, "disrouter", NAMESPACE, "again", logs):
        observed(life, scenario="performance-first")
    assert agents(life) == before
    releases("uninstall", "disrouter")
    releases("uninstall", "disrouter-crds")


def test_without_an_operator_cascades_and_the_resource_can_still_be_deleted(bare: ControlPlane, life: Place) -> None:
    bare.kubectl("delete", "src", "--all", "--namespace", life.namespace, "--timeout=50s")
    bare.wait("the garbage collection of the agents", lambda: not life.children(), PATIENCE)
    bare.kubectl("delete", "crd", f"{names.PLURAL}.{names.GROUP}", "--timeout=50s")
