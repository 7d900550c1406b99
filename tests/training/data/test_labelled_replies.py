"""The graders against a person: replies of real models, read one by one by somebody who had the key.

`labelled_replies.jsonl` has replies of small instruct models to questions of eight families, with and without the words
that `collect` begins a reply with, greedy and at temperature 1. `right` is the reader's verdict, made before any grader
had seen the reply: whether the reply's final answer is the key's. A letter before another option's text is not; neither
is a reply that was cut before it came to an answer. The questions' texts are not here; `options` and `answer` are what
grading needs. Where a family's key was one odd alias, `answer` is the name that the reader went by.

The graders were mended by one half of the questions; the failures of the other half were not looked at.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from disrouter_training.data.correctness import is_right
from disrouter_training.data.sources import Question

Reply = dict[str, Any]
REPLIES: list[Reply] = [
    json.loads(line) for line in (Path(__file__).parent / "labelled_replies.jsonl").read_text("utf-8").splitlines()
]
TARGET = 0.98


def held_back(reply: Reply) -> bool:
    """Of the half whose failures nobody looked at."""
    return hashlib.sha256(str(reply["question"]).encode()).digest()[0] % 2 == 1


def graded(reply: Reply) -> bool:
    lines = [f"{letter}. {text}" for letter, text in reply.get("options", {}).items()]
    question = "\n".join(["Which?", *lines])
    asked = Question(id=reply["question"], question=question, answer=reply["answer"], grader=reply["grader"])
    return is_right(asked, reply["reply"])


def agreement(replies: Iterable[Reply]) -> float:
    """Share of replies on which grader and reader agree."""
    verdicts = [graded(reply) is reply["right"] for reply in replies]
    return sum(verdicts) / len(verdicts)


def table(key: Callable[[Reply], str]) -> dict[str, tuple[int, int, int]]:
    """Replies, those that the reader finds right, and those on which grader and reader agree, by `key`."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for reply in REPLIES:
        for place, each in enumerate((1, reply["right"], graded(reply) is reply["right"])):
            counts[key(reply)][place] += each
    return {name: (replies, right, agreed) for name, (replies, right, agreed) in sorted(counts.items())}


def test_the_fixture_has_right_and_wrong_replies_of_every_kind() -> None:
    assert {reply["grader"] for reply in REPLIES} == {"choice", "number", "span"}
    assert {(reply["prompt"], reply["temperature"] > 0) for reply in REPLIES} == {
        (prompt, sampled) for prompt in ("forced", "plain") for sampled in (True, False)
    }
    assert 0.05 < sum(reply["right"] for reply in REPLIES) / len(REPLIES) < 0.95


@pytest.mark.parametrize("replies", [REPLIES, [r for r in REPLIES if held_back(r)]], ids=["all", "held back"])
def test_the_graders_agree_with_a_person(replies: list[Reply]) -> None:
    assert agreement(replies) >= TARGET


def test_they_find_the_right_replies_and_few_others() -> None:
    """Agreement alone would be high for a grader that calls every reply wrong."""
    found, right = (
        {place for place, r in enumerate(REPLIES) if graded(r)},
        {n for n, r in enumerate(REPLIES) if r["right"]},
    )
    assert len(found & right) >= 0.9 * len(right)
    assert len(found - right) <= 0.2 * len(right)
