"""`status` of a cascade: conditions and summary from the agents' states. Times move only when a condition does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from disrouter.api import AgentStatus, CascadeStatus, Condition, ConditionType, Phase
from disrouter_operator.kube.resources import Object
from disrouter_operator.status.conditions import Verdict, conditions, merged

FAILED_PHASES = frozenset(
    {
        Phase.COLLECTING_FAILED,
        Phase.SFT_FAILED,
        Phase.RL_FAILED,
        Phase.EVALUATING_FAILED,
        Phase.PROMOTING_FAILED,
        Phase.SERVING_FAILED,
    }
)


CHILD_REFUSED, CHILD_NOT_KEPT = "ChildRefused", "ChildNotKept"
"""Reasons of Degraded: what became of a child that was written."""
KSERVE_MISSING = "KServeMissing"
"""Reason of an agent with a model, and of its cascade, on a cluster that does not know InferenceServices."""


@dataclass(frozen=True)
class Facts:
    """What the conditions are judged on."""

    generation: int
    url: str
    entrypoint: str
    agents: Sequence[AgentStatus]
    """Agents of the spec in order, then those that are leaving."""
    held: frozenset[str]
    """Agents that wait for their weights outside the route table."""
    to_train: int
    trained: int
    unknown: tuple[str, ...] = ()
    """Kinds that the manifest asks for and the API server does not have; it is done without them."""
    unreadable: tuple[str, ...] = ()
    """Kinds that the operator's role does not let it list, and the right that is missing."""


def read(parent: Object) -> CascadeStatus:
    """The status that the last pass wrote; empty if there is none or it cannot be read (an older version's)."""
    try:
        return CascadeStatus.model_validate(parent.get("status") or {})
    except ValidationError:
        return CascadeStatus()


def of_facts(facts: Facts, before: CascadeStatus, now: datetime) -> CascadeStatus:
    """The status of a cascade whose spec is valid."""
    staying = [agent for agent in facts.agents if agent.phase is not Phase.DRAINING]
    ready = sum(agent.ready for agent in staying)
    verdicts = [_spec_valid(), _agents_ready(facts, staying), _endpoint_ready(facts, staying)]
    verdicts = [_ready(verdicts), *verdicts, _training(facts, staying), _degraded(facts, staying)]
    return CascadeStatus(
        observed_generation=facts.generation,
        conditions=conditions(verdicts, before.conditions, facts.generation, now),
        url=facts.url,
        agents_ready=f"{ready}/{len(staying)}",
        training=f"{facts.trained}/{facts.to_train}" if facts.to_train else None,
        agents=tuple(facts.agents),
    )


def of_invalid(message: str, before: CascadeStatus, generation: int, now: datetime) -> CascadeStatus:
    """The status of a cascade that breaks rules: what ran before runs on and keeps its state."""
    text = f"{message} (nothing is changed until this is corrected)"
    verdicts: list[Verdict] = [
        (ConditionType.READY, "False", "SpecInvalid", text),
        (ConditionType.SPEC_VALID, "False", "SpecInvalid", text),
    ]
    return before.model_copy(
        update={
            "observed_generation": generation,
            "conditions": merged(before.conditions, conditions(verdicts, before.conditions, generation, now)),
        }
    )


def of_internal_error(what: str, before: CascadeStatus, generation: int, now: datetime) -> CascadeStatus:
    """The status of a cascade on which the operator itself failed: everything runs on as it is."""
    text = (
        f"the operator failed on this cascade, which is a bug: {what} (nothing is changed and the pass is repeated; "
        "please report it with the traceback in the operator's log)"
    )
    found = conditions([(ConditionType.READY, "False", "InternalError", text)], before.conditions, generation, now)
    return before.model_copy(update={"observed_generation": generation, "conditions": merged(before.conditions, found)})


