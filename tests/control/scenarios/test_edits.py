"""Edits of the manifest: which children they touch, and that they touch no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from support.scenarios import Step, drop, insert, later, put, serve, swap, together, train

pytestmark = pytest.mark.controlplane

TINY = {"name": "tiny", "model": {"uri": "hf://a/tiny"}, "cost": 0.0, "selfAwareness": {"mode": "prompted"}}
MIDDLE = {"url": "https://api.example.com/v1", "model": "middle"}

SCENARIOS: dict[str, list[Step]] = {
    "add-and-remove": [
        Step(
            "a cheaper agent is added",
            insert(0, TINY),
            children="+InferenceService/tiny ~ConfigMap/routes",
            phases="tiny=Pending/Starting small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=AgentStarting TrainingComplete=InProgress Degraded=AsExpected",
            events="NotReady",
        ),
        Step(
            "its pods serve, and queries enter there",
            serve("tiny"),
            children="~ConfigMap/routes ~Service/qwen",
            phases="tiny=Ready small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Ready Ready",
        ),
        Step(
            "it is removed",
            drop("spec.agents.0"),
            children="~ConfigMap/routes ~Service/qwen",
            phases="small=Collecting/Running medium=Ready large=Ready tiny=Draining/Removed",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Draining",
        ),
        Step(
            "the drain is over",
            later(seconds=60),
            children="-InferenceService/tiny",
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Removed",
        ),
        Step(
            "it comes back",
            insert(0, TINY),
            children="+InferenceService/tiny ~ConfigMap/routes",
            phases="tiny=Pending/Starting small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=AgentStarting TrainingComplete=InProgress Degraded=AsExpected",
            events="NotReady",
        ),
        Step(
            "and is trained",
            put("spec.agents.0.selfAwareness.mode", "trained"),
            children="+ConfigMap/tiny-run#1 +Job/tiny-collect#1 ~ConfigMap/routes",
            phases="tiny=Collecting/Running small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=AgentStarting TrainingComplete=InProgress Degraded=AsExpected",
            events="Collecting",
        ),
        Step(
            "it is removed while it trains",
            drop("spec.agents.0"),
            children="-ConfigMap/tiny-run#1 -Job/tiny-collect#1 ~ConfigMap/routes",
            phases="small=Collecting/Running medium=Ready large=Ready tiny=Draining/Removed",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Draining Ready",
        ),
    ],
    "routing": [
        Step(
            "the scenario moves",
            put("spec.scenario", "cost-first"),
            children="~ConfigMap/routes",
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        ),
        Step(
            "a price changes",
            put("spec.agents.1.cost", 0.5),
            children="~ConfigMap/routes",
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        ),
        Step(
            "timeouts change",
            put("spec.timeouts", {"firstByte": 5.0}),
            children="~ConfigMap/routes",
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        ),
        Step(
            "queries enter at another agent",
            put("spec.entrypoint", "medium"),
            children="~ConfigMap/routes ~Service/qwen",
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        ),
        Step(
            "a rule is broken that only the operator knows",
            put("spec.agents.1.engine", {"args": ["--served-model=x"]}),
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=SpecInvalid TrainingComplete=InProgress Degraded=AsExpected",
            events="NotReady SpecInvalid",
        ),
        Step(
            "and mended",
            drop("spec.agents.1.engine"),
            children="~ConfigMap/routes",
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Ready SpecValid",
        ),
    ],
    "tree": [
        Step(
            "two branches",
            together(
                insert(1, {**TINY, "name": "left", "cost": 0.2, "next": "large"}),
                put("spec.agents.0.next", "medium"),
                put("spec.entrypoint", "left"),
            ),
            children="+InferenceService/left ~ConfigMap/routes ~Service/qwen",
            phases="small=Collecting/Running left=Pending/Starting medium=Ready large=Ready",
            conditions="Ready=AgentStarting TrainingComplete=InProgress Degraded=AsExpected",
            events="NotReady",
        ),
        Step(
            "one of them grows",
            put("spec.agents.1.next", "medium"),
            children="~ConfigMap/routes ~Service/qwen",
            phases="small=Collecting/Running left=Pending/Starting medium=Ready large=Ready",
            conditions="Ready=AgentStarting TrainingComplete=InProgress Degraded=AsExpected",
        ),
    ],
    "reorder": [
        Step(
            "two agents of one price",
            put("spec.agents.1.cost", 0.1),
            children="~ConfigMap/routes",
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        ),
        Step(
            "change places",
            swap(0, 1),
            children="~ConfigMap/routes ~Service/qwen",
            phases="medium=Ready small=Collecting/Running large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        ),
    ],
    "swap-and-scale": [
        Step(
            "another model",
            put("spec.agents.1.model.uri", "pvc://models/qwen3-4b"),
            children="~ConfigMap/routes ~InferenceService/medium",
            phases="small=Collecting/Running medium=Pending/RollingOut large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Pending",
        ),
        Step(
            "its pods serve",
            serve("medium"),
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Ready",
        ),
        Step(
            "an autoscaler sets its replicas",
            put("spec.agents.1.replicas", {"min": 1, "max": 4}),
            children="~ConfigMap/routes ~InferenceService/medium",
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        ),
    ],
    "external": [
        Step(
            "another provider",
            put("spec.agents.2.external.url", "https://other.example.com/v1"),
            children="~ConfigMap/routes ~Deployment/large",
            phases="small=Collecting/Running medium=Ready large=Pending/RollingOut",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Pending",
        ),
        Step(
            "its pods serve",
            serve("large"),
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Ready",
        ),
        Step(
            "a model moves to a provider",
            together(drop("spec.agents.1.model"), put("spec.agents.1.external", MIDDLE)),
            children="+Deployment/medium +Service/medium ~ConfigMap/routes",
            phases="small=Collecting/Running medium=Pending/Starting large=Ready",
            conditions="Ready=AgentStarting TrainingComplete=InProgress Degraded=AsExpected",
            events="NotReady Pending Switched",
        ),
        Step(
            "its sidecar serves",
            serve("medium"),
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Ready Ready",
        ),
        Step(
            "the drain is over",
            later(seconds=60),
            children="-InferenceService/medium",
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        ),
    ],
}

SURGE = [
    Step(
        "another model",
        put("spec.agents.1.model.uri", "pvc://models/qwen3-4b"),
        children="+InferenceService/medium+1 ~ConfigMap/routes",
        phases="small=Collecting/Running medium=Pending/Surging large=Ready",
        conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        events="Pending",
    ),
    Step(
        "its pods serve beside the old ones",
        serve("medium"),
        children="~ConfigMap/routes",
        phases="small=Collecting/Running medium=Ready large=Ready",
        conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        events="Ready Switched",
    ),
    Step(
        "the old ones have drained",
        later(seconds=60),
        children="-InferenceService/medium",
        phases="small=Collecting/Running medium=Ready large=Ready",
        conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
    ),
    Step(
        "it goes back",
        put("spec.agents.1.model.uri", "pvc://models/qwen2.5-3b"),
        children="+InferenceService/medium+2 ~ConfigMap/routes",
        phases="small=Collecting/Running medium=Pending/Surging large=Ready",
        conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        events="Pending",
    ),
    Step(
        "and forward before that serves",
        put("spec.agents.1.model.uri", "pvc://models/qwen3-4b"),
        children="~ConfigMap/routes",
        phases="small=Collecting/Running medium=Ready large=Ready",
        conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        events="Ready",
    ),
    Step(
        "what never served goes",
        later(seconds=60),
        children="-InferenceService/medium+2",
        phases="small=Collecting/Running medium=Ready large=Ready",
        conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
    ),
]
SERVES: dict[str, str] = {
    "phases": "small=Collecting/Running medium=Ready large=Ready",
    "conditions": "Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
}
PARENTS = [{"name": "public", "namespace": "gateways"}, {"name": "private", "sectionName": "https"}]
EXPOSURE = [
    Step(
        "two gateways publish it",
        together(
            put("spec.auth", {"anonymous": True}),
            put("spec.httpRoute", {"parentRefs": PARENTS, "hostnames": ["llm.example.com"]}),
        ),
        children="+HTTPRoute/qwen ~ConfigMap/routes",
        **SERVES,
    ),
    Step(
        "one of them does",
        put("spec.httpRoute.parentRefs", PARENTS[1:]),
        children="~ConfigMap/routes ~HTTPRoute/qwen",
        **SERVES,
    ),
    Step("under every name", drop("spec.httpRoute.hostnames"), children="~ConfigMap/routes ~HTTPRoute/qwen", **SERVES),
    Step(
        "an ingress does instead",
        together(drop("spec.httpRoute"), put("spec.ingress", {"hosts": ["a.example.com", "b.example.com"]})),
        children="+Ingress/qwen -HTTPRoute/qwen ~ConfigMap/routes",
        **SERVES,
    ),
    Step(
        "under one name",
        put("spec.ingress.hosts", ["b.example.com"]),
        children="~ConfigMap/routes ~Ingress/qwen",
        **SERVES,
    ),
    Step("nobody does", drop("spec.ingress"), children="-Ingress/qwen ~ConfigMap/routes", **SERVES),
]
KNATIVE = [
    Step(
        "another model, of which KServe has not heard yet",
        put("spec.agents.1.model.uri", "pvc://models/qwen3-4b"),
        children="~ConfigMap/routes ~InferenceService/medium",
        phases="small=Collecting/Running medium=Pending/RollingOut large=Ready",
        conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        events="Pending",
    ),
    Step(
        "its revision serves",
        serve("medium"),
        phases="small=Collecting/Running medium=Ready large=Ready",
        conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        events="Ready",
    ),
    Step(
        "the scenario moves",
        put("spec.scenario", "cost-first"),
        children="~ConfigMap/routes",
        phases="small=Collecting/Running medium=Ready large=Ready",
        conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
    ),
    Step(
        "a run is promoted, and the base model serves on until its revision is up",
        train("small", 0.1),
        children="~InferenceService/small",
        phases="small=Promoting/RollingOut medium=Ready large=Ready",
        conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        events="Evaluating Promoted Promoting RL SFT",
    ),
    Step(
        "it is",
        serve("small"),
        children="~ConfigMap/routes",
        phases="small=Ready/Promoted medium=Ready large=Ready",
        conditions="Ready=Serving TrainingComplete=AllTrained Degraded=AsExpected",
        events="Ready",
    ),
]


@pytest.mark.parametrize("name", SCENARIOS)
async def test_all_that_follows_is_in_the_table(scenario: Callable[..., Awaitable[None]], name: str) -> None:
    await scenario(SCENARIOS[name])


async def test_surge(scenario: Callable[..., Awaitable[None]]) -> None:
    await scenario(SURGE, rollout="surge")


async def test_exposure(scenario: Callable[..., Awaitable[None]]) -> None:
    await scenario(EXPOSURE)


async def test_knative(scenario: Callable[..., Awaitable[None]]) -> None:
    await scenario(KNATIVE, deploymentMode="Knative")
