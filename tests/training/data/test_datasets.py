"""The paper's datasets: rows in the columns that the Hub has become questions, or say why not."""

import json
from pathlib import Path
from typing import Any

import pytest

from disrouter_training.data import graders
from disrouter_training.data.correctness import is_right
from disrouter_training.data.sources.convert import Convert, Filtered, Unusable, find
from disrouter_training.data.sources.question import Question

ROWS = Path(__file__).parent / "rows"
PAPER = (
    *("openai/gsm8k", "allenai/ai2_arc", "cais/mmlu", "ehovy/race", "allenai/openbookqa", "ucinlp/drop"),
    *("allenai/cosmos_qa", "rajpurkar/squad_v2", "Rowan/hellaswag", "dvilares/head_qa"),
)
CASES = [
    pytest.param(dataset, case["row"], case["expected"], id=f"{dataset.rpartition('/')[2]}-{number}")
    for dataset in PAPER
    for number, case in enumerate(
        json.loads(line) for line in (ROWS / f"{dataset.rpartition('/')[2]}.jsonl").read_text().splitlines()
    )
]


def convert_of(dataset: str) -> Convert:
    found = find(dataset)
    assert found is not None
    return found.convert


@pytest.mark.parametrize(("dataset", "row", "expected"), CASES)
def test_a_row_becomes_a_question_or_says_why_not(dataset: str, row: dict[str, Any], expected: Any) -> None:
    convert = convert_of(dataset)
    if isinstance(expected, str):
        kind, _, reason = expected.partition(": ")
        with pytest.raises(Filtered if kind == "filtered" else Unusable, match=reason):
            convert(row)
        return
    question = Question.model_validate({"id": "x", **convert(row)})
    asked = expected.pop("asked", "")
    assert asked in question.user
    assert expected.items() <= question.model_dump().items()
    assert graders.problem(question.grader, question.answer) is None
    right = question.answer.split(graders.SEPARATOR)[-1]
    assert is_right(question, f"So it is. The final answer is: {right}.")
    assert not is_right(question, "The final answer is: zebra 99999.")


@pytest.mark.parametrize("name", ["race", "drop", "cosmos_qa", "squad_v2"])
def test_questions_on_a_passage_know_it(name: str) -> None:
    (dataset,) = (each for each in PAPER if each.endswith(f"/{name}"))
    row = json.loads((ROWS / f"{name}.jsonl").read_text().splitlines()[0])["row"]
    text = next(key for key in ("article", "passage", "context") if key in row)
    marks = [
        convert_of(dataset)({**row, **change})["passage"] for change in ({}, {"question": "?"}, {text: "Another."})
    ]
    assert marks[0] == marks[1] != marks[2]


def test_every_prompt_is_the_papers() -> None:
    """Table 12, by the words that tell the prompts apart; the letters follow the number of choices."""
    first = {}
    for dataset in PAPER:
        line = (ROWS / f"{dataset.rpartition('/')[2]}.jsonl").read_text().splitlines()[0]
        first[dataset] = convert_of(dataset)(json.loads(line)["row"])["instruction"]
    assert len(set(first.values())) == 9 + 1  # MMLU and HeadQA share theirs but for the number of choices
    assert first["openai/gsm8k"] == "Given the following math problem, reason and give a final answer to the problem."
    assert all("[A, B, C, D" in text for name, text in first.items() if name not in (PAPER[0], PAPER[5], PAPER[7]))
