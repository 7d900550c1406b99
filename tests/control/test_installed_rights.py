"""The installed ServiceAccount's rights are enough for the operator's whole job, and reach no further."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from disrouter import names
from disrouter_operator.manifests.containers import GRACE_SECONDS
from support import clusters, helm, installed
from support.controlplane import ControlPlane
from support.places import Place

pytestmark = pytest.mark.controlplane


def whole_job(place: Place) -> None:
    """Create, serve, repair, grow, shrink, train and promote."""
    place.apply(clusters.example())
    place.serve("small", "medium")
    place.external("large")
    place.until(lambda: place.condition("Ready")["status"] == "True", "Ready")
    place.plane.kubectl("delete", "service", "qwen", "-n", place.namespace)
    place.until(lambda: "Service/qwen" in place.versions(), "the Service")
    edit = json.dumps({"spec": {"predictor": {"terminationGracePeriodSeconds": 9}}})
    place.plane.kubectl("patch", "isvc", "qwen-small", "-n", place.namespace, "--type=merge", "-p", edit)
    place.until(lambda: _grace(place) == GRACE_SECONDS, "the repair")
    grown = clusters.example(drainSeconds=0)
    grown["spec"]["agents"].insert(1, {"name": "new", "model": {"uri": "hf://a/b"}, "cost": 0.2})
    place.apply(grown)
    place.until(lambda: "InferenceService/qwen-new" in place.versions(), "the new agent")
    place.apply(clusters.example(drainSeconds=0))
    place.until(lambda: "InferenceService/qwen-new" not in place.versions(), "its removal")
    _train(place)
    events = {event["reason"] for event in place.plane.get("events", place.namespace)["items"]}
    assert "ChildRepaired" in events


def _grace(place: Place) -> int:
    predictor = place.plane.get("isvc", place.namespace, "qwen-small")["spec"]["predictor"]
    return int(predictor["terminationGracePeriodSeconds"])


def _train(place: Place) -> None:
    run = place.cascade()["status"]["agents"][0]["run"]
    for stage in ("collect", "sft", "rl", "evaluate"):
        name = names.training_job("qwen", "small", stage, run)
        place.until(lambda name=name: f"Job/{name}" in place.versions(), f"Job {name}")
        message = clusters.evaluation(run, 0.1) if stage == "evaluate" else ""
        place.end_pod(place.plane.get("job", place.namespace, name), message)
    place.until(lambda: place.cascade()["status"]["agents"][0].get("servedRun") == run, "the promotion")


@pytest.mark.parametrize(
    ("release", "values"),
    [
        ("wide", {}),
        ("narrow", {"watchNamespaces": ["team-narrow"]}),
        ("private", {"rbac": {"publish": False}}),
    ],
    ids=["wide", "narrow", "private"],
)
def test_the_operator_does_its_whole_job_with_the_installed_rights(
    plane: ControlPlane, tmp_path: Path, release: str, values: dict[str, Any]
) -> None:
    releases = helm.Releases(plane, f"operator-{release}")
    place = Place(plane, f"team-{release}")
    releases("install", release, str(helm.OPERATOR), "--create-namespace", values=values)
    try:
        with installed.running(plane, release, releases.namespace, release, tmp_path) as log:
            whole_job(place)
        assert "forbidden" not in log.read_text().lower(), log.read_text()
        plane.kubectl("delete", "src", "--all", "-n", place.namespace)
    finally:
        releases("uninstall", release)


@pytest.mark.parametrize(
    ("question", "allowed"),
    [
        (("list", "selfroutingcascades.disrouter.io", "mine"), "yes"),
        (("patch", "inferenceservices.serving.kserve.io", "mine"), "yes"),
        (("patch", "inferenceservices.serving.kserve.io", "other"), "no"),
        (("list", "selfroutingcascades.disrouter.io", "other"), "no"),
        (("get", "secrets", "mine"), "no"),
        (("create", "pods", "mine"), "no"),
        (("create", "pods/exec", "mine"), "no"),
        (("delete", "selfroutingcascades.disrouter.io", "mine"), "no"),
        (("create", "rolebindings.rbac.authorization.k8s.io", "mine"), "no"),
        (("get", "nodes", "mine"), "no"),
    ],
)
def test_a_namespaced_install_may_do_what_its_role_says_and_only_there(
    narrow: str, question: tuple[str, str, str], allowed: str, plane: ControlPlane
) -> None:
    verb, what, where = question
    done = plane.kubectl_process("auth", "can-i", verb, what, "-n", where, f"--as={narrow}")
    assert done.stdout.strip() == allowed, done.stderr


@pytest.fixture(scope="module")
def narrow(plane: ControlPlane) -> Any:
    """The user name of a namespaced install's ServiceAccount."""
    for namespace in ("mine", "other"):
        plane.kubectl("create", "namespace", namespace)
    releases = helm.Releases(plane, "operator-rights")
    releases("install", "rights", str(helm.OPERATOR), "--create-namespace", values={"watchNamespaces": ["mine"]})
    user = "system:serviceaccount:operator-rights:rights-disrouter"
    may = ("auth", "can-i", "list", "pods", "-n", "mine", f"--as={user}")
    plane.wait("the authoriser to have seen its role", lambda: plane.kubectl_process(*may).returncode == 0)
    yield user
    releases("uninstall", "rights")
