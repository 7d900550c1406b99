"""The real helm, as a person would call it, and the charts that it is called with."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from support.kubectl import Kubectl

ROOT = Path(__file__).parents[2]
OPERATOR = ROOT / "charts/disrouter"
CRDS = ROOT / "charts/disrouter-crds"
PREVIOUS = {chart: Path(__file__).parent / f"charts/{chart.name}-0.1.0.tgz" for chart in (OPERATOR, CRDS)}
"""The charts as they were packaged for the last version. In its definition `replicas` has a default in full and two
rules are left out, because no current API server took the one and the others."""
EVERYTHING_ON = {
    "admissionPolicy": {"enabled": True},
    "serviceMonitor": {"enabled": True},
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
}
"""Values that render every template."""


def binary() -> str:
    """Where helm is."""
    beside = Path(os.environ.get("KUBEBUILDER_ASSETS", "")) / "helm"
    found = str(beside) if beside.exists() else shutil.which("helm")
    assert found, "helm is neither in KUBEBUILDER_ASSETS nor on PATH"
    return found


def helm(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run helm and hand back everything."""
    command = [binary(), *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=300)


def template(values: dict[str, Any] | None = None, chart: Path = OPERATOR) -> subprocess.CompletedProcess[str]:
    """`helm template` with values, which may be refused."""
    return _template(yaml.safe_dump(values or {}), chart)


@cache
def _template(values: str, chart: Path) -> subprocess.CompletedProcess[str]:
    return helm("template", "pool", str(chart), "--namespace", "disrouter", "--values", "-", stdin=values)


def rendered(values: dict[str, Any] | None = None, chart: Path = OPERATOR) -> list[dict[str, Any]]:
    """All manifests that values make."""
    done = template(values, chart)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def render(values: dict[str, Any] | None = None, chart: Path = OPERATOR) -> list[dict[str, Any]]:
    """The manifests that values make, without those of `helm test`."""
    return [document for document in rendered(values, chart) if not hook(document)]


def hook(document: dict[str, Any]) -> bool:
    """Whether helm runs it at some moment instead of installing it."""
    return "helm.sh/hook" in (document["metadata"].get("annotations") or {})


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The manifests of a kind."""
    return [document for document in documents if document["kind"] == kind]


class Releases:
    """helm on a real API server."""

    def __init__(self, plane: Kubectl, namespace: str = "disrouter") -> None:
        self.plane, self.namespace = plane, namespace

    def __call__(self, *arguments: str, values: dict[str, Any] | None = None) -> str:
        """Run helm there; fails the test with helm's own words."""
        where = ("--kubeconfig", str(self.plane.kubeconfig), "--namespace", self.namespace)
        given = ("--values", "-") if values is not None else ()
        done = helm(*arguments, *where, *given, stdin=yaml.safe_dump(values or {}))
        assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def objects(self, release: str) -> set[str]:
        """Kind and name of what a release installed."""
        documents = yaml.safe_load_all(self("get", "manifest", release))
        return {f"{each['kind']}/{each['metadata']['name']}" for each in documents if each}
