"""A scenario is a table: what somebody does, and everything that follows from it.

Each step names what is edited or what the world does, and then in full: the children that appear, change or go (all
others must keep their uid and resourceVersion), each agent's phase, the conditions, and the Events. Titles of children
are without hashes: `Job/small-sft#2` is the SFT Job of the second run of agent small, `InferenceService/small+` stands
beside `InferenceService/small`.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from disrouter_operator.kube.resources import Object
from support.world import World


@dataclass(frozen=True)
class Edit:
    """A change of the manifest."""

    change: Callable[[Object], None]


@dataclass(frozen=True)
class Play:
    """What the world does."""

    act: Callable[[World], Awaitable[None]]


CONDITIONS = ("Ready", "TrainingComplete", "Degraded")
BASE: Object = {
    "apiVersion": "disrouter.io/v1alpha1",
    "kind": "SelfRoutingCascade",
    "metadata": {"name": "qwen", "annotations": {}},
    "spec": {
        "drainSeconds": 60,
        "agents": [
            {"name": "small", "model": {"uri": "hf://Qwen/Qwen2.5-0.5B-Instruct"}, "cost": 0.1},
            {
                "name": "medium",
                "model": {"uri": "pvc://models/qwen2.5-3b"},
                "cost": 0.4,
                "selfAwareness": {"mode": "prompted"},
            },
            {"name": "large", "external": {"url": "https://api.example.com/v1", "model": "big"}, "cost": 0.9},
        ],
        "training": {
            "datasets": [{"file": "pvc://data/ours.jsonl"}],
            "artifacts": {"persistentVolumeClaim": "weights"},
            "jobs": {"backoffLimit": 0, "retries": 1},
        },
    },
}


def base(**spec: Any) -> Object:
    """The base manifest with top-level fields of the spec replaced."""
    manifest = copy.deepcopy(BASE)
    manifest["spec"] |= spec
    return manifest


@dataclass(frozen=True)
class Step:
    """One row. Texts are lists of words."""

    what: str
    does: Edit | Play
    children: str = ""
    """`+Kind/name` created, `~Kind/name` changed, `-Kind/name` gone."""
    phases: str = ""
    """`agent=Phase/Reason` of each agent in order."""
    conditions: str = ""
    """`Type=Reason` of Ready, TrainingComplete and Degraded."""
    events: str = ""
    """Reasons of the Events of this step."""


def put(path: str, value: Any) -> Edit:
    """Set a field: `spec.agents.0.cost`."""
    *parents, last = path.split(".")

    def edit(manifest: Object) -> None:
        where = _follow(manifest, parents)
        where[int(last) if isinstance(where, list) else last] = copy.deepcopy(value)

    return Edit(edit)


def drop(path: str) -> Edit:
    """Remove a field or an item."""
    *parents, last = path.split(".")

    def edit(manifest: Object) -> None:
        where = _follow(manifest, parents)
        del where[int(last) if isinstance(where, list) else last]

    return Edit(edit)


def insert(index: int, agent: Object) -> Edit:
    """One more agent at a place of the list."""

    def edit(manifest: Object) -> None:
        manifest["spec"]["agents"].insert(index, copy.deepcopy(agent))

    return Edit(edit)


def swap(one: int, other: int) -> Edit:
    """Two agents change places in the list."""

    def edit(manifest: Object) -> None:
        agents = manifest["spec"]["agents"]
        agents[one], agents[other] = agents[other], agents[one]

    return Edit(edit)


def annotate(name: str, value: str) -> Edit:
    """Set an annotation."""

    def edit(manifest: Object) -> None:
        manifest["metadata"]["annotations"][name] = value

    return Edit(edit)


def together(*edits: Edit) -> Edit:
    """Several edits in one apply."""

    def edit(manifest: Object) -> None:
        for each in edits:
            each.change(manifest)

    return Edit(edit)


def serve(*agents: str) -> Play:
    """Pods of these agents come up as they are asked for now."""
    return Play(lambda world: world.serve(*agents))


def end(agent: str, stage: str, **how: Any) -> Play:
    """The stage's pod ends: well, or with `said` and `code`; `gain` is an evaluation's."""
    return Play(lambda world: world.end(agent, stage, **how))


def later(**time: float) -> Play:
    """The clock goes on."""
    return Play(lambda world: world.later(**time))


def train(agent: str, gain: float) -> Play:
    """All stages of a run."""
    return Play(lambda world: world.train(agent, gain))


async def play(world: World, steps: Sequence[Step]) -> None:
    """Take every step and compare all that follows with its row."""
    manifest = await world.cascade()
    manifest["metadata"] = {key: manifest["metadata"][key] for key in ("name", "namespace")} | {"annotations": {}}
    for step in steps:
        before, events = await world.versions(), Counter(await world.events())
        if isinstance(step.does, Edit):
            step.does.change(manifest)
            await world.admin.edit(manifest)
        else:
            await step.does.act(world)
            before = await world.versions()
        await world.settle()
        found = await _found(world, before, events)
        assert found == _row(step), f"{step.what}: what followed was\n{_told(found)}"


async def _found(world: World, before: dict[str, str], events: Counter[str]) -> dict[str, list[str]]:
    after, status = await world.versions(), await world.status()
    changed = [f"+{title}" for title in after.keys() - before.keys()]
    changed += [f"-{title}" for title in before.keys() - after.keys()]
    changed += [f"~{title}" for title in after.keys() & before.keys() if after[title] != before[title]]
    return {
        "children": sorted(changed),
        "phases": [f"{a.name}={a.phase}" + (f"/{a.reason}" if a.reason else "") for a in status.agents],
        "conditions": [f"{each.type}={each.reason}" for each in status.conditions if each.type in CONDITIONS],
        "events": sorted((Counter(await world.events()) - events).elements()),
    }


def _row(step: Step) -> dict[str, list[str]]:
    return {
        "children": sorted(step.children.split()),
        "phases": step.phases.split(),
        "conditions": step.conditions.split(),
        "events": sorted(step.events.split()),
    }


def _told(found: dict[str, list[str]]) -> str:
    return "\n".join(f'    {name}="{" ".join(words)}",' for name, words in found.items())


def _follow(manifest: Object, path: Sequence[str]) -> Any:
    where: Any = manifest
    for name in path:
        where = where[int(name)] if isinstance(where, list) else where.setdefault(name, {})
    return where
