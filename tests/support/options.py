"""The serving options of docs/serving.md: each block there, laid over the example."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from disrouter_operator.kube.resources import Object
from support.clusters import example

DOCUMENT = Path(__file__).parents[2] / "docs" / "serving.md"
_BLOCK = re.compile(r"^```yaml\n# ([a-z-]+): [^\n]+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def overlays() -> dict[str, Object]:
    """Option -> what it changes."""
    return {name: yaml.safe_load(text) for name, text in _BLOCK.findall(DOCUMENT.read_text(encoding="utf-8"))}


def changed(overlay: Object) -> Object:
    """The example's manifest with an option."""
    manifest = example()
    given = dict(overlay["spec"])
    agents = {agent["name"]: agent for agent in manifest["spec"]["agents"]}
    for agent in given.pop("agents", []):
        agents[agent["name"]] = _merged(agents.get(agent["name"], {}), agent)
    manifest["spec"]["agents"] = sorted(agents.values(), key=lambda agent: float(agent["cost"]))
    manifest["spec"] = _merged(manifest["spec"], given)
    return manifest


def touched(overlay: Object) -> set[str] | None:
    """Agents whose pods an option may replace; None: all of them."""
    if overlay["spec"].keys() & {"pod", "auth", "tls", "deploymentMode"}:
        return None
    return {agent["name"] for agent in overlay["spec"].get("agents", [])}


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new
