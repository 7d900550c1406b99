"""What a person changes in the manifest. Pure: from one list of agents to the next."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from disrouter import names
from support.pool import cascade, scripted
from support.tiny_training import MODEL, training

Spec = dict[str, Any]
_NONCE = "retrained"
"""How often: no field of the manifest's spec, but its annotation."""


def first(*, train: bool = False) -> Spec:
    """The cascade as it begins: two agents. The first knows what is easy; `train`: and is trained."""
    small, large = scripted("small", 0.1, "easy"), scripted("large", 0.9)
    spec: Spec = {"agents": [small, large], "drainSeconds": 5}
    if not train:
        return spec
    small |= {"model": {"uri": MODEL}, "selfAwareness": {"mode": "trained"}}
    return spec | {"training": training(), _NONCE: 0}


def manifest(name: str, spec: Spec) -> dict[str, Any]:
    """The cascade of that name as it is now."""
    fields = {field: value for field, value in spec.items() if field not in ("agents", _NONCE)}
    made = cascade(name, *spec["agents"], **fields)
    if spec.get(_NONCE):
        made["metadata"]["annotations"] = {names.ANNOTATION_RETRAIN: str(spec[_NONCE])}
    return made


def add(spec: Spec, draw: random.Random) -> None:
    """One more agent between the first and the last, if there are fewer than four."""
    taken = {agent["name"] for agent in spec["agents"]}
    free = [name for name in ("medium", "middle") if name not in taken]
    if free:
        name = draw.choice(free)
        prompted = {"selfAwareness": {"mode": "prompted"}}
        spec["agents"].insert(len(spec["agents"]) - 1, scripted(name, 0.5, "hard", **prompted))


def remove(spec: Spec, draw: random.Random) -> None:
    """One of those between."""
    if len(spec["agents"]) > 2:
        del spec["agents"][draw.randrange(1, len(spec["agents"]) - 1)]


def swap(spec: Spec, draw: random.Random) -> None:
    """Another model for one agent that is not trained."""
    agent = draw.choice([each for each in spec["agents"] if each["model"]["uri"] != MODEL])
    agent["model"] = {"uri": f"hf://scripted/{agent['name']}-{draw.randrange(1000)}"}


def reprice(spec: Spec, draw: random.Random) -> None:
    """The last agent costs more or less."""
    spec["agents"][-1]["cost"] = round(draw.uniform(0.6, 1.0), 2)


def scale(spec: Spec, draw: random.Random) -> None:
    """One or two pods of the first agent."""
    pods = draw.choice([1, 2])
    spec["agents"][0]["replicas"] = {"min": pods, "max": pods}


def prefer(spec: Spec, draw: random.Random) -> None:
    """Another scenario."""
    spec["scenario"] = draw.choice(["performance-first", "balance", "cost-first"])


def retrain(spec: Spec, _: random.Random) -> None:
    """The trained agent once more."""
    spec[_NONCE] += 1


def edits(*, train: bool) -> dict[str, Callable[[Spec, random.Random], None]]:
    """Those that can be made, by name."""
    found = (add, remove, swap, reprice, scale, prefer, *([retrain] if train else []))
    return {each.__name__: each for each in found}
