"""A training run: its inputs, its identity, its directory and its result.

A run is identified by the hash of everything that could change its outcome; what it takes to get there (engines and
batches) is none of it, so that another machine goes on with it. Its directory is

    <artifacts>/<cascade>/<agent>/<run>/
        run.json                     the inputs, as it was begun
        <stage>/done.json            written last, atomically: the stage is complete; metrics and versions inside
        <stage>/...                  shards, checkpoints, `weights/`, `evaluation.json`

`collect` alone reads the datasets. Every later stage reads only what stages before it left in the directory, so each
can be killed, resumed or repeated alone, and none is touched by a dataset that changes meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from disrouter.calibration import Calibration
from disrouter.errors import ArtifactError
from disrouter.model import Model, StructField
from disrouter.recipe import (
    RESOURCES,
    CollectConfig,
    DatasetSource,
    Engine,
    EvaluateConfig,
    Extraction,
    Lora,
    Precision,
    Recipe,
    RlConfig,
    SftConfig,
    SftTarget,
    TrainConfig,
    filled_in,
)
from disrouter.scenario import Scenario
from disrouter.terms import PreferenceEncoding

__all__ = [
    "DONE_FILE",
    "INTERRUPTED",
    "RUN_FILE",
    "TERMINATION_MESSAGE_LIMIT",
    "CalibrationField",
    "CollectConfig",
    "DatasetSource",
    "Discrimination",
    "Engine",
    "EvaluateConfig",
    "Evaluation",
    "Extraction",
    "Lora",
    "Precision",
    "PreferenceEncoding",
    "RlConfig",
    "RunConfig",
    "RunLayout",
    "ScenarioResult",
    "SftConfig",
    "SftTarget",
    "Stage",
    "TrainConfig",
    "served_subpath",
    "write_atomically",
]

DONE_FILE = "done.json"
RUN_FILE = "run.json"
INTERRUPTED = 75
"""Exit code of a stage that kept its work and is to be started again (sysexits' EX_TEMPFAIL)."""
TERMINATION_MESSAGE_LIMIT = 4096
"""Bytes of a container's termination message that the kubelet keeps; the evaluation must fit."""


class Stage(StrEnum):
    """The stages of Self-Awareness Training in order."""

    COLLECT = "collect"
    SFT = "sft"
    RL = "rl"
    EVALUATE = "evaluate"

    @property
    def previous(self) -> Stage | None:
        """The stage that must be complete before this one, None for the first."""
        stages = list(Stage)
        index = stages.index(self)
        return stages[index - 1] if index else None


class RunConfig(Model):
    """Everything that determines a run's outcome: the content of `run.json`."""

    cascade: str
    agent: str
    model: str
    """URI of the base model: `hf://`, `pvc://` or `file://`."""
    revision: str | None = None
    """Commit, tag or branch of a base model on `hf://`; None: its main branch, as it is when a stage begins."""
    image: str | None = None
    """Trainer image, where the cascade names one: an operator that brings a newer default trains nobody again."""
    seed: int = 0
    datasets: tuple[DatasetSource, ...] = Field(min_length=1)
    preference_encoding: PreferenceEncoding = PreferenceEncoding.DISCRETE
    recipe: Recipe | None = Field(default=None, exclude=True)
    """Read alone: what it fills in is part of the run, its name is not."""
    collect: CollectConfig = CollectConfig()
    sft: SftConfig = SftConfig()
    rl: RlConfig = RlConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    nonce: str | None = Field(default=None, max_length=253)
    """Any text; another one asks for the same training again (annotation `disrouter.io/retrain`)."""

    @model_validator(mode="before")
    @classmethod
    def _by_recipe(cls, given: Any) -> Any:
        return filled_in(given)

    @property
    def run(self) -> str:
        """Ten hex digits that change with any input, but not with what it takes."""
        return _digest(self)

    @property
    def inputs(self) -> RunConfig:
        """Without `resources`: what determines its outcome."""
        changed = {}
        for stage, names in RESOURCES:
            part = getattr(self, stage)
            usual = {name: type(part).model_fields[name].default for name in names}
            changed[stage] = part.model_copy(update=usual)
        return self.model_copy(update=changed)

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """What it takes, by stage and wire name, where that is not the default."""
        usual, found = self.inputs, dict[str, dict[str, Any]]()
        for stage, names in RESOURCES:
            part = getattr(self, stage)
            set_here = {name for name in names if getattr(part, name) != getattr(getattr(usual, stage), name)}
            if set_here:
                found[stage] = part.model_dump(mode="json", by_alias=True, include=set_here)
        return found

    def taking(self, resources: Mapping[str, Mapping[str, Any]]) -> RunConfig:
        """The same run with other `resources`. Raises ArtifactError for what is none."""
        allowed = {stage: set(names) for stage, names in RESOURCES}
        changed = {}
        for stage, fields in resources.items():
            part = getattr(self, stage, None)
            wrong = set(fields) - {to_camel(name) for name in allowed.get(stage, ())}
            if part is None or wrong:
                known = ", ".join(f"{stage}.{to_camel(name)}" for stage, names in RESOURCES for name in names)
                raise ArtifactError(f"{stage}: {', '.join(sorted(wrong))} is no resource of a run; known: {known}")
            changed[stage] = {**part.model_dump(mode="json", by_alias=True), **fields}
        try:
            return self.model_validate({**self.model_dump(mode="json", by_alias=True), **changed})
        except ValidationError as error:
            raise ArtifactError(f"the resources of the run are wrong: {_reasons(error)}") from None

    def dump(self) -> dict[str, Any]:
        """By wire names, without later fields at their defaults: so a release that brings a field neither makes a
        finished run another one nor changes its immutable `run.json`."""
        return _as_first_written(self)

    @classmethod
    def read(cls, path: Path) -> RunConfig:
        """Read `run.json`. Raises ArtifactError that names the file and the field."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ArtifactError(f"cannot read the run file {path}: {error.strerror}") from error
        except ValidationError as error:
            raise ArtifactError(f"{path} is not a run file: {_reasons(error)}") from None


def _reasons(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())


@lru_cache(maxsize=1024)
def _digest(config: RunConfig) -> str:
    """Kept, as a reconcile asks for it a dozen times for each trained agent."""
    canonical = json.dumps(config.inputs.dump(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]


_ADDED_LATER: tuple[tuple[type[Model], tuple[str, ...]], ...] = (
    (RunConfig, ("preference_encoding",)),
    (TrainConfig, ("precision",)),
    (SftConfig, ("target", "gamma", "replay", "packing")),
    (CollectConfig, ("engine",)),
    (RlConfig, ("collapse_window", "rollouts")),
    (EvaluateConfig, ("dev", "heldout")),
)
"""Fields that came after the first release."""


def _as_first_written(config: Model) -> dict[str, Any]:
    content = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    later = {name for kind, names in _ADDED_LATER if isinstance(config, kind) for name in names}
    for name, field in type(config).model_fields.items():
        value, wire = getattr(config, name), field.alias or name
        if name in later and value == field.default:
            content.pop(wire, None)
        elif isinstance(value, Model):
            content[wire] = _as_first_written(value)
    return content


CalibrationField = Annotated[Calibration, StructField(Calibration)]


class ScenarioResult(Model):
    """An agent alone under one scenario, on the evaluation questions."""

    scenario: Scenario
    coverage: float = Field(ge=0, le=1)
    """Share of questions that it answers."""
    selective_accuracy: float = Field(ge=0, le=1)
    utility: float
    """Mean local reward (eq. 7) of the candidate."""
    serving_utility: float
    """The same of what is served today."""
    self_assessment_accuracy: float = Field(ge=0, le=1)
    """Share of questions on which `answers` equals `would be right` (section 4.3, Table 5)."""
    self_assessment_f1: float = Field(ge=0, le=1)


class Discrimination(Model):
    """How well a decision parts the questions that an agent gets right from those that it gets wrong."""

    area: float = Field(ge=0, le=1)
    """Area under the ROC curve: 1 is perfect, one half is chance."""
    low: float = Field(ge=0, le=1)
    """Lower end of its 95 % interval."""
    high: float = Field(ge=0, le=1)


class Evaluation(Model):
    """The result of `evaluate`: small enough for a termination message, complete enough for the gate."""

    run: str
    questions: int = Field(ge=1)
    base_accuracy: float = Field(ge=0, le=1)
    """Accuracy of the base model when it must answer."""
    must_answer_accuracy: float = Field(ge=0, le=1)
    """The same after training: what training forgot is the difference (Appendix J)."""
    plain_accuracy: float | None = Field(default=None, ge=0, le=1)
    """Accuracy after training when it is asked the client's own question, as the probability mode asks it."""
    plain_refusals: float | None = Field(default=None, ge=0, le=1)
    """Share of these questions that it refuses, though nothing allows it to. Absent in earlier releases, as that."""
    scenarios: tuple[ScenarioResult, ...] = Field(min_length=1)
    discrimination: Discrimination | None = None
    """Of the text decision: in how many scenarios it answers a question. Absent where all is right, or all wrong."""
    first_token_discrimination: Discrimination | None = None
    """Of the probability decision; absent as that, and where there is no calibration."""
    calibration: CalibrationField | None = None
    """For the probability mode; absent where the refusal's first token does not tell it from an answer."""
    preference_encoding: PreferenceEncoding | None = None
    """How the run was taught to be told a preference; absent: by the three scenarios."""
    prompt_opens_reasoning: bool = False
    """Its chat template ends in an opened reasoning block, so that a reply begins inside it."""

    @property
    def coverage(self) -> float:
        """Mean over the scenarios of the share of questions that it answers."""
        return sum(item.coverage for item in self.scenarios) / len(self.scenarios)

    @property
    def utility_gain(self) -> float:
        """Mean over the scenarios of candidate minus serving utility: what the gate compares."""
        return sum(item.utility - item.serving_utility for item in self.scenarios) / len(self.scenarios)


@dataclass(frozen=True)
class RunLayout:
    """Paths of one run under an artifacts root."""

    root: Path
    cascade: str
    agent: str
    run: str

    @classmethod
    def of(cls, root: Path, config: RunConfig) -> RunLayout:
        """The directory that belongs to these inputs."""
        return cls(root, config.cascade, config.agent, config.run)

    @property
    def relative(self) -> str:
        """Path below the root: the `subPath` of a volume."""
        return f"{self.cascade}/{self.agent}/{self.run}"

    @property
    def directory(self) -> Path:
        return self.root / self.relative

    def stage(self, stage: Stage) -> Path:
        return self.directory / stage

    def weights(self, stage: Stage) -> Path:
        """Weights that a training stage leaves, loadable by transformers and vLLM."""
        return self.stage(stage) / "weights"

    def done(self, stage: Stage) -> dict[str, Any] | None:
        """What the stage wrote when it completed, None while it has not."""
        path = self.stage(stage) / DONE_FILE
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ArtifactError(f"{path} is damaged ({error}); delete it to run the stage again") from error
        if not isinstance(content, dict):
            raise ArtifactError(f"{path} is damaged (not an object); delete it to run the stage again")
        return content

    def require(self, stage: Stage) -> dict[str, Any]:
        """Like `done`, but a missing stage is an error that says what to run."""
        content = self.done(stage)
        if content is None:
            raise ArtifactError(f"stage {stage} of run {self.run} is not complete in {self.directory}; run it first")
        return content

    def finish(self, stage: Stage, content: dict[str, Any]) -> None:
        """Mark the stage complete, atomically and last."""
        write_atomically(self.stage(stage) / DONE_FILE, json.dumps(content, indent=2, sort_keys=True) + "\n")


def served_subpath(cascade: str, agent: str, run: str) -> str:
    """Where the promoted weights of a run lie below the artifacts root."""
    return f"{cascade}/{agent}/{run}/{Stage.RL}/weights"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader or a crash sees the old or the new content, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with scratch.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
