"""One description per pass-through API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from disrouter.scenario import StatedPreference
from disrouter_sidecar.openai.dialect import ChoiceUpdate, Fields
from disrouter_sidecar.openai.errors import OpenAIErrors
from disrouter_sidecar.openai.messages import AnthropicErrors


@dataclass(frozen=True)
class PassThrough:
    """`POST` to one of them. As a `Dialect` it has nothing to instruct and nothing to decide."""

    path: str
    name: str
    form: bool = False
    """Its body may be a form (`multipart/form-data`)."""
    at_root: bool = False
    """vLLM serves it outside `/v1`."""
    errors: OpenAIErrors | AnthropicErrors = OpenAIErrors()  # noqa: RUF009  it has no state

    probed = False
    limits = ()
    comments = False

    def check(self, _fields: Fields, _pinned: bool, /) -> None:
        """All but the model is the engine's to judge."""

    def choices(self, _: Fields, /) -> int:
        """Nothing is chosen from."""
        return 1

    def instructable(self, _: Fields, /) -> bool:
        """Never."""
        return False

    def instruct(self, _: Fields, _preference: StatedPreference, *, prompted: bool) -> Fields:  # noqa: ARG002
        """Nothing."""
        return {}

    def offer_deferral(self, _: Fields, /) -> Fields:
        """Nothing."""
        return {}

    def turns(self, _: Fields, /) -> Sequence[Fields]:
        """It is no conversation."""
        return ()

    def event(self, _: Fields) -> Iterable[ChoiceUpdate]:
        """Its replies are not read."""
        return ()

    def error(self, _: Fields) -> Fields | None:
        """Its replies are not read."""
        return None

    def whole(self, _: Fields) -> Iterable[ChoiceUpdate]:
        """Its replies are not read."""
        return ()

    def error_body(self, status: int, code: str | None, message: str, param: str | None = None) -> bytes:
        """As `errors` writes it."""
        return self.errors.error_body(status, code, message, param)

    def error_event(self, body: bytes, /) -> bytes:
        """As `errors` writes it."""
        return self.errors.error_event(body)

    def in_shape(self, value: Any, /) -> bool:
        """As `errors` knows it."""
        return self.errors.in_shape(value)


PASS_THROUGH: tuple[PassThrough, ...] = (
    PassThrough("/embeddings", "embeddings"),
    PassThrough("/rerank", "rerank"),
    PassThrough("/score", "score"),
    PassThrough("/classify", "classify", at_root=True),
    PassThrough("/pooling", "pooling", at_root=True),
    PassThrough("/moderations", "moderations"),
    PassThrough("/tokenize", "tokenize", at_root=True),
    PassThrough("/detokenize", "detokenize", at_root=True),
    PassThrough("/messages/count_tokens", "count_tokens", errors=AnthropicErrors()),
    PassThrough("/audio/speech", "speech"),
    PassThrough("/audio/transcriptions", "transcription", form=True),
    PassThrough("/audio/translations", "translation", form=True),
    PassThrough("/images/generations", "image_generation"),
)
