"""Texts that are refusals, nearly refusals and anything else, and cuts of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import strategies as st

from disrouter.refusal import REFUSAL

PIECES = st.sampled_from(
    [
        *(
            *"Ii !.\n\t\"“”*()‘'’…»«<>İß🙂",
            "don't",
            "DON’T",
            "know",
            "**",
            "<think>",
            "</think>",
            "think",
            "</",
            "\u00a0",
        ),
        *(REFUSAL, "I don't know", "but", "Rome", "dont", "\u200b", " " * 70, "<think>hm</think>"),
    ]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=40))
CUTS = st.lists(st.integers(0, 60), max_size=8)


def cut(text: str, places: Sequence[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]
