"""A reply's text without its wrapping: invisible characters, leaked special tokens and roles, HTML entities, reasoning.

Engines, templates and gateways put all of these around what a model says. None of it is part of what it says.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_THOUGHTS = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "seed:think")
_TOKENS = ("s", "bos", "eos", "pad", "unk", "start_of_turn", "end_of_turn")
_THOUGHT, _TOKEN = "|".join(_THOUGHTS), "|".join(_TOKENS)
_OPENED = re.compile(rf"<(?:{_THOUGHT})>|\[THINK\]|◁think▷|<\|begin_of_thought\|>", re.IGNORECASE)
CLOSED = re.compile(
    rf"</(?:{_THOUGHT})>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|channel\|>final<\|message\|>", re.IGNORECASE
)
"""The end of a reasoning block, by any model's template."""
LONGEST_CLOSED = len("<|channel|>final<|message|>")
_SPECIAL = re.compile(
    rf"<\|[^<>|]{{1,48}}\|>|<｜[^<>｜]{{1,48}}｜>|</?(?:{_TOKEN})>|</(?:{_THOUGHT})>"
    r"|\[/?(?:INST|THINK)\]|◁/think▷",
    re.IGNORECASE,
)
"""A special token that was not taken out, or the end of a reasoning block that the template had opened."""
_PARTIAL = re.compile(r"<[|｜](?:[^<>|｜]{0,48}[|｜]?)?\Z")
_NAMED = (
    *(f"<{slash}{name}>" for name in (*_TOKENS, *_THOUGHTS) for slash in ("", "/")),
    *("[inst]", "[/inst]", "[think]", "[/think]", "◁think▷", "◁/think▷"),
)
_ROLES = ("assistant", "model", "final")
_REASONS = "analysis"
"""A channel of OpenAI's open models: what follows is a reasoning block."""
_ENTITY = re.compile(r"&#?\w{1,10};")
_OPEN_ENTITY = re.compile(r"&#?\w{0,10}\Z")
_MARKS = "\"'*_`#>~([{-\u201c\u201d\u2018\u201e\u201a\u00ab\u2039\u300c\u300e"
_APOSTROPHES = str.maketrans(
    dict.fromkeys("\u2019\u2018\u201b\u02bc\u02bb\u02bd\u02b9\u00b4`\uff07\u2032\u2035\uff40\u055a\ua78c", "'")
)
_BLANKS = "\u2800\u3164\u115f\u1160\uffa0\u0120\u010a\u2581"
"""Blank to the eye, or a tokenizer's own sign of a blank."""


def opens_reasoning(prompt: str) -> bool:
    """Whether a rendered prompt ends in an opened reasoning block, so that the reply begins inside it."""
    end = prompt.rstrip()
    return any(opened.end() == len(end) for opened in _OPENED.finditer(end))


class Lead:
    """What stands before a reply's first word, taken off as it comes."""

    __slots__ = ("marks", "reasons", "rest", "token")

    def __init__(self) -> None:
        self.rest = ""
        """What is left: the beginning of the reply's words, or of more wrapping."""
        self.marks = 0
        """Quotes and marks of emphasis so far."""
        self.reasons = False
        """A reasoning block has begun."""
        self.token = True
        """A role may come: nothing but special tokens and blanks stood before."""

    def push(self, character: str) -> bool:
        """Take one more; True while `rest` may still turn out to be wrapping."""
        self.rest += character
        if character == ";" and "&" in self.rest:
            self.rest = unescape(self.rest)
        while self.rest and self._take():
            pass
        return self.waits

    @property
    def waits(self) -> bool:
        """Whether more text could make wrapping of what is left."""
        rest = self.rest
        if not rest or ends_in_entity(rest):
            return True
        folded = rest.lower()
        return is_partial(folded) or (self.token and any(role.startswith(folded) for role in (*_ROLES, _REASONS)))

    def _take(self) -> bool:
        """Take one piece of wrapping off the front."""
        rest = self.rest
        first = rest[0]
        if first in _MARKS and not (first == "[" and is_partial(rest.lower())) and not _SPECIAL.match(rest):
            self.rest, self.marks, self.token = rest[1:], self.marks + 1, False
        elif is_invisible(first):
            self.rest = rest[1:]
        elif (opened := _OPENED.match(rest)) is not None:
            self.rest, self.reasons = rest[opened.end() :], True
            return False
        elif (special := _SPECIAL.match(rest)) is not None:
            self.rest, self.token = rest[special.end() :], True
        else:
            return self.token and self._take_role()
        return True

    def _take_role(self) -> bool:
        """A role or channel that its header left behind: it ends in a blank, a colon or another token."""
        for role in (*_ROLES, _REASONS):
            after = self.rest[len(role) :]
            if self.rest[: len(role)].lower() == role and after and (after[0] in "\n:<" or is_invisible(after[0])):
                if role == _REASONS and after[0] != "<":
                    return False
                self.rest, self.reasons = after.removeprefix(":"), role == _REASONS
                return not self.reasons
        return False


def is_partial(text: str) -> bool:
    """Whether lower-case text may be the beginning of a special token or of a tag of reasoning."""
    return text[:1] in ("<", "[", "◁") and (
        _PARTIAL.match(text) is not None or any(name.startswith(text) for name in _NAMED)
    )


def straight(text: str) -> str:
    """Every apostrophe as the typewriter's."""
    return text.translate(_APOSTROPHES)


def unescape(text: str) -> str:
    """Entities that are complete as what they stand for; some gateways escape what was escaped."""
    return _ENTITY.sub(_meaning, _ENTITY.sub(_meaning, text))


def _meaning(entity: re.Match[str]) -> str:
    return _unescape(entity[0])


def _unescape(text: str) -> str:
    from html import unescape as meaning  # its table takes half a MiB, which an idle sidecar spares

    return meaning(text)


def ends_in_entity(text: str) -> bool:
    """Whether text ends in what may become an entity."""
    return "&" in text and _OPEN_ENTITY.search(unescape(text)) is not None


def fold(text: str) -> str:
    """Case, widths, apostrophes, entities and inner white space made one; invisible characters and tokens taken out."""
    if "&" in text:
        text = _unescape(unescape(text))
    text = _SPECIAL.sub(" ", text).translate(_APOSTROPHES)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = "".join([_visible(character) for character in text]).translate(_APOSTROPHES)
    folded = text.lower()
    return " ".join(folded.split()) + (" " if folded[-1:].isspace() else "")


def after_reasoning(text: str) -> str:
    """What a whole reply says behind its last reasoning block, all of it where there is none."""
    if "</" not in text and "<|" not in text and "[/" not in text and "◁/" not in text:
        return text
    end = 0
    for closed in CLOSED.finditer(text):
        end = closed.end()
    return text[end:]


@lru_cache(maxsize=512)
def is_invisible(character: str) -> bool:
    """White space, and what shows nothing: controls, joiners, marks of direction, variation selectors."""
    return (
        character.isspace()
        or character in _BLANKS
        or unicodedata.category(character) in ("Cc", "Cf")
        or character in "\u034f\ufffd"
        or "\ufe00" <= character <= "\ufe0f"
    )


def _visible(character: str) -> str:
    if character.isspace() or character in _BLANKS:
        return " "
    return "" if is_invisible(character) else character
