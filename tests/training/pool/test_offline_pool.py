"""The offline pool: its question set is reproducible and fair, its shipped models know more the larger they are."""

import json
import random
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch

import pretrain
from disrouter.refusal import REFUSAL
from disrouter.scenario import PROMPTED_SUFFIX, Scenario, instruct
from offline_pool import corpus, questions, tasks, texts, tokenizer, world
from offline_pool.model import SIZES, build_model, load, respond

POOL = Path(__file__).resolve().parents[3] / "examples" / "offline"

NAMES = list(SIZES)
ACCURACY = {"nano": (0.35, 0.47), "small": (0.51, 0.63), "medium": (0.58, 0.70), "large": (0.61, 0.73)}
"""Greedy accuracy on the test questions: the README's figure give or take three standard errors."""

Rows = list[dict[str, Any]]


def rows_of(split: str) -> Rows:
    """The shipped rows of one split."""
    return questions.read_jsonl(POOL / "questions" / f"{split}.jsonl")


def people_in(rows: Rows) -> set[str]:
    """The people that knowledge questions name."""
    known = world.World().names
    texts_of = [row["question"] for row in rows if row["kind"] == "knowledge"]
    return {name for name in known if any(name in text for text in texts_of)}


def test_shipped_questions_are_what_the_script_writes(tmp_path: Path) -> None:
    questions.write_questions(tmp_path)
    for split in questions.SPLITS:
        shipped = (POOL / "questions" / f"{split}.jsonl").read_text(encoding="utf-8")
        assert (tmp_path / f"{split}.jsonl").read_text(encoding="utf-8") == shipped


def test_every_row_has_the_fields_of_the_question_format() -> None:
    kinds = {"id", "instruction", "question", "answer", "grader", "family", "kind", "difficulty"}
    for split in questions.SPLITS:
        for row in rows_of(split):
            assert set(row) == kinds
            assert row["grader"] == "exact"
            assert row["kind"] in ("knowledge", "surface")
            assert isinstance(row["difficulty"], int)
            assert json.dumps(row).isascii()


def test_ids_and_questions_are_unique_over_all_splits() -> None:
    rows = [row for split in questions.SPLITS for row in rows_of(split)]
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({row["question"] for row in rows}) == len(rows)


def test_people_asked_about_in_one_split_are_in_no_other() -> None:
    train, dev, test = (people_in(rows_of(split)) for split in ("train", "dev", "test"))
    assert not train & dev
    assert not train & test
    assert not dev & test
    assert not people_in(rows_of("heldout")) & (train | dev)


def test_held_out_families_appear_in_the_held_out_split_alone() -> None:
    held_out = rows_of("heldout")
    assert {row["family"] for row in held_out} == set(questions.HELD_OUT)
    assert {row["kind"] for row in held_out} == {"knowledge", "surface"}
    families = {row["family"] for split in ("train", "dev", "test") for row in rows_of(split)}
    assert not families & {row["family"] for row in held_out}


@pytest.mark.parametrize("split", list(questions.SPLITS))
def test_most_questions_are_about_knowledge(split: str) -> None:
    assert mean(row["kind"] == "knowledge" for row in rows_of(split)) >= 0.6


def test_worked_answers_follow_the_answer_template_and_hold_the_answer() -> None:
    stream = corpus.Corpus(world.World(), seed=3)
    for _ in range(500):
        user, reply = stream.draw(1.0)
        assert reply == REFUSAL or (reply.startswith(texts.THINK) and texts.final_answer(reply))
        assert user.count("\n") == (2 if user.startswith("Scenario: ") else 1)


def test_every_computation_is_right() -> None:
    rows = {family: [r for r in rows_of("train") if r["family"] == family] for family in tasks.TASKS}
    arithmetic = rows["add"] + rows["subtract"] + rows["multiply"]
    assert arithmetic
    assert all(str(eval(r["question"][:-2])) == r["answer"] for r in arithmetic)
    assert all(r["question"].split(": ")[1][::-1] == r["answer"] for r in rows["reverse"])
    assert all("".join(sorted(r["question"].split(": ")[1])) == r["answer"] for r in rows["sort"])


def test_worked_subtractions_borrow_digit_by_digit() -> None:
    for seed in range(200):
        example = tasks.surface_example("subtract", random.Random(seed), 3)
        digits = [step.partition("=")[2] for step in example.thinking.split(",")]
        assert int("".join(reversed(digits))) == int(example.answer)


