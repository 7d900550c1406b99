"""How far an agent's run is: from its Jobs, their pods and the status of the last pass to the next step.

A stage's Job is made once. When it fails it is kept for its log, then made anew after 1, 2, 4, ... minutes; the trainer
goes on from its checkpoint. What is complete is remembered in the status, so that a Job that somebody cleans away is
not made again; if the status is lost too, the Job is made again and its trainer finds the stage complete.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from disrouter import names
from disrouter.api import AgentStatus, Phase
from disrouter.artifacts import Evaluation, RunConfig, Stage
from disrouter_operator.kube.observed import Observed, label
from disrouter_operator.kube.resources import Object
from disrouter_operator.kube.timestamps import seconds_until, timestamp
from disrouter_operator.plan import workload_health
from disrouter_operator.plan.training import gate, observed_jobs

RUNNING: dict[Stage, Phase] = {
    Stage.COLLECT: Phase.COLLECTING,
    Stage.SFT: Phase.SFT,
    Stage.RL: Phase.RL,
    Stage.EVALUATE: Phase.EVALUATING,
}
FAILED: dict[Stage, Phase] = {
    Stage.COLLECT: Phase.COLLECTING_FAILED,
    Stage.SFT: Phase.SFT_FAILED,
    Stage.RL: Phase.RL_FAILED,
    Stage.EVALUATE: Phase.EVALUATING_FAILED,
}
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)


@dataclass(frozen=True)
class Pause:
    """Why no Job may run now."""

    reason: str
    message: str


@dataclass(frozen=True)
class Asked:
    """All that the next step depends on."""

    config: RunConfig
    observed: Observed
    before: AgentStatus | None
    """The agent's status after the last pass, None if that was about another run."""
    served: str | None
    """The run that the agent serves."""
    least_gain: float
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


def of_run(asked: Asked) -> Progress:
    """The progress of the run, and what to do next."""
    config = asked.config
    if asked.served == config.run:
        return Progress(Phase.READY, "Promoted", f"run {config.run} is served", Stage.EVALUATE, passed=True)
    if asked.known is not None:
        return _judged(asked, asked.known)
    for stage in list(Stage)[list(Stage).index(asked.reached) :]:
        job = observed_jobs.find(config, stage, asked.observed)
        if job is None or not observed_jobs.complete(job) or _outdated(asked, stage, job):
            return _at_stage(asked, stage, job)
        if stage is Stage.EVALUATE:
            return _evaluated(asked, job)
    raise AssertionError("evaluate is the last stage")


def _judged(asked: Asked, evaluation: Evaluation) -> Progress:
    served = gate.served_name(asked.served)
    verdict = gate.judge(evaluation, asked.least_gain, served)
    return Progress(
        phase=Phase.PROMOTING if verdict.passed else Phase.PROMOTING_FAILED,
        reason="GatePassed" if verdict.passed else "GateRefused",
        message=verdict.message,
        stage=Stage.EVALUATE,
        evaluation=evaluation,
        compared_with=served,
        passed=verdict.passed,
    )


def _outdated(asked: Asked, stage: Stage, job: Object) -> bool:
    """A Job that compares with what is not served any more."""
    return stage is Stage.EVALUATE and label(job, names.LABEL_SERVING) != gate.served_name(asked.served)


def _at_stage(asked: Asked, stage: Stage, job: Object | None) -> Progress:
    step = f"stage {list(Stage).index(stage) + 1} of {len(Stage)} of run {asked.config.run}"
    at = replace(_so_far(asked, stage, job), message=step)
    barred = _barred(asked, at, step)
    if barred is not None:
        return barred
    if job is not None and _outdated(asked, stage, job):
        message = f"{step} runs again: what is served has changed since"
        return replace(at, reason="ServedChanged", message=message, remove=job)
    if job is not None and observed_jobs.failed(job):
        return _failed(asked, at, job, *observed_jobs.failure(job, asked.observed))
    at = replace(at, start=True, retry_at=None)
    if job is not None and observed_jobs.queued(job):
        return replace(
            at, reason="Queued", message=f"{step} waits until its queue admits {observed_jobs.reference(job)}"
        )
    trouble = workload_health.waiting(observed_jobs.pods(job, asked.observed)) if job is not None else None
    if trouble is not None:
        return replace(at, reason="PodWaits", message=f"{step} waits: {trouble}")
    return at


def _barred(asked: Asked, at: Progress, step: str) -> Progress | None:
    """The stage where nothing may work on it; None where something may."""
    if asked.pause is not None:
        unfinished = at.job if at.job is not None and not observed_jobs.finished(at.job) else None
        message = f"{step} waits: {asked.pause.message}"
        return replace(at, reason=asked.pause.reason, message=message, remove=unfinished)
    if at.job is None and asked.forbidden is not None:
        message = f"{step} cannot run: the operator may not {asked.forbidden}; let its role, or use backend Job"
        return replace(at, phase=FAILED[at.stage], reason="Forbidden", message=message)
    return None


def _so_far(asked: Asked, stage: Stage, job: Object | None) -> Progress:
    """The stage with what is remembered of its failures; they are forgotten once a Job that gave up is deleted."""
    at = Progress(RUNNING[stage], "Running", "", stage, job=job)
    before = asked.before
    if before is None or (before.stage or Stage.COLLECT) is not stage:
        return at
    attempts = before.attempts or 0
    if job is None and attempts > asked.retries:
        return at
    return replace(at, attempts=attempts, failed_job=before.failed_job, retry_at=before.retry_at)


def _evaluated(asked: Asked, job: Object) -> Progress:
    found = gate.read(observed_jobs.last_words(job, asked.observed, succeeded=True), asked.config)
    if isinstance(found, Evaluation):
        return _judged(asked, found)
    return _failed(asked, _so_far(asked, Stage.EVALUATE, job), job, found.reason, found.message)


def _failed(asked: Asked, at: Progress, job: Object, reason: str, said: str) -> Progress:
    """Once more after a wait, or not at all. A failure is counted by its Job's uid, however often it is looked at."""
    uid, name = str(job["metadata"]["uid"]), observed_jobs.reference(job)
    counted = at.failed_job == uid
    attempts = at.attempts if counted else at.attempts + 1
    at = replace(at, attempts=attempts, failed_job=uid)
    what = f"{at.stage} of run {asked.config.run} failed: {said}"
    if attempts > asked.retries:
        message = f"{what} (attempt {attempts}, the last; remove the cause, then delete {name} to try again)"
        return replace(at, phase=FAILED[at.stage], reason=reason, message=message, retry_at=None)
    wait = min(LONGEST_RETRY, FIRST_RETRY * 2 ** (attempts - 1))
    retry_at = (at.retry_at if counted else None) or timestamp(asked.now + wait)
    message = f"{what} (attempt {attempts} of {asked.retries + 1}; again at {retry_at}, or once {name} is deleted)"
    left = seconds_until(retry_at, asked.now)
    at = replace(at, reason="RetryWaits", message=message, retry_at=retry_at)
    return replace(at, again=left) if left > 0 else replace(at, remove=job)
