"""What happens to a cascade, told in lines: phases, training steps, and when it is ready."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from disrouter.api import Phase
from disrouter_cli import cluster
from disrouter_operator.kube.resources import Object

if TYPE_CHECKING:
    from disrouter_local.store.store import Store

POLL_SECONDS = 0.5
STEP_SECONDS = 5.0
"""A training step is told at most this often for each agent."""

Artifacts = Callable[[str], Path]
"""Folder of a claim by its name."""


@dataclass
class Narrator:
    """Turns successive looks at a cascade into lines, each told once."""

    artifacts: Artifacts
    clock: Callable[[], float] = time.monotonic
    _told: dict[str, str] = field(default_factory=dict)
    _step_told: dict[str, float] = field(default_factory=dict)

    def lines(self, cascade: Object) -> Iterator[str]:
        """What is new since the last look."""
        name = cascade["metadata"]["name"]
        for agent in (cascade.get("status") or {}).get("agents") or []:
            key = f"{name}/{agent['name']}"
            yield from self._changed(key, _agent_line(agent))
            yield from self._step(cascade, agent, key)
        ready = cluster.condition(cascade, "Ready")
        yield from self._changed(name, _ready_line(cascade, ready))

    def _changed(self, key: str, line: str) -> Iterator[str]:
        if self._told.get(key) != line:
            self._told[key] = line
            yield f"{key}: {line}"

    def _step(self, cascade: Object, agent: dict[str, Any], key: str) -> Iterator[str]:
        step = training_step(self.artifacts, cascade, agent)
        if step is None or self._told.get(f"{key}/step") == step:
            return
        if self.clock() - self._step_told.get(key, float("-inf")) < STEP_SECONDS:
            return
        self._told[f"{key}/step"] = step
        self._step_told[key] = self.clock()
        yield f"{key}: {step}"


def training_step(artifacts: Artifacts, cascade: Object, agent: dict[str, Any]) -> str | None:
    """`SFT step 120 of 300, 45 s left`, from the stage's progress file; None where nothing trains."""
    stage = Phase(agent["phase"]).stage if agent.get("phase") else None
    training = cascade["spec"].get("training") or {}
    claim = (training.get("artifacts") or {}).get("persistentVolumeClaim")
    if stage is None or claim is None or not agent.get("run"):
        return None
    name = cascade["metadata"]["name"]
    file = artifacts(claim) / name / agent["name"] / agent["run"] / stage / "progress.json"
    try:
        step = json.loads(file.read_bytes())
        left = step.get("seconds_left")
        ending = f", {left:.0f} s left" if left is not None else ""
        return f"{agent['phase']} step {step['step']} of {step['of']}{ending}"
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not begun, or not ours to judge


def watch(
    store: Store, narrator: Narrator, say: Callable[[str], None], done: Callable[[list[Object]], bool]
) -> Iterator[None]:
    """Tell what happens until `done` says that it is enough; yields after each look, for the caller to wait."""
    while True:
        found = cluster.cascades(store)
        for cascade in found:
            for line in narrator.lines(cascade):
                say(line)
        if done(found):
            return
        yield


def hint(cascade: Object) -> str:
    """How to ask a cascade that is ready."""
    name, url = cascade["metadata"]["name"], cascade["status"]["url"]
    body = json.dumps({"model": name, "messages": [{"role": "user", "content": "What is 7 * 8?"}]})
    return (
        f"READY   {url}\n"
        f"  curl -i {url}/chat/completions -H 'content-type: application/json' -d '{body}'\n"
        '  disrouter ask "What is 7 * 8?"'
    )


def _agent_line(agent: dict[str, Any]) -> str:
    parts = [str(agent.get("phase"))]
    if agent.get("awareness"):
        parts.append(f"({agent['awareness']})")
    if agent.get("message") and agent.get("phase") != Phase.READY:
        parts.append(f"- {agent['message']}")
    return " ".join(parts)


def _ready_line(cascade: Object, ready: dict[str, Any]) -> str:
    status = cascade.get("status") or {}
    if ready["status"] == "True":
        return f"Ready, agents {status.get('agentsReady', '')}"
    details = "" if status.get("agents") else f" - {ready.get('message', '')}"  # the agents' own lines say more
    return f"not ready: {ready['reason']}{details}"
