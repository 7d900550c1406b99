"""KServe as the judge of an InferenceService: the CRD's schema, KServe's own models, and what webhooks refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import jsonschema
import kserve.models as kserve_models
import kubernetes.client.models
import pytest
from kubernetes.client import ApiClient

from disrouter_operator.kube.resources import Object
from support import admission
from support.controlplane import kserve_crd


def faults(manifest: Object) -> list[str]:
    """What KServe would refuse, drop or not know; empty for a good one."""
    found = [*schema_faults(manifest), *admission.refusals(manifest)]
    read = _through_models(manifest)
    return found if read == manifest else [*found, f"KServe's models read {read}"]


def schema_faults(manifest: Object) -> list[str]:
    """What the schema of KServe's definition does not know, or takes otherwise."""
    schema = _schema()
    wrong = [error.message for error in schema.iter_errors(manifest)]
    known = schema.schema["properties"]
    parts = (part for part in ("spec", "status") if part in manifest)
    return wrong + [each for part in parts for each in _unknown(manifest[part], known[part], part)]


@cache
def _schema() -> Any:
    version = kserve_crd()["spec"]["versions"][0]
    # `jsonschema.validate` would first judge KServe's 600 KB of schema, each time.
    return jsonschema.Draft202012Validator(version["schema"]["openAPIV3Schema"])


def _unknown(value: Any, schema: Any, path: str) -> Iterator[str]:
    """jsonschema lets unknown fields pass; the API server would drop them."""
    if isinstance(value, dict):
        free = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
        known = schema.get("properties", {})
        for key, inner in value.items():
            if not free and key not in known:
                yield f"{path}.{key} is not a field of the schema"
            yield from _unknown(inner, known.get(key, {"x-kubernetes-preserve-unknown-fields": True}), f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _unknown(inner, schema.get("items", {}), f"{path}[]")


def _through_models(manifest: Object) -> Any:
    """Reading into the models drops what they do not know, so writing back the same proves that nothing is unknown."""
    with pytest.MonkeyPatch.context() as patch, ApiClient() as client:
        for name in dir(kserve_models):
            if name.startswith("V1"):
                patch.setattr(kubernetes.client.models, name, getattr(kserve_models, name), raising=False)
        strategy = kubernetes.client.models.V1DeploymentStrategy  # kserve generated a reference without its model
        patch.setattr(kubernetes.client.models, "K8sIoApiAppsV1DeploymentStrategy", strategy, raising=False)
        for name in ("dict(str, str)", "V1beta1MetricQuantity"):  # a map as kserve spells it, and a quantity
            patch.setitem(ApiClient.NATIVE_TYPES_MAPPING, name, object)
        model = client.deserialize(SimpleNamespace(data=json.dumps(manifest)), "V1beta1InferenceService")
        return client.sanitize_for_serialization(model)
