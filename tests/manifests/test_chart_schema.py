"""The chart refuses wrong values, and its words name the value and what would be right."""

from __future__ import annotations

from typing import Any

import pytest

from support import helm
from support.helm import EVERYTHING_ON

pytestmark = pytest.mark.controlplane

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"replicaCount": 2}, "", "additional properties 'replicaCount' not allowed"),
    ({"images": {"sidecar": {"pullPolicy": "Always"}}}, "/images/sidecar", "'pullPolicy' not allowed"),
    ({"images": {"operator": {"repository": ""}}}, "/images/operator/repository", "does not match pattern"),
    ({"images": {"operator": {"repository": "Ghcr.io/X"}}}, "/images/operator/repository", "does not match pattern"),
    ({"images": {"operator": {"tag": "a b"}}}, "/images/operator/tag", "does not match pattern"),
    ({"images": {"operator": {"digest": "sha256:12"}}}, "/images/operator/digest", "sha256:[0-9a-f]{64}"),
    ({"images": {"operator": {"pullPolicy": "Sometimes"}}}, "/images/operator/pullPolicy", "'IfNotPresent'"),
    ({"imagePullSecrets": ["pull"]}, "/imagePullSecrets/0", "got string, want object"),
    ({"fullnameOverride": "Router"}, "/fullnameOverride", "does not match pattern"),
    ({"fullnameOverride": "x" * 51}, "/fullnameOverride", "does not match pattern"),
    ({"commonLabels": {"team": 1}}, "/commonLabels/team", "got number, want string"),
    ({"commonLabels": {"helm.sh/chart": "x"}}, "", "invalid propertyName 'helm.sh/chart'"),
    ({"podLabels": {"app.kubernetes.io/name": "x"}}, "", "invalid propertyName 'app.kubernetes.io/name'"),
    ({"watchNamespaces": "team-a"}, "/watchNamespaces", "got string, want array"),
    ({"watchNamespaces": ["team_a"]}, "/watchNamespaces/0", "does not match pattern"),
    ({"watchNamespaces": ["a", "a"]}, "/watchNamespaces", "items at 0 and 1 are equal"),
    ({"watchNamespaces": ["n" * 37]}, "/watchNamespaces/0", "maxLength: got 37, want 36"),
    ({"replicas": 0}, "/replicas", "minimum: got 0, want 1"),
    ({"replicas": "two"}, "/replicas", "got string, want integer"),
    ({"rollAgents": "yes"}, "/rollAgents", "got string, want boolean"),
    ({"smoke": "no"}, "/smoke", "got string, want boolean"),
    ({"clusterDomain": ".local"}, "/clusterDomain", "does not match pattern"),
    ({"logLevel": "LOUD"}, "/logLevel", "'WARNING'"),
    ({"resyncSeconds": 0}, "/resyncSeconds", "minimum: got 0, want 1"),
    ({"workers": 100}, "/workers", "maximum: got 100, want 64"),
    ({"leaseSeconds": 0}, "/leaseSeconds", "minimum: got 0, want 1"),
    ({"apiRequests": {"qps": 5}}, "/apiRequests", "'qps' not allowed"),
    ({"serviceAccount": {"name": "My Account"}}, "/serviceAccount/name", "does not match pattern"),
    ({"serviceAccount": {"annotations": {"a": True}}}, "/serviceAccount/annotations/a", "want string"),
    ({"rbac": {"create": "true"}}, "/rbac/create", "got string, want boolean"),
    ({"admissionPolicy": {"actions": []}}, "/admissionPolicy/actions", "minItems: got 0, want 1"),
    ({"admissionPolicy": {"actions": ["Refuse"]}}, "/admissionPolicy/actions/0", "'Deny'"),
    ({"admissionPolicy": {"actions": ["Deny", "Warn"]}}, "/admissionPolicy/actions", "not"),
    ({"resources": {"limits": {"cpu": "lots"}}}, "/resources/limits/cpu", "does not match pattern"),
    ({"resources": {"limit": {}}}, "/resources", "'limit' not allowed"),
    ({"env": [{"value": "x"}]}, "/env/0", "missing property 'name'"),
    ({"env": [{"name": "A B", "value": "x"}]}, "/env/0/name", "does not match pattern"),
    ({"podSecurityContext": {"runAsNonRoot": False}}, "/podSecurityContext/runAsNonRoot", "value must be true"),
    ({"podSecurityContext": {"runAsUser": 0}}, "/podSecurityContext/runAsUser", "minimum: got 0, want 1"),
    ({"terminationGracePeriodSeconds": -1}, "/terminationGracePeriodSeconds", "minimum"),
    ({"nodeSelector": {"gpu": True}}, "/nodeSelector/gpu", "got boolean, want string"),
    ({"tolerations": {"operator": "Exists"}}, "/tolerations", "got object, want array"),
    ({"topologySpreadConstraints": [{"maxSkew": 1}]}, "/topologySpreadConstraints/0", "missing properties"),
    ({"podDisruptionBudget": {"maxUnavailable": 0}}, "/podDisruptionBudget/maxUnavailable", "minimum: got 0, want 1"),
    ({"podDisruptionBudget": {"minAvailable": 1}}, "/podDisruptionBudget", "'minAvailable' not allowed"),
    ({"networkPolicy": {"metricsFrom": [{}]}}, "/networkPolicy/metricsFrom/0", "minProperties: got 0, want 1"),
    ({"networkPolicy": {"metricsFrom": [{"pods": {}}]}}, "/networkPolicy/metricsFrom/0", "'pods' not allowed"),
    ({"networkPolicy": {"apiServerPorts": []}}, "/networkPolicy/apiServerPorts", "minItems: got 0, want 1"),
    ({"networkPolicy": {"apiServerPorts": [70000]}}, "/networkPolicy/apiServerPorts/0", "maximum: got 70,000"),
    ({"networkPolicy": {"apiServerCIDRs": ["10.0.0.1"]}}, "/networkPolicy/apiServerCIDRs/0", "does not match pattern"),
    ({"serviceMonitor": {"interval": "often"}}, "/serviceMonitor/interval", "does not match pattern"),
    ({"podMonitor": {"interval": 30}}, "/podMonitor/interval", "got number, want string"),
    ({"prometheusRule": {"rules": []}}, "/prometheusRule", "'rules' not allowed"),
    ({"dashboard": {"labels": {"a": 1}}}, "/dashboard/labels/a", "got number, want string"),
]


@pytest.mark.parametrize(("values", "where", "says"), WRONG, ids=lambda given: str(given)[:60])
def test_a_wrong_value_is_refused_by_name_and_reason(values: dict[str, Any], where: str, says: str) -> None:
    done = helm.template(values)
    assert done.returncode != 0
    assert f"at '{where}'" in done.stderr
    assert says in done.stderr


def test_values_that_render_everything_are_accepted() -> None:
    assert helm.template({**EVERYTHING_ON, "global": {"whatever": 1}}).returncode == 0


def test_the_resources_chart_refuses_what_it_does_not_know() -> None:
    done = helm.template({"keep": True}, helm.CRDS)
    assert done.returncode != 0
    assert "'keep' not allowed" in done.stderr
