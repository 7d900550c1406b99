"""The canonical refusal and an incremental matcher that decides at the earliest text that can decide.

Source: Table 8. A reply is a refusal when its text, after white space, an optional reasoning block and optional
opening quotes, IS the phrase "I don't know" - followed by nothing but closing punctuation and white space, or by the
exclamation mark of the template. "I don't know the exact year, but ..." is an answer that merely begins like one.
A reply that its token limit cut off inside the phrase, from "I don't" on, refuses too: half a refusal answers nobody.
"""

from __future__ import annotations

from enum import StrEnum

REFUSAL = "I don't know!"

_PHRASE = "i don't know"
_BEGINNING = "I don't know"
"""The template's own words, every beginning of which is undecided: no need to judge each of their letters."""
_LEAST = "i don't"
"""The shortest beginning of the phrase that tells a refusal which was cut off from an answer."""
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4`\uff07", "'"))
_OPENING = "\"'*_\u201c\u201d\u2018\u00ab("
_CLOSING = ".!\u2026\"'*_\u201c\u201d\u2019\u00bb)"
_THINK_OPEN, _THINK_CLOSE = "<think>", "</think>"
_FIRST = ("", "i", "I", "<")
"""How a refusal, or a reasoning block before it, begins; nothing where the lead is long."""
MAX_LEAD = 64
"""Characters of leading white space and quotes that are held back before the reply counts as an answer."""

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
    the first letter that decides is the same however the deltas are cut. Memory is bounded: only the lead, the phrase
    and, inside a reasoning block, the last few characters are kept.
    """

    def __init__(self) -> None:
        self.decision = Decision.UNDECIDED
        self._text = ""
        self._thinking = False

    def feed(self, delta: str) -> Decision:
        """Take the next piece of the reply's text."""
        position = 0
        while position < len(delta) and self.decision is Decision.UNDECIDED:
            if self._thinking:
                position = self._reason(delta, position)
            else:
                self._text += delta[position]
                position += 1
                if not _BEGINNING.startswith(self._text):
                    self.decision = self._judge(ended=False)
        return self.decision

    def finish(self, *, truncated: bool = False) -> Decision:
        """The reply has ended, `truncated` if by its token limit. An empty one is an answer: nothing in it refuses."""
        if self.decision is Decision.UNDECIDED:
            if truncated and not self._thinking and _fold(_core(self._text)).startswith(_LEAST):
                self.decision = Decision.REFUSE  # undecided, so all of it is a beginning of the phrase, or the phrase
            else:
                self.decision = Decision.ANSWER if self._thinking else self._judge(ended=True)
        return self.decision

    def _reason(self, delta: str, position: int) -> int:
        """Skip what a reasoning block says; the place in `delta` where the reply goes on."""
        text = self._text + delta[position:]
        end = text.find(_THINK_CLOSE)
        if end < 0:
            self._text = text[1 - len(_THINK_CLOSE) :]
            return len(delta)
        self._thinking, self._text = False, ""
        return len(delta) - (len(text) - end - len(_THINK_CLOSE))

    def _judge(self, *, ended: bool) -> Decision:
        head, core = self._text.lstrip(), _core(self._text)
        if len(self._text) - len(core) > MAX_LEAD:
            return Decision.ANSWER
        if head == _THINK_OPEN:
            self._thinking, self._text = True, ""
            return Decision.UNDECIDED
        if head and _THINK_OPEN.startswith(head) and not ended:
            return Decision.UNDECIDED
        return _judge_core(core, ended=ended or len(self._text) > MAX_HELD)


def is_refusal(text: str, *, truncated: bool = False) -> bool:
    """Whether a whole reply refuses; `truncated` as in `RefusalMatcher.finish`."""
    if text == REFUSAL:  # as nearly all of them are: no need to judge its letters
        return True
    if _core(text[: MAX_LEAD + 1])[:1] not in _FIRST:
        return False
    matcher = RefusalMatcher()
    matcher.feed(text)
    return matcher.finish(truncated=truncated) is Decision.REFUSE


def _core(text: str) -> str:
    """Without white space and opening quotes at the front."""
    return text.lstrip().lstrip(_OPENING).lstrip()


def _judge_core(core: str, *, ended: bool) -> Decision:
    """Judge text whose lead is gone: against the phrase, then what follows it."""
    folded = _fold(core)
    if len(folded) < len(_PHRASE):
        if _PHRASE.startswith(folded) and not ended:
            return Decision.UNDECIDED
        return Decision.ANSWER
    if not folded.startswith(_PHRASE):
        return Decision.ANSWER
    rest = folded[len(_PHRASE) :]
    if rest.startswith("!"):
        return Decision.REFUSE
    if rest.strip().strip(_CLOSING).strip():
        return Decision.ANSWER
    return Decision.REFUSE if ended else Decision.UNDECIDED


def _fold(text: str) -> str:
    """Case, apostrophes and inner white space made one."""
    folded = text.translate(_APOSTROPHES).lower()
    return " ".join(folded.split()) + (" " if folded[-1:].isspace() else "")
