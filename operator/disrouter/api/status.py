"""`status` of a SelfRoutingCascade: written once per reconcile, by the operator alone."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from disrouter.artifacts import CalibrationField, Evaluation, Stage
from disrouter.model import Model
from disrouter.terms import PreferenceEncoding


class ConditionType(StrEnum):
    """Conditions of a cascade; `Ready` summarises the others."""

    READY = "Ready"
    SPEC_VALID = "SpecValid"
    AGENTS_READY = "AgentsReady"
    ENDPOINT_READY = "EndpointReady"
    TRAINING_COMPLETE = "TrainingComplete"
    DEGRADED = "Degraded"
    RECONCILING = "Reconciling"
    """As kstatus has it: not ready yet, and time will help."""
    STALLED = "Stalled"
    """As kstatus has it: not ready, and somebody must act."""


class AgentConditionType(StrEnum):
    """Conditions of an agent: serving and training go on side by side, and a phase can only say one of them."""

    SERVING = "Serving"
    TRAINED = "Trained"


class Phase(StrEnum):
    """Where an agent is in its life."""

    PENDING = "Pending"
    COLLECTING = "Collecting"
    SFT = "SFT"
    RL = "RL"
    EVALUATING = "Evaluating"
    PROMOTING = "Promoting"
    READY = "Ready"
    DRAINING = "Draining"
    COLLECTING_FAILED = "CollectingFailed"
    SFT_FAILED = "SFTFailed"
    RL_FAILED = "RLFailed"
    EVALUATING_FAILED = "EvaluatingFailed"
    PROMOTING_FAILED = "PromotingFailed"
    SERVING_FAILED = "ServingFailed"

    @property
    def stage(self) -> Stage | None:
        """The training stage that works in this phase."""
        return next((stage for stage, phase in RUNNING_PHASES.items() if phase is self), None)

    @property
    def failed(self) -> bool:
        """Whether somebody should look at it."""
        return self in FAILED_PHASES


RUNNING_PHASES = {
    Stage.COLLECT: Phase.COLLECTING,
    Stage.SFT: Phase.SFT,
    Stage.RL: Phase.RL,
    Stage.EVALUATE: Phase.EVALUATING,
}
"""The phase of an agent while a stage of its training works."""
STAGE_FAILED_PHASES = {
    Stage.COLLECT: Phase.COLLECTING_FAILED,
    Stage.SFT: Phase.SFT_FAILED,
    Stage.RL: Phase.RL_FAILED,
    Stage.EVALUATE: Phase.EVALUATING_FAILED,
}
"""The phase of an agent once a stage of its training has failed for good."""
FAILED_PHASES = frozenset({*STAGE_FAILED_PHASES.values(), Phase.PROMOTING_FAILED, Phase.SERVING_FAILED})


class Condition(Model):
    """metav1.Condition."""

    type: str = Field(max_length=316)
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(max_length=1024)
    """CamelCase, for machines."""
    message: str = Field(default="", max_length=32768)
    """For people: what is wrong, where, what to do."""
    last_transition_time: str
    """RFC 3339; changes only with `status`."""
    observed_generation: int | None = None


class Promotion(Model):
    """A run that was found better than what was served before it."""

    run: str
    promoted_at: str
    """RFC 3339."""
    utility_gain: float | None = None
    """Over what it replaced; absent where the status was lost meanwhile."""
    calibration: CalibrationField | None = None
    """For the probability mode, so that a roll-back has it."""
    preference_encoding: PreferenceEncoding | None = None
    """How the run was taught to be told a preference; absent: by the three scenarios."""
    prompt_opens_reasoning: bool = False
    """Its chat template ends in an opened reasoning block, so that a reply begins inside it."""


class AgentStatus(Model):
    """One agent as observed."""

    name: str
    phase: Phase
    reason: str | None = None
    message: str | None = None
    ready: bool = False
    """Its pods serve."""
    url: str | None = None
    """Address in the route table."""
    awareness: str | None = None
    """How it decides now: `trained`, `prompted` or `none`."""
    run: str | None = None
    """The training run that its inputs ask for."""
    served_run: str | None = None
    """The run whose weights are served; absent: the base model."""
    draining_since: str | None = None
    """RFC 3339: when it left the route table."""
    evaluation: Evaluation | None = None
    """Result of the newest complete run."""
    compared_with: str | None = None
    """What `evaluation` compares with: a run, or `base`."""
    conditions: tuple[Condition, ...] = ()
    """`Serving`, and for an agent in mode trained `Trained`."""
    workload: str | None = None
    """`<kind>/<name>` of what its requests go to."""
    stage: Stage | None = None
    """How far `run` is: the stages before this one are complete."""
    job: str | None = None
    """`<kind>/<name>` of what works on that stage now."""
    attempts: int | None = None
    """How often the stage's Job has failed."""
    failed_job: str | None = None
    """Uid of the failed Job that `attempts` counted last."""
    retry_at: str | None = None
    """RFC 3339: when the failed Job is made anew."""
    revision: str | None = None
    """The run that a roll-back serves, or `base`."""
    history: tuple[Promotion, ...] = ()
    """Promoted runs, newest first, as many as `spec.training.jobs.historyLimit`."""


class CascadeStatus(Model):
    """What is."""

    observed_generation: int | None = None
    conditions: tuple[Condition, ...] = ()
    url: str | None = None
    """The OpenAI-compatible endpoint."""
    agents_ready: str | None = None
    """`ready/all`."""
    training: str | None = None
    """`trained/to train`."""
    agents: tuple[AgentStatus, ...] = ()
