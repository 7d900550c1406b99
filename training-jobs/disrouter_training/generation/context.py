"""Which questions fit a model's context with their reply: looked at before a stage, not found out in its middle."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import AutoConfig

from disrouter.scenario import Scenario
from disrouter_training.data.sources import Question
from disrouter_training.errors import ModelError
from disrouter_training.generation.encoding import Encoder
from disrouter_training.generation.prompts import free, must_answer


def context_length(name: str) -> int | None:
    """Tokens that the model was made for; None where its configuration does not say."""
    try:
        config = AutoConfig.from_pretrained(name).get_text_config()
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read the configuration of the model {name}: {error}; check model.uri") from error
    length = getattr(config, "max_position_embeddings", None)
    return int(length) if length else None


def too_long(name: str, questions: Iterable[Question], new_tokens: int) -> set[str]:
    """Ids of the questions that no reply of `new_tokens` fits behind, however they are put.

    A longer one would be answered outside of what the model was trained for, and counted as ignorance.
    """
    encoder = Encoder(name)
    context = context_length(name)
    if context is None:
        return set()
    return {question.id for question in questions if _longest(encoder, question) + new_tokens > context}


def _longest(encoder: Encoder, question: Question) -> int:
    prompts = [must_answer(question), *(free(question, scenario, prompted=True) for scenario in Scenario)]
    return max(len(encoder.prompt(prompt)) for prompt in prompts)
