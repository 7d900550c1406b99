"""Training: promote, refuse, fail, retry, suspend, retrain, roll back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from support.scenarios import Step, annotate, drop, end, later, put, serve, train

pytestmark = pytest.mark.controlplane

SCENARIOS: dict[str, list[Step]] = {
    "promote": [
        Step(
            "collect ends well",
            end("small", "collect"),
            children="+Job/small-sft#1",
            phases="small=SFT/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="SFT",
        ),
        Step(
            "sft ends well",
            end("small", "sft"),
            children="+Job/small-rl#1",
            phases="small=RL/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="RL",
        ),
        Step(
            "rl ends well",
            end("small", "rl"),
            children="+Job/small-evaluate#1",
            phases="small=Evaluating/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Evaluating",
        ),
        Step(
            "evaluate finds a better agent",
            end("small", "evaluate", gain=0.1),
            children="~InferenceService/small",
            phases="small=Promoting/RollingOut medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Promoted Promoting",
        ),
        Step(
            "its new pods serve",
            serve("small"),
            children="~ConfigMap/routes",
            phases="small=Ready/Promoted medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=AllTrained Degraded=AsExpected",
            events="Ready",
        ),
    ],
    "gate-refuses": [
        Step(
            "evaluate finds a worse agent",
            train("small", -0.1),
            phases="small=PromotingFailed/GateRefused medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=TrainingFailed Degraded=PromotingFailed",
            events="Evaluating PromotingFailed RL SFT",
        ),
        Step(
            "the gate is lowered",
            put("spec.training.gate", {"minUtilityGain": -0.2}),
            children="~ConfigMap/routes ~InferenceService/small",
            phases="small=Promoting/RollingOut medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Promoted Promoting",
        ),
    ],
    "fail": [
        Step(
            "collect fails",
            end("small", "collect", said="no column 'question'", code=1),
            phases="small=Collecting/RetryWaits medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="AttemptFailed",
        ),
        Step(
            "a minute passes",
            later(minutes=1),
            children="~Job/small-collect#1",
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        ),
        Step(
            "it fails again",
            end("small", "collect", said="no column 'question'", code=1),
            phases="small=CollectingFailed/BackoffLimitExceeded medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=TrainingFailed Degraded=CollectingFailed",
            events="CollectingFailed",
        ),
        Step(
            "an hour passes",
            later(hours=1),
            phases="small=CollectingFailed/BackoffLimitExceeded medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=TrainingFailed Degraded=CollectingFailed",
        ),
        Step(
            "one more retry is allowed",
            put("spec.training.jobs.retries", 2),
            children="~ConfigMap/routes",
            phases="small=Collecting/RetryWaits medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Collecting",
        ),
    ],
    "suspend": [
        Step(
            "collect ends well",
            end("small", "collect"),
            children="+Job/small-sft#1",
            phases="small=SFT/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="SFT",
        ),
        Step(
            "training is suspended",
            put("spec.training.suspend", True),
            children="-Job/small-sft#1 ~ConfigMap/routes",
            phases="small=SFT/Suspended medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=Suspended Degraded=AsExpected",
            events="Suspended",
        ),
        Step(
            "it goes on",
            put("spec.training.suspend", False),
            children="+Job/small-sft#1 ~ConfigMap/routes",
            phases="small=SFT/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Resumed",
        ),
    ],
    "retrain": [
        Step(
            "the first run is promoted",
            train("small", 0.1),
            children="~InferenceService/small",
            phases="small=Promoting/RollingOut medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Evaluating Promoted Promoting RL SFT",
        ),
        Step(
            "its pods serve",
            serve("small"),
            children="~ConfigMap/routes",
            phases="small=Ready/Promoted medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=AllTrained Degraded=AsExpected",
            events="Ready",
        ),
        Step(
            "every agent is to be trained again",
            annotate("disrouter.io/retrain", "1"),
            children="+ConfigMap/small-run#2 +Job/small-collect#2",
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Collecting",
        ),
        Step(
            "another agent alone",
            annotate("disrouter.io/retrain.medium", "1"),
            phases="small=Collecting/Running medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
        ),
        Step(
            "the second run is promoted",
            train("small", 0.1),
            children="~InferenceService/small",
            phases="small=Promoting/RollingOut medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Evaluating Promoted Promoting RL SFT",
        ),
    ],
    "roll-back": [
        Step(
            "a run is promoted",
            train("small", 0.1),
            children="~InferenceService/small",
            phases="small=Promoting/RollingOut medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Evaluating Promoted Promoting RL SFT",
        ),
        Step(
            "its pods serve",
            serve("small"),
            children="~ConfigMap/routes",
            phases="small=Ready/Promoted medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=AllTrained Degraded=AsExpected",
            events="Ready",
        ),
        Step(
            "back to the base model",
            put("spec.agents.0.revision", "base"),
            children="~ConfigMap/routes ~InferenceService/small",
            phases="small=Promoting/RollingOut medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=NothingToTrain Degraded=AsExpected",
            events="Promoting RolledBack",
        ),
        Step(
            "its pods serve again",
            serve("small"),
            phases="small=Ready/RolledBack medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=NothingToTrain Degraded=AsExpected",
            events="Ready",
        ),
        Step(
            "to a run that never was",
            put("spec.agents.0.revision", "deadbeef00"),
            children="~ConfigMap/routes",
            phases="small=PromotingFailed/UnknownRevision medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=TrainingFailed Degraded=PromotingFailed",
            events="PromotingFailed",
        ),
        Step(
            "forward again",
            drop("spec.agents.0.revision"),
            children="~ConfigMap/routes ~InferenceService/small",
            phases="small=Promoting/RollingOut medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=InProgress Degraded=AsExpected",
            events="Promoted Promoting",
        ),
        Step(
            "and its pods serve",
            serve("small"),
            children="~ConfigMap/routes",
            phases="small=Ready/Promoted medium=Ready large=Ready",
            conditions="Ready=Serving TrainingComplete=AllTrained Degraded=AsExpected",
            events="Ready",
        ),
    ],
}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_all_that_follows_is_in_the_table(scenario: Callable[..., Awaitable[None]], name: str) -> None:
    await scenario(SCENARIOS[name])
