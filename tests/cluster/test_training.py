"""One whole life of training on a cluster: an agent is added, trained, judged, promoted, served and rolled back.

The trainer, its Jobs, claims and weights are real; the engine is scripted and says which weights it was given. All
containers of ours run as a user that no image knows, as OpenShift has them run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from disrouter import names
from disrouter.artifacts import served_subpath
from support.cluster import Cluster, installed
from support.pool import cascade, scripted
from support.team import STARTS, Team, Traffic, team
from support.tiny_training import MODEL, fill_claims, training

pytestmark = pytest.mark.timeout(900)
NAME = "pool"
STRANGER = 1234567
TRAINED_SECONDS = 600.0
AS_STRANGER = {"template": {"securityContext": {"runAsUser": STRANGER, "runAsGroup": STRANGER, "runAsNonRoot": True}}}


def manifest(**small: Any) -> dict[str, Any]:
    """The pool; with the trained agent where `small` says anything of it."""
    others = [scripted("medium", 0.4, "easy", selfAwareness={"mode": "prompted"}), scripted("large", 0.9)]
    agents = [scripted("small", 0.1, "easy", model={"uri": MODEL}) | small, *others] if small else others
    return cascade(NAME, *agents, training=training(pod=AS_STRANGER), pod=AS_STRANGER, drainSeconds=5)


@pytest.fixture(scope="module")
def place(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Claims, and a pool of two that are not trained."""
    security = {"runAsUser": STRANGER, "runAsGroup": STRANGER, "fsGroup": STRANGER, "runAsNonRoot": True}
    seccomp = {"seccompProfile": {"type": "RuntimeDefault"}}
    with installed(cluster, podSecurityContext=security | seccomp), team(cluster, "training") as made:
        fill_claims(made, tmp_path_factory.mktemp("claims"))
        made.apply(manifest())
        made.until("Ready", lambda: made.all_ready(NAME), STARTS)
        yield made


def test_an_agent_is_added_trained_through_a_kill_promoted_and_rolled_back(place: Team) -> None:
    before = place.agents(NAME, "medium", "large")
    with place.traffic(NAME, "an easy one", "a hard one") as traffic:
        place.apply(manifest(selfAwareness={"mode": "trained"}))
        kill(place, "sft")
        place.until("the promotion", lambda: promoted(place), TRAINED_SECONDS)
        run = place.agent(NAME, "small")["servedRun"]
        trained, base = weights(place, run), place.in_claim("models", "sha256sum tiny/model.safetensors")[:12]
        assert trained != base
        place.until("the trained weights", lambda: serves(place, trained), STARTS)
        place.apply(manifest(selfAwareness={"mode": "trained"}, revision="base"))
        place.until("the base model again", lambda: serves(place, base), STARTS)
        place.apply(manifest(selfAwareness={"mode": "trained"}, revision=run))
        place.until("the run again", lambda: serves(place, trained), STARTS)
    judge(traffic, trained, base)
    assert place.agents(NAME, "medium", "large") == before, "nobody else's pods are touched"
    jobs = place.get("jobs", f"--selector={names.LABEL_CASCADE}={NAME}")["items"]
    assert {job["metadata"]["labels"][names.LABEL_AGENT] for job in jobs} == {"small"}, "nobody else is trained"
    assert place.agent(NAME, "small")["history"][0]["run"] == run


def test_everything_of_ours_ran_as_a_stranger_with_a_root_that_it_cannot_write(place: Team) -> None:
    own = list(place.get("pods", f"--selector={names.LABEL_CASCADE}={NAME}")["items"])
    components = {pod["metadata"]["labels"][names.LABEL_COMPONENT] for pod in own}
    assert components == {"agent", "training"}
    for pod in [*own, *place.cluster.operator_pods()]:
        assert pod["spec"]["securityContext"]["runAsUser"] == STRANGER
        for container in pod["spec"]["containers"]:
            if container["name"] == "kserve-container":
                continue  # the engine's image is the user's
            assert container["securityContext"]["readOnlyRootFilesystem"], container["name"]
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
            assert "runAsUser" not in container["securityContext"]


def kill(place: Team, stage: str) -> None:
    """As `kill -9`, while the trainer works: no grace, no checkpoint at the end."""
    selector = f"{names.LABEL_STAGE}={stage}"

    def running() -> list[str]:
        pods = place.get("pods", f"--selector={selector}")["items"]
        return [pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") == "Running"]

    place.until(f"the trainer of {stage}", running, TRAINED_SECONDS)
    place.kubectl("delete", "pod", running()[0], "--grace-period=0", "--force")


def promoted(place: Team) -> bool:
    agent = place.agent(NAME, "small")
    assert "Failed" not in agent.get("phase", ""), agent
    return bool(agent.get("servedRun"))


def weights(place: Team, run: str) -> str:
    """What the scripted engine says of the weights of a run."""
    path = Path(served_subpath(NAME, "small", run)) / "model.safetensors"
    return place.in_claim("weights", f"sha256sum {path}")[:12]


def serves(place: Team, checksum: str) -> bool:
    return place.ask(NAME, "an easy one") == [[f"small answers by weights {checksum}", "small"]] * 2


def judge(traffic: Traffic, *checksums: str) -> None:
    traffic.check(at_least=100)
    known = {"large answers by weights none", "medium answers by weights none"}
    assert set(traffic.texts) == known | {f"small answers by weights {each}" for each in checksums}
