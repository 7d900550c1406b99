"""What an agent learns to begin with, by the chat templates of open model families: the table of docs/training.md."""

from pathlib import Path

import pytest

from disrouter.refusal import REFUSAL
from disrouter_training.data.template import THINK
from disrouter_training.errors import ModelError
from disrouter_training.generation.encoding import IGNORED, Encoder
from disrouter_training.generation.first_token import FirstTokens, alike, first_tokens
from disrouter_training.generation.prompts import Prompt
from support.templates import save_tokenizer, template

FAMILIES = {
    "cohere": "Command R",
    "cohere2": "Command R7B",
    "deepseek_r1_distill": "DeepSeek-R1 distilled",
    "deepseekv3": "DeepSeek-V3",
    "gemma": "Gemma",
    "gemma3": "Gemma 3",
    "gemma4": "Gemma 4",
    "glm4moe": "GLM-4 MoE",
    "gptoss": "gpt-oss",
    "lfm2": "LFM2",
    "llama3": "Llama 3",
    "llama3_1": "Llama 3.1",
    "llama3_2": "Llama 3.2",
    "nemotron_3_nano": "Nemotron 3 Nano",
    "nemotron_3_super": "Nemotron 3 Super",
    "phi3": "Phi-3",
    "phi3_5": "Phi-3.5",
    "qwen2_5": "Qwen2.5",
    "qwen3": "Qwen3",
    "qwen3_instruct_2507": "Qwen3-Instruct-2507",
    "qwen3_5_nothink": "Qwen3.5, no thinking",
    "qwen3_5_think": "Qwen3.5",
    "qwen3_6": "Qwen3.6",
}
NO_THINKING = "{% set enable_thinking = false %}"
GUIDE = Path(__file__).parents[3] / "docs" / "training.md"
PROMPT = Prompt([{"role": "user", "content": "Why?"}])


def encoder(folder: Path, chat_template: str, *, dummy_prefix: bool = False) -> Encoder:
    return Encoder(str(save_tokenizer(folder, chat_template, dummy_prefix=dummy_prefix)))


def found(folder: Path, chat_template: str) -> FirstTokens | None:
    """None where an agent cannot be trained with the template."""
    try:
        return first_tokens(encoder(folder, chat_template))
    except ModelError:
        return None


def verdict(tokens: FirstTokens | None) -> str:
    if tokens is None:
        return "cannot be trained"
    return "probability or text" if tokens.usable else "text alone"


def row(folder: Path, family: str) -> str:
    """A line of the guide."""
    as_it_is = found(folder / "as-it-is", template(family))
    off = found(folder / "off", NO_THINKING + template(family))
    begins = "-" if as_it_is is None else f"`{as_it_is.refusal!r}`, `{as_it_is.answer!r}`".replace("|", r"\|")
    without = "the same" if off == as_it_is else verdict(off)
    return f"| {FAMILIES[family]} | {begins} | {verdict(as_it_is)} | {without} |"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_guide_says_what_a_familys_agents_begin_with(family: str, tmp_path: Path) -> None:
    assert row(tmp_path, family) in GUIDE.read_text().splitlines()


@pytest.mark.parametrize("family", ["qwen2_5", "llama3", "gemma3", "phi3"])
def test_what_is_learned_is_what_follows_the_prompt(family: str, tmp_path: Path) -> None:
    made = encoder(tmp_path, template(family))
    example, asked = made.example(PROMPT, REFUSAL), made.prompt(PROMPT)
    assert example["input_ids"][: len(asked)] == asked
    assert example["labels"][: len(asked)] == [IGNORED] * len(asked)
    assert made.tokenizer.decode(example["labels"][len(asked) :]).startswith(REFUSAL)


def test_a_prompt_that_a_vocabulary_would_join_to_the_reply_stays_as_it_is_asked(tmp_path: Path) -> None:
    """A prompt that ends in a line break before an empty thought that begins with one: two tokens become one."""
    made = encoder(tmp_path, template("qwen3_5_think"))
    example, asked = made.example(PROMPT, REFUSAL), made.prompt(PROMPT)
    whole = made.tokenizer.apply_chat_template(
        [*PROMPT.messages, {"role": "assistant", "content": REFUSAL}], tokenize=False
    )
    assert made.text(whole)[: len(asked)] != asked
    assert example["input_ids"][: len(asked)] == asked
    assert made.tokenizer.decode(example["input_ids"]) == whole


def test_a_refusal_is_read_in_the_chat_where_a_vocabulary_begins_a_text_with_a_blank(tmp_path: Path) -> None:
    made = encoder(tmp_path, template("llama3"), dummy_prefix=True)
    alone = made.tokenizer.convert_ids_to_tokens(made.text(REFUSAL))[0]
    learned = next(label for label in made.example(PROMPT, REFUSAL)["labels"] if label != IGNORED)
    assert (alone, made.tokenizer.convert_ids_to_tokens(learned)) == ("\u2581I", "I")
    assert {alone, "I"} == set(made.tokenizer.convert_ids_to_tokens(alike(made, "I"))), "logprobs spell both so"


def test_who_starts_a_run_is_told_what_can_be_decided_by_and_what_to_do(tmp_path: Path) -> None:
    thinks = first_tokens(encoder(tmp_path / "a", template("qwen3"))).told("hf://q")
    assert thinks.startswith("warning: refusals and answers of hf://q both begin with '<think>'")
    assert NO_THINKING in thinks
    plain = first_tokens(encoder(tmp_path / "b", NO_THINKING + template("qwen3")))
    assert plain == FirstTokens("I", "Let")
    assert THINK.startswith(plain.answer)
    assert plain.told("hf://q").endswith("decision.mode may be probability")
    with pytest.raises(ModelError, match=r"ends a question with '<think>\\n' where a finished turn has \"I don't"):
        first_tokens(encoder(tmp_path / "c", template("deepseek_r1_distill")))
