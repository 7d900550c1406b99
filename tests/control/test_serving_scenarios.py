"""A cascade's serving and routing edited step by step on a real API server: after each step, exactly what changed.

Steps build on each other. Every child whose resourceVersion moved is named by its step; all others, above all the
InferenceServices whose pods hold GPUs, must be untouched, and one more pass must have nothing to write.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from disrouter import names
from disrouter.routes import RouteTable
from disrouter_operator.errors import Conflict
from disrouter_operator.kube.api_server import ApiServer
from disrouter_operator.kube.resources import Key, Object
from disrouter_operator.operator import Options
from disrouter_operator.reconcile.reconciler import reconcile
from support import clusters, keda, operators, options
from support.controlplane import ControlPlane
from support.places import Place
from support.recording import Recording

pytestmark = pytest.mark.controlplane

PATIENCE = 120.0
"""Seconds until the rest: a busy machine makes each reconcile slow, and how fast it comes is not what is asked here."""
KINDS = "inferenceservices,deployments,services,configmaps,networkpolicies,poddisruptionbudgets"
SELECTOR = f"--selector={names.LABEL_CASCADE}=qwen"
ROUTES, ENDPOINT = "ConfigMap/qwen-routes", "Service/qwen"
NEW: Object = {"name": "new", "model": {"uri": "hf://a/b"}, "cost": 0.2, "selfAwareness": {"mode": "prompted"}}
HOSTED: Object = {"name": "hosted", "external": {"url": "https://api.example.com/v1", "model": "mid"}, "cost": 0.6}


@dataclass(frozen=True)
class Step:
    """An edit of the spec, the route that requests then take, and the children that it writes besides the table, which
    every edit writes because it names the manifest's generation."""

    name: str
    edit: Callable[[Any], object]
    written: frozenset[str]
    path: tuple[str, ...]
    serve: tuple[str, ...] = ()
    """Agents that KServe then brings up; the entry follows them."""


def _agent(spec: Any, name: str) -> Any:
    return next(agent for agent in spec["agents"] if agent["name"] == name)


def _set(name: str, **fields: Any) -> Callable[[Any], object]:
    return lambda spec: _agent(spec, name).update(fields)


def _entered_at_small(spec: Any) -> None:
    spec["entrypoint"] = "small"
    _agent(spec, "new")["next"] = "medium"


def _swap(spec: Any) -> None:
    small, new = _agent(spec, "small"), _agent(spec, "new")
    small["cost"], new["cost"] = new["cost"], small["cost"]
    spec["agents"].sort(key=lambda agent: agent["cost"])


def _without(name: str) -> Callable[[Any], object]:
    return lambda spec: spec["agents"].remove(_agent(spec, name))


def _adapter(path: str) -> Callable[[Any], object]:
    return lambda spec: _agent(spec, "medium")["model"].update(adapter=f"pvc://adapters/{path}")


def _policies(*agents: str) -> frozenset[str]:
    return frozenset(f"NetworkPolicy/qwen-{agent}" for agent in agents)


