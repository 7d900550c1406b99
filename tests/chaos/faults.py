"""What breaks, and how it is put right: each fault ends with everything in place that it took away.

A slow disk is etcd that stands still. KServe's webhook is away with its manager.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from chaos import clock, processes
from chaos.invariants import Span, unsettled
from disrouter import names
from support.cluster import no_name_server
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
CUT_SECONDS = (10.0, 60.0)
"""A node is lost to the control plane after forty."""
FIRST_NODE = "node-1"
"""The control plane's."""
ANSWERS_SECONDS = 60.0
ENGINE = "-m scripted"
"""In the command line of the engines' processes."""


@dataclass
class Ground:
    """The cluster that is broken, and what was killed of it that serves."""

    team: Team
    cascade: str
    tool: str | None = None
    """A program that takes `kill PART` and `start PART`."""
    clocks: bool = False
    """Whether the operator's clock is ours."""
    kills: list[Span] = field(default_factory=list)

    def run(self, *words: str) -> None:
        """The program that breaks parts of the cluster."""
        assert self.tool is not None
        subprocess.run([self.tool, *words], check=True, capture_output=True, timeout=120)

    def killed(self) -> None:
        """What serves is killed now."""
        self.kills.append(Span(time.time(), time.time()))

    def answers(self) -> bool:
        """Whether the API server does."""
        return self.team.cluster.kubectl_process("get", "--raw", "/readyz").returncode == 0

    def nodes(self) -> list[str]:
        """The names of the cluster's nodes."""
        return self.team.cluster.kubectl("get", "nodes", "--output=jsonpath={.items[*].metadata.name}").split()

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
    ground.killed()
    ground.team.kubectl("delete", "pod", pod[0], "--force", "--grace-period=0", "--wait=false")
    return pod[0]


def kill_process(ground: Ground, draw: random.Random, *, words: str) -> str:
    """A process of a pod is killed."""
    pod = _serving(ground, draw)
    if pod is None:
        return "nobody, for not all serve"
    ground.killed()
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


def cut_node(ground: Ground, draw: random.Random) -> str:
    """A node is off the network. That explains all that fails meanwhile: an agent may have its only pod there."""
    others = sorted(set(ground.nodes()) - {FIRST_NODE})
    if not others or not ground.at_rest():
        return "none, for there is one node alone or not all serve"
    node, seconds, began = draw.choice(others), draw.uniform(*CUT_SECONDS), time.time()
    ground.run("cut", node)
    try:
        time.sleep(seconds)
    finally:
        ground.run("join", node)
        ground.kills.append(Span(began, time.time()))
    return f"{node} for {seconds:.0f} s"


def dns_away(ground: Ground, draw: random.Random) -> str:
    """No name server answers for some seconds."""
    seconds = draw.uniform(*AWAY_SECONDS)
    with no_name_server(ground.team.cluster):
        time.sleep(seconds)
    return f"for {seconds:.0f} s"


def stall_etcd(_: Ground, draw: random.Random) -> str:
    """etcd stands still for some seconds, as behind a disk that does not write."""
    seconds = draw.uniform(*AWAY_SECONDS)
    found = processes.on_nodes("etcd")
    processes.send(found, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        processes.send(found, signal.SIGCONT)
    return f"for {seconds:.0f} s" if found else "no process"


def clock_jumps(_: Ground, draw: random.Random) -> str:
    """The operator's clock is wrong for some seconds, by as much as an hour."""
    seconds = draw.choice((-1, 1)) * draw.choice((20, 90, 3600))
    with clock.wrong_by(seconds):
        time.sleep(draw.uniform(*AWAY_SECONDS))
    return f"by {seconds:+d} s"


def fill_volume(ground: Ground, draw: random.Random) -> str:
    """An engine's shared memory is full for some seconds."""
    pod = _serving(ground, draw)
    if pod is None:
        return "nobody, for not all serve"
    for process in processes.of_pod(pod[1], ENGINE):
        with processes.filled(process, "dev/shm") as size:
            time.sleep(draw.uniform(*AWAY_SECONDS))
        return f"{pod[0]} with {size >> 20} MiB"
    return f"no process of {pod[0]}"


def faults(*, parts: bool, local: bool, clocks: bool) -> dict[str, Fault]:
    """Those that can be made: `parts` with a program that kills parts, `local` where the nodes are this machine's, and
    `clocks` where the operator's time is ours to set."""
    anywhere = delete_pod, force_delete_pod, garble_routes, dns_away
    found: dict[str, Fault] = {each.__name__: each for each in anywhere}
    if local:
        found["kill_engine"] = partial(kill_process, words=ENGINE)
        found["kill_sidecar"] = partial(kill_process, words="disrouter_sidecar")
        found |= {each.__name__: each for each in (kill_operator, stall_etcd, fill_volume)}
    if clocks:
        found["clock_jumps"] = clock_jumps
    if parts:
        found["cut_node"] = cut_node
        found |= {f"take_away_{part}": partial(take_away, part=part) for part in PARTS}
    return found
