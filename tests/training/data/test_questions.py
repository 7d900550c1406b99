"""Reading questions: every row is used or reported."""

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as arrow
import pytest
from pyarrow import parquet

from disrouter.artifacts import DatasetSource, EvaluateConfig, RunConfig
from disrouter_training.data.sources import read_source
from disrouter_training.data.split import split_questions
from disrouter_training.errors import DatasetError


def write(path: Path, rows: list[Any]) -> DatasetSource:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return DatasetSource(file=f"file://{path}")


def good(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"q{number}", "question": f"What is {number}+1?", "answer": number + 1, **more}


def test_invalid_rows_are_reported_with_line_and_reason(tmp_path: Path) -> None:
    rows: list[Any] = [good(number) for number in range(60)]
    rows[3:3] = ["{broken", {"question": "no answer?"}, "", {**good(7)}, [1, 2], good(99, grader="magic")]
    source = read_source(write(tmp_path / "q.jsonl", rows), tmp_path)
    assert len(source.questions) == 60
    reasons = {row.where: row.reason for row in source.invalid}
    assert reasons["line 4"] == "not a JSON object"
    assert reasons["line 5"].startswith("answer: Field required")
    assert reasons["line 8"] == "not a JSON object"
    assert reasons["line 9"].startswith("grader: 'magic' is none of choice, exact, math, number, span")
    assert "id 'q7' is used by an earlier row" in reasons.values()
    assert len(source.invalid) == 5


def test_a_line_that_is_not_utf8_is_a_invalid_rows_and_not_another_question(tmp_path: Path) -> None:
    source = write(tmp_path / "q.jsonl", [good(number) for number in range(20)])
    with (tmp_path / "q.jsonl").open("ab") as file:
        file.write('{"question": "Où?", "answer": "là"}\n{"question": "Où ?", "answer": "ici"}\n'.encode("latin-1"))
        file.write('{"question": "Où donc ?", "answer": "ici"}\n\u2003\n'.encode())
    found = read_source(source, tmp_path)
    assert [row.where for row in found.invalid] == ["line 21", "line 22"]
    assert found.invalid[0].reason == "not UTF-8: byte 16 of the line is 0xf9"
    assert found.questions[-1].question == "Où donc ?"
    assert len(found.questions) == 21


def test_too_many_invalid_rows_mean_the_wrong_file(tmp_path: Path) -> None:
    source = write(tmp_path / "q.jsonl", [good(1), {"text": "x"}])
    with pytest.raises(
        DatasetError, match=r"1 of 2 rows are invalid \(line 2: question: Field required.*correct the file"
    ):
        read_source(source, tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"cannot read the questions .*/data/none.jsonl \(pvc://data/none.jsonl\): No such file"
    ):
        read_source(DatasetSource(file="pvc://data/none.jsonl"), tmp_path)


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no questions"):
        read_source(write(tmp_path / "q.jsonl", []), tmp_path)


def test_a_copy_of_a_known_dataset_is_read_by_its_format(tmp_path: Path) -> None:
    rows = [{"question": "How many?", "answer": "2 and 70 are <<2+70=72>>72\n#### 72"}]
    source = write(tmp_path / "q.jsonl", rows).model_copy(update={"format": "openai/gsm8k"})
    (question,) = read_source(source, tmp_path).questions
    assert (question.answer, question.grader, question.id) == ("72", "number", "q.jsonl:line 1")


def test_rows_that_the_task_leaves_out_are_counted_and_are_no_sign_of_a_wrong_file(tmp_path: Path) -> None:
    answered = {"id": "a", "context": "Ann.", "question": "Who?", "answers": {"text": ["Ann"], "answer_start": [0]}}
    open_ = {"id": "b", "context": "Ann.", "question": "When?", "answers": {"text": [], "answer_start": []}}
    file = write(tmp_path / "q.jsonl", [answered, open_, {**open_, "id": "c"}])
    source = read_source(file.model_copy(update={"format": "rajpurkar/squad_v2"}), tmp_path)
    assert (len(source.questions), source.invalid) == (1, ())
    assert source.filtered == {"the passage does not answer it": 2}


def test_parquet_is_read_like_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "q.parquet"
    parquet.write_table(arrow.Table.from_pylist([{"question": "1+1?", "answer": "2"}]), path)
    (question,) = read_source(DatasetSource(file=f"file://{path}"), tmp_path / "none").questions
    assert (question.id, question.answer) == ("q.parquet:row 1", "2")


def test_what_is_no_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "q.parquet"
    path.write_text("text")
    with pytest.raises(DatasetError, match=r"q.parquet is not Parquet: .*check datasets\[\].file"):
        read_source(DatasetSource(file=f"file://{path}"), tmp_path)


