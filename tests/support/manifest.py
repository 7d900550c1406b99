"""A valid manifest and how to break it."""

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
    by_cel: str = ""
    """Words of the CEL rule by which an API server that knows CEL refuses it."""

    def manifest(self) -> Manifest:
        manifest = valid()
        self.breaks(manifest)
        return manifest


def change_agent(manifest: Manifest, index: int, **fields: Any) -> Manifest:
    """Set fields of one agent; None means absent: `without_none` drops it before an API server sees it."""
    manifest["spec"]["agents"][index].update(fields)
    return manifest


def without_none(value: Any) -> Any:
    """The manifest as an API server gets it."""
    if isinstance(value, dict):
        return {key: without_none(inner) for key, inner in value.items() if inner is not None}
    return [without_none(inner) for inner in value] if isinstance(value, list) else value
