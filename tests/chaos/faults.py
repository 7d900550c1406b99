"""What breaks, and how it is put right: each fault ends with everything in place that it took away."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from chaos import processes
from chaos.invariants import unsettled
from disrouter import names
from support.team import Team

PARTS = (
    "kubelet",
    "kube-apiserver",
    "etcd",
    "kserve-manager",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
)
"""Parts of the cluster that are killed, where a program is given that kills them and starts them again."""
AWAY_SECONDS = (2.0, 12.0)
ANSWERS_SECONDS = 60.0


@dataclass
class Ground:
    """The cluster that is broken, and what was killed of it that serves."""

    team: Team
    cascade: str
    tool: str | None = None
    """A program that takes `kill PART` and `start PART`."""
    kills: list[float] = field(default_factory=list)
    """When, in Unix seconds."""

    def run(self, *words: str) -> None:
        """The program that breaks parts of the cluster."""
        assert self.tool is not None
        subprocess.run([self.tool, *words], check=True, capture_output=True, timeout=120)

    def answers(self) -> bool:
        """Whether the API server does."""
        return self.team.cluster.kubectl_process("get", "--raw", "/readyz").returncode == 0

    def at_rest(self) -> bool:
        """Whether every agent serves, as the status says: who kills one then, kills no last one."""
        return unsettled(self.team.get(names.PLURAL, self.cascade)) is None


Fault = Callable[[Ground, random.Random], str]
"""Breaks something; says what, or why not."""


def _serving(ground: Ground, draw: random.Random) -> tuple[str, str] | None:
    """Name and uid of a pod of an agent, once every agent serves."""
    found = ground.team.agents(ground.cascade)
    if not found or not ground.at_rest():
        return None
    name = draw.choice(sorted(found))
    return name, found[name].partition(" ")[0]


def delete_pod(ground: Ground, draw: random.Random) -> str:
    """A pod ends as it should."""
    pod = _serving(ground, draw)
    if pod is None:
        return "nobody, for not all serve"
    ground.team.kubectl("delete", "pod", pod[0], "--wait=false")
    return pod[0]


def force_delete_pod(ground: Ground, draw: random.Random) -> str:
    """A pod is gone at once."""
    pod = _serving(ground, draw)
    if pod is None:
        return "nobody, for not all serve"
    ground.kills.append(time.time())
    ground.team.kubectl("delete", "pod", pod[0], "--force", "--grace-period=0", "--wait=false")
    return pod[0]


def kill_process(ground: Ground, draw: random.Random, *, words: str) -> str:
    """A process of a pod is killed."""
    pod = _serving(ground, draw)
    if pod is None:
        return "nobody, for not all serve"
    ground.kills.append(time.time())
    killed = processes.kill(processes.of_pod(pod[1], words))
    return pod[0] if killed else f"no process of {pod[0]}"


def kill_operator(ground: Ground, draw: random.Random) -> str:
    """The operator is killed."""
    pods = ground.team.cluster.operator_pods()
    if not pods:
        return "nobody"
    pod = draw.choice(sorted(pods, key=lambda each: str(each["metadata"]["name"])))["metadata"]
    killed = processes.kill(processes.of_pod(pod["uid"], "disrouter_operator"))
    return pod["name"] if killed else f"no process of {pod['name']}"


def garble_routes(ground: Ground, _: random.Random) -> str:
    """Somebody writes into the route table."""
    patch = '{"data":{"routes.json":"{"}}'
    ground.team.kubectl("patch", "configmap", f"{ground.cascade}-routes", "--type=merge", "--patch", patch)
    return f"{ground.cascade}-routes"


def take_away(ground: Ground, draw: random.Random, *, part: str) -> str:
    """A part of the cluster is killed, and started again after some seconds."""
    seconds = draw.uniform(*AWAY_SECONDS)
    ground.run("kill", part)
    try:
        time.sleep(seconds)
    finally:
        ground.run("start", part)
    deadline = time.monotonic() + ANSWERS_SECONDS
    while not ground.answers() and time.monotonic() < deadline:
        time.sleep(0.5)
    return f"{part} for {seconds:.0f} s"


def faults(*, parts: bool, local: bool) -> dict[str, Fault]:
    """Those that can be made: `parts` with a program that kills parts, `local` where the nodes are this machine's."""
    found: dict[str, Fault] = {each.__name__: each for each in (delete_pod, force_delete_pod, garble_routes)}
    if local:
        found["kill_engine"] = partial(kill_process, words="scripted.py")
        found["kill_sidecar"] = partial(kill_process, words="disrouter_sidecar")
        found["kill_operator"] = kill_operator
    if parts:
        found |= {f"take_away_{part}": partial(take_away, part=part) for part in PARTS}
    return found
