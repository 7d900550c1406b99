"""Words that the route table, the manifest and training share, and when answering pays."""

from __future__ import annotations

from enum import StrEnum

from disrouter.scenario import reject_threshold

MAX_GAMMA = 4.0
"""Of every exponent gamma: training, decision and route table agree on it."""
MAX_GENERATION = 2**63 - 1
"""Kubernetes counts generations in 64 bits."""


class Awareness(StrEnum):
    """How an agent decides: `trained` weights, a `prompted` base model, or `none` - it always answers."""

    TRAINED = "trained"
    PROMPTED = "prompted"
    NONE = "none"


class DecisionMode(StrEnum):
    """Where the decision is read: in the reply's text, or in the refusal's chance at the first token."""

    TEXT = "text"
    PROBABILITY = "probability"


class PreferenceEncoding(StrEnum):
    """How a preference is put to the agent in training."""

    DISCRETE = "discrete"
    """By the paper's three scenarios."""
    CONTINUOUS = "continuous"
    """Half of the examples by the three scenarios, half by alpha drawn from [0, 1] and stated as a number."""


class FallbackPolicy(StrEnum):
    """When every agent that could still answer has failed: the best agent that is up answers, or nobody does."""

    BEST_EFFORT = "best-effort"
    FAIL = "fail"


class UndecidablePolicy(StrEnum):
    """What becomes of a reply that cannot be judged: it is no JSON, or in an encoding that nobody asked for."""

    FORWARD = "forward"
    """The next agent is asked while one is left: the reply may be a refusal."""
    ANSWER = "answer"
    """The client gets it: it may be an answer."""


def answers(competence: float, alpha: float, gamma: float) -> bool:
    """Whether answering is worth at least the reward of a refusal (eq. 10)."""
    return competence >= reject_threshold(alpha, gamma)