def test_a_bucket_without_its_package_says_which(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read the questions s3://b/q.jsonl: .*s3fs.*trainer image"):
        read_source(DatasetSource(file="s3://b/q.jsonl"), tmp_path)


@pytest.fixture
def library_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The datasets library keeps its cache in the test's folder."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def hub_dataset(folder: Path, columns: dict[str, list[str]]) -> DatasetSource:
    """A dataset folder, which the library loads the way it loads a Hub dataset."""
    folder.mkdir()
    datasets.Dataset.from_dict(columns).to_parquet(folder / "train.parquet")
    return DatasetSource(id=str(folder))


@pytest.mark.usefixtures("library_cache")
def test_a_library_dataset_gives_its_rows(tmp_path: Path) -> None:
    source = hub_dataset(tmp_path / "set", {"question": ["a?", "b?"], "answer": ["1", "2"]})
    assert [question.question for question in read_source(source, tmp_path).questions] == ["a?", "b?"]


@pytest.mark.usefixtures("library_cache")
def test_a_library_dataset_without_the_columns_is_explained(tmp_path: Path) -> None:
    source = hub_dataset(tmp_path / "set", {"prompt": ["a"], "label": ["1"]})
    with pytest.raises(DatasetError, match=r"1 of 1 rows are invalid .*question: Field required.*register a converter"):
        read_source(source, tmp_path)


def config(source: DatasetSource, evaluate: EvaluateConfig) -> RunConfig:
    return RunConfig(cascade="c", agent="a", model="hf://org/name", image="test", datasets=(source,), evaluate=evaluate)


def test_the_held_out_share_is_stable_when_questions_are_added(tmp_path: Path) -> None:
    rows = [good(number) for number in range(400)]
    few = split_questions(config(write(tmp_path / "a.jsonl", rows[:300]), EvaluateConfig(holdout=0.2)), tmp_path)
    many = split_questions(config(write(tmp_path / "b.jsonl", rows), EvaluateConfig(holdout=0.2)), tmp_path)
    assert {q.id for q in few.test} <= {q.id for q in many.test}
    assert not {q.id for q in many.test} & {q.id for q in many.train}
    assert 0.12 < len(many.test) / 400 < 0.28


def test_an_evaluation_question_never_trains(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [good(number) for number in range(20)])
    judge = write(tmp_path / "test.jsonl", [good(number) for number in range(15, 30)])
    split = split_questions(config(train, EvaluateConfig(datasets=(judge,))), tmp_path)
    assert (len(split.train), len(split.test)) == (15, 15)
    assert split.leaked == 5
    assert split.summary()["droppedAsEvaluation"] == 5


def test_too_few_questions_to_split_is_an_error(tmp_path: Path) -> None:
    source = write(tmp_path / "q.jsonl", [good(1)])
    with pytest.raises(DatasetError, match=r"evaluate\.holdout"):
        split_questions(config(source, EvaluateConfig()), tmp_path)


def test_a_sample_is_the_same_at_every_start_and_keeps_most_of_itself_when_the_dataset_grows(tmp_path: Path) -> None:
    rows = [good(number) for number in range(400)]
    whole = read_source(write(tmp_path / "q.jsonl", rows), tmp_path)
    first = read_source(write(tmp_path / "q.jsonl", rows).model_copy(update={"sample": 100}), tmp_path)
    again = read_source(write(tmp_path / "q.jsonl", rows[::-1]).model_copy(update={"sample": 100}), tmp_path)
    assert len(first.questions) == 100
    assert {q.id for q in first.questions} == {q.id for q in again.questions}, "whatever the order"
    assert [q.id for q in first.questions] == [q.id for q in whole.questions if q in first.questions], "in their order"
    assert first.filtered == {"not in the sample of 100": 300}
    grown = rows + [good(number) for number in range(400, 440)]
    later = read_source(write(tmp_path / "q.jsonl", grown).model_copy(update={"sample": 100}), tmp_path)
    assert len({q.id for q in first.questions} & {q.id for q in later.questions}) > 80
    assert {int(q.id[1:]) // 100 for q in first.questions} == {0, 1, 2, 3}, "from everywhere"
    larger = read_source(write(tmp_path / "q.jsonl", rows).model_copy(update={"sample": 500}), tmp_path)
    assert (larger.questions, larger.filtered) == (whole.questions, {})


def test_a_dataset_is_the_kind_of_its_questions_unless_they_have_one(tmp_path: Path) -> None:
    rows = [{"question": "1+1?", "answer": "so #### 2"}]
    source = write(tmp_path / "q.jsonl", rows).model_copy(update={"format": "openai/gsm8k"})
    assert [q.kind for q in read_source(source, tmp_path).questions] == ["gsm8k"]
    plain = read_source(write(tmp_path / "p.jsonl", [good(1), good(2, kind="sums")]), tmp_path)
    assert [q.kind for q in plain.questions] == [None, "sums"]
