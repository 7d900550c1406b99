"""As whom an engine runs and where it may write, judged by the API server's own Pod Security."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from disrouter_local.pods import podspec
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests import scratch
from disrouter_operator.manifests.serving import inference_service
from support import clusters
from support.controlplane import ControlPlane

NON_ROOT = {"runAsNonRoot": True, "readOnlyRootFilesystem": True}


def _predictor(engine: Object | None = None, uri: str = "hf://a/b", pod: Object | None = None, **spec: Any) -> Object:
    manifest = clusters.example(**spec)
    agent = manifest["spec"]["agents"][0]
    agent |= {"model": {"uri": uri}, "selfAwareness": {"mode": "prompted"}, "engine": engine or {}}
    agent |= {"pod": pod} if pod else {}
    owner = clusters.cascade(manifest)
    service = inference_service.inference_service(owner, owner.spec.agents[0], None, "sidecar:test")
    predictor: Object = service["spec"]["predictor"]
    return predictor


def _pod(predictor: Object) -> Object:
    """What KServe's Deployment makes of a predictor, as far as Pod Security looks at it."""
    not_a_pods = ("annotations", "labels", "deploymentStrategy", "minReplicas", "maxReplicas")
    spec = {name: value for name, value in predictor.items() if name not in not_a_pods}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "engine"}, "spec": spec}


@pytest.mark.controlplane
@pytest.mark.parametrize(
    ("level", "security", "refused"),
    [
        ("baseline", {}, ""),
        ("restricted", NON_ROOT, ""),
        ("restricted", {"runAsNonRoot": True}, ""),
        ("restricted", {}, "runAsNonRoot != true"),
    ],
)
def test_pod_security_admits_it(plane: ControlPlane, level: str, security: Object, refused: str) -> None:
    namespace = f"psa-{level}-{len(security)}"
    labels = {"pod-security.kubernetes.io/enforce": level}
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default", "namespace": namespace}}
    plane.apply(account)
    pod = json.dumps(_pod(_predictor({"securityContext": security})))
    how = ("create", "--namespace", namespace, "--dry-run=server", "--validate=strict", "-f", "-")
    done = plane.kubectl_process(*how, stdin=pod)
    assert (done.returncode == 0) == (refused == ""), done.stderr
    assert refused in done.stderr


def test_every_place_where_it_may_write_is_a_volume_of_its_own() -> None:
    predictor = _predictor({"securityContext": NON_ROOT})
    engine = predictor["containers"][0]
    assert {mount["mountPath"] for mount in engine["volumeMounts"]} == {"/home/engine", "/tmp", "/dev/shm"}
    below = {value for name, value in scratch.VARIABLES.items() if name not in ("USER", "LOGNAME")}
    assert all(value.startswith("/home/engine") for value in below)
    assert {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": "16384Mi"}} in predictor["volumes"]


def test_shared_memory_is_half_of_what_the_engine_may_have() -> None:
    manifest = clusters.example()
    manifest["spec"]["agents"][0]["resources"] = {"limits": {"memory": "1.5Gi"}}
    owner = clusters.cascade(manifest)
    service = inference_service.inference_service(owner, owner.spec.agents[0], None, "sidecar:test")
    volumes = {volume["name"]: volume for volume in service["spec"]["predictor"]["volumes"]}
    assert volumes["dshm"]["emptyDir"]["sizeLimit"] == "768Mi"


def test_knative_keeps_tmp_for_itself_and_wants_no_context_of_the_pod() -> None:
    """knative/serving, pkg/apis/serving/k8s_validation.go: reservedPaths; fieldmask.go: PodSpecMask."""
    predictor = _predictor({"securityContext": NON_ROOT}, deploymentMode="Knative")
    mounts = {mount["mountPath"] for mount in predictor["containers"][0]["volumeMounts"]}
    assert not mounts & {"/", "/dev", "/dev/log", "/tmp", "/var", "/var/log"}
    assert {volume["name"] for volume in predictor["volumes"]} >= {"engine-home", "dshm"}
    assert "engine-tmp" not in {volume["name"] for volume in predictor["volumes"]}
    assert "securityContext" not in predictor


def test_an_image_may_bring_its_own_cache_and_a_node_may_have_no_ipv6() -> None:
    env = [{"name": "HF_HOME", "value": "/models/hub"}, {"name": "ENGINE_HOST", "value": "0.0.0.0"}]
    given = [(each["name"], each["value"]) for each in _predictor({"env": env})["containers"][0]["env"]]
    assert [each for each in given if each[0] in ("HF_HOME", "ENGINE_HOST")] == [
        ("HF_HOME", "/models/hub"),
        ("ENGINE_HOST", "0.0.0.0"),
    ]


def test_shared_memory_and_the_home_are_the_patchs_to_change() -> None:
    """Manifests gave engines both before they had them."""
    template = yaml.safe_load("""
        volumes:
          - {name: shm, emptyDir: {medium: Memory, sizeLimit: 8Gi}}
          - {name: engine-home, emptyDir: {sizeLimit: 9Gi}}
        containers:
          - name: kserve-container
            env: [{name: HOME, value: /tmp}]
            volumeMounts: [{name: shm, mountPath: /dev/shm}]
    """)
    engine = _predictor(pod={"template": template})["containers"][0]
    assert {"name": "HOME", "value": "/tmp"} in engine["env"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in engine["volumeMounts"]


def test_an_engine_on_a_laptop_keeps_the_caches_of_who_runs_it() -> None:
    engine = _predictor({"env": [{"name": "HF_HOME", "value": "/models/hub"}]})["containers"][0]
    kept = [item["name"] for item in engine["env"] if not podspec.is_of_a_cluster(item)]
    assert not set(kept) & (scratch.VARIABLES.keys() - {"HF_HOME"})
    assert {"HF_HOME", "ENGINE_PORT", "ENGINE_HOST"} <= set(kept)
