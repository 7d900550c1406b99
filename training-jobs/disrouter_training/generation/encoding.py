"""Chats and replies as tokens: one way for generating and for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from disrouter.refusal import opens_reasoning
from disrouter_training.errors import ModelError
from disrouter_training.generation.prompts import Prompt
from disrouter_training.models.loading import load_tokenizer

IGNORED = -100
"""Label of a token that the loss passes over."""
NO_THOUGHT = (
    "give it a template that puts no thought before a reply: one that knows enable_thinking has none with "
    "{% set enable_thinking = false %} in front"
)
"""What to do about a template that an agent cannot be trained with as it is."""
_SHOWN = 40
"""Characters of a text in an error."""


class Encoder:
    """A model's tokenizer and chat template."""

    def __init__(self, name: str) -> None:
        self.tokenizer = load_tokenizer(name)
        self.name = name

    def prompt(self, prompt: Prompt) -> list[int]:
        """What a reply goes on from: the chat, and the start of the reply that is given."""
        return self.text(self._render(prompt.messages)) + self.given(prompt.prefix)

    def opens_reasoning(self) -> bool:
        """Whether the chat template ends in an opened reasoning block, so that every reply begins inside it."""
        return opens_reasoning(self._render([{"role": "user", "content": "Why?"}]))

    def example(self, prompt: Prompt, reply: str) -> dict[str, list[int]]:
        """`input_ids` and `labels` of a chat with its reply: only what a model would have generated is learned.

        What a template adds to a finished turn (some an empty thought) is learned too: the model must generate it.
        Raises ModelError where a finished turn does not begin as the open one: then the model would be asked for what
        it never learned.
        """
        asked = self.prompt(prompt)
        whole = self._render([*prompt.messages, {"role": "assistant", "content": reply}], closed=True)
        ids = self.text(whole)
        if ids[: len(asked)] != asked:  # some vocabularies join what the prompt ends with to what follows it
            ids = asked + self.text(self._rest(whole, prompt))
        return {"input_ids": ids, "labels": [IGNORED] * len(asked) + ids[len(asked) :]}

    def _rest(self, whole: str, prompt: Prompt) -> str:
        """Text of a finished turn behind the prompt."""
        asked = self._render(prompt.messages) + self.tokenizer.decode(self.given(prompt.prefix))
        if not whole.startswith(asked):
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(whole, asked, strict=False)))
            raise ModelError(
                f"the chat template of {self.name} ends a question with {_end(asked[same:])} where a finished turn has "
                f"{_end(whole[same:])}, so the model would be asked for what it never learned; {NO_THOUGHT}"
            )
        return whole[len(asked) :]

    def text(self, text: str) -> list[int]:
        """Tokens of a text, without any that a tokenizer adds of itself: the template has them."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def spelled(self, token: int) -> str:
        """Text of one token, as an engine spells it."""
        return str(self.tokenizer.decode([token]))

    def given(self, prefix: str) -> list[int]:
        """Tokens of a reply's given start, without a last one that is only white space.

        Byte-pair vocabularies join a blank to the word after it, so a lone blank at the end is text they never saw.
        """
        ids = self.text(prefix) if prefix else []
        if ids and not self.tokenizer.decode(ids[-1:]).strip():
            ids.pop()
        return ids

    def decode(self, replies: Sequence[Sequence[int]]) -> list[str]:
        """Texts of replies, without special tokens and outer white space."""
        texts = self.tokenizer.batch_decode(replies, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [text.strip() for text in texts]

    def _render(self, messages: Sequence[Mapping[str, Any]], *, closed: bool = False) -> str:
        try:
            return str(self.tokenizer.apply_chat_template(messages, add_generation_prompt=not closed, tokenize=False))
        except Exception as error:  # templates are programs of their own and raise what they like
            raise ModelError(f"the chat template of {self.name} fails: {error}; correct its template") from error


def _end(text: str) -> str:
    return repr(text[:_SHOWN])
