"""Tokenizers with the chat templates of open model families, as TRL ships them: no model is needed to render one."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

WORDS = ("I", " I", " Let", " don", "'t", " know", "!", "Let", "'s", " think", " step", " by", ":", "\n\n")
_MARKED = re.compile(r"<[^<>\s'\"{}]{1,40}>|\[/?[A-Z_]{2,20}\]|◁/?\w+▷")
"""What templates write that vocabularies have a token for."""
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Of Qwen's and Llama 3's vocabularies."""


def template(family: str) -> str:
    """The chat template of a model family."""
    return files("trl").joinpath("chat_templates", f"{family}.jinja").read_text(encoding="utf-8")


def save_tokenizer(folder: Path, chat_template: str, *, dummy_prefix: bool = False) -> Path:
    """A vocabulary of bytes and a few words, with a token for each mark that the template writes.

    With `dummy_prefix` it is like those of Llama 2 and Mistral: text that begins a chat or stands alone gets a blank.
    """
    tokenizer: Any = _sentences() if dummy_prefix else _bytes()
    marks = sorted({*_MARKED.findall(chat_template), "<s>", "</s>"})
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    made.chat_template = chat_template
    made.save_pretrained(folder)
    return folder


def _bytes() -> Tokenizer:
    """As of GPT-2, Llama 3, Qwen and most others."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words = ["".join(text for text, _ in level.pre_tokenize_str(word)) for word in WORDS]
    before = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"), level])
    return _merging(list(level.alphabet()), words, before, decoders.ByteLevel())


def _sentences() -> Tokenizer:
    """As of SentencePiece with its dummy prefix."""
    space = pre_tokenizers.Metaspace(prepend_scheme="first")
    alphabet = sorted({chr(code) for code in range(32, 127)} | {"\n", "\u2581"})
    words = ["\u2581I", *(word.replace(" ", "\u2581") for word in WORDS)]
    return _merging(alphabet, words, space, decoders.Metaspace(prepend_scheme="first"))


def _merging(alphabet: list[str], words: list[str], before: Any, after: Any) -> Tokenizer:
    """Byte-pair encoding whose merges spell the words, from left to right."""
    pieces, merges = dict.fromkeys(sorted(alphabet)), []
    for word in words:
        for end in range(2, len(word) + 1):
            merges.append((word[: end - 1], word[end - 1]))
            pieces[word[:end]] = None
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(dict.fromkeys(merges))))
    tokenizer.pre_tokenizer = before
    tokenizer.decoder = after
    return tokenizer
