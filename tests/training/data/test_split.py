"""How the questions of a run are parted: none is lost, and the same questions are parted the same way for ever."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from disrouter.artifacts import DatasetSource, EvaluateConfig, RunConfig
from disrouter_training.data.sources import Question
from disrouter_training.data.split import Splits, split_questions, unique_id

OFFLINE = Path(__file__).resolve().parents[3] / "examples" / "offline"


def dataset(folder: Path, rows: list[dict[str, Any]]) -> DatasetSource:
    """A file that is named alike in every folder, as the configurations of one Hub dataset are."""
    folder.mkdir()
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DatasetSource(file=f"pvc://{folder.name}/q.jsonl")


def part(root: Path, sources: tuple[DatasetSource, ...], **evaluate: Any) -> Splits:
    fields = {"cascade": "c", "agent": "a", "model": "hf://org/name", "datasets": sources}
    return split_questions(RunConfig(**fields, evaluate=EvaluateConfig(**evaluate)), root)


def test_sources_whose_ids_clash_keep_all_of_their_questions(tmp_path: Path) -> None:
    sources = tuple(
        dataset(tmp_path / name, [{"question": f"{name}{number}?", "answer": number} for number in range(40)])
        for name in ("first", "second", "third")
    )
    split = part(tmp_path, sources)
    every = [*split.train, *split.test]
    assert len({question.id for question in every}) == len(every) == 120
    assert {question.id for question in every if question.question == "first7?"} == {"q.jsonl:line 8"}
    assert part(tmp_path, sources) == split


def test_one_source_that_is_named_three_times_keeps_three_ids(tmp_path: Path) -> None:
    source = dataset(tmp_path / "data", [{"id": f"q{k}", "question": f"{k}?", "answer": k} for k in range(40)])
    judge = dataset(tmp_path / "test", [{"question": "Which?", "answer": "this"}])
    split = part(tmp_path, (source, source, source), datasets=(judge,))
    found = [question.id for question in split.train if question.question == "7?"]
    assert found == ["q7", "pvc://data/q.jsonl#q7", "pvc://data/q.jsonl#2#q7"]


def test_held_out_questions_share_no_id_with_named_ones(tmp_path: Path) -> None:
    """Replies are kept by id, over all splits of a run."""
    source = dataset(tmp_path / "data", [{"id": f"q{k}", "question": f"{k}?", "answer": k} for k in range(40)])
    dev = dataset(tmp_path / "dev", [{"id": f"q{k}", "question": f"dev {k}?", "answer": k} for k in range(40)])
    split = part(tmp_path, (source,), holdout=0.3, dev=(dev,))
    ids = [question.id for each in split.by_name.values() for question in each]
    assert len(set(ids)) == len(ids) == 80
    assert [question.id for question in split.dev] == [f"q{k}" for k in range(40)]


def test_an_id_that_is_unique_already_stays() -> None:
    assert unique_id("q1", "set", {"q2"}) == "q1"
    assert unique_id("q1", "set", {"q1"}) == "set#q1"
    assert unique_id("q1", "set", {"q1", "set#q1", "set#2#q1"}) == "set#3#q1"


@pytest.mark.parametrize("form", ["ehovy/race", None])
def test_questions_on_one_passage_are_on_one_side(tmp_path: Path, form: str | None) -> None:
    choices = {"answer": "A", "options": ["yes", "no"]}
    rows: list[dict[str, Any]] = [
        {"article": f"Text {k // 5}.", "question": f"Line {k % 5}?", **choices} for k in range(300)
    ]
    if form is None:
        rows = [{"passage": f"Text {k // 5}.", "question": f"{k}?", "answer": k} for k in range(300)]
    source = dataset(tmp_path / "data", rows).model_copy(update={"format": form})
    split = part(tmp_path, (source,), holdout=0.3)
    learned, judged = ({question.passage for question in each} for each in (split.train, split.test))
    assert len(learned | judged) == 60
    assert len(learned) > 20
    assert len(judged) > 5
    assert not learned & judged


def test_a_passage_changes_nothing_that_is_written_of_a_question() -> None:
    plain = Question(id="q", question="Who?", answer="Ann")
    assert plain.model_copy(update={"passage": "Ann ran."}).model_dump_json() == plain.model_dump_json()
    assert "passage" not in plain.model_dump_json()


def test_the_offline_pool_is_split_as_it_always_was() -> None:
    """Finished runs of it would be judged by questions that they trained on."""
    split = part(OFFLINE, (DatasetSource(file="pvc://questions/train.jsonl"),))
    texts = ("".join(question.model_dump_json() + "\n" for question in each) for each in (split.train, split.test))
    assert [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts] == [
        "4f5956b7adfaa6c5",
        "3259e254a2d264ec",
    ]
