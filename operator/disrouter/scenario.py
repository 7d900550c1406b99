"""The paper's scenarios, the functions that put their instruction into a chat or a prompt, and the reward (eq. 7).

Source: Table 7 (texts), section 2.1 (alpha), sections 3.2.2-3.2.3 (thresholds). The trainer and the sidecar both
call `instruct`, so what an agent was taught is what it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

from disrouter.errors import InvalidRequest
from disrouter.refusal import REFUSAL

Message = Mapping[str, Any]

PROMPTED_SUFFIX = f" If you choose not to answer, reply with exactly: {REFUSAL}"
"""Added for an agent that was not trained: Table 7 alone never tells it what a refusal looks like."""


class Scenario(StrEnum):
    """A user's preference between performance and cost, by the paper's names."""

    PERFORMANCE_FIRST = "performance-first"
    BALANCE = "balance"
    COST_FIRST = "cost-first"

    @property
    def alpha(self) -> float:
        """Preference factor in [0, 1]; larger weighs cost more (section 2.1)."""
        return _ALPHA[self]

    @property
    def prompt(self) -> str:
        """The text of Table 7, verbatim."""
        return _PROMPT[self]


_ALPHA = {Scenario.PERFORMANCE_FIRST: 0.2, Scenario.BALANCE: 0.5, Scenario.COST_FIRST: 0.8}
_PROMPT = {
    Scenario.PERFORMANCE_FIRST: (
        "Scenario: Performance First. You must ensure your answer is correct. Only choose to answer if you are "
        "completely certain of your ability to answer the question; otherwise, choose not to answer."
    ),
    Scenario.BALANCE: (
        "Scenario: Balance. You need to strike a balance between answering and not answering. You can choose to "
        "answer questions you are confident in and choose not to answer those you are uncertain about."
    ),
    Scenario.COST_FIRST: (
        "Scenario: Cost First. You need to answer questions as much as possible. Choose to answer as long as you "
        "believe you have the ability to answer correctly; only choose not to answer if you feel there is "
        "absolutely no possibility of giving a correct answer."
    ),
}


StatedPreference = Scenario | float
"""What an agent is told of a preference: a scenario of the paper, or alpha in [0, 1] itself, stated as a number."""
PREFERENCE_HEAD, PREFERENCE_TAIL = (
    "Scenario: Preference ",
    ". On a scale from 0, where you must ensure your answer is correct, to 1, where you need to answer questions as "
    "much as possible, choose to answer only if you are confident enough in your ability to answer the question; "
    "otherwise, choose not to answer.",
)
"""Around a stated alpha: ours, in the words of Table 7, for agents that were trained on a continuous preference."""
PREFERENCE_DECIMALS = 2
"""Of a stated alpha. Finer ones are rounded, so that what is asked was seen in training."""


def alpha_of(preference: StatedPreference) -> float:
    """The preference factor that an agent is told, as it is told: a stated one is rounded."""
    if isinstance(preference, Scenario):
        return preference.alpha
    if not 0.0 <= preference <= 1.0:
        raise InvalidRequest(f"preference must lie in [0, 1], got {preference}", "preference")
    return round(preference, PREFERENCE_DECIMALS)


def prompt_of(preference: StatedPreference) -> str:
    """The instruction: a text of Table 7, or the sentence that states alpha."""
    if isinstance(preference, Scenario):
        return preference.prompt
    return f"{PREFERENCE_HEAD}{alpha_of(preference):.{PREFERENCE_DECIMALS}f}{PREFERENCE_TAIL}"


def nearest(preference: float) -> Scenario:
    """The trained scenario whose alpha is closest to `preference` in [0, 1]; a tie goes to the more careful one."""
    if not 0.0 <= preference <= 1.0:
        raise InvalidRequest(f"preference must lie in [0, 1], got {preference}", "preference")
    return min(Scenario, key=lambda scenario: (round(abs(scenario.alpha - preference), 9), scenario.alpha))


def parse_scenario(text: str) -> Scenario:
    """A scenario by its wire name; `_`, blanks and case are forgiven."""
    try:
        return Scenario(text.strip().lower().replace("_", "-").replace(" ", "-"))
    except ValueError:
        known = ", ".join(Scenario)
        raise InvalidRequest(f"unknown scenario {text[:64]!r}; use one of {known}", "scenario") from None


def reject_threshold(alpha: float, gamma: float = 0.5) -> float:
    """Reward of a refusal and the competence above which answering pays: (1 - alpha) ** gamma (eq. 7 and 10)."""
    return float((1.0 - alpha) ** gamma)


def reward(*, refused: bool, correct: bool, alpha: float, gamma: float = 0.5) -> float:
    """The local, scenario-conditioned reward of one reply (eq. 7): 1, 0, or (1 - alpha) ** gamma for a refusal.

    An agent learns by it when to refuse. What a whole cascade is worth (equations 1 and 2) is the trainer's to measure.
    """
    if refused:
        return reject_threshold(alpha, gamma)
    return 1.0 if correct else 0.0


def instruct(
    messages: Sequence[Message], preference: StatedPreference, *, prompted: bool = False, part: str = "text"
) -> list[dict[str, Any]]:
    """A copy of a chat whose first user message starts with the instruction of a scenario or of a stated alpha.

    The paper prepends the text to the query. In a longer chat the first user message keeps it at one place, so an
    engine's prefix cache stays valid from turn to turn. Content given as parts gets a text part in front, of the type
    `part`. A chat without a user message gets it in its first system or developer message, or else as a leading system
    message: strict templates take only one. `prompted` adds the words of the refusal for an agent that was not trained.
    """
    text = _instruction(preference, prompted=prompted)
    out = [dict(message) for message in messages]
    for roles in (("user",), ("system", "developer")):
        for message in out:
            if message.get("role") in roles:
                message["content"] = _prepend(text, message.get("content"), part)
                return out
    return [{"role": "system", "content": text}, *out]


def instruct_prompt(
    prompt: str | Sequence[str], preference: StatedPreference, *, prompted: bool = False
) -> str | list[str]:
    """The same for text that is no chat: the instruction, a line break, the prompt; for several, each."""
    text = _instruction(preference, prompted=prompted)
    if isinstance(prompt, str):
        return f"{text}\n{prompt}"
    return [f"{text}\n{each}" for each in prompt]


@lru_cache(maxsize=64)
def _instruction(preference: StatedPreference, *, prompted: bool) -> str:
    return prompt_of(preference) + (PROMPTED_SUFFIX if prompted else "")


def _prepend(text: str, content: Any, part: str) -> Any:
    if content is None or isinstance(content, str):
        return f"{text}\n{content or ''}"
    if isinstance(content, Sequence):
        return [{"type": part, "text": f"{text}\n"}, *content]
    raise InvalidRequest("message content must be a string or a list of parts", "messages")
