"""What an agent is asked: the chat, and the words that its reply is made to start with."""

from __future__ import annotations

from typing import Any, NamedTuple

from disrouter.scenario import StatedPreference, instruct
from disrouter_training.data.sources import Question
from disrouter_training.data.template import THINK


class Prompt(NamedTuple):
    """A chat, and a prefix of the reply that is given and not generated."""

    messages: list[dict[str, Any]]
    prefix: str = ""


def chat(question: Question) -> list[dict[str, Any]]:
    """The question as a client sends it."""
    return [{"role": "user", "content": question.user}]


def plain(question: Question) -> Prompt:
    """As a client sends it: what the sidecar asks once the probability has decided to answer."""
    return Prompt(chat(question))


def must_answer(question: Question) -> Prompt:
    """Must answer: the reply starts as the Answer template does, so it cannot refuse."""
    return Prompt(chat(question), THINK)


def free(question: Question, asked: StatedPreference, *, prompted: bool = False) -> Prompt:
    """May refuse: the chat as the sidecar instructs it."""
    return Prompt(instruct(chat(question), asked, prompted=prompted))
