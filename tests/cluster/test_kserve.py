"""KServe's own manager judges what it makes of our InferenceServices, and whether the laptops' stand-in makes the same.

The objects are the golden files of the builders, so both see what the operator writes. Their images are nowhere: what
is compared is the Deployment and the Service that are made, not pods.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from disrouter import names
from disrouter_local.node import kserve
from disrouter_operator.kube.resources import Object
from support.cluster import Cluster
from support.team import Team, team

GOLDEN = Path(__file__).parents[1] / "manifests/golden"
STANDARD = [
    *("isvc_hub_model", "isvc_claim_autoscaled", "isvc_surge", "isvc_trained_weights"),
    *("option_adapter", "option_image", "option_placement", "option_replicas", "option_template"),
]


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Team]:
    with team(cluster, "kserve") as made:
        yield made


def services(name: str) -> list[Object]:
    """The InferenceServices of a golden file, without an owner that is not there."""
    found = [each for each in yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text()) if each]
    kept = [each for each in found if each.get("kind") == "InferenceService"]
    for each in kept:
        each["metadata"].pop("ownerReferences", None)
        each["metadata"].pop("uid", None)
    return kept


@pytest.mark.parametrize("golden", STANDARD)
def test_the_stand_in_makes_of_it_what_kserve_makes(place: Team, golden: str) -> None:
    different = []
    for service in services(golden):
        name = service["metadata"]["name"]
        service["metadata"]["namespace"] = place.namespace
        place.kubectl("create", "-f", "-", stdin=json.dumps(service))
        predictor = names.predictor(name)
        place.until("its Deployment", partial(exists, place, "deployment", predictor))
        place.until("its Service", partial(exists, place, "service", predictor))
        live = place.get("isvc", name)
        made, ours = place.get("deployment", predictor), kserve.build_deployment(live)
        different += said(made["spec"], ours["spec"], "spec")
        different += said(made["metadata"]["labels"], ours["metadata"]["labels"], "labels")
        assert ports(place.get("service", predictor)) == ports(kserve.build_service(live))
        assert place.get("service", predictor)["spec"]["selector"] == kserve.build_service(live)["spec"]["selector"]
        place.kubectl("delete", "isvc", name, "--timeout=50s")
    assert not different, "\n".join(different)


def exists(place: Team, kind: str, name: str) -> bool:
    return place.cluster.kubectl_process("get", kind, name, "-n", place.namespace).returncode == 0


def ports(service: Object) -> list[tuple[int, Any]]:
    return [(port["port"], port["targetPort"]) for port in service["spec"]["ports"]]


def said(theirs: Any, ours: Any, path: str) -> list[str]:
    """Where what we make is not what they made; they may say more, because an API server fills in defaults."""
    if isinstance(ours, dict):
        if not isinstance(theirs, dict):
            return [f"{path}: {ours!r} is not {theirs!r}"]
        return [line for key, value in ours.items() for line in said(theirs.get(key), value, f"{path}.{key}")]
    if isinstance(ours, list):
        if not isinstance(theirs, list) or len(theirs) != len(ours):
            return [f"{path}: {len(ours)} items are not {theirs!r}"]
        return [line for place, value in enumerate(ours) for line in said(theirs[place], value, f"{path}[{place}]")]
    return [] if theirs == ours else [f"{path}: {ours!r} is not {theirs!r}"]
