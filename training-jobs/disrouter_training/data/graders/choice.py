"""The letter of a multiple choice, however a reply names it: by its letter or by the option's text."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping

from disrouter_training.data.graders.statements import SENTENCE_END, Statement, Way

SHORT = 14
"""Words of a line that is about one option and no discussion of several."""
UNREADABLE = ""
"""An answer that names several options, or one by its letter and another by its text."""
_EDGE = " \t.,:;)"
_LETTER = re.compile(
    r"(?:(?:the )?(?:correct |right )?(?:option|choice|answer|letter)(?: is)?:? )?[(\[]?([a-z])"
    r"(?:$|[)\]:]|[.,;](?=\s|$)|(?= [-–—])|(?= (?:because|since|as|is)\b)|(?<=[^ai])(?= ))"
)
"""A letter, and what shows that it is one: bare words may follow any but A and I, which are words themselves."""
_SEVERAL = re.compile(r"[a-z][)\]]?(?:,| ?[/&]| and| or)(?: (?:and|or))? ?[(\[]?[a-z](?:[)\],./&]|$| (?:and|or|are)\b)")
"""`A or B`, `B, C and D`: more than one letter is no choice."""
_NAMED = re.compile(r"\b(?:option|choice|answer|letter)s? [(\[]?([A-Z])\b(?![-'.]\w)|[(\[]([A-Z])[)\]]")
"""`option B`, `(B)`."""
_NUMBERED = re.compile(r"\b(?:option|choice|answer) [(\[]?([1-9])\b[)\]]?(?![.,]?\d)", re.IGNORECASE)
"""`option 2`: the second one, of options that have letters."""
_ALONE = re.compile(r"(?<![\w'.-])([B-HJ-Z])(?![\w'-]|\.\w)|(?<![\w'.-])(A)(?=[\s.,:;]*$)")
_PAIR = re.compile(r"(?<![\w'])[(\[]?[A-Z][)\]]?,? (?:or|and|&) (?:option )?[(\[]?[A-Z](?![\w'])")
_DENIED = re.compile(r"\b(?:not|n't|incorrect|wrong|false|isn't|neither|none|unlikely|cannot)\b|n't\b", re.IGNORECASE)
_LATEX = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]*)\}|\\[()\[\]]")
_MARKUP = str.maketrans(dict.fromkeys("*_`\"'"))
_OPTION = re.compile(r"^[ \t]*\(?([A-Z])[.):][ \t]+(\S.*)$", re.MULTILINE)
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_NOT_A_WORD = re.compile(r"[^\w%.\-/]+|[.](?!\d)|(?<!\w)-(?!\d)")

Options = Mapping[str, str]
"""Texts of a multiple choice by their letters; empty where the question lists none."""


class Choice:
    """`B`, `(b)`, `B.`, `option B`, `B, because ...`, `photosynthesis`; not the article of `A rock`."""

    def problem(self, expected: str) -> str | None:
        """Must be one letter."""
        return None if re.fullmatch(r"[A-Z]", expected) else f"{expected[:40]!r} is no letter from A to Z"

    def correct(self, expected: str, final: str) -> bool:
        """Whether the answer names the letter, and no other one."""
        return letter(final) == expected

    def read(self, statement: Statement, options: Options) -> str | None:
        """The letter that a place of a reply names, None if it names none; UNREADABLE if two."""
        text = _plain(statement.text)
        if statement.way is Way.OPENING:
            return _opening(text, options)
        if statement.way is Way.CLOSING:
            return _line(text, options)
        if statement.way is Way.JUDGED:
            return None if _DENIED.search(text) else _named(text, options) or _by_text(text, options)
        return letter(text, options)


def options_of(question: str) -> dict[str, str]:
    """Texts by letter, from a question's lettered lines: the last run of them that begins with A."""
    found: dict[str, str] = {}
    for name, text in _OPTION.findall(question):
        if name == "A":
            found = {}
        if name == chr(ord("A") + len(found)):
            found[name] = text.strip()
    return found if len(found) > 1 else {}


