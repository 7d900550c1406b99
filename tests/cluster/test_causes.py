"""The status names the cause of what keeps agents from serving, and waits for what comes back by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from disrouter import names
from disrouter_operator.kube.resources import INFERENCE_SERVICES
from support.cluster import Cluster, installed
from support.pool import SMALL, cascade, scripted
from support.team import STARTS, Team, team

pytestmark = pytest.mark.timeout(600)
NAME = "pool"
QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
"""The client has its pod already."""


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Team]:
    with installed(cluster), team(cluster, "causes") as made:
        yield made


def small(**engine: str) -> dict[str, Any]:
    agent = scripted("small", 0.1, "easy")
    agent["engine"]["env"] += [{"name": key, "value": value} for key, value in engine.items()]
    return agent


def settled() -> dict[str, Any]:
    """What the last tests leave as it is."""
    return cascade(NAME, small(EDITED="true"), scripted("large", 0.9))


def told(place: Team, reason: str, words: str) -> None:
    """In the agent's condition, in the table of kubectl, and in an Event."""
    place.until(reason, lambda: serving(place).get("reason") == reason)
    assert words in serving(place)["message"]
    place.until("the table", lambda: place.kubectl("get", "src").splitlines()[1].split()[2] == reason)
    events = [each for each in place.get("events")["items"] if each["involvedObject"]["kind"] == names.KIND]
    assert [each for each in events if each["reason"] == reason and words in each["message"]]


def serving(place: Team) -> Any:
    conditions = place.agent(NAME, "small").get("conditions") or []
    return next((each for each in conditions if each["type"] == "Serving"), {})


def gone(place: Team) -> None:
    place.kubectl("delete", names.PLURAL, NAME, "--timeout=50s")
    place.until("no pods", lambda: not place.get("pods", f"--selector={names.LABEL_CASCADE}")["items"])


def test_a_field_that_no_pod_has_is_refused_before_anything_is_applied(place: Team) -> None:
    place.apply(cascade(NAME, small(), scripted("large", 0.9), pod={"template": {"nodeSelectr": {"gpu": "h100"}}}))
    place.until("the word", lambda: "nodeSelectr" in place.condition(NAME, "SpecValid")["message"])
    assert "did you mean 'nodeSelector'?" in place.condition(NAME, "SpecValid")["message"]
    assert place.get("inferenceservices,configmaps", f"--selector={names.LABEL_CASCADE}")["items"] == []
    gone(place)


def test_a_quota_that_lets_no_pod_be_made_is_told_and_its_end_is_noticed(place: Team) -> None:
    place.apply(QUOTA)
    place.apply(cascade(NAME, small(), scripted("large", 0.9)))
    told(place, "PodRefused", "exceeded quota: few")
    place.kubectl("delete", "resourcequota", "few")
    place.until("Ready", lambda: place.all_ready(NAME), STARTS)


def test_an_engine_that_crashes_is_told_with_its_last_words(place: Team) -> None:
    place.apply(cascade(NAME, small(START_SECONDS="soon"), scripted("large", 0.9)))
    told(place, "Crashing", "could not convert string to float: 'soon'")
    limits = SMALL | {"limits": {"cpu": "2", "memory": "64Mi"}}
    place.apply(cascade(NAME, small(START_SECONDS="0", FILL_MIB="512") | {"resources": limits}, scripted("large", 0.9)))
    told(place, "OutOfMemory", "memory limit of 64Mi")


def away(place: Team) -> dict[str, Any]:
    """A webhook on this namespace's InferenceServices that nobody serves."""
    rule = {
        "apiGroups": [INFERENCE_SERVICES.group],
        "apiVersions": [INFERENCE_SERVICES.version],
        "operations": ["CREATE", "UPDATE"],
        "resources": [INFERENCE_SERVICES.plural],
    }
    webhook = {
        "name": "away.disrouter.test",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": "https://127.0.0.1:1/nobody"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place.namespace}},
        "rules": [rule],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": f"away-{place.namespace}"},
        "webhooks": [webhook],
    }


def test_a_webhook_that_is_away_is_waited_for(place: Team) -> None:
    webhook = away(place)
    place.cluster.apply(webhook)
    try:
        place.apply(settled())
        place.until("its word", lambda: place.condition(NAME, "Ready")["reason"] == "ChildDelayed")
        assert place.condition(NAME, "Reconciling")["status"] == "True"
        assert place.condition(NAME, "Stalled")["status"] == "False"
    finally:
        place.cluster.kubectl("delete", "validatingwebhookconfiguration", webhook["metadata"]["name"])
    place.until("Ready", lambda: place.all_ready(NAME), STARTS)


def test_children_without_an_owner_are_adopted_and_nobody_is_restarted(place: Team) -> None:
    before = place.agents(NAME)
    with place.traffic(NAME, "an easy one") as traffic:
        place.kubectl("delete", names.PLURAL, NAME, "--cascade=orphan", "--timeout=50s")
        place.apply(settled())
        place.until("Ready", lambda: place.all_ready(NAME))
    traffic.check()
    assert set(traffic.paths) == {"small"}
    assert place.agents(NAME) == before
    (whole,) = place.get(names.PLURAL)["items"]
    kinds = "inferenceservices,configmaps,services,poddisruptionbudgets"
    found = place.get(kinds, f"--selector={names.LABEL_CASCADE}={NAME}")["items"]
    owners = [owner["uid"] for each in found for owner in each["metadata"].get("ownerReferences", [])]
    assert owners.count(whole["metadata"]["uid"]) == 5, "two agents, the routes, the entry, the budget"


def test_a_hand_in_the_cluster_is_undone_and_named(place: Team) -> None:
    def scaled(pods: int) -> bool:
        return bool(place.get("deployment", f"{NAME}-small-predictor")["spec"]["replicas"] == pods)

    def target() -> Any:
        return place.get("service", NAME)["spec"]["ports"][0]["targetPort"]

    wanted = target()
    place.kubectl("scale", "deployment", f"{NAME}-small-predictor", "--replicas=3")
    edit = '[{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9000}]'
    place.kubectl("patch", "service", NAME, "--type=json", "-p", edit)
    place.until("one pod", lambda: scaled(1))
    place.until("the entry's port", lambda: target() == wanted)
    place.until("both Events", lambda: len(repairs(place)) == 2)
    assert all("kubectl" in each for each in repairs(place)), repairs(place)


def repairs(place: Team) -> list[str]:
    found = [each for each in place.get("events")["items"] if each["reason"] == "ChildRepaired"]
    return [each["message"] for each in found]


def test_a_namespace_that_goes_is_left_alone_without_noise(place: Team) -> None:
    with team(place.cluster, "ending") as other:
        other.apply(cascade(NAME, small(), scripted("large", 0.9)))
        other.until("its pods", lambda: len(other.agents(NAME)) == 2)
        place.cluster.kubectl("delete", "namespace", other.namespace, "--wait=false")
        place.until("the end", lambda: not exists(place, other.namespace), STARTS)
        said = [line for line in place.cluster.operator_logs().splitlines() if other.namespace in line]
    assert not [line for line in said if "ERROR" in line or "terminated" in line], said


def exists(place: Team, namespace: str) -> bool:
    return place.cluster.kubectl_process("get", "namespace", namespace).returncode == 0
