"""The operator's chart lints, renders, and is what a real API server accepts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from disrouter.names import SIDECAR_PORT
from disrouter_operator.manifests.cascade import COMPONENT_AGENT
from disrouter_operator.settings import SIDECAR_IMAGE, TRAINING_IMAGE
from disrouter_operator.telemetry.metrics import Metrics
from disrouter_operator.telemetry.probes import Pulse, application, serve
from support import clusters, helm
from support.controlplane import ControlPlane
from support.helm import of_kind, render
from support.operators import LEASE_RULES, RULES

OWN_NAMESPACE = {"fieldRef": {"fieldPath": "metadata.namespace"}}

pytestmark = pytest.mark.controlplane  # helm comes with the control plane's binaries


def container(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The operator's container."""
    (deployment,) = of_kind(documents, "Deployment")
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(only)


def environment(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {item["name"]: item.get("value") for item in container(documents)["env"]}


@pytest.mark.parametrize("chart", [helm.OPERATOR, helm.CRDS], ids=lambda chart: chart.name)
def test_a_chart_lints_strictly(chart: Path) -> None:
    done = helm.helm("lint", "--strict", str(chart))
    assert done.returncode == 0, done.stdout


def test_the_operator_runs_restricted() -> None:
    (deployment,) = of_kind(render(), "Deployment")
    assert deployment["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
    only = container(render())
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert only["resources"]["limits"]
    assert only["resources"]["requests"]


def test_the_chart_and_the_operators_defaults_name_the_same_images() -> None:
    env = environment(render())
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


def test_a_role_that_publishes_nothing_lacks_these_rights_alone() -> None:
    (role,) = of_kind(render({"rbac": {"publish": False}}), "ClusterRole")
    lacking = allowed(RULES) - allowed(role["rules"])
    assert {item[1] for item in lacking} == {"ingresses", "httproutes"}
    assert allowed(role["rules"]) <= allowed(RULES)


def test_only_the_operators_own_lease_can_be_changed() -> None:
    (role,) = of_kind(render(), "Role")
    named = [rule for rule in role["rules"] if rule["verbs"] != ["create"]]
    assert allowed(role["rules"]) == allowed(LEASE_RULES), "what the operator is tested with"
    assert [rule["resourceNames"] for rule in named] == [[environment(render())["DISROUTER_LEASE_NAME"]]]


def test_the_network_policy_and_the_budget_select_the_operators_pods_and_the_test_pod_is_none() -> None:
    documents = [each for each in yaml.safe_load_all(helm.template().stdout) if each]
    (deployment,), (pod,) = of_kind(documents, "Deployment"), of_kind(documents, "Pod")
    (policy, of_test), (budget,) = of_kind(documents, "NetworkPolicy"), of_kind(documents, "PodDisruptionBudget")
    assert of_test["spec"]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    (service,) = of_kind(documents, "Service")
    (spread,) = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    selectors = [
        policy["spec"]["podSelector"]["matchLabels"],
        budget["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        spread["labelSelector"]["matchLabels"],
    ]
    operators = deployment["spec"]["template"]["metadata"]["labels"].items()
    for selector in selectors:
        assert selector.items() <= operators
        assert not selector.items() <= pod["metadata"]["labels"].items()
    (ingress,) = policy["spec"]["ingress"]
    assert ingress["from"][0]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


@pytest.mark.parametrize("namespaces", [[], ["team-a", "team-b"]], ids=["cluster", "namespaced"])
def test_the_operator_may_ask_the_agents_that_it_keeps_and_says_who_asks(namespaces: list[str]) -> None:
    documents = render({"watchNamespaces": namespaces})
    policy = next(each for each in of_kind(documents, "NetworkPolicy") if len(each["spec"]["egress"]) > 2)
    asked = policy["spec"]["egress"][-1]
    assert asked["ports"] == [{"port": SIDECAR_PORT, "protocol": "TCP"}]
    agent = clusters.cascade(clusters.example()).labels(COMPONENT_AGENT, "small").items()
    assert all(peer["podSelector"]["matchLabels"].items() <= agent for peer in asked["to"])
    name = "kubernetes.io/metadata.name"
    wanted = [{"matchLabels": {name: each}} for each in namespaces] or [{}]
    assert [peer["namespaceSelector"] for peer in asked["to"]] == wanted
    env = environment(documents)
    said = dict(pair.split("=") for pair in env["DISROUTER_OPERATOR_LABELS"].split(","))
    assert said == policy["spec"]["podSelector"]["matchLabels"]
    assert {"name": "DISROUTER_OPERATOR_NAMESPACE", "valueFrom": OWN_NAMESPACE} in container(documents)["env"]
    (silent, _) = of_kind(render({"smoke": False}), "NetworkPolicy")
    assert len(silent["spec"]["egress"]) == 2


def test_a_deployments_selector_is_that_of_the_previous_version() -> None:
    """It is immutable: a chart that changes it cannot be upgraded to."""
    selectors = [
        of_kind(render(chart=chart), "Deployment")[0]["spec"]["selector"]
        for chart in (helm.OPERATOR, helm.PREVIOUS[helm.OPERATOR])
    ]
    assert selectors[0] == selectors[1]


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["default"]}], ids=["cluster", "namespaced"])
def test_a_real_api_server_accepts_every_object(plane: ControlPlane, values: dict[str, Any], tmp_path: Path) -> None:
    documents = render(values)
    manifests = tmp_path / "rendered.yaml"
    manifests.write_text(yaml.safe_dump_all(documents))
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "disrouter"}})
    out = plane.kubectl("apply", "--dry-run=server", "--validate=strict", "--filename", str(manifests))
    assert out.count("(server dry run)") == len(documents)


def test_named_namespaces_get_roles_and_the_cluster_none() -> None:
    documents = render({"watchNamespaces": ["team-a", "team-b"]})
    assert not of_kind(documents, "ClusterRole")
    assert {role["metadata"]["namespace"] for role in of_kind(documents, "Role")} == {"team-a", "team-b", "disrouter"}


async def test_the_command_of_helm_test_reads_a_real_operators_pages() -> None:
    documents = [each for each in yaml.safe_load_all(helm.template().stdout) if each]
    (pod,) = of_kind(documents, "Pod")
    _, option, code, url = pod["spec"]["containers"][0]["command"]
    (service,) = of_kind(documents, "Service")
    assert url == f"http://{service['metadata']['name']}.disrouter.svc:{service['spec']['ports'][0]['port']}"
    async with serve(application(Pulse(), Metrics().registry), "127.0.0.1", 0) as port:
        command = [sys.executable, option, code, f"http://127.0.0.1:{port}"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.stdout == "ok: the operator works\n", done.stderr


def test_notes_name_the_release_and_the_first_request() -> None:
    done = helm.helm("install", "pool", str(helm.OPERATOR), "--dry-run=client", "-n", "disrouter", "--hide-notes=false")
    assert done.returncode == 0, done.stderr
    assert "rollout status deployment/pool-disrouter" in done.stdout
    assert "/v1/chat/completions" in done.stdout


def test_a_foreign_service_account_must_be_named() -> None:
    done = helm.template({"serviceAccount": {"create": False}})
    assert done.returncode != 0
    assert "serviceAccount.name is required" in done.stderr
