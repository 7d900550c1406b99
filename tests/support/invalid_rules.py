"""Manifests whose fields are well formed and contradict each other."""

from __future__ import annotations

from support.manifest import Invalid, change_agent

RULES = (
    Invalid(
        "duplicate names",
        lambda m: change_agent(m, 1, name="small"),
        "spec.agents",
        "2 agents are named 'small'; names must be unique",
        by_schema=True,
    ),
    Invalid(
        "cost order",
        lambda m: change_agent(m, 1, cost=0.05),
        "spec.agents[1].cost",
        "order the agents by cost",
        by_cel="order the agents by cost",
    ),
    Invalid(
        "cycle",
        lambda m: change_agent(m, 1, next="small"),
        "spec.agents[1].next",
        "forms a cycle; route to a later, costlier agent",
        by_cel="leads back and forms a cycle",
    ),
    Invalid(
        "unknown successor",
        lambda m: change_agent(m, 0, next="huge"),
        "spec.agents[0].next",
        "use one of small, medium",
        by_cel="no agent has that name",
    ),
    Invalid(
        "unreached agent",
        lambda m: change_agent(m, 0, next="large"),
        "spec.agents[1].name",
        "no route reaches 'medium'",
        by_cel="no route reaches",
    ),
    Invalid(
        "two terminals",
        lambda m: change_agent(m, 1, selfAwareness={"mode": "none"}),
        "spec.agents[1].selfAwareness.mode",
        "exactly one agent may be terminal",
        by_cel="exactly one agent may be terminal",
    ),
    Invalid(
        "no terminal",
        lambda m: change_agent(m, 2, selfAwareness={"mode": "prompted"}),
        "spec.agents[2].selfAwareness.mode",
        "the last agent always answers",
        by_cel="the last agent always answers",
    ),
    Invalid(
        "scenario and preference",
        lambda m: m["spec"].update(preference=0.3),
        "spec.preference",
        "contradicts spec.scenario; give one of the two",
        by_cel="give one of the two",
    ),
    Invalid(
        "dataset without source",
        lambda m: m["spec"]["training"].update(datasets=[{"split": "train"}]),
        "spec.training.datasets[0]",
        "exactly one of id",
        by_cel="exactly one of id and file",
    ),
    Invalid(
        "trained without training",
        lambda m: [change_agent(m, 0, selfAwareness={"mode": "trained"}), m["spec"].pop("training")],
        "spec.training",
        "there is no dataset; give spec.training.datasets",
        by_cel="there is no dataset",
    ),
    Invalid(
        "external trained",
        lambda m: change_agent(
            m, 1, model=None, external={"url": "http://x/v1", "model": "x"}, selfAwareness={"mode": "trained"}
        ),
        "spec.agents[1].selfAwareness.mode",
        "cannot be trained here; use prompted",
        by_cel="external model cannot be trained",
    ),
    Invalid(
        "neither model nor external",
        lambda m: m["spec"]["agents"][1].pop("model"),
        "spec.agents[1]",
        "exactly one of model and external",
        by_cel="exactly one of model and external",
    ),
    Invalid(
        "trained from s3",
        lambda m: change_agent(m, 1, model={"uri": "s3://bucket/qwen"}),
        "spec.agents[1].model.uri",
        "cannot be trained: Jobs read base models from hf:// or pvc://",
        by_cel="an agent on s3:// cannot be trained",
    ),
    Invalid(
        "min above max",
        lambda m: change_agent(m, 1, replicas={"min": 4, "max": 2}),
        "spec.agents[1].replicas",
        "min 4 exceeds max 2; lower min or raise max",
        by_cel="min exceeds max",
    ),
    Invalid(
        "cycle of equal costs",
        lambda m: [change_agent(m, 0, next="medium", cost=0.4), change_agent(m, 1, next="small")],
        "spec.agents[1].next",
        "leads back and forms a cycle",
        by_cel="leads back and forms a cycle",
    ),
    Invalid(
        "successor of itself",
        lambda m: change_agent(m, 1, next="medium"),
        "spec.agents[1].next",
        "leads back and forms a cycle",
        by_cel="leads back and forms a cycle",
    ),
    Invalid(
        "trained by name from s3",
        lambda m: change_agent(m, 0, model={"uri": "s3://bucket/qwen"}, selfAwareness={"mode": "trained"}),
        "spec.agents[0].model.uri",
        "copy it to a claim",
        by_cel="an agent on s3:// cannot be trained",
    ),
    Invalid(
        "both model and external",
        lambda m: change_agent(m, 1, external={"url": "http://x/v1", "model": "x"}),
        "spec.agents[1]",
        "exactly one of model and external",
        by_cel="exactly one of model and external",
    ),
    Invalid(
        "dataset with two sources",
        lambda m: m["spec"]["training"].update(datasets=[{"id": "a/b", "file": "pvc://data/x"}]),
        "spec.training.datasets[0]",
        "exactly one of id",
        by_cel="exactly one of id and file",
    ),
)