def letter(text: str, options: Options | None = None) -> str | None:
    """The one letter that a final answer names: it begins with it, or names it or its text in its first sentence.

    UNREADABLE where it names two, None where it names none.
    """
    text, known = _plain(text), options or {}
    return _first(text, SENTENCE_END.split(text, maxsplit=1)[0], known)


def _opening(text: str, options: Options) -> str | None:
    """A first line that is an option and nothing else; one that goes on is the begin of a reason."""
    head = text.rstrip(_EDGE).removeprefix("(")
    if head in options or (not options and len(head) == 1 and head.isupper()):
        return head
    said = _words(text)
    return next(
        (name for name, option in options.items() if said in (_words(option), _words(f"{name}. {option}"))), None
    )


def _line(text: str, options: Options) -> str | None:
    """A line of its own says more by its beginning than by what it mentions, which counts in a short one."""
    if _DENIED.search(text):
        return None
    return _first(text, text if len(text.split()) <= SHORT else "", options)


def _first(text: str, sentence: str, options: Options) -> str | None:
    """By the beginning of the text, else by what the sentence names; a letter with another option's text is neither."""
    found = _leading(text, options)
    if found is None:
        return _named(sentence, options) or _by_text(sentence, options)
    return UNREADABLE if _contradicts(found, text, options) else found


def _contradicts(name: str, text: str, options: Options) -> bool:
    """Whether another option's text, and nothing else, stands behind the letter: nobody knows which one is meant."""
    behind = re.split(rf"\b{name}\b", text, maxsplit=1, flags=re.IGNORECASE)[-1].lstrip(_EDGE + "]-")
    said = _words(SENTENCE_END.split(behind, maxsplit=1)[0])
    others = {_words(option) for option in options.values()} - {_words(options.get(name, "")), ""}
    return said in others


def _leading(text: str, options: Options) -> str | None:
    """The letter that it begins with; UNREADABLE if several, None if none."""
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(" ")
    match = _LETTER.match(words)
    if match is None or not _is_option(match[1].upper(), options):
        return None
    return UNREADABLE if _SEVERAL.match(words, match.start(1)) else match[1].upper()


def _named(text: str, options: Options) -> str | None:
    """The one letter that is called an option, stands in brackets, or stands alone; or the option of a number."""
    if _PAIR.search(text):
        return None
    for pattern in (_NAMED, _ALONE):
        found = {name for match in pattern.findall(text) for name in match if name and _is_option(name, options)}
        if found:
            return found.pop() if len(found) == 1 else None
    numbered = {list(options)[int(place) - 1] for place in _NUMBERED.findall(text) if int(place) <= len(options)}
    return numbered.pop() if len(numbered) == 1 else None


def _by_text(text: str, options: Options) -> str | None:
    """The one option whose text is there; of two, of which one is part of the other, the longer one."""
    said = f" {_words(text)} "
    texts = {name: _words(option) for name, option in options.items()}
    found = {name for name, words in texts.items() if words and f" {words} " in said}
    longest = {
        name
        for name in found
        if not any(name != other and f" {texts[name]} " in f" {texts[other]} " for other in found)
    }
    return longest.pop() if len(longest) == 1 else None


def _is_option(name: str, options: Options) -> bool:
    return name in (options or string.ascii_uppercase)


def _plain(text: str) -> str:
    """Without Markdown and LaTeX."""
    return _LATEX.sub(lambda match: match[1] or "", text).translate(_MARKUP).replace("$", "").strip()


def _words(text: str) -> str:
    """Words and numbers alone, without case and articles."""
    text = unicodedata.normalize("NFKC", text).casefold().translate(_MARKUP)
    return " ".join(_NOT_A_WORD.sub(" ", _ARTICLE.sub(" ", text)).split())
