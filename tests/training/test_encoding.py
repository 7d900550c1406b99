"""A chat as tokens: what is learned is exactly what would have been generated."""

from pathlib import Path

import pytest

from disrouter.refusal import REFUSAL
from disrouter_training.encoding import IGNORED, Encoder
from disrouter_training.prompts import forced, free
from disrouter_training.sources import Question
from disrouter_training.template import FINAL, THINK
from support.tiny_agent import question_rows

QUESTION = Question.model_validate(question_rows()[0])


@pytest.fixture(scope="module")
def encoder(volumes: Path) -> Encoder:
    return Encoder(str(volumes / "models" / "tiny"))


def learned(encoder: Encoder, row: dict[str, list[int]]) -> str:
    return str(encoder.tokenizer.decode([label for label in row["labels"] if label != IGNORED]))


def test_the_loss_is_the_replys_alone(encoder: Encoder) -> None:
    row = encoder.example(free(QUESTION, 0.35), REFUSAL)
    assert learned(encoder, row) == f"{REFUSAL}<|end|>"
    assert "Preference 0.35" in encoder.tokenizer.decode(row["input_ids"])


def test_the_given_start_of_a_reply_is_not_learned(encoder: Encoder) -> None:
    reply = f"{THINK}red. {FINAL}red."
    row = encoder.example(forced(QUESTION), reply)
    assert learned(encoder, row) == f"red. {FINAL}red.<|end|>"


def test_learning_starts_where_generating_would(encoder: Encoder) -> None:
    prompt = forced(QUESTION)
    row = encoder.example(prompt, f"{THINK}red.")
    start = len(encoder.prompt(prompt))
    assert row["input_ids"][:start] == encoder.prompt(prompt)
    assert row["labels"][:start] == [IGNORED] * start
