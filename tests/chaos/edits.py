"""What a person changes in the manifest. Pure: from one list of agents to the next."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from support.pool import cascade, scripted

Spec = dict[str, Any]


def first(**spec: Any) -> Spec:
    """The cascade as it begins: two agents, of which the first knows what is easy."""
    return {"agents": [scripted("small", 0.1, "easy"), scripted("large", 0.9)], "drainSeconds": 5} | spec


def manifest(name: str, spec: Spec) -> dict[str, Any]:
    """The cascade of that name as it is now."""
    return cascade(name, *spec["agents"], **{field: value for field, value in spec.items() if field != "agents"})


def add(spec: Spec, draw: random.Random) -> None:
    """One more agent between the first and the last, if there are fewer than four."""
    taken = {agent["name"] for agent in spec["agents"]}
    free = [name for name in ("medium", "middle") if name not in taken]
    if free:
        name = draw.choice(free)
        spec["agents"].insert(len(spec["agents"]) - 1, scripted(name, 0.5, "hard"))


def remove(spec: Spec, draw: random.Random) -> None:
    """One of those between."""
    if len(spec["agents"]) > 2:
        del spec["agents"][draw.randrange(1, len(spec["agents"]) - 1)]


def swap(spec: Spec, draw: random.Random) -> None:
    """Another model for one agent."""
    agent = draw.choice(spec["agents"])
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


EDITS: dict[str, Callable[[Spec, random.Random], None]] = {
    each.__name__: each for each in (add, remove, swap, reprice, scale, prefer)
}
