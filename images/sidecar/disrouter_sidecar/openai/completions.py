"""Plain completions: `prompt` in, `choices[].text` out.

Only text can be instructed. A prompt of token ids belongs to one model's tokenizer, and an echoed or embedded prompt
would show or lose the instruction: such requests go, as they are, to an agent that always answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from disrouter.errors import InvalidRequest
from disrouter.scenario import StatedPreference, instruct_prompt
from disrouter_sidecar.openai.dialect import (
    ChoiceUpdate,
    Fields,
    ending,
    index_of,
    number_of_choices,
    objects,
    plain_error,
    text_of,
)
from disrouter_sidecar.openai.errors import OpenAIErrors

_KINDS = "`prompt` must be a string, a list of strings, a list of token ids or a list of such lists"


class Completions(OpenAIErrors):
    """`POST /v1/completions`."""

    path = "/completions"
    name = "text_completion"
    probed = True
    comments = True
    limits: tuple[str, ...] = ()

    def check(self, fields: Fields, _pinned: bool, /) -> None:
        """`prompt` is of one of the four kinds, or `prompt_embeds` stands for it."""
        prompt = fields.get("prompt")
        if prompt is None and fields.get("prompt_embeds") is not None:
            return
        if isinstance(prompt, str):
            return
        if not isinstance(prompt, list):
            raise InvalidRequest(_KINDS, "prompt")
        if not prompt:
            raise InvalidRequest("`prompt` is empty; send at least one", "prompt")
        if not any(all(isinstance(item, kind) for item in prompt) for kind in (str, int, list)):
            raise InvalidRequest(_KINDS, "prompt")

    def choices(self, fields: Fields) -> int:
        """`n` for each prompt."""
        prompt = fields.get("prompt")
        several = isinstance(prompt, list) and isinstance(prompt[0], str | list)
        return number_of_choices(fields) * (len(prompt) if several and prompt is not None else 1)

    def instructable(self, fields: Fields) -> bool:
        """Text that is not echoed."""
        prompt = fields.get("prompt")
        text = isinstance(prompt, str) or (isinstance(prompt, list) and isinstance(prompt[0], str))
        return text and not fields.get("echo") and fields.get("prompt_embeds") is None

    def instruct(self, fields: Fields, preference: StatedPreference, *, prompted: bool) -> Fields:
        """The instruction starts every prompt."""
        return {"prompt": instruct_prompt(fields["prompt"], preference, prompted=prompted)}

    def offer_deferral(self, _: Fields, /) -> Fields:
        """It knows no tools."""
        return {}

    def turns(self, _: Fields, /) -> Sequence[Fields]:
        """It is no conversation."""
        return ()

    def event(self, event: Fields) -> Iterator[ChoiceUpdate]:
        """One chunk; it looks like a whole reply."""
        for choice in objects(event.get("choices")):
            text, answers = text_of(choice.get("text"))
            ended, truncated = ending(choice)
            yield ChoiceUpdate(index_of(choice), text, answers=answers, ended=ended, truncated=truncated)

    def error(self, event: Fields) -> Fields | None:
        """An `error` event."""
        return plain_error(event)

    def whole(self, reply: Fields) -> Iterator[ChoiceUpdate]:
        """Each choice's text."""
        return self.event(reply)
