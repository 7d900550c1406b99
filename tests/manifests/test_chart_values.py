"""Every value of the chart does what its comment says: a value without a line in this table fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from support import helm
from support.helm import EVERYTHING_ON, of_kind, render
from write_charts import values as documented

pytestmark = pytest.mark.controlplane

Documents = list[dict[str, Any]]
DIGEST = f"sha256:{'a1' * 32}"


@dataclass(frozen=True)
class Case:
    """A value, what it is set to, and what of the manifests shows it, before and after."""

    path: str
    value: Any
    seen: Callable[[Documents], Any]
    expected: Any
    beside: tuple[tuple[str, Any], ...] = ()
    """Other values that it takes to see this one."""

    def values(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for path, value in (*self.beside, (self.path, self.value)):
            *parents, last = path.split(".")
            inner = out
            for parent in parents:
                inner = inner.setdefault(parent, {})
            inner[last] = value
        return out


def one(documents: Documents, kind: str) -> Any:
    found = of_kind(documents, kind)
    return found[0] if found else {}


def pod(documents: Documents) -> Any:
    return one(documents, "Deployment")["spec"]["template"]["spec"]


def pod_metadata(documents: Documents) -> Any:
    return one(documents, "Deployment")["spec"]["template"]["metadata"]


def env(name: str) -> Callable[[Documents], Any]:
    return lambda documents: {e["name"]: e.get("value") for e in pod(documents)["containers"][0]["env"]}.get(name)


def of_pod(field: str) -> Callable[[Documents], Any]:
    return lambda documents: pod(documents).get(field)


def container(field: str) -> Callable[[Documents], Any]:
    return lambda documents: pod(documents)["containers"][0][field]


def kinds(*wanted: str) -> Callable[[Documents], Any]:
    return lambda documents: sorted({d["kind"] for d in documents} & set(wanted))


def _publishes(documents: Documents) -> bool:
    (role,) = of_kind(documents, "ClusterRole")
    return any({"ingresses", "httproutes"} & set(rule["resources"]) for rule in role["rules"])


def names_of(kind: str) -> Callable[[Documents], Any]:
    return lambda documents: [each["metadata"]["name"] for each in of_kind(documents, kind)]


def everywhere(field: str, key: str) -> Callable[[Documents], Any]:
    return lambda documents: {(each["metadata"].get(field) or {}).get(key) for each in documents}


def of_metadata(kind: str, field: str, key: str) -> Callable[[Documents], Any]:
    return lambda documents: (one(documents, kind).get("metadata", {}).get(field) or {}).get(key)


def policy(documents: Documents) -> Any:
    return one(documents, "NetworkPolicy")["spec"]


def endpoint(kind: str, field: str) -> Callable[[Documents], Any]:
    return lambda documents: one(documents, kind)["spec"][field][0]["interval"]


def bound_actions(documents: Documents) -> Any:
    bindings = of_kind(documents, "ValidatingAdmissionPolicyBinding")
    return {tuple(each["spec"]["validationActions"]) for each in bindings}


def on(name: str) -> tuple[tuple[str, Any], ...]:
    return ((f"{name}.enabled", True),)


SIDECAR, TRAINING = env("DISROUTER_SIDECAR_IMAGE"), env("DISROUTER_TRAINING_IMAGE")
PEER = {"podSelector": {"matchLabels": {"app": "prometheus"}}}

CASES = [
    Case("images.operator.repository", "r.example/o", lambda d: container("image")(d).split(":")[0], "r.example/o"),
    Case("images.operator.tag", "v9", lambda d: container("image")(d).split(":")[1], "v9"),
    Case("images.operator.digest", DIGEST, lambda d: container("image")(d).partition("@")[2], DIGEST),
    Case("images.operator.pullPolicy", "Always", container("imagePullPolicy"), "Always"),
    Case("images.sidecar.repository", "r.example/s", lambda d: SIDECAR(d).split(":")[0], "r.example/s"),
    Case("images.sidecar.tag", "v9", lambda d: SIDECAR(d).split(":")[1], "v9"),
    Case("images.sidecar.digest", DIGEST, lambda d: SIDECAR(d).partition("@")[2], DIGEST),
    Case("images.training.repository", "r.example/t", lambda d: TRAINING(d).split(":")[0], "r.example/t"),
    Case("images.training.tag", "v9", lambda d: TRAINING(d).split(":")[1], "v9"),
    Case("images.training.digest", DIGEST, lambda d: TRAINING(d).partition("@")[2], DIGEST),
    Case("imagePullSecrets", [{"name": "pull"}], of_pod("imagePullSecrets"), [{"name": "pull"}]),
    Case("fullnameOverride", "router", names_of("Deployment"), ["router"]),
    Case("commonLabels", {"team": "ml"}, everywhere("labels", "team"), {"ml"}),
    Case("commonAnnotations", {"owner": "ml"}, everywhere("annotations", "owner"), {"ml"}),
    Case("watchNamespaces", ["a", "b"], env("DISROUTER_NAMESPACES"), "a,b"),
    Case("replicas", 3, lambda d: one(d, "Deployment")["spec"]["replicas"], 3),
    Case("rollAgents", True, env("DISROUTER_ROLL_AGENTS"), "true"),
    Case("smoke", False, env("DISROUTER_SMOKE"), "false"),
    Case("clusterDomain", "pool.example", env("DISROUTER_CLUSTER_DOMAIN"), "pool.example"),
    Case("logLevel", "DEBUG", env("DISROUTER_LOG_LEVEL"), "DEBUG"),
    Case("resyncSeconds", 120, env("DISROUTER_RESYNC_SECONDS"), "120"),
    Case("workers", 8, env("DISROUTER_WORKERS"), "8"),
    Case("leaseSeconds", 30, env("DISROUTER_LEASE_SECONDS"), "30"),
    Case("apiRequests.perSecond", 10, env("DISROUTER_QPS"), "10"),
    Case("apiRequests.burst", 20, env("DISROUTER_BURST"), "20"),
    Case(
        "serviceAccount.create",
        False,
        kinds("ServiceAccount"),
        [],
        (("serviceAccount.name", "theirs"),),
    ),
    Case("serviceAccount.name", "mine", of_pod("serviceAccountName"), "mine"),
    Case(
        "serviceAccount.annotations",
        {"cloud/role": "x"},
        of_metadata("ServiceAccount", "annotations", "cloud/role"),
        "x",
    ),
    Case("rbac.create", False, kinds("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"), []),
    Case("rbac.publish", False, _publishes, False),
    Case("admissionPolicy.enabled", True, lambda d: len(of_kind(d, "ValidatingAdmissionPolicy")), 2),
    Case("admissionPolicy.actions", ["Audit"], bound_actions, {("Audit",)}, on("admissionPolicy")),
    Case("resources", {"limits": {"memory": "1Gi"}}, lambda d: container("resources")(d)["limits"]["memory"], "1Gi"),
    Case("podAnnotations", {"a": "b"}, lambda d: pod_metadata(d).get("annotations"), {"a": "b"}),
    Case("podLabels", {"a": "b"}, lambda d: pod_metadata(d)["labels"].get("a"), "b"),
    Case("env", [{"name": "HTTPS_PROXY", "value": "http://p:1"}], env("HTTPS_PROXY"), "http://p:1"),
    Case("podSecurityContext", {"runAsUser": None}, lambda d: "runAsUser" in of_pod("securityContext")(d), False),
    Case("terminationGracePeriodSeconds", 60, of_pod("terminationGracePeriodSeconds"), 60),
    Case("nodeSelector", {"kubernetes.io/arch": "amd64"}, of_pod("nodeSelector"), {"kubernetes.io/arch": "amd64"}),
    Case("tolerations", [{"operator": "Exists"}], of_pod("tolerations"), [{"operator": "Exists"}]),
    Case("affinity", {"nodeAffinity": {}}, of_pod("affinity"), {"nodeAffinity": {}}),
    Case("topologySpreadConstraints", [], of_pod("topologySpreadConstraints"), None),
    Case("priorityClassName", "high", of_pod("priorityClassName"), "high"),
    Case("podDisruptionBudget.enabled", False, kinds("PodDisruptionBudget"), []),
    Case(
        "podDisruptionBudget.maxUnavailable",
        "50%",
        lambda d: one(d, "PodDisruptionBudget")["spec"]["maxUnavailable"],
        "50%",
    ),
    Case("networkPolicy.enabled", False, kinds("NetworkPolicy"), []),
    Case("networkPolicy.metricsFrom", [PEER], lambda d: policy(d)["ingress"][0]["from"][1:], [PEER]),
    Case("networkPolicy.apiServerPorts", [16443], lambda d: policy(d)["egress"][0]["ports"][0]["port"], 16443),
    Case(
        "networkPolicy.apiServerCIDRs",
        ["10.0.0.1/32"],
        lambda d: policy(d)["egress"][0].get("to"),
        [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
    ),
    Case("networkPolicy.dnsTo", [PEER], lambda d: policy(d)["egress"][1]["to"], [PEER]),
    Case("serviceMonitor.enabled", True, kinds("ServiceMonitor"), ["ServiceMonitor"]),
    Case("serviceMonitor.interval", "5s", endpoint("ServiceMonitor", "endpoints"), "5s", on("serviceMonitor")),
    Case("serviceMonitor.labels", {"a": "b"}, of_metadata("ServiceMonitor", "labels", "a"), "b", on("serviceMonitor")),
    Case("podMonitor.enabled", True, kinds("PodMonitor"), ["PodMonitor"]),
    Case("podMonitor.interval", "5s", endpoint("PodMonitor", "podMetricsEndpoints"), "5s", on("podMonitor")),
    Case("podMonitor.labels", {"a": "b"}, of_metadata("PodMonitor", "labels", "a"), "b", on("podMonitor")),
    Case("prometheusRule.enabled", True, kinds("PrometheusRule"), ["PrometheusRule"]),
    Case("prometheusRule.labels", {"a": "b"}, of_metadata("PrometheusRule", "labels", "a"), "b", on("prometheusRule")),
    Case("dashboard.enabled", True, kinds("ConfigMap"), ["ConfigMap"]),
    Case("dashboard.labels", {"find": "me"}, of_metadata("ConfigMap", "labels", "find"), "me", on("dashboard")),
    Case("dashboard.annotations", {"a": "b"}, of_metadata("ConfigMap", "annotations", "a"), "b", on("dashboard")),
]


def test_every_value_has_a_test_and_every_test_a_value() -> None:
    known = [value.path for value in documented((helm.OPERATOR / "values.yaml").read_text())]
    assert [case.path for case in CASES] == known


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_a_value_shows_in_the_manifests(case: Case) -> None:
    shown = case.seen(render(case.values()))
    assert shown == case.expected
    before = render({**EVERYTHING_ON, "podMonitor": {"enabled": True}} if case.beside else None)
    assert case.seen(before) != case.expected, "the default shows the same: this case proves nothing"


def test_every_manifest_carries_the_charts_labels() -> None:
    for document in render(EVERYTHING_ON):
        assert document["metadata"]["labels"]["app.kubernetes.io/instance"] == "pool", document["metadata"]["name"]


def test_the_policies_bind_where_the_operator_watches() -> None:
    bindings = of_kind(render({**EVERYTHING_ON, "watchNamespaces": ["a", "b"]}), "ValidatingAdmissionPolicyBinding")
    place = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a", "b"]}
    selector = {"namespaceSelector": {"matchExpressions": [place]}}
    assert [each["spec"]["matchResources"] for each in bindings] == [selector, selector]


def test_the_pod_monitor_looks_where_the_operator_watches() -> None:
    (monitor,) = of_kind(render({**EVERYTHING_ON, "watchNamespaces": ["a"]}), "PodMonitor")
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["a"]}


@pytest.mark.parametrize(("aggregate", "roles"), [(True, {"view", "edit"}), (False, set())])
def test_the_resources_chart_adds_it_to_kubernetes_own_roles(aggregate: bool, roles: set[str]) -> None:
    documents = render({"aggregateRoles": aggregate}, helm.CRDS)
    found = {role["metadata"]["name"].removeprefix("pool-") for role in of_kind(documents, "ClusterRole")}
    assert found == roles
    table = documented((helm.CRDS / "values.yaml").read_text())
    assert [value.path for value in table] == ["aggregateRoles"]


def test_the_comment_of_a_value_is_in_the_readme() -> None:
    text = (helm.OPERATOR / "README.md").read_text()
    for value in documented((helm.OPERATOR / "values.yaml").read_text()):
        assert value.row() in text, "run `make charts`"


def test_the_values_file_is_what_the_templates_are_called_with() -> None:
    """No value is read that the file does not name: the schema knows exactly the same top-level keys."""
    schema = yaml.safe_load((helm.OPERATOR / "values.schema.json").read_text())
    values = yaml.safe_load((helm.OPERATOR / "values.yaml").read_text())
    assert schema["properties"].keys() - {"global"} == values.keys()
