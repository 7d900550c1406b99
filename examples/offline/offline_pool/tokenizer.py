"""The pool's tokenizer: bytes, plus one token for every fixed phrase and every name."""

from typing import Final

from tokenizers import AddedToken, pre_tokenizers
from transformers import Qwen2Tokenizer

from disrouter.refusal import REFUSAL
from disrouter.scenario import PROMPTED_SUFFIX
from offline_pool import tasks, texts, world

USER: Final = "<|user|>"
ASSISTANT: Final = "<|assistant|>"
END: Final = "<|end|>"
PAD: Final = "<|pad|>"

CHAT_TEMPLATE: Final = (
    "{%- set ns = namespace(system='') -%}"
    "{%- for m in messages -%}"
    "{%- if m['role'] == 'system' -%}{%- set ns.system = m['content'] + '\n' -%}"
    "{%- elif m['role'] == 'user' -%}{{- '<|user|>' + ns.system + m['content'] -}}{%- set ns.system = '' -%}"
    "{%- else -%}{{- '<|assistant|>' + m['content'] + '<|end|>' -}}"
    "{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
"""A system message becomes the first line of the user message, so both ways to give a scenario read the same."""


def phrases() -> list[str]:
    """Every text that is one token, in vocabulary order."""
    fixed = [*texts.SCENARIOS, PROMPTED_SUFFIX, *texts.INSTRUCTIONS, REFUSAL, texts.THINK, texts.FINAL]
    people = world.World()
    values = [value for listed in world.VALUES.values() for value in listed]
    listed = [*fixed, *world.PHRASES, *tasks.PHRASES, *values, *world.COUNTRIES, *people.names, *people.strangers]
    return list(dict.fromkeys(listed))


def build_tokenizer() -> Qwen2Tokenizer:
    """A byte-level Qwen2 tokenizer without merges, whose phrases are added tokens.

    transformers 5 reads every model of type qwen2 with Qwen2Tokenizer, whatever `tokenizer_class` says, and so
    does vLLM; a word-level tokenizer would load without an error and then encode everything wrongly.
    """
    vocabulary = {byte: i for i, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=[],
        unk_token=None,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        model_max_length=512,
        padding_side="left",
        add_prefix_space=False,
    )
    tokenizer.add_tokens([AddedToken(phrase, normalized=False, special=False) for phrase in phrases()])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def encode(tokenizer: Qwen2Tokenizer, text: str) -> list[int]:
    """Token ids of a text as it stands, nothing added."""
    ids: list[int] = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def encode_prompt(tokenizer: Qwen2Tokenizer, user: str) -> list[int]:
    """What the chat template gives for one user message and a generation prompt."""
    return encode(tokenizer, f"{USER}{user}{ASSISTANT}")
