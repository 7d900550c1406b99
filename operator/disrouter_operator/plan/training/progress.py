"""How far an agent's run is: from its Jobs, their pods and the status of the last reconcile to the next step.

A stage's Job is made once. When it fails it is kept for its log, then made anew after 1, 2, 4, ... minutes; the trainer
goes on from its checkpoint. What is complete is remembered in the status, so that a Job that somebody cleans away is
not made again; if the status is lost too, the Job is made again and its trainer finds the stage complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from disrouter import names
from disrouter.api import AgentStatus, Gate, Phase
from disrouter.api.status import RUNNING_PHASES, STAGE_FAILED_PHASES
from disrouter.artifacts import Evaluation, RunConfig, Stage
from disrouter.backoff import Backoff
from disrouter.routes import DecisionMode
from disrouter_operator.kube.observed import Observed, label
from disrouter_operator.kube.resources import Object, reference
from disrouter_operator.kube.timestamps import seconds_until, timestamp
from disrouter_operator.plan.training import gate, observed_jobs

RETRIES = Backoff(first=60.0, longest=3600.0)
"""Seconds between attempts of a stage."""


@dataclass(frozen=True)
class Pause:
    """Why no Job may run now."""

    reason: str
    message: str


@dataclass(frozen=True)
class RunInputs:
    """All that the next step depends on."""

    config: RunConfig
    observed: Observed
    before: AgentStatus | None
    """The agent's status after the last reconcile, None if that was about another run."""
    served: str | None
    """The run that the agent serves."""
    gate: Gate
    mode: DecisionMode
    """How the manifest has the agent's requests decided."""
    retries: int
    pause: Pause | None
    now: datetime
    forbidden: str | None = None
    """The right that the operator lacks to work on the stage."""

    @property
    def known(self) -> Evaluation | None:
        """The run's result, if it compares with what is served now."""
        before = self.before
        if before is None or before.evaluation is None or before.evaluation.run != self.config.run:
            return None
        return before.evaluation if before.compared_with == gate.served_name(self.served) else None

    @property
    def reached(self) -> Stage:
        """The first stage that is not known to be complete."""
        return (self.before.stage if self.before is not None else None) or Stage.COLLECT


@dataclass(frozen=True)
class Progress:
    """Where the run that the inputs ask for stands."""

    phase: Phase
    reason: str
    message: str
    stage: Stage
    start: bool = False
    """The stage's Job should exist."""
    job: Object | None = None
    """The stage's Job as it is."""
    remove: Object | None = None
    """A Job that must go: to be made anew, or to give up its pods."""
    evaluation: Evaluation | None = None
    compared_with: str | None = None
    """What `evaluation` compares with."""
    passed: bool = False
    """The gate lets the run's weights be served."""
    attempts: int = 0
    failed_job: str | None = None
    retry_at: str | None = None
    again: float | None = None
    """Seconds after which time alone changes something."""


class Seen(StrEnum):
    """What a reconcile sees of a run; the first that holds."""

    SERVED = "served"
    JUDGED = "judged"
    """Its result is known and compares with what is served now."""
    EVALUATED = "evaluated"
    """The Job of `evaluate` is complete, and says what it found."""
    PAUSED = "paused"
    FORBIDDEN = "forbidden"
    """The stage has no Job, and the operator may not make one."""
    OUTDATED = "outdated"
    """The Job of `evaluate` compares with what is not served any more."""
    FAILED = "failed"
    QUEUED = "queued"
    """Its queue (Kueue) does not admit the stage's Job yet."""
    WAITING = "waiting"
    """A pod of the stage's Job cannot start, or none can be made."""
    WORKING = "working"
    """The stage's Job runs, or is to be made."""


@dataclass(frozen=True)
class Position:
    """The first stage that is not complete, and its Job as it is."""

    stage: Stage
    job: Object | None = None


def of_run(inputs: RunInputs) -> Progress:
    """The progress of the run, and what to do next."""
    at = _position(inputs)
    return TRANSITIONS[seen(inputs, at)](inputs, at)


