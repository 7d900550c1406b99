"""A question as the stages see it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MAX_TEXT = 200_000
"""Characters of a question; far above any context window here, far below what would fill the memory."""


class Question(BaseModel):
    """One row. Unknown columns are ignored, since real datasets have many."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    id: str = Field(min_length=1, max_length=512)
    question: str = Field(min_length=1, max_length=MAX_TEXT)
    answer: str = Field(min_length=1, max_length=MAX_TEXT)
    """What is right; several of which any is right are joined by `graders.SEPARATOR`."""
    instruction: str | None = Field(default=None, max_length=MAX_TEXT)
    grader: str = Field(default="exact", min_length=1, max_length=64)
    family: str | None = None
    kind: str | None = None
    difficulty: float | str | None = None
    passage: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT, exclude=True)
    """What tells the passage that it is about from others, where several questions share one: its text or a name. Never
    written: only the split asks for it, and what is written of a question stays what it was before there were passages.
    """

    @property
    def user(self) -> str:
        """The user message: the instruction, if any, and the question."""
        return f"{self.instruction}\n{self.question}" if self.instruction else self.question
