"""How far an agent's training is: from its Jobs, their pods and the status of the last pass to the next step."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from disrouter import names
from disrouter.api import AgentStatus, Phase
from disrouter.artifacts import Evaluation, RunConfig, Stage
from disrouter_operator import serving, training
from disrouter_operator.observe import Observed, label
from disrouter_operator.resources import JOBS, PODS, Object

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


@dataclass(frozen=True)
class Progress:
    """Where the run that the inputs ask for stands."""

    phase: Phase
    reason: str
    message: str
    stage: Stage | None = None
    """The stage whose Job should exist now."""
    repeat: Object | None = None
    """A complete Job whose result is lost; it must go so that it runs again (its work is on the volume)."""
    evaluation: Evaluation | None = None
    passed: bool = False
    """The gate lets the run's weights be served."""


def of_run(
    config: RunConfig, observed: Observed, before: AgentStatus | None, served: str | None, least_gain: float
) -> Progress:
    """The progress of `config`'s run; `served` is the run that the agent serves, `least_gain` the gate's."""
    known = before.evaluation if before is not None else None
    if known is not None and known.run != config.run:
        known = None
    if served == config.run:
        message = f"run {config.run} is served"
        return Progress(Phase.READY, "Promoted", message, evaluation=known, passed=True)
    if known is not None:
        return judge(known, least_gain)
    for stage in Stage:
        job = observed.find(JOBS, training.job_name(config, stage))
        if job is None or not _finished(job, "Complete"):
            return _at_stage(config, stage, job, observed)
        if stage is Stage.EVALUATE:
            return _evaluated(config, job, observed, least_gain)
    raise AssertionError("evaluate is the last stage")


def judge(evaluation: Evaluation, least_gain: float) -> Progress:
    """The gate: only an agent that is better than what is served is promoted."""
    gain = evaluation.utility_gain
    numbers = (
        f"run {evaluation.run} gains {gain:+.4f} of utility over what is served, on {evaluation.questions} questions"
    )
    if gain >= least_gain:
        return Progress(Phase.PROMOTING, "GatePassed", numbers, evaluation=evaluation, passed=True)
    remedy = "train on more or other data, or lower spec.training.gate.minUtilityGain"
    message = f"{numbers}, below the gate's {least_gain:+.4f}; it keeps serving as before: {remedy}"
    return Progress(Phase.PROMOTING_FAILED, "GateRefused", message, evaluation=evaluation)


def _at_stage(config: RunConfig, stage: Stage, job: Object | None, observed: Observed) -> Progress:
    if job is not None and _finished(job, "Failed"):
        return _failed(config, stage, job, observed)
    step = f"stage {list(Stage).index(stage) + 1} of {len(Stage)} of run {config.run}"
    trouble = serving.waiting(_pods(job, observed)) if job is not None else None
    if trouble is not None:
        return Progress(RUNNING[stage], "PodWaits", f"{step} waits: {trouble}", stage)
    return Progress(RUNNING[stage], "Running", step, stage)


def _failed(config: RunConfig, stage: Stage, job: Object, observed: Observed) -> Progress:
    reason = next(each.get("reason") or "Failed" for each in job["status"]["conditions"] if each["type"] == "Failed")
    said = _termination_message(job, observed, succeeded=False) or "its pods left no message; see their log"
    name = job["metadata"]["name"]
    message = f"{stage} of run {config.run} failed: {said.strip()} (remove the cause, then delete Job {name} to retry)"
    return Progress(FAILED[stage], reason, message)


def _evaluated(config: RunConfig, job: Object, observed: Observed, least_gain: float) -> Progress:
    text = _termination_message(job, observed, succeeded=True)
    if text is None:
        message = f"the result of run {config.run} is lost with its pod; evaluate runs again"
        return Progress(Phase.EVALUATING, "ResultLost", message, repeat=job)
    try:
        evaluation = Evaluation.model_validate_json(text)
    except ValidationError as error:
        detail = error.errors()[0]["msg"]
        message = f"the result of Job {job['metadata']['name']} is not an evaluation: {detail}; delete it to retry"
        return Progress(Phase.EVALUATING_FAILED, "ResultUnreadable", message)
    if evaluation.run != config.run:
        message = f"Job {job['metadata']['name']} reports run {evaluation.run}, not {config.run}; delete it to retry"
        return Progress(Phase.EVALUATING_FAILED, "ResultOfOtherRun", message)
    return judge(evaluation, least_gain)


def _finished(job: Object, how: str) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(each.get("type") == how and each.get("status") == "True" for each in conditions)


def _pods(job: Object, observed: Observed) -> list[Object]:
    """A Job's pods, newest last."""
    wanted = {name: label(job, name) for name in (names.LABEL_RUN, names.LABEL_STAGE, names.LABEL_AGENT)}
    pods = [pod for pod in observed.children[PODS].values() if all(label(pod, k) == v for k, v in wanted.items())]
    return sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))


def _termination_message(job: Object, observed: Observed, *, succeeded: bool) -> str | None:
    """What the trainer of the Job's newest pod with that outcome left in its termination log."""
    for pod in reversed(_pods(job, observed)):
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            ended = (status.get("state") or {}).get("terminated") or {}
            if ended.get("message") and (ended.get("exitCode") == 0) is succeeded:
                return str(ended["message"])
    return None
