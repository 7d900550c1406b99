"""With which token a refusal begins, and with which an answer: what the probability decision reads.

The tokens are the first *learned* ones, in the chat: a text that is tokenised alone may begin with another one (many
SentencePiece vocabularies put a blank before it), and a template may put a thought before whatever an agent says.
"""

from __future__ import annotations

from dataclasses import dataclass

from disrouter.refusal import REFUSAL
from disrouter.scenario import Scenario
from disrouter_training.data.sources import Question
from disrouter_training.data.template import THINK
from disrouter_training.generation.encoding import IGNORED, NO_THOUGHT, Encoder
from disrouter_training.generation.prompts import free

PROBED = Scenario.BALANCE
"""Whose instruction the probability mode asks under, for every preference."""
_PROBE = free(Question(id="probe", question="Why is the sky blue?", answer="-"), PROBED)
_BLANKS = " \t\r\n\u0120\u010a\u2581"
"""White space, and the signs that vocabularies write for it."""


@dataclass(frozen=True)
class FirstTokens:
    """The first tokens that a template lets an agent learn, as an engine's logprobs spell them."""

    refusal: str
    answer: str

    @property
    def usable(self) -> bool:
        """Whether they tell a refusal from an answer."""
        return bool(self.refusal.strip()) and self.refusal.strip() != self.answer.strip()

    def told(self, model: str) -> str:
        """A line for who starts a run: what the probability decision will read, or why it cannot."""
        if self.usable:
            return (
                f"a refusal of {model} begins with {self.refusal!r} and an answer with {self.answer!r}: "
                "decision.mode may be probability"
            )
        return (
            f"warning: refusals and answers of {model} both begin with {self.refusal!r}, by its chat template, so that "
            f"there will be no calibration and the text decides; for decision.mode: probability {NO_THOUGHT}"
        )


def first_tokens(encoder: Encoder) -> FirstTokens:
    """Of this model. Raises ModelError as `Encoder.example` does."""
    refusal, answer = (encoder.spelled(_first_learned(encoder, reply)) for reply in (REFUSAL, THINK))
    return FirstTokens(refusal, answer)


def alike(encoder: Encoder, token: str) -> list[int]:
    """Ids of all tokens that are `token` but for white space: logprobs name texts, which do not tell them apart."""
    bare = token.strip()
    written = [number for text, number in encoder.tokenizer.get_vocab().items() if text.strip(_BLANKS) == bare]
    return sorted(number for number in written if encoder.spelled(number).strip() == bare)


def _first_learned(encoder: Encoder, reply: str) -> int:
    return next(label for label in encoder.example(_PROBE, reply)["labels"] if label != IGNORED)