def _position(inputs: RunInputs) -> Position:
    for stage in list(Stage)[list(Stage).index(inputs.reached) :]:
        job = observed_jobs.find(inputs.config, stage, inputs.observed)
        if job is None or not observed_jobs.complete(job) or stage is Stage.EVALUATE:
            return Position(stage, job)
    raise AssertionError("evaluate is the last stage")


def seen(inputs: RunInputs, at: Position) -> Seen:
    """What is to be acted on."""
    job = at.job
    outdated = job is not None and _is_outdated(inputs, at.stage, job)
    holds = {
        Seen.SERVED: inputs.served == inputs.config.run,
        Seen.JUDGED: inputs.known is not None,
        Seen.EVALUATED: job is not None and observed_jobs.complete(job) and not outdated,
        Seen.PAUSED: inputs.pause is not None,
        Seen.FORBIDDEN: job is None and inputs.forbidden is not None,
        Seen.OUTDATED: outdated,
        Seen.FAILED: job is not None and observed_jobs.failed(job),
        Seen.QUEUED: job is not None and observed_jobs.queued(job),
        Seen.WAITING: job is not None and _trouble(inputs, job) is not None,
        Seen.WORKING: True,
    }
    return next(state for state in Seen if holds[state])


def _is_outdated(inputs: RunInputs, stage: Stage, job: Object) -> bool:
    return stage is Stage.EVALUATE and label(job, names.LABEL_SERVING) != gate.served_name(inputs.served)


def _trouble(inputs: RunInputs, job: Object) -> str | None:
    return observed_jobs.trouble(job, inputs.observed, inputs.now)


def _served(inputs: RunInputs, _: Position) -> Progress:
    return Progress(Phase.READY, "Promoted", f"run {inputs.config.run} is served", Stage.EVALUATE, passed=True)


def _judged(inputs: RunInputs, _: Position) -> Progress:
    assert inputs.known is not None
    return _judge(inputs, inputs.known)


def _judge(inputs: RunInputs, evaluation: Evaluation) -> Progress:
    served = gate.served_name(inputs.served)
    verdict = gate.judge(evaluation, inputs.gate, served, inputs.mode)
    return Progress(
        phase=Phase.PROMOTING if verdict.passed else Phase.PROMOTING_FAILED,
        reason="GatePassed" if verdict.passed else "GateRefused",
        message=verdict.message,
        stage=Stage.EVALUATE,
        evaluation=evaluation,
        compared_with=served,
        passed=verdict.passed,
    )


def _evaluated(inputs: RunInputs, at: Position) -> Progress:
    assert at.job is not None
    found = gate.read(observed_jobs.last_words(at.job, inputs.observed, succeeded=True), inputs.config)
    if isinstance(found, Evaluation):
        return _judge(inputs, found)
    return _retried(inputs, _at(inputs, at), at.job, found.reason, found.message)


def _paused(inputs: RunInputs, at: Position) -> Progress:
    assert inputs.pause is not None
    unfinished = at.job if at.job is not None and not observed_jobs.finished(at.job) else None
    message = f"{_step(inputs, at)} waits: {inputs.pause.message}"
    return replace(_at(inputs, at), reason=inputs.pause.reason, message=message, remove=unfinished)


def _forbidden(inputs: RunInputs, at: Position) -> Progress:
    right = f"the operator may not {inputs.forbidden}; let its role, or use backend Job"
    message = f"{_step(inputs, at)} cannot run: {right}"
    return replace(_at(inputs, at), phase=STAGE_FAILED_PHASES[at.stage], reason="Forbidden", message=message)


def _outdated(inputs: RunInputs, at: Position) -> Progress:
    message = f"{_step(inputs, at)} runs again: what is served has changed since"
    return replace(_at(inputs, at), reason="ServedChanged", message=message, remove=at.job)


def _failed(inputs: RunInputs, at: Position) -> Progress:
    assert at.job is not None
    return _retried(inputs, _at(inputs, at), at.job, *observed_jobs.failure(at.job, inputs.observed))


