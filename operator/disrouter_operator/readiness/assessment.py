"""Whether this replica can do its work, and if not, what is missing and what to do: pure, in words for people.

Nothing routes through the operator, so its readiness serves people, `helm install --wait` and monitoring alone. What
was ready stays so for `GRACE` seconds, so that an API server that restarts, or a
watch that is opened anew, moves nothing. A replica that begins to lead has to earn it again: its watches open then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from disrouter_operator.kube.observed import DISPENSABLE, PUBLISHING
from disrouter_operator.kube.resources import CASCADES, INFERENCE_SERVICES, LEASES, Resource
from disrouter_operator.readiness.open_watches import Closed
from disrouter_operator.status import conditions
from disrouter_operator.status.events import Note

GRACE = 30.0
"""Seconds for which what was ready may be in trouble before it is called unready."""
SETTLING = 5.0
"""Seconds that something must be wrong to be worth a line in the log: a start takes its time, and an API server that
has just started refuses everybody until it knows the roles."""
INSTALL_DEFINITION = "install the chart disrouter-crds, or `kubectl apply -f crds/`"
INSTALL_KSERVE = "install KServe (docs/install.md)"
BIND_ROLE = (
    "let the chart bind its role (rbac.create: true), or grant the rules of charts/disrouter/templates/rbac.yaml"
)


class Role(StrEnum):
    """What this replica does, as far as it knows."""

    CANDIDATE = "candidate"
    STANDBY = "standby"
    LEADER = "leader"


class Reason(StrEnum):
    """Why a replica is not ready, or what it goes without; reasons of Events and labels of a metric."""

    STARTING = "Starting"
    API_SERVER_AWAY = "ApiServerAway"
    DEFINITION_MISSING = "DefinitionMissing"
    FORBIDDEN = "Forbidden"
    WATCH_CLOSED = "WatchClosed"
    KSERVE_MISSING = conditions.KSERVE_MISSING
    KIND_FORBIDDEN = "KindForbidden"


_PASSING = frozenset({Reason.STARTING, Reason.API_SERVER_AWAY, Reason.WATCH_CLOSED})
"""What comes and goes with the API server, in parts."""
_DISPENSABLE = frozenset({Reason.KSERVE_MISSING, Reason.KIND_FORBIDDEN})
"""What the operator works without, for the cascades that do not need it."""
_OVER = {
    Reason.KSERVE_MISSING: "KServe is installed: agents with a model are served",
    Reason.KIND_FORBIDDEN: "every kind that the operator can do without may be listed, or is not installed",
}


@dataclass(frozen=True)
class SurveyResult:
    """What the API server said when it was asked for each kind."""

    absent: frozenset[Resource] = frozenset()
    """Kinds that are not installed."""
    forbidden: Mapping[Resource, str] = field(default_factory=lambda: MappingProxyType({}))
    """Kinds that may not be listed, with the API server's words."""
    away: str | None = None
    """Why there was no answer, or none that means anything; the rest is what was known before."""

    @property
    def unwatched(self) -> frozenset[Resource]:
        """Kinds that are done without."""
        return self.absent | (self.forbidden.keys() & DISPENSABLE)

    @property
    def usable(self) -> bool:
        """Whether the API server answers and everything that no cascade can do without may be listed."""
        return self.away is None and CASCADES not in self.absent and not self.forbidden.keys() - DISPENSABLE


@dataclass(frozen=True)
class Facts:
    """All that readiness is judged on. `findings` is None until the first look is over."""

    role: Role = Role.CANDIDATE
    findings: SurveyResult | None = None
    lease_refused: str | None = None
    """The API server's words where this replica may not read or write the Lease."""
    listed: bool = False
    """The leader's first list of the cascades is through."""
    closed: Mapping[Resource, Closed] = field(default_factory=lambda: MappingProxyType({}))
    """Kinds whose watch is not open."""
    failure: str | None = None
    """What ended the watches when they were open last, or were to be."""

    @property
    def refused(self) -> list[Resource]:
        """Kinds that may not be watched."""
        return sorted(kind for kind, closed in self.closed.items() if closed.refused)


@dataclass(frozen=True)
class Problem:
    """Something that is missing, and what to do."""

    reason: Reason
    message: str
    kinds: tuple[str, ...] = ()

    @property
    def blocks(self) -> bool:
        """Whether the operator cannot work with it."""
        return self.reason not in _DISPENSABLE

    def new(self, reported: Iterable[Problem]) -> bool:
        """Whether it says more than what was told. Watches and rights come and go one by one: fewer are no news."""
        known = [each for each in reported if each.reason is self.reason]
        kinds = {kind for each in known for kind in each.kinds}
        return not known or (self.reason not in _PASSING and not kinds >= set(self.kinds))


def assess(facts: Facts) -> tuple[Problem, ...]:
    """Everything that is wrong, what comes first first."""
    if facts.findings is None:
        return (Problem(Reason.STARTING, "the API server has not answered yet"),)
    found = _of_cluster(facts.findings)
    if facts.lease_refused is not None:
        found.append(_refused("read and write", [LEASES], facts.lease_refused))
    if not any(problem.blocks for problem in found):
        found += _of_role(facts)
    return tuple(found)