def with_writes(
    status: CascadeStatus, refused: Sequence[str], unkept: Sequence[str], before: CascadeStatus, now: datetime
) -> CascadeStatus:
    """The same status where writes failed: a refused child is not ready, one that somebody else changes may serve."""
    if not refused and not unkept:
        return status
    reason, text = CHILD_REFUSED if refused else CHILD_NOT_KEPT, "; ".join([*refused, *unkept])
    verdicts: list[Verdict] = [(ConditionType.DEGRADED, "True", reason, text)]
    if refused:
        verdicts.append((ConditionType.READY, "False", reason, text))
    found = conditions(verdicts, before.conditions, status.observed_generation or 0, now)
    return status.model_copy(update={"conditions": merged(status.conditions, found)})


def condition(status: CascadeStatus, type_: ConditionType) -> Condition | None:
    """A condition by type, None if there is none."""
    return next((each for each in status.conditions if each.type == type_), None)


def _spec_valid() -> Verdict:
    return ConditionType.SPEC_VALID, "True", "Valid", "every rule is kept"


def _agents_ready(facts: Facts, agents: Sequence[AgentStatus]) -> Verdict:
    failed = [agent for agent in agents if agent.phase is Phase.SERVING_FAILED and not agent.ready]
    if failed:
        unserved = all(agent.reason == KSERVE_MISSING for agent in failed)
        return ConditionType.AGENTS_READY, "False", KSERVE_MISSING if unserved else "AgentFailed", _say(failed)
    missing = [agent for agent in agents if not agent.ready and agent.name not in facts.held]
    if missing:
        return ConditionType.AGENTS_READY, "False", "AgentStarting", _say(missing)
    held = f"; waiting for training: {', '.join(sorted(facts.held))}" if facts.held else ""
    return ConditionType.AGENTS_READY, "True", "AllServe", f"every agent in the route serves{held}"


def _endpoint_ready(facts: Facts, agents: Sequence[AgentStatus]) -> Verdict:
    if any(agent.name == facts.entrypoint and agent.ready for agent in agents):
        return ConditionType.ENDPOINT_READY, "True", "EntrypointServes", f"queries enter at agent {facts.entrypoint}"
    return ConditionType.ENDPOINT_READY, "False", "NoAgentServes", "no agent serves yet; see status.agents"


def _ready(others: Sequence[Verdict]) -> Verdict:
    broken = [(reason, message) for _, status, reason, message in others if status != "True"]
    if broken:
        return ConditionType.READY, "False", broken[0][0], broken[0][1]
    return ConditionType.READY, "True", "Serving", "every agent in the route serves"


def _training(facts: Facts, agents: Sequence[AgentStatus]) -> Verdict:
    if not facts.to_train:
        return ConditionType.TRAINING_COMPLETE, "True", "NothingToTrain", "no agent is to be trained now"
    failed = [agent for agent in agents if agent.phase in FAILED_PHASES and agent.phase is not Phase.SERVING_FAILED]
    if failed:
        return ConditionType.TRAINING_COMPLETE, "False", "TrainingFailed", _say(failed)
    if facts.trained == facts.to_train:
        return ConditionType.TRAINING_COMPLETE, "True", "AllTrained", "every agent in mode trained serves its run"
    busy = [agent for agent in agents if agent.run is not None and agent.phase not in (Phase.READY, Phase.PENDING)]
    suspended = bool(busy) and all(agent.reason == "Suspended" for agent in busy)
    return ConditionType.TRAINING_COMPLETE, "False", "Suspended" if suspended else "InProgress", _say(busy)


def _degraded(facts: Facts, agents: Sequence[AgentStatus]) -> Verdict:
    failed = [agent for agent in agents if agent.phase in FAILED_PHASES]
    if failed:
        return ConditionType.DEGRADED, "True", str(failed[0].phase), _say(failed)
    if facts.unknown:
        text = f"nothing failed; left out, as this API server does not know it: {', '.join(facts.unknown)}"
        return ConditionType.DEGRADED, "False", "KindUnknown", text
    if facts.unreadable:
        text = f"nothing failed; the operator takes for absent what its role lacks: {', '.join(facts.unreadable)}"
        return ConditionType.DEGRADED, "False", "KindForbidden", text
    return ConditionType.DEGRADED, "False", "AsExpected", "nothing failed"


def _say(agents: Sequence[AgentStatus]) -> str:
    return "; ".join(f"agent {agent.name} is {agent.phase}: {agent.message or agent.reason or ''}" for agent in agents)
