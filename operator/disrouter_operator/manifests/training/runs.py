"""Training of one agent: the run that its inputs ask for, its `run.json`, and what takes it through a stage."""

from __future__ import annotations

import json

from disrouter import names
from disrouter.api import Agent, Backend
from disrouter.artifacts import RUN_FILE, RunConfig, Stage
from disrouter_operator.kube.resources import CONFIG_MAPS, JOBS, TRAIN_JOBS, Object
from disrouter_operator.manifests.cascade import COMPONENT_TRAINING, Cascade
from disrouter_operator.manifests.training import job, train_job
from disrouter_operator.manifests.training.trainer_pod import Step


def run_config(cascade: Cascade, agent: Agent) -> RunConfig:
    """Everything that determines the agent's training; its hash is the run. Other agents are no part of it."""
    training = cascade.training
    assert agent.model is not None, "what is served elsewhere is not trained"
    return RunConfig(
        cascade=cascade.name,
        agent=agent.name,
        model=agent.model.uri,
        revision=agent.model.revision,
        image=training.image,
        seed=training.seed,
        datasets=training.datasets,
        preference_encoding=training.preference_encoding,
        collect=training.collect,
        sft=training.sft,
        rl=training.rl,
        evaluate=training.evaluate,
        nonce=cascade.nonce(agent.name),
    )


def run_config_map(cascade: Cascade, config: RunConfig) -> Object:
    """The immutable ConfigMap with a run's `run.json`: what identifies it. What it takes, its Jobs say."""
    name = names.run_config_map(cascade.name, config.agent, config.run)
    labels = cascade.labels(COMPONENT_TRAINING, config.agent) | {names.LABEL_RUN: config.run}
    manifest = cascade.child(CONFIG_MAPS, name, labels)
    manifest["immutable"] = True
    manifest["data"] = {RUN_FILE: json.dumps(config.inputs.dump(), indent=2, sort_keys=True) + "\n"}
    return manifest


def stage_objects(
    cascade: Cascade, config: RunConfig, stage: Stage, served: str | None, image: str
) -> tuple[Object, ...]:
    """What takes a run through one stage, in the order of their creation.

    `served` is the run that the agent serves meanwhile, None for its base model: what `evaluate` compares with. `image`
    is the trainer's where the cascade names none.
    """
    step = Step(cascade, config, stage, served, config.image or image)
    inputs = run_config_map(cascade, config)
    if cascade.training.jobs.backend is Backend.TRAIN_JOB:
        return inputs, train_job.build(step)
    return (inputs, *job.build(step))


STAGE_KINDS = (JOBS, TRAIN_JOBS)
"""Kinds that work on a stage. They are named by their content, created once and never patched."""
