"""A chat as tokens: what is learned is exactly what would have been generated."""

from pathlib import Path

import pytest
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from disrouter.refusal import REFUSAL
from disrouter_training.data.sources import Question
from disrouter_training.data.template import FINAL, THINK
from disrouter_training.generation.encoding import IGNORED, Encoder
from disrouter_training.generation.prompts import free, must_answer
from disrouter_training.models.loading import load_model
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
    row = encoder.example(must_answer(QUESTION), reply)
    assert learned(encoder, row) == f"red. {FINAL}red.<|end|>"


def test_learning_starts_where_generating_would(encoder: Encoder) -> None:
    prompt = must_answer(QUESTION)
    row = encoder.example(prompt, f"{THINK}red.")
    start = len(encoder.prompt(prompt))
    assert row["input_ids"][:start] == encoder.prompt(prompt)
    assert row["labels"][:start] == [IGNORED] * start


def test_examples_without_padding_are_kept_apart_by_their_positions(encoder: Encoder, volumes: Path) -> None:
    rows = [encoder.example(free(QUESTION, 0.35), REFUSAL), encoder.example(must_answer(QUESTION), f"{THINK}red.")]
    model = load_model(str(volumes / "models" / "tiny"), train=True)
    padded, packed = (
        DataCollatorForLanguageModeling(pad_token_id=encoder.tokenizer.pad_token_id, padding_free=free_of_padding)(rows)
        for free_of_padding in (False, True)
    )
    assert packed["input_ids"].shape == (1, sum(len(row["input_ids"]) for row in rows))
    losses = [model(**batch, use_cache=False).loss.item() for batch in (packed, padded)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_template_that_opens_a_block_of_reasoning_is_known(volumes: Path) -> None:
    encoder = Encoder(str(volumes / "models" / "tiny"))
    assert not encoder.opens_reasoning()
    encoder.tokenizer.chat_template += "{% if add_generation_prompt %}<think>\n{% endif %}"
    assert encoder.opens_reasoning()