def _of_cluster(findings: SurveyResult) -> list[Problem]:
    found: list[Problem] = []
    if findings.away is not None:
        found.append(Problem(Reason.API_SERVER_AWAY, f"asking the API server fails: {findings.away}"))
    if CASCADES in findings.absent:
        name = CASCADES.full_name
        text = f"the definition {name} is not installed; {INSTALL_DEFINITION}"
        found.append(Problem(Reason.DEFINITION_MISSING, text, (name,)))
    needed = sorted(findings.forbidden.keys() - DISPENSABLE)
    if needed:
        found.append(_refused("list", needed, findings.forbidden[needed[0]]))
    if INFERENCE_SERVICES in findings.absent:
        name = INFERENCE_SERVICES.full_name
        text = (
            f"KServe is not installed (there is no definition {name}): agents with a model wait, "
            f"cascades of external agents work; {INSTALL_KSERVE}"
        )
        found.append(Problem(Reason.KSERVE_MISSING, text, (name,)))
    # One remedy, which is told above. What is kept back on purpose a cascade says that asks for it.
    spared = [] if needed else sorted((findings.forbidden.keys() & DISPENSABLE) - PUBLISHING)
    if spared:
        words, names = findings.forbidden[spared[0]], ", ".join(_names(spared))
        text = f"cannot list {names}, which is taken for absent: {words}; {BIND_ROLE}"
        found.append(Problem(Reason.KIND_FORBIDDEN, text, _names(spared)))
    return found


def _of_role(facts: Facts) -> list[Problem]:
    """A standby watches nothing: it works as soon as it may list each kind."""
    if facts.role is Role.CANDIDATE:
        return [Problem(Reason.STARTING, "it is not known yet who leads")]
    if facts.role is Role.STANDBY:
        return []
    if facts.refused:
        return [_refused("watch", facts.refused, facts.closed[facts.refused[0]].why)]
    if facts.closed:
        kinds = sorted(facts.closed)
        why = facts.failure or next((facts.closed[kind].why for kind in kinds if facts.closed[kind].why), "")
        text = f"the watch of {', '.join(_names(kinds))} is not open" + (f": {why}" if why else "")
        return [Problem(Reason.WATCH_CLOSED, text, _names(kinds))]
    return [] if facts.listed else [Problem(Reason.STARTING, "the first list of the cascades is not through")]


def _refused(verbs: str, kinds: Sequence[Resource], words: str) -> Problem:
    return Problem(Reason.FORBIDDEN, f"cannot {verbs} {', '.join(_names(kinds))}: {words}; {BIND_ROLE}", _names(kinds))


def _names(kinds: Iterable[Resource]) -> tuple[str, ...]:
    return tuple(kind.full_name for kind in kinds)


@dataclass(frozen=True)
class State:
    """What is the case and was said. `since`: when each reason came up, in monotonic seconds."""

    ready: bool = False
    role: Role = Role.CANDIDATE
    problems: tuple[Problem, ...] = ()
    since: Mapping[Reason, float] = field(default_factory=lambda: MappingProxyType({}))
    reported: tuple[Problem, ...] = ()

    @property
    def trouble(self) -> str | None:
        """Why it is not ready; None if it is."""
        return None if self.ready else "; ".join(each.message for each in self.problems if each.blocks) or "starting"


def step(state: State, facts: Facts, now: float) -> tuple[State, list[Note]]:
    """The next state, and what changed in words: one note a change, however often it is looked."""
    problems = assess(facts)
    since = {each.reason: state.since.get(each.reason, now) for each in problems}
    was = state.ready and (facts.role is state.role or facts.role is not Role.LEADER)
    patient = {each.reason: now - since[each.reason] < _patience(each, ready=was) for each in problems}
    blocking = [each for each in problems if each.blocks]
    ready = not blocking or (was and all(patient[each.reason] for each in blocking))
    reported = tuple(each for each in problems if not each.new(state.reported) or not patient[each.reason])
    after = State(ready, facts.role, problems, since, reported)
    return after, _changes(state, after)


def _patience(problem: Problem, *, ready: bool) -> float:
    return GRACE if ready and problem.blocks else SETTLING


def _changes(before: State, after: State) -> list[Note]:
    news = [each for each in after.reported if each.new(before.reported)]
    notes = [Note("Warning", each.reason, each.message) for each in news if not each.blocks]
    blocking = [each for each in news if each.blocks]
    if blocking and not after.ready:
        message = "; ".join(each.message for each in after.reported if each.blocks)
        notes.append(Note("Warning", blocking[0].reason, f"not ready: {message}"))
    gone = {each.reason for each in before.reported} - {each.reason for each in after.reported}
    notes += [Note("Normal", reason, _OVER[reason]) for reason in sorted(gone & _DISPENSABLE)]
    if after.ready and (not before.ready or before.role is not after.role):
        leads = after.role is Role.LEADER
        what = "this replica leads and its watches are open" if leads else "this replica stands by"
        notes.append(Note("Normal", "Ready", f"ready: {what}"))
    return notes
