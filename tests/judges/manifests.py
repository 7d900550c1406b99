"""What the judges look at: rendered charts, the examples, and the operator's children (from the golden files)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from support import helm
from support.documents import shown

ROOT = Path(__file__).parents[2]
GOLDENS = ("tests/control/golden", "tests/control/manifests/golden", "tests/manifests/golden")


def write(folder: Path) -> list[Path]:
    """Write one file for each source of manifests; returns them."""
    out = []
    for name, documents in _sources().items():
        if documents:
            path = folder / f"{name}.yaml"
            path.write_text(yaml.safe_dump_all([_with_pod(_owned(document)) for document in documents]))
            out.append(path)
    return out


def _sources() -> dict[str, list[dict[str, Any]]]:
    found = {
        "chart": helm.rendered(helm.EVERYTHING_ON),
        "chart-namespaced": helm.rendered({"watchNamespaces": ["team-a"]}),
        "chart-crds": helm.rendered(None, helm.CRDS),
    }
    for page in shown():
        if page.is_manifest:
            found[f"shown-{page.where.replace('/', '-').replace('#', '-')}"] = page.documents()
    for folder in GOLDENS:
        for path in sorted((ROOT / folder).glob("*.yaml")):
            documents = [each for each in yaml.safe_load_all(path.read_text()) if each]
            found[f"child-{path.stem}"] = [each for each in documents if "kind" in each]
    return found


def _owned(document: dict[str, Any]) -> dict[str, Any]:
    """Golden files leave out the owner's uid where it differs from run to run."""
    for owner in document["metadata"].get("ownerReferences", []):
        owner.setdefault("uid", "00000000-0000-0000-0000-000000000000")
    return document


def _with_pod(document: dict[str, Any]) -> dict[str, Any]:
    """An InferenceService as the Deployment that KServe makes of it: judges know no InferenceService."""
    if document["kind"] != "InferenceService":
        return document
    metadata = {key: value for key, value in document["metadata"].items() if key in ("name", "namespace", "labels")}
    labels = {"app": f"isvc.{metadata['name']}-predictor", **metadata.get("labels", {})}
    predictor = document["spec"]["predictor"]
    own = ("annotations", "labels", "minReplicas", "maxReplicas", "deploymentStrategy", "autoScaling")
    scaling = ("scaleTarget", "scaleMetric", "scaleMetricType", "containerConcurrency", "timeout", "logger", "batcher")
    pod = {key: value for key, value in predictor.items() if key not in (*own, *scaling)}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"selector": {"matchLabels": {"app": labels["app"]}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
