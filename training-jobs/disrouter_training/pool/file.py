"""The pool file: agents, questions, the recipe, and variants of it to compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, StrictFloat, StrictInt, ValidationError, model_validator

from disrouter.api.rules.cascade import parse
from disrouter.artifacts import DatasetSource
from disrouter.errors import DisrouterError
from disrouter.model import Model
from disrouter.recipe import merge
from disrouter_training.errors import TrainingError

RECIPE_KEYS = ("collect", "sft", "rl")
"""What a manifest's training says that a run file says too."""
SET_BY_POOL = ("cascade", "agent", "model", "seed", "datasets", "evaluate")
"""Fields of a run file that the pool file decides elsewhere."""


class PoolAgent(Model):
    """A base model of the pool."""

    name: str = Field(min_length=1, max_length=64)
    model: str = Field(min_length=1)
    """A URI, or a folder beside the pool file."""
    cost: StrictFloat = Field(ge=0, le=1)
    recipe: dict[str, Any] = Field(default={})
    """What differs from the pool's recipe."""


class PoolDatasets(Model):
    """Questions by what they are for. No question of the last three is trained on."""

    train: tuple[DatasetSource, ...] = Field(min_length=1)
    dev: tuple[DatasetSource, ...] = Field(min_length=1)
    """What everything is chosen by: thresholds, calibration, and the baselines' settings."""
    test: tuple[DatasetSource, ...] = Field(min_length=1)
    heldout: tuple[DatasetSource, ...] = ()
    """Out-of-domain questions."""


class Variant(Model):
    """Another recipe to compare with the pool's own (an ablation)."""

    name: str = Field(min_length=1, max_length=64)
    recipe: dict[str, Any] = Field(min_length=1)
    """What differs from the pool's recipe."""


class Pool(Model):
    """The content of a pool file."""

    name: str = Field(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=52)
    agents: tuple[PoolAgent, ...] = Field(min_length=2)
    """Cheapest first; the last always answers and is not trained."""
    datasets: PoolDatasets
    volumes: dict[str, str] = Field(default={})
    """Folder, beside the pool file, of each claim that a `pvc://` address names."""
    recipe: dict[str, Any] = Field(default={})
    """Fields of a run file: `collect`, `sft`, `rl` and so on."""
    variants: tuple[Variant, ...] = ()
    subpools: tuple[tuple[str, ...], ...] = ()
    """Parts of the pool that are judged as cascades of their own without training again (Table 4)."""
    seeds: tuple[StrictInt, ...] = Field(default=(1, 2, 3), min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [agent.name for agent in self.agents]
        if len(set(names)) != len(names):
            raise ValueError(f"two agents have one name: {', '.join(names)}")
        costs = [agent.cost for agent in self.agents]
        if costs != sorted(costs):
            raise ValueError(f"agents must be ordered by cost, got {costs}")
        for part in self.subpools:
            if len(part) < 2 or list(part) != [name for name in names if name in part]:
                raise ValueError(f"subpool {list(part)} must name two or more of {names} in their order")
        recipes = [self.recipe, *(a.recipe for a in self.agents), *(v.recipe for v in self.variants)]
        taken = sorted({key for recipe in recipes for key in recipe if key in SET_BY_POOL})
        if taken:
            raise ValueError(f"a recipe cannot set {', '.join(taken)}: the pool file says that elsewhere")
        return self

    @property
    def trained(self) -> tuple[PoolAgent, ...]:
        """The agents that decide."""
        return self.agents[:-1]


def read_pool(path: Path) -> Pool:
    """Read a pool file. Raises TrainingError that names the file and the field."""
    content = _yaml(path)
    cascade = content.pop("cascade", None)
    if cascade is not None:
        content = _with_manifest(content, path.parent / str(cascade))
    try:
        pool = Pool.model_validate(content)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'pool'}: {item['msg']}" for item in error.errors())
        raise TrainingError(f"{path} is not a pool file: {reasons}") from None
    agents = tuple(agent.model_copy(update={"model": _address(agent.model, path.parent)}) for agent in pool.agents)
    volumes = {claim: str((path.parent / folder).absolute()) for claim, folder in pool.volumes.items()}
    return pool.model_copy(update={"agents": agents, "volumes": volumes})


def _with_manifest(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Agents, costs, training questions and recipe of a SelfRoutingCascade; the pool file's own words go first."""
    manifest = _yaml(path)
    try:
        spec = parse(manifest)
    except DisrouterError as error:
        raise TrainingError(f"{path}: {error}") from None
    agents = []
    for agent in spec.agents:
        if agent.model is None:
            raise TrainingError(f"{path}: agent {agent.name} has no model to train or ask here; list agents without it")
        agents.append({"name": agent.name, "model": agent.model.uri, "cost": agent.cost})
    found: dict[str, Any] = {"name": manifest["metadata"]["name"], "agents": agents}
    if spec.training is not None:
        training = spec.training.dump()
        found["recipe"] = {key: training[key] for key in RECIPE_KEYS}
        found["datasets"] = {"train": training["datasets"], "test": training["evaluate"].get("datasets", [])}
    return merge(found, content)


def _yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise TrainingError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise TrainingError(f"{path} is not a mapping")
    return content


def _address(model: str, beside: Path) -> str:
    return model if "://" in model else f"file://{(beside / model).absolute()}"