STEPS = (
    Step(
        "insert",
        lambda spec: spec["agents"].insert(1, copy.deepcopy(NEW)),
        frozenset({"InferenceService/qwen-new"}),
        ("small", "new", "medium", "large"),
        serve=("new",),
    ),
    Step("swap", _swap, frozenset({ENDPOINT}), ("new", "small", "medium", "large")),
    Step("cost", _set("medium", cost=0.5), frozenset(), ("new", "small", "medium", "large")),
    Step("entry past an agent", _entered_at_small, frozenset({ENDPOINT}), ("small", "medium", "large")),
    Step(
        "traffic",
        lambda spec: spec.update(scenario="cost-first", timeouts={"connect": 1}, fallback={"policy": "fail"}),
        frozenset(),
        ("small", "medium", "large"),
    ),
    Step(
        "external in the middle",
        lambda spec: spec["agents"].insert(3, copy.deepcopy(HOSTED)),
        frozenset({"Deployment/qwen-hosted", "Service/qwen-hosted"}),
        ("small", "medium", "hosted", "large"),
    ),
    Step("tree", _set("new", next="hosted"), frozenset(), ("small", "medium", "hosted", "large")),
    Step(
        "entry at the first again",
        lambda spec: (spec.pop("entrypoint"), _agent(spec, "new").pop("next")),
        frozenset({ENDPOINT}),
        ("new", "small", "medium", "hosted", "large"),
    ),
    Step(
        "network policies",
        lambda spec: spec.update(networkPolicy={"enabled": True}),
        _policies("small", "new", "medium", "hosted", "large"),
        ("new", "small", "medium", "hosted", "large"),
    ),
    Step(
        "node of one agent",
        _set("small", pod={"nodeSelector": {"gpu": "h100"}, "template": {"priority": 0}}),
        frozenset({"InferenceService/qwen-small"}),
        ("new", "small", "medium", "hosted", "large"),
        serve=("small",),
    ),
    Step(
        "adapter",
        _adapter("legal/v1"),
        frozenset({"InferenceService/qwen-medium"}),
        ("new", "small", "medium", "hosted", "large"),
        serve=("medium",),
    ),
    Step(
        "adapter of the same claim",
        _adapter("legal/v2"),
        frozenset(),
        ("new", "small", "medium", "hosted", "large"),
    ),
    Step(
        "more replicas",
        _set("small", replicas={"min": 1, "max": 5}),
        frozenset({"InferenceService/qwen-small"}),
        ("new", "small", "medium", "hosted", "large"),
        serve=("small",),
    ),
    Step(
        "two pods at least",
        _set("hosted", replicas={"min": 2, "max": 2}),
        frozenset({"Deployment/qwen-hosted"}),
        ("new", "small", "medium", "hosted", "large"),
    ),
    Step(
        "remove",
        _without("hosted"),
        frozenset({f"{kind}/qwen-hosted" for kind in ("Deployment", "Service")}) | _policies("hosted", "large"),
        ("new", "small", "medium", "large"),
    ),
)


