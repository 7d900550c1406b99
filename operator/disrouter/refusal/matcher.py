"""The canonical refusal and an incremental matcher that decides at the earliest text that can decide.

Source: Table 8. A reply is a refusal when its text, without wrapping (`disrouter.refusal.text`), IS the phrase "I don't
know" - followed by nothing but closing punctuation and white space, or by the exclamation mark of the template. "I
don't know the exact year, but ..." is an answer that merely begins like one. A reply that was cut off inside the
phrase, by its token limit or a stop string, refuses too: half a refusal answers nobody.
"""

from __future__ import annotations

from enum import StrEnum

from disrouter.refusal.text import CLOSED, LONGEST_CLOSED, Lead, after_reasoning, ends_in_entity, fold, is_partial

REFUSAL = "I don't know!"

_PHRASE = "i don't know"
_BEGINNING = "I don't know"
"""The template's own words, every beginning of which is undecided: no need to judge each of their letters."""
_CLOSING = ".!?\u2026\u3002\"'*_`~\u201c\u201d\u2018\u2019\u00bb\u203a\u300d\u300f)]}"
_BEGINS_NOTHING = frozenset("BCDEFGHJKLNOPQRSTUVWXYZbcdefghjklnopqrstuvwxyz0123456789")
"""Characters with which neither the phrase nor any wrapping begins."""
MAX_LEAD = 64
"""Opening quotes and marks that are held back before the reply counts as an answer; blanks are held without a bound."""
MAX_HELD = 192
"""Characters after which a reply that is still undecided is decided by what it says so far."""


class Decision(StrEnum):
    """What the text so far says."""

    ANSWER = "answer"
    REFUSE = "refuse"
    UNDECIDED = "undecided"


class RefusalMatcher:
    """Feed text deltas, read the decision; once decided it never changes.

    `feed` returns the decision so far; `finish` says what the ended text was. The text is judged letter by letter, so
    the first letter that decides is the same however the deltas are cut. Memory is bounded: only the phrase and the
    last few characters of a reasoning block are kept.
    """

    __slots__ = ("_early", "_lead", "_opened", "_text", "_thinking", "decision", "said")

    def __init__(self, *, reasoning: bool = False) -> None:
        """`reasoning`: the prompt has opened a reasoning block, so the reply begins inside it."""
        self.decision = Decision.UNDECIDED
        self.said = False
        """Whether the reply says anything besides wrapping; known once it has ended or is decided."""
        self._text = ""
        """Words of the reply; inside a reasoning block its last few characters."""
        self._lead: Lead | None = None
        """Until the first word, where the reply does not begin with it."""
        self._thinking = self._opened = reasoning
        self._early = ""
        """How a block that only the prompt opened begins: it may be no reasoning at all."""

    def feed(self, delta: str) -> Decision:
        """Take the next piece of the reply's text."""
        position = 0
        while position < len(delta) and self.decision is Decision.UNDECIDED:
            if self._thinking:
                position = self._reason(delta, position)
            else:
                self._push(delta[position])
                position += 1
        return self.decision

    def finish(self, *, truncated: bool = False) -> Decision:
        """The reply has ended, `truncated` if by its token limit or a stop string. An empty one is an answer."""
        if self.decision is Decision.UNDECIDED:
            self.decision = self._end(truncated=truncated)
        return self.decision

    def _end(self, *, truncated: bool) -> Decision:
        if self._thinking:
            return self._end_of_reasoning(truncated=truncated)
        words = fold(self._text if self._lead is None else self._lead.rest)
        self.said = bool(words.strip())
        if truncated and self.said and _PHRASE.startswith(words.strip()):
            return Decision.REFUSE
        return _judge(words, ended=True)

    def _end_of_reasoning(self, *, truncated: bool) -> Decision:
        """A block that never closed says nothing, unless the prompt alone opened it and the agent never reasoned."""
        self.said = self._opened and not truncated and bool(self._early.strip())
        return Decision.REFUSE if self.said and is_refusal(self._early) else Decision.ANSWER

    def _push(self, character: str) -> None:
        lead = self._lead
        if lead is None and not self._text:
            if character in _BEGINS_NOTHING:
                self._decide(Decision.ANSWER)
                return
            if character != "I":
                self._lead = lead = Lead()
        if lead is not None:
            self._push_lead(lead, character)
            return
        self._text += character
        if not _BEGINNING.startswith(self._text):
            self._decide(self._judge())

    def _push_lead(self, lead: Lead, character: str) -> None:
        waits = lead.push(character)
        if lead.reasons:
            self._thinking, self._opened, self._lead, self._text = True, False, None, lead.rest
        elif lead.marks > MAX_LEAD:
            self._decide(Decision.ANSWER)
        elif not waits or _PHRASE.startswith(lead.rest.lower()[:1] or "?"):
            self._lead, self._text = None, lead.rest
            self._decide(self._judge())

    def _decide(self, decision: Decision) -> None:
        self.decision = decision
        self.said = decision is not Decision.UNDECIDED

    def _judge(self) -> Decision:
        text = self._text
        if len(text) <= MAX_HELD and ends_in_entity(text):
            return Decision.UNDECIDED
        return _judge(fold(text), ended=len(text) > MAX_HELD)

    def _reason(self, delta: str, position: int) -> int:
        """Skip what a reasoning block says; the place in `delta` where the reply goes on."""
        text = self._text + delta[position:]
        if self._opened and len(self._early) <= MAX_HELD:
            self._early += delta[position : position + MAX_HELD + 1 - len(self._early)]
        closed = CLOSED.search(text)
        if closed is None:
            self._text = text[1 - LONGEST_CLOSED :]
            return len(delta)
        self._thinking, self._text = False, ""
        return len(delta) - (len(text) - closed.end())


def is_refusal(text: str, *, truncated: bool = False) -> bool:
    """Whether a whole reply refuses; `truncated` as in `RefusalMatcher.finish`."""
    return judge(text, truncated=truncated)[0] is Decision.REFUSE


def judge(text: str, *, truncated: bool = False, reasoning: bool = False) -> tuple[Decision, bool]:
    """The decision of a whole reply, and whether it says anything at all; see `RefusalMatcher`."""
    if text == REFUSAL:  # as nearly all of them are: no need to judge its letters
        return Decision.REFUSE, True
    said = after_reasoning(text)
    if not said.strip():
        said = text
    inside = reasoning and said is text
    if not inside and said[:1] in _BEGINS_NOTHING:
        return Decision.ANSWER, True
    matcher = RefusalMatcher(reasoning=inside)
    matcher.feed(said)
    return matcher.finish(truncated=truncated), matcher.said


def _judge(words: str, *, ended: bool) -> Decision:
    """Judge folded words: against the phrase, then what follows it."""
    if len(words) < len(_PHRASE):
        if _PHRASE.startswith(words) and not ended:
            return Decision.UNDECIDED
        return Decision.ANSWER
    if not words.startswith(_PHRASE):
        return Decision.ANSWER
    rest = words[len(_PHRASE) :]
    if rest.startswith("!"):
        return Decision.REFUSE
    left = rest.strip().strip(_CLOSING).strip()
    if left and not is_partial(left):
        return Decision.ANSWER
    return Decision.REFUSE if ended else Decision.UNDECIDED