def _queued(inputs: RunInputs, at: Position) -> Progress:
    assert at.job is not None
    message = f"{_step(inputs, at)} waits until its queue admits {reference(at.job)}"
    return replace(_working(inputs, at), reason="Queued", message=message)


def _waiting(inputs: RunInputs, at: Position) -> Progress:
    assert at.job is not None
    message = f"{_step(inputs, at)} waits: {_trouble(inputs, at.job)}"
    return replace(_working(inputs, at), reason="PodWaits", message=message)


def _working(inputs: RunInputs, at: Position) -> Progress:
    left = observed_jobs.podless(at.job, inputs.observed, inputs.now) if at.job is not None else None
    again = left if left is not None and left > 0 else None  # nothing wakes a cascade for what does not come
    return replace(_at(inputs, at), start=True, retry_at=None, again=again)


Transition = Callable[[RunInputs, Position], Progress]

TRANSITIONS: Mapping[Seen, Transition] = {
    # what is seen         -> phase and what is done
    Seen.SERVED: _served,  # Ready
    Seen.JUDGED: _judged,  # Promoting, or PromotingFailed where the gate refuses
    Seen.EVALUATED: _evaluated,  # the same; EvaluatingFailed where its result cannot be used
    Seen.PAUSED: _paused,  # the stage's phase; a Job that runs gives up its pods
    Seen.FORBIDDEN: _forbidden,  # the stage's failed phase
    Seen.OUTDATED: _outdated,  # Evaluating; its Job is made anew
    Seen.FAILED: _failed,  # the stage's phase while it is tried again after a wait, then its failed phase
    Seen.QUEUED: _queued,  # the stage's phase
    Seen.WAITING: _waiting,  # the stage's phase
    Seen.WORKING: _working,  # the stage's phase; its Job is made where there is none
}
"""The life of a run: what follows from what is seen."""


def _step(inputs: RunInputs, at: Position) -> str:
    return f"stage {list(Stage).index(at.stage) + 1} of {len(Stage)} of run {inputs.config.run}"


def _at(inputs: RunInputs, at: Position) -> Progress:
    """The stage with what is remembered of its failures; they are forgotten once a Job that gave up is deleted."""
    progress = Progress(RUNNING_PHASES[at.stage], "Running", _step(inputs, at), at.stage, job=at.job)
    before = inputs.before
    if before is None or (before.stage or Stage.COLLECT) is not at.stage:
        return progress
    attempts = before.attempts or 0
    if at.job is None and attempts > inputs.retries:
        return progress
    return replace(progress, attempts=attempts, failed_job=before.failed_job, retry_at=before.retry_at)


def _retried(inputs: RunInputs, progress: Progress, job: Object, reason: str, words: str) -> Progress:
    """Once more after a wait, or not at all. A failure is counted by its Job's uid, however often it is looked at."""
    uid, name = str(job["metadata"]["uid"]), reference(job)
    counted = progress.failed_job == uid
    attempts = progress.attempts if counted else progress.attempts + 1
    progress = replace(progress, attempts=attempts, failed_job=uid)
    what = f"{progress.stage} of run {inputs.config.run} failed: {words}"
    if attempts > inputs.retries:
        message = f"{what} (attempt {attempts}, the last; remove the cause, then delete {name} to try again)"
        return replace(
            progress, phase=STAGE_FAILED_PHASES[progress.stage], reason=reason, message=message, retry_at=None
        )
    wait = RETRIES.delay(attempts)
    retry_at = (progress.retry_at if counted else None) or timestamp(inputs.now + timedelta(seconds=wait))
    message = f"{what} (attempt {attempts} of {inputs.retries + 1}; again at {retry_at}, or once {name} is deleted)"
    left = seconds_until(retry_at, inputs.now)
    progress = replace(progress, reason="RetryWaits", message=message, retry_at=retry_at)
    return replace(progress, again=left) if left > 0 else replace(progress, remove=job)
