"""`status` of a cascade: conditions and summary from the agents' states. Times move only when a condition does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import ValidationError

from disrouter.api import AgentStatus, CascadeStatus, ConditionType, Phase
from disrouter_operator.kube.resources import Object
from disrouter_operator.status import kstatus
from disrouter_operator.status.conditions import (
    CHILD_DELAYED,
    CHILD_NOT_KEPT,
    CHILD_REFUSED,
    CLAIM_CONFINED,
    KSERVE_MISSING,
    TELLING,
    Verdict,
    cold,
    conditions,
    merged,
    serving,
)


@dataclass(frozen=True)
class Facts:
    """What the conditions are judged on."""

    url: str
    entrypoint: str
    returning: str | None
    """A cheaper agent where queries enter once it has served for a while."""
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
    unpruned: str | None = None
    """A command that deletes what was published before the right to do so was taken from the operator."""
    confined: tuple[str, ...] = ()
    """Claims that cannot be mounted by all pods that want them, unless these are on one node."""


@dataclass(frozen=True)
class Invalid:
    """A cascade that breaks rules."""

    message: str


@dataclass(frozen=True)
class InternalFailure:
    """A cascade on which the operator itself failed."""

    what: str


@dataclass
class ChildProblems:
    """What became of children that could not be written as they should be; texts are for people."""

    refused: list[str] = field(default_factory=list)
    """By the API server, for what they are."""
    delayed: list[str] = field(default_factory=list)
    """By the API server, because something that it asks is away; written as soon as that is back."""
    unkept: list[str] = field(default_factory=list)
    """Written, but changed by somebody else each time."""

    @property
    def message(self) -> str:
        """All of them; empty if there are none."""
        return "; ".join([*self.refused, *self.delayed, *self.unkept])

    @property
    def reason(self) -> str:
        """The gravest of them."""
        if self.refused:
            return CHILD_REFUSED
        return CHILD_DELAYED if self.delayed else CHILD_NOT_KEPT


Findings = Facts | Invalid | InternalFailure


def read(parent: Object) -> CascadeStatus:
    """The status that the last reconcile wrote; empty if there is none or it cannot be read (an older version's)."""
    try:
        return CascadeStatus.model_validate(parent.get("status") or {})
    except ValidationError:
        return CascadeStatus()


def build(
    findings: Findings, problems: ChildProblems, before: CascadeStatus, generation: int, now: datetime
) -> CascadeStatus:
    """The whole status that a reconcile writes. `generation` is the manifest's."""
    if isinstance(findings, Facts):
        status = _of_facts(findings, problems, before, generation, now)
    else:
        found = conditions(_of_failure(findings), before.conditions, generation, now)
        kept = {"observed_generation": generation, "conditions": merged(before.conditions, found)}
        status = before.model_copy(update=kept)
    return kstatus.complete(status, before, now)


def _of_facts(
    facts: Facts, problems: ChildProblems, before: CascadeStatus, generation: int, now: datetime
) -> CascadeStatus:
    staying = [agent for agent in facts.agents if agent.phase is not Phase.DRAINING]
    ready = sum(agent.ready for agent in staying)
    verdicts = [_spec_valid(), _agents_ready(facts, staying), _endpoint_ready(facts, staying)]
    verdicts = [
        _ready(facts, verdicts, problems),
        *verdicts,
        _training(facts, staying),
        _degraded(facts, staying, problems),
    ]
    return CascadeStatus(
        observed_generation=generation,
        conditions=conditions(verdicts, before.conditions, generation, now),
        url=facts.url,
        agents_ready=f"{ready}/{len(staying)}",
        training=f"{facts.trained}/{facts.to_train}" if facts.to_train else None,
        agents=tuple(facts.agents),
    )


def _of_failure(findings: Invalid | InternalFailure) -> list[Verdict]:
    """What ran before runs on and keeps its state."""
    if isinstance(findings, Invalid):
        text = f"{findings.message} (nothing is changed until this is corrected)"
        return [(each, "False", "SpecInvalid", text) for each in (ConditionType.READY, ConditionType.SPEC_VALID)]
    text = (
        f"the operator failed on this cascade, which is a bug: {findings.what} (nothing is changed and it tries again; "
        "please report it with the traceback in the operator's log)"
    )
    return [(ConditionType.READY, "False", "InternalError", text)]


def _spec_valid() -> Verdict:
    return ConditionType.SPEC_VALID, "True", "Valid", "every rule is kept"


def _agents_ready(facts: Facts, agents: Sequence[AgentStatus]) -> Verdict:
    failed = [agent for agent in agents if agent.phase is Phase.SERVING_FAILED and not agent.ready]
    if failed:
        unserved = all(agent.reason == KSERVE_MISSING for agent in failed)
        return ConditionType.AGENTS_READY, "False", KSERVE_MISSING if unserved else "AgentFailed", _say(failed)
    missing = [agent for agent in agents if not agent.ready and agent.name not in facts.held]
    if missing:
        said = [each.reason for agent in missing if (each := serving(agent)) is not None]
        cause = next((reason for reason in said if reason in TELLING), "AgentStarting")
        return ConditionType.AGENTS_READY, "False", cause, _say(missing)
    held = f"; waiting for training: {', '.join(sorted(facts.held))}" if facts.held else ""
    idle = [agent.name for agent in agents if cold(agent)]
    without = f" but for those without pods: {', '.join(idle)}" if idle else ""
    return ConditionType.AGENTS_READY, "True", "AllServe", f"every agent in the route serves{without}{held}"


def _endpoint_ready(facts: Facts, agents: Sequence[AgentStatus]) -> Verdict:
    if any(agent.name == facts.entrypoint and agent.ready for agent in agents):
        return ConditionType.ENDPOINT_READY, "True", "EntrypointServes", _where(facts)
    return ConditionType.ENDPOINT_READY, "False", "NoAgentServes", "no agent serves yet; see status.agents"


def _where(facts: Facts) -> str:
    later = f", and at agent {facts.returning} once it has served for a few seconds without a break"
    return f"queries enter at agent {facts.entrypoint}{later if facts.returning is not None else ''}"


def _ready(facts: Facts, others: Sequence[Verdict], problems: ChildProblems) -> Verdict:
    if problems.refused or problems.delayed:
        return ConditionType.READY, "False", problems.reason, problems.message
    broken = [(reason, message) for _, status, reason, message in others if status != "True"]
    if broken:
        return ConditionType.READY, "False", broken[0][0], broken[0][1]
    if facts.returning is not None:
        return ConditionType.READY, "False", "EntrypointReturning", _where(facts)
    return ConditionType.READY, "True", "Serving", "every agent in the route serves"


def _training(facts: Facts, agents: Sequence[AgentStatus]) -> Verdict:
    if not facts.to_train:
        return ConditionType.TRAINING_COMPLETE, "True", "NothingToTrain", "no agent is to be trained now"
    failed = [agent for agent in agents if agent.phase.failed and agent.phase is not Phase.SERVING_FAILED]
    if failed:
        return ConditionType.TRAINING_COMPLETE, "False", "TrainingFailed", _say(failed)
    if facts.trained == facts.to_train:
        return ConditionType.TRAINING_COMPLETE, "True", "AllTrained", "every agent in mode trained serves its run"
    busy = [agent for agent in agents if agent.run is not None and agent.phase not in (Phase.READY, Phase.PENDING)]
    suspended = bool(busy) and all(agent.reason == "Suspended" for agent in busy)
    return ConditionType.TRAINING_COMPLETE, "False", "Suspended" if suspended else "InProgress", _say(busy)


def _degraded(facts: Facts, agents: Sequence[AgentStatus], problems: ChildProblems) -> Verdict:
    if problems.message:
        return ConditionType.DEGRADED, "True", problems.reason, problems.message
    failed = [agent for agent in agents if agent.phase.failed]
    if failed:
        return ConditionType.DEGRADED, "True", str(failed[0].phase), _say(failed)
    lacks = list(_lacks(facts))
    if lacks:
        return ConditionType.DEGRADED, "False", lacks[0][0], "; ".join(["nothing failed", *(text for _, text in lacks)])
    return ConditionType.DEGRADED, "False", "AsExpected", "nothing failed"


def _lacks(facts: Facts) -> Iterator[tuple[str, str]]:
    """Reason and text of each thing that keeps nothing from serving now; what hides most comes first."""
    if facts.unknown:
        yield "KindUnknown", f"left out, as this API server does not know it: {', '.join(facts.unknown)}"
    if facts.unreadable:
        text = f"the operator does without what its role lacks: {', '.join(facts.unreadable)}"
        cure = "let the chart grant it (rbac.create, for Ingress and HTTPRoute rbac.publish), or bind it by hand"
        left = f"; what it published before still leads here until somebody deletes it ({facts.unpruned})"
        yield "KindForbidden", f"{text}; {cure}{left if facts.unpruned is not None else ''}"
    if facts.confined:
        yield CLAIM_CONFINED, "; ".join(facts.confined)


def _say(agents: Sequence[AgentStatus]) -> str:
    return "; ".join(f"agent {agent.name} is {agent.phase}: {agent.message or agent.reason or ''}" for agent in agents)
