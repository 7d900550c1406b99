"""From replies to evidence: who was right, who refused. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from disrouter.artifacts import Stage
from disrouter.refusal import is_refusal
from disrouter.scenario import Scenario
from disrouter_training.data.correctness import is_right
from disrouter_training.data.sources import Question
from disrouter_training.data.split import DEV, HELDOUT, TEST, TRAIN
from disrouter_training.evaluation.evidence import Bools, Decisions, ModelSet, Seed, Split
from disrouter_training.evaluation.examination import Examination
from disrouter_training.pool.base import BaseAnswers, Questions
from disrouter_training.pool.file import Pool
from disrouter_training.pool.runs import MAIN, PoolRun

STAGE_LABELS = {Stage.SFT: "SFT", Stage.RL: "SFT + RL"}
Found = Mapping[tuple[str, str, int, Stage], Examination]
"""By variant, agent, seed and stage."""


def models(pool: Pool) -> ModelSet:
    """Names and costs."""
    return ModelSet(tuple(agent.name for agent in pool.agents), np.array([agent.cost for agent in pool.agents]))


def splits(questions: Questions, base: Sequence[BaseAnswers]) -> dict[str, Split]:
    """Every split, training questions too, with whether each base model is right."""
    return {
        name: Split(name, tuple(each), np.array([[is_right(q, b.greedy[name][q.id]) for b in base] for q in each]))
        for name, each in questions.splits.items()
    }


def frequencies(questions: Questions, base: Sequence[BaseAnswers]) -> np.ndarray:
    """Share of each base model's samples that are right, on the training questions."""
    return np.array(
        [
            [float(np.mean([is_right(question, text) for text in each.samples[question.id]])) for each in base]
            for question in questions.splits[TRAIN]
        ]
    )


def trainings(pool: Pool, runs: Sequence[PoolRun], found: Found, questions: Questions) -> dict[str, list[Seed]]:
    """What each training made of each split. Variants come first, the pool's own recipe last; what is shared, once."""
    out: dict[str, list[Seed]] = {}
    known: set[tuple[str, ...]] = set()
    variants = [MAIN, *(variant.name for variant in pool.variants)]
    for variant in variants:
        own = [run for run in runs if run.variant == variant]
        for stage, label in STAGE_LABELS.items():
            keys = tuple(run.key(stage) for run in own)
            if keys in known:
                continue
            known.add(keys)
            seeds = sorted({run.config.seed for run in own}, key=[run.config.seed for run in own].index)
            name = label if variant == MAIN else f"{variant}: {label}"
            out[name] = []
            for seed in seeds:
                agents = {run.agent: run for run in own if run.config.seed == seed}
                examined = [found[variant, agent.name, seed, stage] for agent in pool.trained]
                gammas = [agents[agent.name].config.rl.gamma for agent in pool.trained]
                out[name].append(_seed(examined, gammas, questions))
    main = {STAGE_LABELS[stage] for stage in STAGE_LABELS}
    return {name: out[name] for name in sorted(out, key=lambda name: name in main)}


def _seed(agents: Sequence[Examination], gammas: Sequence[float], questions: Questions) -> Seed:
    splits = (name for name in (DEV, TEST, HELDOUT) if name in questions.splits)
    return {name: decisions(questions.splits[name], agents, gammas) for name in splits}


def decisions(questions: Sequence[Question], agents: Sequence[Examination], gammas: Sequence[float]) -> Decisions:
    """Of the agents that decide, and `rl.gamma` of each, on these questions."""

    def table(values: Sequence[Sequence[bool]]) -> Bools:
        return np.array(values, bool).T

    return Decisions(
        {s: table([[is_refusal(a.free[s][q.id]) for q in questions] for a in agents]) for s in Scenario},
        {s: table([[is_right(q, a.free[s][q.id]) for q in questions] for a in agents]) for s in Scenario},
        table([[is_right(q, a.must_answer[q.id]) for q in questions] for a in agents]),
        table([[is_right(q, a.plain[q.id]) for q in questions] for a in agents]),
        table([[is_refusal(a.plain[q.id]) for q in questions] for a in agents]),
        np.array([[a.signals[q.id].log_odds for q in questions] for a in agents]).T,
        np.array(gammas, float),
    )
