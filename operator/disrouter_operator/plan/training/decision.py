"""The life of an agent in mode trained: which weights it serves, and what its training does next.

Two questions, answered apart. What is served: the run that a roll-back names, else the run that the gate let through
last. What is trained: the run that the inputs ask for, unless training is suspended or a roll-back holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from disrouter import names
from disrouter.api import Agent, AgentStatus, Backend, Phase, Promotion
from disrouter.artifacts import RunConfig, served_subpath
from disrouter_operator.kube.resources import TRAIN_JOBS, Object
from disrouter_operator.manifests.containers import ENGINE, MODELS_MOUNT
from disrouter_operator.manifests.serving.inference_service import pod_spec
from disrouter_operator.manifests.training import runs
from disrouter_operator.plan import rollout
from disrouter_operator.plan.context import Context
from disrouter_operator.plan.training import gate, observed_jobs, progress
from disrouter_operator.plan.training.progress import Pause, Progress, RunInputs


@dataclass(frozen=True)
class TrainingDecision:
    """Decisions on one trained agent before its pods are looked at."""

    config: RunConfig
    progress: Progress
    served: str | None
    """The run whose weights it should serve, None for its base model."""
    history: tuple[Promotion, ...]
    jobs: tuple[Object, ...]
    """Objects that should exist for the stage at hand."""
    pinned: str | None = None
    """The roll-back that is in effect."""
    settled: bool = False
    """It should serve what its inputs, or a roll-back, ask for; what is left is to roll that out."""


def decide(context: Context, agent: Agent) -> TrainingDecision:
    """Decide what the agent serves and trains."""
    before = context.before.get(agent.name)
    config = runs.run_config(context.cascade, agent)
    served = _served(context, agent, before)
    history = before.history if before is not None else ()
    pause = _pause(context, agent)
    state = progress.of_run(_asked(context, agent, config, served, pause))
    if agent.revision is not None:
        return _pinned(agent, config, state, served, history)
    if state.passed:
        limit = context.cascade.training.jobs.history_limit
        history = gate.promoted(history, config.run, state.evaluation, context.stamp, limit)
        return TrainingDecision(config, state, config.run, history, (), settled=True)
    return TrainingDecision(config, state, served, history, _jobs(context, config, state, served))


def mounted_run(context: Context, agent: Agent, workload: Object | None) -> str | None:
    """The run whose weights a live InferenceService mounts, None for its base model."""
    for container in pod_spec(workload).get("containers") or [] if workload is not None else []:
        for mount in container.get("volumeMounts") or [] if container.get("name") == ENGINE else []:
            path = str(mount.get("subPath") or "")
            run = path.removeprefix(f"{context.cascade.name}/{agent.name}/").partition("/")[0]
            ours = path == served_subpath(context.cascade.name, agent.name, run)
            if mount.get("mountPath") == MODELS_MOUNT and ours:
                return run
    return None


def _served(context: Context, agent: Agent, before: AgentStatus | None) -> str | None:
    """What the last reconcile decided to serve; what is mounted if the status was lost."""
    if before is not None:
        return before.served_run
    lives = rollout.living(context.observed, agent.name)
    return mounted_run(context, agent, lives[0] if lives else None)


def _pause(context: Context, agent: Agent) -> Pause | None:
    if agent.revision is not None:
        return Pause("RolledBack", f"agent {agent.name} is held at revision {agent.revision}")
    if context.cascade.training.suspend:
        return Pause("Suspended", "spec.training.suspend is true; it goes on from its checkpoint when that is false")
    return None


def _asked(context: Context, agent: Agent, config: RunConfig, served: str | None, pause: Pause | None) -> RunInputs:
    wanted, before = context.cascade.training, context.before.get(agent.name)
    return RunInputs(
        config=config,
        observed=context.observed,
        before=before if before is not None and before.run == config.run else None,
        served=served,
        gate=wanted.gate,
        mode=agent.decision.mode,
        retries=wanted.jobs.retries,
        pause=pause,
        now=context.now,
        forbidden=TRAIN_JOBS.right("list")
        if wanted.jobs.backend is Backend.TRAIN_JOB and TRAIN_JOBS in context.observed.unreadable
        else None,
    )


def _pinned(
    agent: Agent, config: RunConfig, state: Progress, served: str | None, history: tuple[Promotion, ...]
) -> TrainingDecision:
    """A roll-back serves what was served before, and nothing is promoted over it. What nobody knows is not served."""
    known = [names.BASE, *(each.run for each in history), *([served] if served else [])]
    held = _held(state)
    if agent.revision not in known:
        choice = ", ".join(dict.fromkeys(known))
        message = f"revision {agent.revision} was never promoted; it serves {gate.served_name(served)} on: use {choice}"
        failed = replace(held, phase=Phase.PROMOTING_FAILED, reason="UnknownRevision", message=message)
        return TrainingDecision(config, failed, served, history, ())
    target = None if agent.revision == names.BASE else agent.revision
    message = f"{gate.served_name(target)} is served and training rests while agents[].revision says so"
    held = replace(held, phase=Phase.READY, reason="RolledBack", message=message)
    return TrainingDecision(config, held, target, history, (), agent.revision, settled=True)


def _held(state: Progress) -> Progress:
    """Training as it stands, going nowhere: a Job that runs gives up its pods."""
    unfinished = state.job is not None and not observed_jobs.finished(state.job)
    return replace(state, start=False, passed=False, again=None, remove=state.job if unfinished else None)


def _jobs(context: Context, config: RunConfig, state: Progress, served: str | None) -> tuple[Object, ...]:
    """What works on the stage. A Job that is there stays as it is, also where it would be made differently now."""
    if not state.start:
        return ()
    image = context.settings.training_image
    objects = runs.stage_objects(context.cascade, config, state.stage, served, image)
    kinds = {kind.kind for kind in runs.STAGE_KINDS}
    return tuple(obj for obj in objects if state.job is None or obj["kind"] not in kinds)
