"""The operator against a real API server, garbage collector and Job controller, with KServe's full CRD.

The operator runs as a service account with only the rights that the chart grants. What KServe and the kubelet would
report is written by the tests.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from disrouter import names
from disrouter_operator.kube.api_server import ApiServer
from disrouter_operator.kube.resources import Key, Object
from disrouter_operator.operator import Operator, Options
from disrouter_operator.reconcile.reconciler import reconcile
from support import clusters, operators
from support.controlplane import ControlPlane
from support.manifests import INVALID, valid, without_none
from support.places import Place
from support.recording import Recording

pytestmark = pytest.mark.controlplane

RESYNC_SECONDS = 300.0
"""Longer than anything here may take: what comes about was not found by a resync."""
SERVER_FIELDS = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "generation",
    "selfLink",
    "annotations",
)


@pytest.fixture(scope="module")
def operator(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    kubeconfig = operators.service_account(plane, tmp_path_factory.mktemp("operator"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(kubeconfig))
        options = Options(settings=operators.SETTINGS, host="127.0.0.1", port=0, resync_seconds=RESYNC_SECONDS)
        with operators.running(kubeconfig, options) as running:
            yield running


@pytest.fixture(scope="module")
def place(plane: ControlPlane, operator: Operator) -> Place:
    """A namespace with the example's cascade; tests of this file follow its life in their order."""
    where = Place(plane, "life")
    where.apply(clusters.example())
    return where


def test_apply_creates_exactly_the_expected_children(place: Place, golden: Any) -> None:
    found = [_stripped(child) for child in place.children()]
    golden("cluster_children", sorted(found, key=lambda child: (child["kind"], child["metadata"]["name"])))


def test_get_shows_the_columns(place: Place) -> None:
    place.serve("small", "medium")
    place.external("large")
    place.until(lambda: place.condition("Ready")["status"] == "True", "Ready")
    header, row = place.plane.kubectl("get", "src", "-n", place.namespace).splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "AGENTS", "TRAINING", "URL", "AGE"]
    url = "http://qwen.life.svc.cluster.local/v1"
    assert row.split()[:-1] == ["qwen", "True", "Serving", "3/3", "0/2", url]


async def test_a_second_pass_writes_nothing(place: Place) -> None:
    place.until(lambda: all(a["ready"] for a in place.cascade()["status"]["agents"]))
    before = place.versions() | {"cascade": place.cascade()["metadata"]["resourceVersion"]}
    async with await operators.api_client(place.plane.kubeconfig) as client:
        kube = Recording(ApiServer(client))
        await reconcile(kube, Key(place.namespace, "qwen"), operators.SETTINGS, Options().clock)
    assert kube.writes == []
    assert place.versions() | {"cascade": place.cascade()["metadata"]["resourceVersion"]} == before


def test_kopf_leaves_no_finalizer_and_no_annotation(place: Place) -> None:
    for obj in [place.cascade(), *place.children()]:
        assert "finalizers" not in obj["metadata"], obj["metadata"]["name"]
        assert "kopf" not in str(obj["metadata"].get("annotations"))


def test_a_hand_edited_child_is_repaired_and_said(place: Place) -> None:
    before = place.plane.get("isvc", place.namespace, "qwen-small")["spec"]
    edit = '[{"op": "replace", "path": "/spec/predictor/containers/0/image", "value": "somebody/else:1"}]'
    place.plane.kubectl("patch", "isvc", "qwen-small", "-n", place.namespace, "--type=json", "-p", edit)
    place.until(lambda: place.plane.get("isvc", place.namespace, "qwen-small")["spec"] == before, "the repair")
    place.until(lambda: "ChildRepaired" in _events(place), "its event")


def test_a_deleted_child_comes_back(place: Place) -> None:
    place.plane.kubectl("delete", "isvc", "qwen-medium", "-n", place.namespace)
    place.until(lambda: "InferenceService/qwen-medium" in place.versions(), "the InferenceService")
    place.serve("medium")
    place.until(lambda: place.condition("Ready")["status"] == "True", "Ready")


@pytest.mark.parametrize("child", ["Service/qwen", "Service/qwen-large", "ConfigMap/qwen-routes"])
def test_what_carries_traffic_comes_back_long_before_the_resync(place: Place, child: str) -> None:
    started = time.monotonic()
    kind, _, name = child.partition("/")
    place.plane.kubectl("delete", kind, name, "-n", place.namespace)
    place.until(lambda: child in place.versions(), f"the {child}")
    assert time.monotonic() - started < RESYNC_SECONDS / 3


def test_adding_an_agent_touches_no_other_inference_service(place: Place) -> None:
    before = place.versions()
    manifest = clusters.example()
    manifest["spec"]["agents"].insert(1, {"name": "new", "model": {"uri": "hf://a/b"}, "cost": 0.2})
    place.apply(manifest)
    after = place.versions()
    assert "InferenceService/qwen-new" in after
    for child in ("InferenceService/qwen-small", "InferenceService/qwen-medium", "Deployment/qwen-large"):
        assert after[child] == before[child]
    assert after["ConfigMap/qwen-routes"] != before["ConfigMap/qwen-routes"]


def test_a_removed_agent_is_drained_and_deleted(place: Place) -> None:
    manifest = clusters.example(drainSeconds=2)
    place.apply(manifest)
    assert "new" not in place.plane.get("configmap", place.namespace, "qwen-routes")["data"]["routes.json"]
    place.until(lambda: "InferenceService/qwen-new" not in place.versions(), "the deletion")
    place.until(lambda: len(place.cascade()["status"]["agents"]) == 3, "its status")


