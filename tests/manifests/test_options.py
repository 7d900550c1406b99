"""Every serving option of docs/serving.md: what it changes is held by golden files and judged by KServe."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from disrouter.api import CascadeStatus, violations
from disrouter.routes import ROUTES_FILE
from disrouter_local.pods.podspec import expand
from disrouter_operator.kube.observed import CHILDREN, Observed
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests.containers import SIDECAR
from disrouter_operator.manifests.serving import inference_service
from disrouter_operator.plan.cascade_plan import make_plan
from disrouter_operator.settings import Settings
from disrouter_sidecar.config import Config
from support import keda, kserve_judge, options, others
from support.clusters import example
from support.controlplane import ControlPlane

SETTINGS = Settings(sidecar_image="sidecar:test", training_image="trainer:test")
OVERLAYS = options.overlays()


def _children(manifest: Object) -> list[Object]:
    """What a first pass applies."""
    parent = manifest | {"metadata": manifest["metadata"] | {"uid": "uid-of-cascade", "generation": 1}}
    observed = Observed(parent, {kind: {} for kind in CHILDREN}, services=others.documented())
    plan = make_plan(observed, CascadeStatus(), SETTINGS, datetime(2026, 1, 1, tzinfo=UTC))
    return [write.obj for write in plan.applies]


def _table(children: list[Object]) -> Object:
    texts = [child["data"][ROUTES_FILE] for child in children if ROUTES_FILE in child.get("data", {})]
    return dict(json.loads(*texts))


def _moved(before: Object, after: Object) -> Object:
    """Fields of a route table that an option changes, agents by name."""
    moved = {key: value for key, value in after.items() if before.get(key) != value}
    if "agents" in moved:
        moved["agents"] = {name: each for name, each in moved["agents"].items() if before["agents"].get(name) != each}
    return moved


def test_the_document_has_the_options() -> None:
    assert len(OVERLAYS) == options.DOCUMENT.read_text(encoding="utf-8").count("```yaml")
    assert len(OVERLAYS) > 15


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_option_breaks_no_rule_and_changes_what_its_golden_file_says(name: str, golden: Any) -> None:
    manifest = options.changed(OVERLAYS[name])
    assert violations(manifest) == []
    before, after = _children(example()), _children(manifest)
    changed = [child for child in after if child not in before and child["kind"] != "ConfigMap"]
    golden(f"option_{name.replace('-', '_')}", [{"routes": _moved(_table(before), _table(after))}, *changed])


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_option_changes_the_pods_of_no_other_agent(name: str) -> None:
    touched = options.touched(OVERLAYS[name])
    before = _children(example())
    for child in _children(options.changed(OVERLAYS[name])):
        agent = child["metadata"]["labels"].get("disrouter.io/agent")
        if child["kind"] in ("InferenceService", "Deployment") and touched is not None and agent not in touched:
            assert child in before, f"{child['kind']} of {agent}"


@pytest.mark.parametrize("name", OVERLAYS)
def test_kserve_knows_every_field_that_an_option_sets(name: str) -> None:
    children = _children(options.changed(OVERLAYS[name]))
    services = [child for child in children if child["kind"] == "InferenceService"]
    assert {child["metadata"]["name"]: kserve_judge.faults(child) for child in services} == {
        child["metadata"]["name"]: [] for child in services
    }


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_sidecar_understands_the_environment_that_it_is_given(name: str) -> None:
    ignored: set[str] = set()
    for child in _children(options.changed(OVERLAYS[name])):
        if child["kind"] not in ("InferenceService", "Deployment"):
            continue
        (container,) = [each for each in inference_service.pod_spec(child)["containers"] if each["name"] == SIDECAR]
        env: dict[str, str] = {}
        for item in container["env"]:
            env[item["name"]] = expand(item.get("value", "from-a-secret"), env)
        given = _Noting(env)
        config = Config.from_env(given)
        assert config.agent == child["metadata"]["labels"]["disrouter.io/agent"]
        ignored |= {variable for variable in env if variable.startswith("DISROUTER_")} - given.asked
    assert ignored == set()


class _Noting(dict[str, str]):
    """An environment that notes which variables are asked for."""

    def __init__(self, env: dict[str, str]) -> None:
        super().__init__(env)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


@pytest.mark.controlplane
def test_an_api_server_takes_every_child_of_every_option(plane: ControlPlane) -> None:
    children = {
        json.dumps(child, sort_keys=True)
        for overlay in OVERLAYS.values()
        for child in _children(options.changed(overlay))
    }
    listed = {"apiVersion": "v1", "kind": "List", "items": [json.loads(child) for child in sorted(children)]}
    how = ("--server-side", "--dry-run=server", "--validate=strict")
    with keda.known(plane):
        said = plane.kubectl("apply", *how, "-f", "-", stdin=json.dumps(listed))
    assert said.count("serverside-applied (server dry run)") == len(children)
