"""The charts lint, render, refuse values nobody reads, and are what a real API server accepts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from disrouter_operator.settings import SIDECAR_IMAGE, TRAINING_IMAGE
from support.controlplane import ControlPlane
from support.operators import RULES

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "charts"
pytestmark = pytest.mark.controlplane  # helm comes with the control plane's binaries


def _helm() -> str:
    beside = Path(os.environ["KUBEBUILDER_ASSETS"]) / "helm"
    found = str(beside) if beside.exists() else shutil.which("helm")
    assert found, "helm is neither in KUBEBUILDER_ASSETS nor on PATH"
    return found


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([_helm(), *arguments], capture_output=True, text=True, check=False, timeout=60)


def render(*arguments: str) -> list[dict[str, Any]]:
    done = helm("template", "pool", str(CHARTS / "disrouter"), "--namespace", "disrouter", *arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]


@pytest.mark.parametrize("chart", ["disrouter", "disrouter-crds"])
def test_a_chart_lints_strictly(chart: str) -> None:
    done = helm("lint", "--strict", str(CHARTS / chart))
    assert done.returncode == 0, done.stdout


def test_the_operator_runs_restricted_and_knows_its_images() -> None:
    (deployment,) = of_kind(render("--set", "images.sidecar.tag=v9"), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert env["DISROUTER_SIDECAR_IMAGE"].endswith("/sidecar:v9")
    assert container["resources"]["limits"]
    assert container["resources"]["requests"]


def test_the_chart_and_the_operators_defaults_name_the_same_images() -> None:
    (deployment,) = of_kind(render(), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert env["DISROUTER_SIDECAR_IMAGE"] == SIDECAR_IMAGE
    assert env["DISROUTER_TRAINING_IMAGE"] == TRAINING_IMAGE


def allowed(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Every (group, resource, verb) that rules grant."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_role_is_exactly_what_the_operator_is_tested_with() -> None:
    (role,) = of_kind(render(), "ClusterRole")
    assert allowed(role["rules"]) == allowed(RULES)
    assert not [item for item in allowed(role["rules"]) if "*" in item or item[1] == "secrets"]


def test_only_the_operators_own_lease_can_be_changed() -> None:
    (role,) = of_kind(render(), "Role")
    named = [rule for rule in role["rules"] if rule["verbs"] != ["create"]]
    (deployment,) = of_kind(render(), "Deployment")
    env = {item["name"]: item.get("value") for item in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert [rule["resourceNames"] for rule in named] == [[env["DISROUTER_LEASE_NAME"]]]


@pytest.mark.parametrize("values", [(), ("--set", "watchNamespaces={default}")])
def test_a_real_api_server_accepts_every_object(plane: ControlPlane, values: tuple[str, ...], tmp_path: Path) -> None:
    manifests = tmp_path / "rendered.yaml"
    manifests.write_text(yaml.safe_dump_all(render(*values)))
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "disrouter"}})
    out = plane.kubectl("apply", "--dry-run=server", "--filename", str(manifests))
    assert out.count("(server dry run)") == len(render(*values))


def test_named_namespaces_get_roles_and_the_cluster_none() -> None:
    documents = render("--set", "watchNamespaces={team-a,team-b}")
    assert not of_kind(documents, "ClusterRole")
    assert {role["metadata"]["namespace"] for role in of_kind(documents, "Role")} == {"team-a", "team-b", "disrouter"}


def test_an_unknown_value_is_refused_by_name() -> None:
    done = helm("template", "pool", str(CHARTS / "disrouter"), "--set", "replicaCount=2")
    assert done.returncode != 0
    assert "replicaCount" in done.stderr


def test_a_foreign_service_account_must_be_named() -> None:
    done = helm("template", "pool", str(CHARTS / "disrouter"), "--set", "serviceAccount.create=false")
    assert done.returncode != 0
    assert "serviceAccount.name is required" in done.stderr
