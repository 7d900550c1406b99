"""A cascade in a namespace that enforces Pod Security `restricted`: every pod of an agent is admitted and serves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cluster import Cluster, image, installed
from support.pool import cascade, scripted
from support.team import STARTS, Team, team

pytestmark = pytest.mark.timeout(900)
NAME = "strict"
ENFORCE = "pod-security.kubernetes.io/enforce=restricted"
STRICT = {"runAsNonRoot": True, "readOnlyRootFilesystem": True}
MODELS = Path(__file__).parents[2] / "examples/offline/models"


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Team]:
    """A namespace with its client and the models' claim, which were there before the rule."""
    with installed(cluster), team(cluster, "restricted") as made:
        made.fill("models", {agent: MODELS / agent for agent in ("small", "large")})
        cluster.kubectl("label", "namespace", made.namespace, ENFORCE, "--overwrite")
        yield made


def test_a_restricted_namespace_is_served_by_engines_that_are_not_root(place: Team) -> None:
    agents = [scripted("small", 0.1, "easy"), scripted("large", 0.9)]
    for agent in agents:
        agent["engine"]["securityContext"] = STRICT
    place.apply(cascade(NAME, *agents, drainSeconds=5))
    place.until("Ready", lambda: place.all_ready(NAME), STARTS)
    (pod,) = place.agents(NAME, "small")
    tries = "id -u; touch /x 2>/dev/null && echo root; touch ~/x && echo home; touch /dev/shm/x && echo shm"
    said = place.kubectl("exec", pod, "-c", "kserve-container", "--", "sh", "-c", tries)
    assert said.split() == ["2000", "home", "shm"]
    assert place.ask(NAME, "a hard one") == [["large answers by weights none", "small,large"]] * 2


def test_the_whole_cascade_is_served_there_by_vllm(place: Team) -> None:
    """Untrained, the small one answers or refuses as it happens; its weights are those of examples/offline."""
    place.apply(cascade("real", real("small", 0.2), real("large", 0.9), drainSeconds=5))
    place.until("Ready", lambda: place.all_ready("real"), 2 * STARTS)
    for text, path in place.ask("real", "Which colour has the sky?"):
        assert text.strip()
        assert path in ("small", "small,large")
    (pod,) = place.agents("real", "large")
    tries = "id -u; touch /x 2>/dev/null && echo root; touch ~/x && echo home"
    assert place.kubectl("exec", pod, "-c", "kserve-container", "--", "sh", "-c", tries).split() == ["2000", "home"]


def real(name: str, cost: float) -> dict[str, Any]:
    """An agent with vLLM on a CPU and one of the tiny models."""
    arguments = ["--dtype=float32", "--max-model-len=512", "--max-num-seqs=8", "--enforce-eager"]
    resources = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
    engine = {"image": image("engine"), "args": arguments, "securityContext": STRICT}
    model = {"uri": f"pvc://models/{name}"}
    return {"name": name, "cost": cost, "model": model, "resources": resources, "engine": engine}


def test_kserve_publishes_no_agent(place: Team) -> None:
    """With KServe's settings as they come: `ingress.disableIngressCreation` is false there."""
    assert place.get("ingresses")["items"] == []
