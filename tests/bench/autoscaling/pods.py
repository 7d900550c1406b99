"""The pods of one simulated agent: they start, batch requests, let others wait, drain and go."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.autoscaling.workload import FIRST_TOKENS, REFUSAL_TOKENS, AgentModel, Query


@dataclass
class Stay:
    """One query at one agent."""

    query: Query
    agent: int
    must_answer: bool = False
    """Nobody is left who could answer in its place."""

    @property
    def refuses(self) -> bool:
        """Whether it ends in a refusal."""
        return not self.must_answer and self.query.refused[self.agent]


@dataclass(eq=False)
class Pod:
    """One replica of an engine with continuous batching."""

    serves_from: float
    created: float
    running: int = 0
    waiting: deque[Stay] = field(default_factory=deque)
    leaving: bool = False
    """It gets no further requests."""
    busy_since: float | None = None
    busy: float = 0.0
    """Seconds, up to `busy_since`, in which its batch was not empty: the engine's loop keeps a core busy then."""

    @property
    def load(self) -> int:
        return self.running + len(self.waiting)

    def begin(self, now: float) -> None:
        """One more is in the batch."""
        self.running += 1
        if self.busy_since is None:
            self.busy_since = now

    def end(self, now: float) -> None:
        """One less."""
        self.running -= 1
        if not self.running and self.busy_since is not None:
            self.busy += now - self.busy_since
            self.busy_since = None

    def worked(self, now: float) -> float:
        """Seconds of a busy core since the last call."""
        seconds = self.busy + (now - self.busy_since if self.busy_since is not None else 0.0)
        self.busy, self.busy_since = 0.0, None if self.busy_since is None else now
        return seconds


@dataclass
class Fleet:
    """All pods of one agent, and what they have cost."""

    model: AgentModel
    pods: list[Pod] = field(default_factory=list)
    gpu_seconds: float = 0.0
    started: int = 0

    @property
    def kept(self) -> list[Pod]:
        """Those that an autoscaler counts: starting ones too, leaving ones not."""
        return [pod for pod in self.pods if not pod.leaving]

    def ready(self, now: float) -> list[Pod]:
        """Those that get requests."""
        return [pod for pod in self.pods if not pod.leaving and pod.serves_from <= now]

    def resize(self, now: float, wanted: int) -> None:
        """Start pods, or let those go that do least; what they have at hand they finish."""
        kept = self.kept
        for _ in range(wanted - len(kept)):
            self.pods.append(Pod(now + self.model.start_seconds, now))
            self.started += 1
        # As a ReplicaSet does: those that are not ready go before those that are.
        surplus = sorted(kept, key=lambda pod: (pod.serves_from <= now, pod.load))[: max(0, len(kept) - wanted)]
        for pod in surplus:
            pod.leaving = True
            self.retire(now, pod)

    def retire(self, now: float, pod: Pod) -> None:
        """A leaving pod that has nothing left to do is gone."""
        if pod.leaving and not pod.load:
            self.pods.remove(pod)
            self.gpu_seconds += (now - pod.created) * self.model.gpus

    def close(self, now: float) -> None:
        """The end: what still runs has cost until now."""
        self.gpu_seconds += sum((now - pod.created) * self.model.gpus for pod in self.pods)

    def admitted(self, now: float, pod: Pod) -> Iterator[tuple[Stay, float, float]]:
        """Stays that begin now, each with the seconds until its first tokens are out and until it ends."""
        model = self.model
        while pod.waiting and pod.running < model.slots:
            stay = pod.waiting.popleft()
            pod.begin(now)
            token = model.token_seconds(pod.running)
            tokens = REFUSAL_TOKENS if stay.refuses else max(FIRST_TOKENS, stay.query.tokens[stay.agent])
            yield stay, model.prefill + FIRST_TOKENS * token, model.prefill + tokens * token
