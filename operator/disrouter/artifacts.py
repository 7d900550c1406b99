"""A training run: its inputs, its identity, its directory and its result.

A run is identified by the hash of everything that could change its outcome. Its directory is

    <artifacts>/<cascade>/<agent>/<run>/
        run.json                     the inputs, as hashed
        <stage>/done.json            written last, atomically: the stage is complete; metrics and versions inside
        <stage>/...                  shards, checkpoints, `weights/`, `evaluation.json`

A stage reads only the directory of the stage before it, so each can be killed, resumed or repeated alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, StrictFloat, StrictInt, ValidationError, model_validator

from disrouter.calibration import Calibration
from disrouter.errors import ArtifactError
from disrouter.model import Model
from disrouter.scenario import Scenario

DONE_FILE = "done.json"
RUN_FILE = "run.json"
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
        """The stage whose directory this one reads, None for the first."""
        stages = list(Stage)
        index = stages.index(self)
        return stages[index - 1] if index else None


class DatasetSource(Model):
    """Where questions come from: a Hub dataset by `id`, or a `file` of JSONL or Parquet (`pvc://`, `s3://`, `file://`)."""

    id: str | None = None
    """Hub id: one of the paper's datasets, or any with the columns `question` and `answer`."""
    file: str | None = None
    """Rows with `question`, `answer` and optionally `instruction`, `grader`, `family`, `id`."""
    format: str | None = Field(default=None, min_length=1, max_length=256)
    """Hub id of the dataset whose columns the file has, for example `openai/gsm8k` for a copy of it."""
    config: str | None = Field(default=None, min_length=1, max_length=256)
    """Configuration of the Hub dataset."""
    split: str | None = Field(default=None, min_length=1, max_length=256)
    """Split of the Hub dataset; default `train`."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.id is None) == (self.file is None):
            raise ValueError("needs exactly one of id (a Hub dataset) or file (pvc://claim/path.jsonl)")
        if self.format is not None and self.file is None:
            raise ValueError("format is for a file; a Hub dataset has its own")
        return self


class SftTarget(StrEnum):
    """What a question's measured frequency of correct answers asks of the agent."""

    HARD = "hard"
    """The paper's: answer where it reaches the threshold, refuse under it."""
    SOFT = "soft"
    """Answer with a probability that rises with the frequency and is one half at the threshold."""


class Scenarios(StrEnum):
    """How a preference is put to the agent in training."""

    DISCRETE = "discrete"
    """By the paper's three scenarios."""
    CONTINUOUS = "continuous"
    """Half of the examples by the three scenarios, half by alpha drawn from [0, 1] and stated as a number."""


class Engine(StrEnum):
    """What generates replies in a training stage."""

    AUTO = "auto"
    """vLLM where it is installed and there is a GPU, else transformers."""
    VLLM = "vllm"
    TRANSFORMERS = "transformers"


class CollectConfig(Model):
    """How competence is measured (section 3.2.2): N sampled answers a question."""

    samples: StrictInt = Field(default=10, ge=1, le=256)
    """N: answers drawn for each question."""
    temperature: StrictFloat = Field(default=1.0, gt=0, le=2)
    max_new_tokens: StrictInt = Field(default=512, ge=1, le=32768)
    batch_size: StrictInt = Field(default=32, ge=1, le=65536)
    """Sequences generated at once, and so those that a kill loses; vLLM wants thousands."""
    engine: Engine = Engine.AUTO


class Precision(StrEnum):
    """Numbers that a training stage computes with. Optimizer states and what it leaves are fp32 either way."""

    AUTO = "auto"
    """bf16 on a GPU that has it, else fp32."""
    BF16 = "bf16"
    FP32 = "fp32"


class Lora(Model):
    """Train low-rank adapters instead of all weights; the stage leaves the adapter and, merged into it, the model."""

    rank: StrictInt = Field(default=16, ge=1, le=512)
    alpha: StrictInt = Field(default=32, ge=1)
    """Scale: the adapter counts alpha / rank."""
    dropout: StrictFloat = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[Annotated[str, Field(min_length=1, max_length=128)], ...] = Field(default=(), max_length=32)
    """Names of the layers that get one, for example `q_proj`; empty: every linear layer but the head."""


class TrainConfig(Model):
    """What both training stages choose."""

    lora: Lora | None = None
    """Absent: all weights are trained."""
    precision: Precision = Precision.AUTO
    gradient_checkpointing: bool | None = None
    """Compute activations again in the backward pass: less memory, a third more time. Absent: on a GPU."""


class Extraction(Model):
    """A model that puts replies into the answer template (Appendix C); the paper's is Qwen2.5-14B-Instruct."""

    model: str = Field(pattern=r"^(hf|pvc|file)://[^\x00-\x20\x7f]+$", max_length=512)
    """`hf://organisation/name` or `pvc://claim/path`; it needs the memory of a GPU before the training starts."""


