"""When a reply is right: one rule for stages, reports and pools, which grades as a person with the key would.

The final answer is the first of the reply's `statements` that the question's grader can read; whether it is right is
the grader's to say. A second, simpler reading beside it shows where a dataset's replies are hard to read.
"""

from __future__ import annotations

from dataclasses import dataclass

from disrouter.refusal import is_refusal
from disrouter_training.data.graders import SEPARATOR, Reader, grader
from disrouter_training.data.graders.choice import options_of
from disrouter_training.data.graders.statements import Statement, Way, body, statements
from disrouter_training.data.sources import Question


@dataclass(frozen=True)
class Final:
    """The final answer of a reply and the place that gives it."""

    answer: str
    statement: Statement

    @property
    def marked(self) -> bool:
        """Words announce it, or a verdict follows it."""
        return self.statement.way in (Way.MARKED, Way.JUDGED)


def is_right(question: Question, reply: str) -> bool:
    """Whether the reply answers the question and is correct. A refusal is not, whatever its words would grade as."""
    return matched(question, reply) is not None


def matched(question: Question, reply: str) -> str | None:
    """The expected answer that the reply gives, None if it gives none of them or is a refusal."""
    if is_refusal(reply):
        return None
    final = final_answer(question, reply)
    if final is None:
        return None
    judge = grader(question.grader)
    return next((each for each in question.answer.split(SEPARATOR) if judge.correct(each, final.answer)), None)


def canonical(question: Question, reply: str) -> str | None:
    """A right reply's final answer as the dataset writes it: the letter, the number; None for a wrong reply.

    As the reply has it where the expected answer is no answer itself, such as a pattern of a grader of your own.
    """
    expected = matched(question, reply)
    if expected is None or grader(question.grader).correct(expected, expected):
        return expected
    final = final_answer(question, reply)
    return final.answer if final else None


def final_answer(question: Question, reply: str) -> Final | None:
    """What the reply gives as its answer, None if nothing in it can be one."""
    judge = grader(question.grader)
    options = options_of(question.question)
    for statement in statements(body(reply)):
        answer = judge.read(statement, options) if isinstance(judge, Reader) else _announced(statement)
        if answer is not None:
            return Final(answer, statement)
    return None


def same_answer(question: Question, one: str, other: str) -> bool:
    """Whether two replies have the same final answer, right or wrong."""
    finals = [final_answer(question, reply) for reply in (one, other)]
    first, second = (final.answer if final else None for final in finals)
    return first is not None and second is not None and grader(question.grader).correct(first, second)


def _announced(statement: Statement) -> str | None:
    """For graders that compare texts: what is announced, else the last line."""
    return statement.clean or None if statement.way in (Way.MARKED, Way.CLOSING) else None
