"""Which training runs a pool takes, and what they can share. Pure but for making links.

A stage's result depends on a part of the run's inputs only: `collect` not on the recipe of `sft`. Runs that agree in
that part share the stage, so that an ablation of `rl` collects and supervises once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from disrouter.artifacts import RunConfig, RunLayout, Stage
from disrouter.recipe import merge
from disrouter_training.data.split_files import recorded
from disrouter_training.errors import TrainingError
from disrouter_training.pool.file import Pool, PoolAgent

MAIN = "main"
"""The variant of the pool's own recipe."""
STAGES = (Stage.COLLECT, Stage.SFT, Stage.RL)
_NOT_YET = {Stage.COLLECT: ("sft", "rl", "scenarios", "lora", "precision", "nonce"), Stage.SFT: ("rl",), Stage.RL: ()}
"""Inputs that a stage does not read."""


@dataclass(frozen=True)
class PoolRun:
    """One agent, one seed, one variant."""

    variant: str
    agent: str
    config: RunConfig

    def key(self, stage: Stage) -> str:
        """The same for two runs whose stage gives the same result."""
        inputs = {k: v for k, v in self.config.inputs.dump().items() if k not in (*_NOT_YET[stage], "cascade", "agent")}
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:10]


def runs(pool: Pool, seeds: Sequence[int]) -> list[PoolRun]:
    """Every training run, the pool's own recipe first."""
    variants: list[tuple[str, dict[str, Any]]] = [(MAIN, {})]
    variants += [(variant.name, variant.recipe) for variant in pool.variants]
    return [
        PoolRun(name, agent.name, config(pool, agent, seed, recipe))
        for name, recipe in variants
        for seed in seeds
        for agent in pool.trained
    ]


def config(pool: Pool, agent: PoolAgent, seed: int, recipe: dict[str, Any]) -> RunConfig:
    """A run file. Raises TrainingError that names the field of the recipe."""
    splits = {"datasets": pool.datasets.test, "dev": pool.datasets.dev, "heldout": pool.datasets.heldout}
    content = {
        **merge(pool.recipe, agent.recipe, recipe),
        "cascade": pool.name,
        "agent": agent.name,
        "model": agent.model,
        "seed": seed,
        "datasets": [source.dump() for source in pool.datasets.train],
        "evaluate": {name: [source.dump() for source in each] for name, each in splits.items()},
    }
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise TrainingError(f"the recipe of agent {agent.name}: {reasons}") from None


def share(run: PoolRun, others: Sequence[PoolRun], artifacts: Path) -> Iterator[Stage]:
    """Link stages that another run has finished with the same inputs; yields those that were linked.

    What follows `collect` is only taken from a run that has collected the same questions: a dataset may have changed
    between the two.
    """
    layout = RunLayout.of(artifacts, run.config)
    for stage in STAGES:
        if layout.done(stage) is not None:
            continue
        for other in others:
            there = RunLayout.of(artifacts, other.config)
            if there == layout or other.key(stage) != run.key(stage) or there.done(stage) is None:
                continue
            if stage is Stage.COLLECT or recorded(there) == recorded(layout):
                _link(there.stage(stage), layout.stage(stage))
                yield stage
                break


def _link(source: Path, target: Path) -> None:
    """The same files under another name: no bytes are copied, and a stage writes new files rather than into old."""
    shutil.rmtree(target, ignore_errors=True)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(source, scratch, copy_function=os.link)
    scratch.replace(target)