class SftConfig(TrainConfig):
    """Supervised stage: refuse where the frequency of correct answers is under (1 - alpha) ** gamma."""

    samples: StrictInt = Field(default=10000, ge=6)
    """Training examples over all scenarios; with the hard target half accepted and half refused."""
    target: SftTarget = SftTarget.HARD
    """`hard` as in the paper; `soft` makes the chance of a refusal follow the measured frequency."""
    gamma: StrictFloat = Field(default=1.0, ge=0, le=4)
    """Exponent of the threshold. The paper's is 1; a larger one asks for bolder agents."""
    extraction: Extraction | None = None
    """Absent: markers such as `The answer is` part the thinking from the final answer."""
    packing: bool = False
    """Lay the examples of a micro-batch end to end instead of padding them: the same result, less work where lengths
    differ. Attention keeps them apart by their positions."""
    replay: StrictFloat = Field(default=0.0, ge=0, le=0.9)
    """Share of the examples that are the base model's own replies to questions it must answer, right or wrong, so that
    it does not forget what it knew while it learns to refuse."""
    epochs: StrictFloat = Field(default=1.0, gt=0)
    learning_rate: StrictFloat = Field(default=1e-5, gt=0)
    batch_size: StrictInt = Field(default=16, ge=1)


class RlConfig(TrainConfig):
    """Reinforcement stage with the scenario-conditioned reward (eq. 7)."""

    gamma: StrictFloat = Field(default=0.5, ge=0, le=4)
    """Reliability factor: the exponent of the reward of a refusal. The paper's range ends at 1; more is bolder."""
    steps: StrictInt = Field(default=100, ge=1)
    """Optimizer steps."""
    learning_rate: StrictFloat = Field(default=1e-6, gt=0)
    prompts_per_step: StrictInt = Field(default=32, ge=1)
    generations: StrictInt = Field(default=4, ge=2)
    """Replies sampled for each prompt."""
    kl: StrictFloat = Field(default=0.01, ge=0)
    """Weight of the divergence from the SFT model; holds task accuracy while the decision is learned."""
    clip: StrictFloat = Field(default=0.2, gt=0, lt=1)
    """Clip range of the policy ratio."""
    rollouts: Engine = Engine.AUTO
    """What samples the replies that are rewarded; vLLM shares the GPU with the trainer."""
    collapse_window: StrictInt = Field(default=20, ge=0)
    """Steps after which an agent that answered everything, or nothing, in all scenarios ends the stage; 0: never."""


class EvaluateConfig(Model):
    """What the gate is judged on."""

    datasets: tuple[DatasetSource, ...] = ()
    """Held-out questions; empty: a fixed share of the training datasets that training never sees."""
    holdout: StrictFloat = Field(default=0.1, gt=0, lt=1)
    """That share."""
    dev: tuple[DatasetSource, ...] = ()
    """Questions to choose thresholds and baselines by; neither trained on nor reported on."""
    heldout: tuple[DatasetSource, ...] = ()
    """Questions of kinds that training never sees, reported apart; the gate does not look at them."""


class RunConfig(Model):
    """Everything that determines a run's outcome: the content of `run.json`."""

    cascade: str
    agent: str
    model: str
    """URI of the base model: `hf://`, `pvc://` or `file://`."""
    image: str | None = None
    """Trainer image, where the cascade names one: an operator that brings a newer default trains nobody again."""
    seed: int = 0
    datasets: tuple[DatasetSource, ...] = Field(min_length=1)
    scenarios: Scenarios = Scenarios.DISCRETE
    collect: CollectConfig = CollectConfig()
    sft: SftConfig = SftConfig()
    rl: RlConfig = RlConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    nonce: str | None = Field(default=None, max_length=253)
    """Any text; another one asks for the same training again (annotation `disrouter.io/retrain`)."""

    @property
    def run(self) -> str:
        """Ten hex digits that change with any input."""
        canonical = json.dumps(self.dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:10]

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
            reasons = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise ArtifactError(f"{path} is not a run file: {reasons}") from None


_ADDED_LATER: tuple[tuple[type[Model], tuple[str, ...]], ...] = (
    (RunConfig, ("scenarios",)),
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


class ScenarioResult(Model):
    """An agent alone under one scenario, on the evaluation questions."""

    scenario: Scenario
    answer_rate: float = Field(ge=0, le=1)
    """Share of questions that it answers."""
    accuracy_when_answering: float = Field(ge=0, le=1)
    utility: float
    """Mean local reward (eq. 7) of the candidate."""
    serving_utility: float
    """The same of what is served today."""
    self_assessment_accuracy: float = Field(ge=0, le=1)
    """Share of questions on which `answers` equals `would be right` (section 4.3, Table 5)."""
    self_assessment_f1: float = Field(ge=0, le=1)


class Evaluation(Model):
    """The result of `evaluate`: small enough for a termination message, complete enough for the gate."""

    run: str
    questions: int = Field(ge=1)
    base_accuracy: float = Field(ge=0, le=1)
    """Accuracy of the base model when it must answer."""
    forced_accuracy: float = Field(ge=0, le=1)
    """The same after training: what training forgot is the difference (Appendix J)."""
    scenarios: tuple[ScenarioResult, ...] = Field(min_length=1)
    calibration: Calibration | None = None
    """For the probability mode; absent where the refusal's first token does not tell it from an answer."""

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


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader or a crash sees the old or the new content, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
