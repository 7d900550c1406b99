"""Self-Awareness Training as the manifest asks for it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, StrictFloat, StrictInt, model_validator

from disrouter.api.pod import EnvVar, LabelValue, ObjectName, PodOptions
from disrouter.api.quantity import ResourceRequirements
from disrouter.artifacts import CollectConfig, DatasetSource, EvaluateConfig, PreferenceEncoding, RlConfig, SftConfig
from disrouter.model import Model
from disrouter.recipe import Recipe, filled_in
from disrouter.uris import FILE_URI, HUB_DATASET


class Backend(StrEnum):
    """What runs a training stage: a Kubernetes Job, or a TrainJob of Kubeflow Trainer where that is installed."""

    JOB = "Job"
    TRAIN_JOB = "TrainJob"


class Artifacts(Model):
    """Where runs and weights are kept."""

    persistent_volume_claim: ObjectName
    """A claim that Jobs write and agents read (ReadWriteMany on more than one node)."""


class Gate(Model):
    """What a trained agent must show before it replaces what is served."""

    min_utility_gain: StrictFloat = Field(default=0.0, ge=-1, le=1)
    """Least mean gain of the local utility over the three scenarios."""
    min_coverage: StrictFloat = Field(default=0.05, ge=0, le=1)
    """Least share of questions that it answers, on average over the scenarios: who refuses everything helps nobody."""
    max_coverage: StrictFloat = Field(default=0.95, ge=0, le=1)
    """Most of it: who answers everything never hands on. 1 for a model that knows nearly all there is to ask."""
    max_forgetting: StrictFloat = Field(default=0.05, ge=0, le=1)
    """Most accuracy, as a share of all questions, that it may have lost against its base model when it must answer."""
    min_discrimination: StrictFloat = Field(default=0.5, ge=0, le=1)
    """What the lower end of the 95 % interval of its area under the ROC curve must exceed: one half is chance. 0 does
    not look."""


class Dataset(DatasetSource):
    """Where questions come from. Exactly one of `id` (a Hub dataset) and `file` (JSONL or Parquet)."""

    id: str | None = Field(default=None, pattern=HUB_DATASET, max_length=256)
    """Hub id: one of the paper's datasets, for example `openai/gsm8k`, or any with columns `question` and `answer`."""
    file: str | None = Field(default=None, pattern=FILE_URI, max_length=512)
    """`pvc://claim/path`, `s3://bucket/path` or `hf://datasets/org/name/path`: rows with `question`, `answer` and
    optionally `instruction`, `grader`, `family`, `id`."""
    format: str | None = Field(default=None, pattern=HUB_DATASET, max_length=256)
    """Hub id of the dataset whose columns the file has, for example `openai/gsm8k` for a copy of it."""


class Evaluate(EvaluateConfig):
    """What the gate is judged on."""

    datasets: tuple[Dataset, ...] = Field(default=(), max_length=32)
    """Held-out questions; empty: a fixed share of the training datasets that training never sees."""
    dev: tuple[Dataset, ...] = Field(default=(), max_length=32)
    """Questions to choose thresholds and baselines by; neither trained on nor reported on."""
    heldout: tuple[Dataset, ...] = Field(default=(), max_length=32)
    """Questions of kinds that training never sees, reported apart; the gate does not look at them."""


class Jobs(Model):
    """How training stages run. None of it is part of a run's identity: a change concerns stages not yet begun."""

    backend: Backend = Backend.JOB
    nodes: StrictInt = Field(default=1, ge=1, le=64)
    """Pods of the `sft` and `rl` stages, one per node, that train together (torchrun)."""
    processes_per_node: StrictInt = Field(default=1, ge=1, le=16)
    """GPUs, and so processes, in each of them."""
    backoff_limit: StrictInt = Field(default=3, ge=0, le=20)
    """Retries of a stage within its Job; each resumes from its checkpoint. Disruptions do not count."""
    retries: StrictInt = Field(default=3, ge=0, le=20)
    """How often a failed Job is made anew, after waits that double from a minute on."""
    active_deadline_seconds: StrictInt | None = Field(default=None, ge=60, le=31_536_000)
    """Longest time of one stage; default none."""
    ttl_seconds_after_finished: StrictInt | None = Field(default=None, ge=3600, le=31_536_000)
    """How long the Jobs of a promoted run stay for their logs; default: until `historyLimit` takes them."""
    history_limit: StrictInt = Field(default=3, ge=1, le=20)
    """Promoted runs of an agent that are remembered for a roll-back; their weights are never deleted by disrouter."""
    queue_name: LabelValue | None = None
    """Kueue's LocalQueue: Jobs are made suspended and start when the queue admits them."""
    env: tuple[EnvVar, ...] = Field(default=(), max_length=64)
    """Further environment of the trainer, for example a Hub token from a Secret."""
    pod: PodOptions | None = None
    """Where and as whom the trainer's pods run."""


class Training(Model):
    """Self-Awareness Training of the agents in mode `trained`, each alone."""

    datasets: tuple[Dataset, ...] = Field(min_length=1, max_length=32)
    artifacts: Artifacts
    image: str | None = Field(default=None, min_length=1, max_length=512)
    """Trainer image; default: the one that the operator was installed with."""
    resources: ResourceRequirements | None = None
    """Kubernetes resource requirements of a training Job; default one GPU."""
    suspend: bool = False
    """Stop training: running Jobs give up their pods and go on from their checkpoints when this is false again."""
    jobs: Jobs = Jobs()
    seed: StrictInt = Field(default=0, ge=0, le=2**32 - 1)
    preference_encoding: PreferenceEncoding = PreferenceEncoding.DISCRETE
    """How a preference is put to agents: by the three scenarios, or also by a stated number (`continuous`)."""
    recipe: Recipe | None = None
    """A named choice for `collect`, `sft` and `rl`: what they leave out is as it says. `paper`: the paper's; `fast`:
    one GPU; `cpu`: a first result without one."""
    collect: CollectConfig = CollectConfig()
    sft: SftConfig = SftConfig()
    rl: RlConfig = RlConfig()
    evaluate: Evaluate = Evaluate()
    gate: Gate = Gate()

    @model_validator(mode="before")
    @classmethod
    def _by_recipe(cls, given: Any) -> Any:
        return filled_in(given)
