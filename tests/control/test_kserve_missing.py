"""A cascade on a cluster without KServe: what needs it says so, the rest works, and it goes on when KServe comes."""

from __future__ import annotations

from typing import Any

from disrouter_operator.kube.resources import CASCADES, INFERENCE_SERVICES
from support import clusters
from support.gitops import kstatus
from support.scenes import Scene


def _scene(manifest: Any) -> Scene:
    scene = Scene(manifest)
    scene.kube.absent.add(INFERENCE_SERVICES)
    return scene


async def test_agents_with_a_model_name_what_is_missing_and_nothing_is_written_in_vain() -> None:
    scene = _scene(clusters.example())
    tried: list[str] = []
    scene.kube.refuse = lambda obj: tried.append(obj["kind"])
    await scene.run(2)
    assert "InferenceService" not in tried
    small, large = scene.agent("small"), scene.agent("large")
    assert (small["phase"], small["reason"]) == ("ServingFailed", "KServeMissing")
    assert "no InferenceService of serving.kserve.io/v1beta1" in small["message"]
    assert "install KServe (docs/install.md)" in small["message"]
    assert large["phase"] != "ServingFailed", "an external agent needs no KServe"
    ready = scene.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "KServeMissing")
    assert kstatus(scene.kube.one(CASCADES, "qwen")) == "Failed"
    assert scene.reasons().count("KServeMissing") == 2, "one for each agent with a model"


async def test_an_external_agent_serves_meanwhile() -> None:
    scene = _scene(clusters.example())
    await scene.run()
    scene.serve("large")
    await scene.run()
    assert scene.agent("large")["ready"]
    assert scene.condition("EndpointReady")["status"] == "True"
    assert scene.condition("AgentsReady")["reason"] == "KServeMissing"


async def test_it_goes_on_as_soon_as_kserve_is_there() -> None:
    scene = _scene(clusters.example())
    await scene.run(2)
    scene.kube.absent.clear()
    await scene.run()
    assert scene.kube.names(INFERENCE_SERVICES) == ["qwen-medium", "qwen-small"]
    await scene.run()
    assert scene.condition("Ready")["reason"] == "AgentStarting"
    scene.serve("small", "medium", "large")
    await scene.run()
    assert scene.condition("Ready")["status"] == "True"
