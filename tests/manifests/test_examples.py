"""A real API server takes every YAML of README, docs and examples, and what the chart renders for others' tools."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from disrouter import __version__
from disrouter.api import violations
from disrouter_training.pool.file import read_pool
from support import helm, thirdparty
from support.controlplane import ControlPlane
from support.documents import ROOT, Shown, shown
from support.helm import EVERYTHING_ON, render, rendered

pytestmark = pytest.mark.controlplane

SHOWN = shown()
MANIFESTS = [each for each in SHOWN if each.is_manifest]
DEFAULT_NAMESPACE = "shown"
CLUSTER_WIDE = ("Namespace", "ClusterRole", "ClusterRoleBinding", "PersistentVolume")
RENDERED = (
    "# The chart, rendered: `pytest tests/manifests --regenerate` writes it. Patches belong in kustomization.yaml.\n"
)


@pytest.fixture(scope="module")
def server(plane: ControlPlane) -> ControlPlane:
    """A server that knows the resources of Argo CD, Flux and the Prometheus operator too."""
    thirdparty.install(plane)
    return plane


def taken(server: ControlPlane, documents: list[dict[str, Any]]) -> None:
    """Apply in earnest, then delete."""
    for document in documents:
        if document["kind"] not in CLUSTER_WIDE:
            namespace = document["metadata"].setdefault("namespace", DEFAULT_NAMESPACE)
            _made(server, namespace)
    how = ("apply", "--validate=strict", "-f", "-")
    said = server.kubectl(*how, stdin=yaml.safe_dump_all(documents)).splitlines()
    deletable = [each for each in documents if each["kind"] != "Namespace"]
    if deletable:
        server.kubectl("delete", "--wait=false", "-f", "-", stdin=yaml.safe_dump_all(deletable))
    assert len(said) == len(documents), said


@cache
def _made(server: ControlPlane, namespace: str) -> None:
    server.kubectl_process("create", "namespace", namespace)


@pytest.mark.parametrize("page", MANIFESTS, ids=lambda page: page.where)
def test_a_manifest_is_taken_and_its_cascades_keep_every_rule(server: ControlPlane, page: Shown) -> None:
    documents = page.documents()
    taken(server, documents)
    for document in documents:
        if document["kind"] == "SelfRoutingCascade":
            assert violations(document) == []


@pytest.mark.parametrize("page", [each for each in SHOWN if each.is_kustomization], ids=lambda page: page.where)
def test_a_kustomization_builds_what_the_server_takes(server: ControlPlane, page: Shown) -> None:
    folder = (ROOT / page.where).parent
    built = server.kubectl("kustomize", str(folder))
    documents = [each for each in yaml.safe_load_all(built) if each["kind"] != "CustomResourceDefinition"]
    assert documents or folder.name == "crds"
    if documents:
        taken(server, documents)


@pytest.mark.parametrize(
    "page", [each for each in SHOWN if each.is_values and not each.is_kustomization], ids=lambda page: page.where
)
def test_values_on_a_page_are_values_of_the_chart(page: Shown) -> None:
    for values in page.documents():
        assert render(values)


@pytest.mark.parametrize("page", [each for each in SHOWN if each.is_pool], ids=lambda page: page.where)
def test_a_pool_file_is_taken_by_the_trainer(page: Shown, tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(page.text)
    assert read_pool(path).agents


def test_everything_that_the_chart_can_render_is_taken(server: ControlPlane) -> None:
    documents = rendered(EVERYTHING_ON)
    assert {"ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap"} <= {each["kind"] for each in documents}
    taken(server, documents)


def test_a_server_that_knows_the_resources_refuses_a_slip(server: ControlPlane) -> None:
    """The schemas are no rubber stamp."""
    for document in (each for page in MANIFESTS if "gitops" in page.where for each in page.documents()):
        if document["apiVersion"].split("/")[0] not in ("argoproj.io", "helm.toolkit.fluxcd.io", "external-secrets.io"):
            continue
        document["spec"]["sync"] = {}
        _made(server, document["metadata"]["namespace"])
        done = server.kubectl_process("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(document))
        assert 'unknown field "spec.sync"' in done.stderr, document["kind"]


def test_the_operators_plain_manifests_are_the_chart_rendered(request: pytest.FixtureRequest) -> None:
    path = ROOT / "examples/gitops/kustomize/operator/operator.yaml"
    arguments = ("template", "disrouter", str(helm.OPERATOR), "--namespace", "disrouter", "--no-hooks")
    text = RENDERED + helm.helm(*arguments).stdout
    if request.config.getoption("--regenerate"):
        path.write_text(text)
    assert path.read_text() == text, "run pytest tests/manifests --regenerate"


def test_argo_cd_reads_the_health_script_that_is_tested() -> None:
    (config,) = yaml.safe_load_all((ROOT / "examples/gitops/argocd/argocd-cm.yaml").read_text())
    script = config["data"]["resource.customizations.health.disrouter.io_SelfRoutingCascade"]
    assert script == (ROOT / "examples/gitops/argocd/health.lua").read_text()


def test_the_examples_ask_for_this_version() -> None:
    for page in SHOWN:
        if "gitops/argocd/app" in page.where or "gitops/flux/dis" in page.where:
            assert f"v{__version__}" in page.text, page.where
        assert set(re.findall(r"disrouter\.test/\w+:([\w.]+)", page.text)) <= {__version__}, page.where