def test_the_real_job_controller_takes_an_agent_through_training(place: Place) -> None:
    run = place.cascade()["status"]["agents"][0]["run"]
    for stage in ("collect", "sft", "rl", "evaluate"):
        name = names.training_job("qwen", "small", stage, run)
        place.until(lambda name=name: f"Job/{name}" in place.versions(), f"Job {name}")
        message = clusters.evaluation(run, 0.1) if stage == "evaluate" else ""
        place.end_pod(place.plane.get("job", place.namespace, name), message)
    place.until(lambda: place.cascade()["status"]["agents"][0].get("servedRun") == run, "the promotion")
    (engine, _) = place.plane.get("isvc", place.namespace, "qwen-small")["spec"]["predictor"]["containers"]
    assert engine["volumeMounts"][0]["subPath"] == f"qwen/small/{run}/rl/weights"
    assert place.cascade()["status"]["agents"][0]["awareness"] == "prompted"
    place.serve("small")
    place.until(lambda: place.cascade()["status"]["agents"][0]["awareness"] == "trained", "the rollout")


def test_an_edit_that_breaks_a_rule_leaves_the_children_alone(place: Place) -> None:
    """A rule of the definition: the API server refuses it. One that CEL cannot say: the operator tells."""
    before = place.versions()
    manifest = clusters.example(drainSeconds=2)
    manifest["spec"]["agents"][1]["cost"] = 0.05
    manifest["metadata"]["namespace"] = place.namespace
    done = place.plane.kubectl_process("apply", "-f", "-", stdin=yaml.safe_dump(manifest))
    assert "order the agents by cost" in done.stderr
    manifest = clusters.example(drainSeconds=2)
    manifest["spec"]["agents"][1]["engine"] = {"args": ["--served-model=x"]}
    place.apply(manifest)
    place.until(lambda: place.condition("SpecValid")["status"] == "False", "SpecValid=False")
    assert "--served-model-name is disrouter's to set" in place.condition("SpecValid")["message"]
    assert place.versions() == before
    place.apply(clusters.example(drainSeconds=2))
    place.until(lambda: place.condition("SpecValid")["status"] == "True", "SpecValid=True")


def test_deleting_the_cascade_leaves_nothing_behind(place: Place) -> None:
    place.plane.kubectl("delete", "src", "qwen", "-n", place.namespace)
    place.until(lambda: not place.children(), "the garbage collection")
    place.until(lambda: not place.pods(names.LABEL_CASCADE), "the end of the pods")


def test_every_invalid_manifest_is_refused_or_told_so_and_stalls_nobody(
    plane: ControlPlane, operator: Operator
) -> None:
    where = Place(plane, "invalid")
    cases = {}
    for index, case in enumerate(INVALID):
        manifest = case.manifest()
        manifest["metadata"] |= {"namespace": where.namespace}
        if manifest["metadata"]["name"] == valid()["metadata"]["name"]:
            manifest["metadata"]["name"] = f"case-{index}"
        cases[manifest["metadata"]["name"]] = case, without_none(manifest)
    good = valid()
    good["metadata"] |= {"name": "good", "namespace": where.namespace}
    documents = yaml.safe_dump_all([manifest for _, manifest in cases.values()] + [good])
    done = plane.kubectl_process("apply", "--validate=false", "-f", "-", stdin=documents)
    created = {obj["metadata"]["name"] for obj in plane.get("src", where.namespace)["items"]}
    refused = {name for name, (case, _) in cases.items() if case.by_schema or case.by_cel}
    assert created == cases.keys() - refused | {"good"}, done.stderr
    where.until(lambda: where.condition("SpecValid", "good")["status"] == "True", "the valid cascade")
    for name in created - {"good"}:
        case, _ = cases[name]
        where.until(lambda name=name: where.condition("SpecValid", name)["status"] == "False", name)
        message = where.condition("SpecValid", name)["message"]
        assert case.field in message, (case.name, message)
        assert case.says in message, (case.name, message)
        assert where.condition("Ready", name)["reason"] == "SpecInvalid"
    owners = {c["metadata"]["labels"][names.LABEL_CASCADE] for c in where.children()}
    assert owners == {"good"}
    for name in refused:
        case, _ = cases[name]
        (said,) = [line for line in done.stderr.splitlines() if f'"{name}" is invalid' in line]
        assert case.by_cel in said, (case.name, said)


def test_kubectl_apply_refuses_an_unknown_field(plane: ControlPlane) -> None:
    done = plane.kubectl_process("apply", "-f", "-", stdin=yaml.safe_dump(clusters.example(scenarios="balance")))
    assert done.returncode != 0
    assert 'unknown field "spec.scenarios"' in done.stderr


def _events(place: Place) -> set[str]:
    events = place.plane.get("events", place.namespace)["items"]
    return {event["reason"] for event in events if event["involvedObject"]["kind"] == names.KIND}


def _stripped(child: Object) -> Object:
    """A child without what the API server and other controllers add and what differs from run to run."""
    metadata = {key: value for key, value in child["metadata"].items() if key not in SERVER_FIELDS}
    annotations = child["metadata"].get("annotations") or {}
    kept = {key: value for key, value in annotations.items() if not key.startswith("deployment.kubernetes.io/")}
    metadata |= {"annotations": kept} if kept else {}
    for owner in metadata["ownerReferences"]:
        owner.pop("uid")
    out = {key: value for key, value in child.items() if key != "status"} | {"metadata": metadata}
    spec = out.get("spec", {})
    for field in ("clusterIP", "clusterIPs"):
        spec.pop(field, None)
    if child["kind"] == "Job":
        spec.pop("selector")
        for labels in (metadata["labels"], spec["template"]["metadata"]["labels"]):
            for key in ("controller-uid", "job-name"):
                labels.pop(key, None)
                labels.pop(f"batch.kubernetes.io/{key}", None)
    return out
