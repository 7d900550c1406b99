"""The fields of KEDA's ScaledObject that its definition knows (keda.sh/v1alpha1, kedacore/charts at KEDA 2.18)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from disrouter_operator.kube.resources import SCALED_OBJECTS
from support.controlplane import ControlPlane

_TEXT, _NUMBER, _FLAG = {"type": "string"}, {"type": "integer", "format": "int32"}, {"type": "boolean"}


def _object(required: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields} | ({"required": list(required)} if required else {})


_SPEC = _object(
    ("scaleTargetRef", "triggers"),
    scaleTargetRef=_object(("name",), apiVersion=_TEXT, envSourceContainerName=_TEXT, kind=_TEXT, name=_TEXT),
    triggers={
        "type": "array",
        "items": _object(
            ("metadata", "type"),
            authenticationRef=_object(("name",), kind=_TEXT, name=_TEXT),
            metadata={"type": "object", "additionalProperties": _TEXT},
            metricType=_TEXT,
            name=_TEXT,
            type=_TEXT,
            useCachedMetrics=_FLAG,
        ),
    },
    **dict.fromkeys(
        (
            *("cooldownPeriod", "idleReplicaCount", "initialCooldownPeriod"),
            *("maxReplicaCount", "minReplicaCount", "pollingInterval"),
        ),
        _NUMBER,
    ),
)


def definition() -> dict[str, Any]:
    """A CustomResourceDefinition with those fields and no others."""
    kind = SCALED_OBJECTS
    version = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _object(spec=_SPEC)},
    }
    names = {"kind": kind.kind, "plural": kind.plural}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.full_name},
        "spec": {"group": kind.group, "names": names, "scope": "Namespaced", "versions": [version]},
    }


@contextmanager
def known(plane: ControlPlane) -> Iterator[None]:
    """An API server that knows ScaledObjects for a while."""
    name = f"crd/{SCALED_OBJECTS.full_name}"
    plane.apply(definition())
    try:
        plane.kubectl("wait", name, "--for=condition=Established", "--timeout=30s")
        lists = partial(plane.kubectl_process, "get", SCALED_OBJECTS.full_name, "--all-namespaces")
        plane.wait("its storage", lambda: lists().returncode == 0)
        yield
    finally:
        plane.kubectl("delete", name)
