"""Pod options: merged as the API server merges, refused where they break what the operator relies on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from disrouter.api import PodOptions
from disrouter.errors import InvalidCascade
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests.pod_options import Options
from disrouter_operator.manifests.strategic_merge import merge
from support.controlplane import ControlPlane

POD: Object = {
    "containers": [
        {
            "name": "kserve-container",
            "image": "engine:1",
            "args": ["--model=m"],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "ports": [{"containerPort": 8081, "name": "engine", "protocol": "TCP"}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
            "volumeMounts": [{"name": "routes", "mountPath": "/etc/disrouter", "readOnly": True}],
        },
        {"name": "transformer-container", "image": "sidecar:1"},
    ],
    "volumes": [{"name": "routes", "configMap": {"name": "qwen-routes"}}],
    "tolerations": [{"key": "a", "operator": "Exists"}],
}
PATCHES: dict[str, Object] = {
    "a new field": {"priority": 0, "terminationGracePeriodSeconds": 5},
    "null deletes": {"tolerations": None, "terminationGracePeriodSeconds": None},
    "an atomic list is replaced": {"tolerations": [{"key": "b", "operator": "Exists"}]},
    "environment by name": {
        "containers": [{"name": "kserve-container", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}]
    },
    "a deleted variable": {"containers": [{"name": "kserve-container", "env": [{"name": "A", "$patch": "delete"}]}]},
    "a replaced environment": {
        "containers": [{"name": "kserve-container", "env": [{"$patch": "replace"}, {"name": "Z", "value": "9"}]}]
    },
    "a further container and volume": {
        "containers": [{"name": "logs", "image": "logs:1", "volumeMounts": [{"name": "logs", "mountPath": "/logs"}]}],
        "initContainers": [{"name": "first", "image": "first:1"}],
        "volumes": [{"name": "logs", "emptyDir": {}}],
    },
    "ports and mounts by their keys": {
        "containers": [
            {
                "name": "kserve-container",
                "ports": [{"containerPort": 9000, "name": "more", "protocol": "TCP"}],
                "volumeMounts": [{"name": "logs", "mountPath": "/logs"}, {"name": "routes", "mountPath": "/else"}],
            }
        ],
        "volumes": [{"name": "logs", "emptyDir": {}}],
    },
    "a replaced map": {
        "containers": [
            {"name": "kserve-container", "resources": {"$patch": "replace", "limits": {"cpu": "2", "memory": "2Gi"}}}
        ]
    },
    "another kind of volume": {
        "volumes": [{"name": "routes", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}],
    },
    "spread over zones": {
        "topologySpreadConstraints": [
            {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
        ],
        "affinity": {"nodeAffinity": {}},
    },
    "labels that are called like lists": {"nodeSelector": {"env": "prod", "ports": "many"}},
    "a deleted container": {"containers": [{"name": "transformer-container", "$patch": "delete"}]},
}


@pytest.mark.controlplane
def test_patches_merge_as_the_api_server_merges_them(plane: ControlPlane) -> None:
    labels = {"app": "pods"}
    meta = {"metadata": {"name": "patched", "namespace": "default"}}
    template = {"metadata": {"labels": labels}, "spec": POD}
    plane.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            **meta,
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }
    )
    base = plane.get("deployment", "default", "patched")["spec"]["template"]["spec"]
    for name, patch in PATCHES.items():
        body = json.dumps({"spec": {"template": {"spec": patch}}})
        arguments = ("patch", "deployment", "patched", "--namespace", "default", "--type=strategic", f"--patch={body}")
        answer = json.loads(plane.kubectl(*arguments, "--dry-run=server", "-o", "json"))["spec"]["template"]["spec"]
        wanted = _sorted(merge(base, patch))
        assert _without_defaults(_sorted(answer), wanted) == wanted, name


def test_a_patch_leaves_its_base_and_itself_as_they_were() -> None:
    base, patches = json.dumps(POD), json.dumps(PATCHES)
    for patch in PATCHES.values():
        merge(POD, patch)
    assert (json.dumps(POD), json.dumps(PATCHES)) == (base, patches)


def test_what_a_patch_leaves_alone_is_not_copied() -> None:
    base: Any = {"containers": [{"name": "a", "env": [{"name": "A"}]}, {"name": "b"}], "volumes": [{"name": "v"}]}
    merged = merge(base, {"containers": [{"name": "b", "image": "new"}]})
    assert merged["volumes"] is base["volumes"]
    assert merged["containers"][0] is base["containers"][0]


def test_an_agents_options_replace_the_cascades_field_by_field() -> None:
    everywhere = PodOptions.model_validate(
        {"nodeSelector": {"gpu": "a100"}, "tolerations": [{"key": "gpu"}], "imagePullSecrets": ["registry"]}
    )
    own = PodOptions.model_validate({"nodeSelector": {"gpu": "h100"}, "tolerations": [], "labels": {"team": "ml"}})
    pod = Options().over(everywhere, "spec.pod").over(own, "spec.agents[0].pod").place(POD)
    assert pod.spec["nodeSelector"] == {"gpu": "h100"}
    assert pod.spec["tolerations"] == POD["tolerations"]
    assert pod.spec["imagePullSecrets"] == [{"name": "registry"}]
    assert pod.metadata == {"labels": {"team": "ml"}}


def test_no_options_change_nothing() -> None:
    assert Options().over(None, "spec.agents[0].pod").place(POD).spec == POD


def _container(name: str = "kserve-container", **fields: Any) -> Object:
    return {"template": {"containers": [{"name": name, **fields}]}}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (_container(**{"$patch": "delete"}), "template.containers"),
        ({"template": {"containers": None}}, "template.containers"),
        ({"template": {"containers": [{"$patch": "replace"}, {"name": "mine"}]}}, "template.containers"),
        (_container(command=["bash"]), "template.containers[kserve-container].command"),
        (_container(args=["--model=other"]), "template.containers[kserve-container].args"),
        (_container(ports=[{"containerPort": 9}]), "template.containers[kserve-container].ports"),
        (_container(ports=[{"$patch": "replace"}]), "template.containers[kserve-container].ports"),
        (_container(env=[{"name": "A", "value": "other"}]), "template.containers[kserve-container].env[A]"),
        (
            _container(volumeMounts=[{"mountPath": "/etc/disrouter", "$patch": "delete"}]),
            "template.containers[kserve-container].volumeMounts[/etc/disrouter]",
        ),
        ({"template": {"volumes": [{"name": "routes", "emptyDir": {}}]}}, "template.volumes[routes]"),
        ({"template": {"containers": {"name": "x"}}}, "template.containers"),
        ({"template": {"containers": ["x"]}}, "template.containers[0]"),
        ({"template": {"volumes": "x"}}, "template.volumes"),
        ({"template": {"$setElementOrder/containers": []}}, "template.$setElementOrder/containers"),
        ({"template": {"securityContext": {"$patch": "undo"}}}, "template.securityContext.$patch"),
        ({"annotations": {"disrouter.io/revision": "x"}}, "annotations"),
        ({"annotations": {"serving.kserve.io/autoscalerClass": "hpa"}}, "annotations"),
    ],
)
def test_what_the_operator_relies_on_is_not_the_patchs_to_change(options: Object, field: str) -> None:
    chosen = Options().over(PodOptions.model_validate(options), "spec.agents[1].pod")
    with pytest.raises(InvalidCascade) as refused:
        chosen.place(POD)
    assert any(each.field.startswith(f"spec.agents[1].pod.{field}") for each in refused.value.violations)


def _sorted(value: Any) -> Any:
    """Lists in one order: where new items go is the one thing that differs."""
    if isinstance(value, dict):
        return {key: _sorted(inner) for key, inner in value.items()}
    return sorted(map(_sorted, value), key=_identity) if isinstance(value, list) else value


def _identity(item: Any) -> str:
    keys = ("mountPath", "containerPort", "name")
    return str(next((item[key] for key in keys if key in item), item)) if isinstance(item, dict) else str(item)


def _without_defaults(live: Any, wanted: Any) -> Any:
    """The live object without what only the API server added."""
    if isinstance(live, dict) and isinstance(wanted, dict):
        return {key: _without_defaults(value, wanted[key]) for key, value in live.items() if key in wanted}
    if isinstance(live, list) and isinstance(wanted, list) and len(live) == len(wanted):
        return [_without_defaults(one, other) for one, other in zip(live, wanted, strict=True)]
    return live
