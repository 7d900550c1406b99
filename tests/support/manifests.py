"""A valid manifest and the table of invalid ones that every entrance must refuse with field and remedy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]

VALID: Manifest = {
    "apiVersion": "disrouter.io/v1alpha1",
    "kind": "SelfRoutingCascade",
    "metadata": {"name": "qwen", "namespace": "default"},
    "spec": {
        "scenario": "balance",
        "agents": [
            {"name": "small", "model": {"uri": "hf://Qwen/Qwen2.5-0.5B-Instruct"}, "cost": 0.1},
            {"name": "medium", "model": {"uri": "pvc://models/qwen2.5-3b"}, "cost": 0.4},
            {"name": "large", "external": {"url": "https://api.example.com/v1", "model": "big"}, "cost": 0.9},
        ],
        "training": {
            "datasets": [{"file": "pvc://data/ours.jsonl"}],
            "artifacts": {"persistentVolumeClaim": "weights"},
        },
    },
}


def valid() -> Manifest:
    """A fresh copy that a test may change."""
    return copy.deepcopy(VALID)


@dataclass(frozen=True)
class Invalid:
    """How to break the valid manifest, and which field and words the message must have."""

    name: str
    breaks: Callable[[Manifest], object]
    field: str
    says: str
    by_schema: bool = False
    """An API server refuses it by the schema alone, without CEL."""

    def manifest(self) -> Manifest:
        manifest = valid()
        self.breaks(manifest)
        return manifest


def _agent(manifest: Manifest, index: int, **fields: Any) -> Manifest:
    manifest["spec"]["agents"][index].update(fields)
    return manifest


INVALID = (
    Invalid(
        "duplicate names",
        lambda m: _agent(m, 1, name="small"),
        "spec.agents",
        "2 agents are named 'small'; names must be unique",
        by_schema=True,
    ),
    Invalid("cost order", lambda m: _agent(m, 1, cost=0.05), "spec.agents[1].cost", "order the agents by cost"),
    Invalid(
        "cycle",
        lambda m: _agent(m, 1, next="small"),
        "spec.agents[1].next",
        "forms a cycle; route to a later, costlier agent",
    ),
    Invalid(
        "unknown successor", lambda m: _agent(m, 0, next="huge"), "spec.agents[0].next", "use one of small, medium"
    ),
    Invalid(
        "unreached agent", lambda m: _agent(m, 0, next="large"), "spec.agents[1].name", "no route reaches 'medium'"
    ),
    Invalid(
        "two terminals",
        lambda m: _agent(m, 1, selfAwareness={"mode": "none"}),
        "spec.agents[1].selfAwareness.mode",
        "exactly one agent may be terminal",
    ),
    Invalid(
        "no terminal",
        lambda m: _agent(m, 2, selfAwareness={"mode": "prompted"}),
        "spec.agents[2].selfAwareness.mode",
        "the last agent always answers",
    ),
    Invalid(
        "unknown field",
        lambda m: _agent(m, 1, replcas={"min": 1}),
        "spec.agents[1].replcas",
        "unknown field, did you mean 'replicas'?",
    ),
    Invalid(
        "agent name too long",
        lambda m: _agent(m, 0, name="a" * 21),
        "spec.agents[0].name",
        "at most 20",
        by_schema=True,
    ),
    Invalid(
        "agent name not a label",
        lambda m: _agent(m, 0, name="Small_1"),
        "spec.agents[0].name",
        "should match pattern",
        by_schema=True,
    ),
    Invalid(
        "cascade name too long",
        lambda m: m["metadata"].update(name="q" * 41),
        "metadata.name",
        "has 41 characters; use at most 40",
    ),
    Invalid(
        "alpha out of range",
        lambda m: m["spec"].update(scenario=None, preference=1.5),
        "spec.preference",
        "less than or equal to 1 (got 1.5)",
        by_schema=True,
    ),
    Invalid("cost out of range", lambda m: _agent(m, 2, cost=1.5), "spec.agents[2].cost", "(got 1.5)", by_schema=True),
    Invalid(
        "scenario and preference",
        lambda m: m["spec"].update(preference=0.3),
        "spec.preference",
        "contradicts spec.scenario; give one of the two",
    ),
    Invalid(
        "unknown scenario",
        lambda m: m["spec"].update(scenario="cheap"),
        "spec.scenario",
        "performance-first",
        by_schema=True,
    ),
    Invalid(
        "missing dataset",
        lambda m: m["spec"]["training"].pop("datasets"),
        "spec.training.datasets",
        "is required; add it",
        by_schema=True,
    ),
    Invalid(
        "no dataset",
        lambda m: m["spec"]["training"].update(datasets=[]),
        "spec.training.datasets",
        "at least 1 item",
        by_schema=True,
    ),
    Invalid(
        "dataset without source",
        lambda m: m["spec"]["training"].update(datasets=[{"split": "train"}]),
        "spec.training.datasets[0]",
        "exactly one of id",
    ),
    Invalid(
        "trained without training",
        lambda m: [_agent(m, 0, selfAwareness={"mode": "trained"}), m["spec"].pop("training")],
        "spec.training",
        "there is no dataset; give spec.training.datasets",
    ),
    Invalid(
        "external trained",
        lambda m: _agent(
            m, 1, model=None, external={"url": "http://x/v1", "model": "x"}, selfAwareness={"mode": "trained"}
        ),
        "spec.agents[1].selfAwareness.mode",
        "cannot be trained here; use prompted",
    ),
    Invalid(
        "neither model nor external",
        lambda m: m["spec"]["agents"][1].pop("model"),
        "spec.agents[1]",
        "exactly one of model and external",
    ),
    Invalid(
        "bad model address",
        lambda m: _agent(m, 1, model={"uri": "models/qwen"}),
        "spec.agents[1].model.uri",
        "should match pattern",
        by_schema=True,
    ),
    Invalid(
        "trained from s3",
        lambda m: _agent(m, 1, model={"uri": "s3://bucket/qwen"}),
        "spec.agents[1].model.uri",
        "cannot be trained: Jobs read base models from hf:// or pvc://",
    ),
    Invalid(
        "min above max",
        lambda m: _agent(m, 1, replicas={"min": 4, "max": 2}),
        "spec.agents[1].replicas",
        "min 4 exceeds max 2; lower min or raise max",
    ),
    Invalid("no agents", lambda m: m["spec"].update(agents=[]), "spec.agents", "at least 1 item", by_schema=True),
)
"""`scenario=None` in a manifest means absent: drop such keys before sending one to an API server."""