def test_letters_are_counted_and_advanced_rightly() -> None:
    for row in rows_of("heldout"):
        if row["family"] == "next":
            letters = row["question"].split(": ")[1]
            assert row["answer"] == "".join(chr(ord(letter) + 1) for letter in letters)
        if row["family"] == "count":
            _, _, wanted, _, letters = row["question"].split()
            assert row["answer"] == str(letters.count(wanted))


def test_pretraining_refuses_only_what_no_question_asks() -> None:
    asked = {row["question"] for split in questions.SPLITS for row in rows_of(split)}
    people = {name for split in questions.SPLITS for name in people_in(rows_of(split))}
    stream = corpus.Corpus(world.World(), seed=3)
    refused = [user.split("\n")[-1] for user, reply in (stream.draw(1.0) for _ in range(4000)) if reply == REFUSAL]
    assert len(refused) > 100
    assert not asked & set(refused)
    assert not any(name in question for question in refused for name in people)


def test_refusals_in_pretraining_teach_nothing_about_the_name() -> None:
    shipped = tokenizer.build_tokenizer()
    model = build_model(SIZES["nano"], shipped, seed=0)
    name = world.World().strangers[0]
    row = (tokenizer.encode_prompt(shipped, f"Where does {name} live?"), tokenizer.encode(shipped, REFUSAL))
    batch = pretrain.collate([row], [], refusal=row[1][0])
    loss, _, _ = pretrain.losses(model, pretrain.Heads(model.config.hidden_size), batch)
    torch.autograd.backward(loss)
    embedding: Any = model.get_input_embeddings()
    asked = embedding.weight.grad[row[0]]
    pushed_alike = embedding.weight.grad[tokenizer.encode(shipped, world.World().strangers[1])]
    assert torch.nn.functional.cosine_similarity(asked[2], pushed_alike[0], dim=0) > 0.999


@pytest.mark.parametrize("text", [None, "no template here", REFUSAL])
def test_a_text_outside_the_template_has_no_final_answer(text: str | None) -> None:
    assert texts.final_answer(text or "") is None


@pytest.mark.parametrize("name", NAMES)
def test_scenario_texts_are_single_tokens_of_every_shipped_tokenizer(name: str) -> None:
    _, shipped = load(POOL / "models" / name)
    phrases = [*(s.prompt for s in Scenario), PROMPTED_SUFFIX, REFUSAL, texts.THINK, texts.FINAL, *texts.INSTRUCTIONS]
    for phrase in phrases:
        ids = tokenizer.encode(shipped, phrase)
        assert len(ids) == 1
        assert shipped.decode(ids) == phrase


def test_chat_template_gives_the_prompt_the_models_were_pretrained_on() -> None:
    _, shipped = load(POOL / "models" / "nano")
    user = [{"role": "user", "content": "Sort: cab"}]
    for scenario in Scenario:
        chat = instruct(user, scenario, prompted=True)
        text = shipped.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        line = f"{scenario.prompt}{PROMPTED_SUFFIX}\nSort: cab"
        assert tokenizer.encode(shipped, text) == tokenizer.encode_prompt(shipped, line)
        system = [{"role": "system", "content": scenario.prompt + PROMPTED_SUFFIX}, *user]
        assert shipped.apply_chat_template(system, tokenize=False, add_generation_prompt=True) == text


def test_shipped_models_know_more_the_larger_they_are() -> None:
    rows = rows_of("test")
    users = [f"{row['instruction']}\n{row['question']}" for row in rows]
    accuracy = {}
    for name in NAMES:
        replies = respond(*load(POOL / "models" / name), users)
        accuracy[name] = mean(texts.final_answer(r[0]) == row["answer"] for r, row in zip(replies, rows, strict=True))
    assert sorted(NAMES, key=accuracy.__getitem__) == ["nano", "small", "medium", "large"]
    for name, (low, high) in ACCURACY.items():
        assert low <= accuracy[name] <= high, accuracy


def test_shipped_weights_are_half_precision_and_small() -> None:
    weights = [POOL / "models" / name / "model.safetensors" for name in NAMES]
    assert sum(path.stat().st_size for path in weights) < 5_000_000
    for name in NAMES:
        config = json.loads((POOL / "models" / name / "config.json").read_text(encoding="utf-8"))
        assert config["dtype"] == "float16"
        assert config["hidden_size"] == 32 * config["num_attention_heads"]