class Story:
    """The cascade's manifest and its namespace."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.manifest = clusters.example(drainSeconds=1)
        self.manifest["spec"].pop("training")
        for agent in self.manifest["spec"]["agents"][:2]:
            agent["selfAwareness"] = {"mode": "prompted"}
        self.manifest["spec"]["agents"][1]["replicas"] = {"min": 1, "max": 1}
        self.apply()

    def apply(self) -> None:
        self.place.apply(copy.deepcopy(self.manifest))

    def versions(self) -> dict[str, str]:
        """What tells a written child; the Deployment controller writes the status of Deployments."""
        found = self.place.plane.get(KINDS, self.place.namespace, SELECTOR)["items"]
        return {
            f"{obj['kind']}/{obj['metadata']['name']}": str(
                obj["metadata"]["generation" if obj["kind"] == "Deployment" else "resourceVersion"]
            )
            for obj in found
            if any(owner["kind"] == names.KIND for owner in obj["metadata"].get("ownerReferences", []))
        }

    def table(self) -> RouteTable:
        config = self.place.plane.get("configmap", self.place.namespace, "qwen-routes")
        return RouteTable.from_json(config["data"]["routes.json"])

    def ready(self) -> None:
        for agent in self.manifest["spec"]["agents"]:
            if "external" in agent:
                self.place.external(agent["name"])
        self.place.until(lambda: self.place.condition("Ready")["status"] == "True", "Ready")

    def rest(self) -> None:
        """Nothing is left to write."""
        key = Key(self.place.namespace, "qwen")
        reconciles: list[list[Any]] = []

        async def once() -> list[Any]:
            async with await operators.api_client(self.place.plane.kubeconfig) as client:
                kube = Recording(ApiServer(client))
                with suppress(Conflict):  # the operator was writing meanwhile, so there is a write to count
                    await reconcile(kube, key, operators.SETTINGS, Options().clock)
                return list(kube.writes)

        def resting() -> bool:
            reconciles.append(asyncio.run(once()))
            return not reconciles[-1]

        try:
            self.place.until(resting, "the rest", PATIENCE)
        except AssertionError as error:
            raise AssertionError(
                f"{error}: of {len(reconciles)} reconciles the last ones wrote {reconciles[-3:]}"
            ) from None


@pytest.fixture(scope="module")
def story(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    kubeconfig = operators.service_account(plane, tmp_path_factory.mktemp("operator"))
    settings = Options(settings=operators.SETTINGS, host="127.0.0.1", port=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(kubeconfig))
        with operators.running(kubeconfig, settings):
            story = Story(Place(plane, "serving"))
            story.place.serve("small", "medium")
            story.ready()
            yield story


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_writes_what_it_concerns_and_nothing_else(story: Story, step: Step) -> None:
    before = story.versions()
    step.edit(story.manifest["spec"])
    story.apply()
    if step.serve:
        story.place.serve(*step.serve)
    story.ready()
    story.place.until(lambda: len(story.place.cascade()["status"]["agents"]) == len(story.manifest["spec"]["agents"]))
    story.rest()
    after = story.versions()
    served = {f"InferenceService/qwen-{agent}" for agent in step.serve}  # KServe wrote their status
    written = {child for child in before.keys() | after.keys() if before.get(child) != after.get(child)}
    assert written | served == step.written | served | {ROUTES}
    assert story.table().path() == list(step.path)
    phases = {agent["name"]: agent["phase"] for agent in story.place.cascade()["status"]["agents"]}
    assert set(phases.values()) == {"Ready"}


def test_replicas_that_somebody_else_sets_stay_and_others_are_set_back(story: Story) -> None:
    def scale(replicas: int) -> None:
        where = ("--namespace", story.place.namespace)
        story.place.plane.kubectl("scale", "deployment", "qwen-large", f"--replicas={replicas}", *where)

    def replicas() -> Any:
        return story.place.plane.get("deployment", story.place.namespace, "qwen-large")["spec"]["replicas"]

    scale(3)
    story.place.until(lambda: replicas() == 1, "the repair")
    _agent(story.manifest["spec"], "large")["autoscaling"] = {"autoscaler": "external"}
    story.apply()
    story.rest()
    assert replicas() == 1
    scale(3)
    story.rest()
    assert replicas() == 3
    scale(0)
    story.place.until(lambda: _status(story, "large").get("reason") == "ScaledToZero", "ScaledToZero")
    story.rest()
    assert replicas() == 0
    assert story.place.condition("Ready")["status"] == "True"


def test_a_patch_that_breaks_a_pod_changes_nothing_and_is_explained(story: Story) -> None:
    before = story.versions()
    good = copy.deepcopy(story.manifest)
    _agent(story.manifest["spec"], "small")["pod"] = {
        "template": {"containers": [{"name": "kserve-container", "$patch": "delete"}]}
    }
    story.apply()
    story.place.until(lambda: story.place.condition("SpecValid")["status"] == "False", "SpecValid=False")
    assert "spec.agents[1].pod.template.containers" in story.place.condition("SpecValid")["message"]
    assert story.versions() == before
    story.manifest = good
    story.apply()
    story.place.until(lambda: story.place.condition("SpecValid")["status"] == "True", "SpecValid=True")


@pytest.mark.timeout(900)
def test_every_documented_option_is_applied_without_a_refusal(story: Story) -> None:
    with keda.known(story.place.plane):
        for name, overlay in options.overlays().items():
            story.manifest = options.changed(overlay)
            story.apply()
            story.rest()
            assert story.place.condition("SpecValid")["status"] == "True", name
            degraded = story.place.condition("Degraded")
            assert degraded["status"] == "False", (name, degraded)


def _status(story: Story, agent: str) -> Any:
    return next(each for each in story.place.cascade()["status"]["agents"] if each["name"] == agent)
