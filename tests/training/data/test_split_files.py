"""The splits of a run as files: what `collect` sets aside is what every later stage reads, or an error says why not."""

import json
from pathlib import Path
from typing import Any

import pytest

from disrouter.artifacts import DatasetSource, EvaluateConfig, RunConfig, RunLayout, Stage
from disrouter.errors import ArtifactError
from disrouter_training.data.samples import Collected, read_collected
from disrouter_training.data.shards import longest_first, write_rows
from disrouter_training.data.split import DEV, HELDOUT, TEST, TRAIN, Splits, split_questions
from disrouter_training.data.split_files import read_judged, read_split, write_splits
from disrouter_training.errors import DatasetError


def rows(start: int, stop: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"q{n}", "question": f"What is {n}+1?", "answer": n + 1, **more} for n in range(start, stop)]


def write(path: Path, content: list[dict[str, Any]]) -> DatasetSource:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return DatasetSource(file=f"file://{path}")


def config(root: Path, train: list[dict[str, Any]], **judged: list[dict[str, Any]]) -> RunConfig:
    fields = {"test": "datasets", "dev": "dev", "heldout": "heldout"}
    named = {fields[name]: (write(root / f"{name}.jsonl", content),) for name, content in judged.items()}
    source = write(root / "train.jsonl", train)
    evaluate = EvaluateConfig.model_validate(named)
    return RunConfig(cascade="c", agent="a", model="hf://org/name", datasets=(source,), evaluate=evaluate)


def collected(root: Path, run: RunConfig) -> tuple[RunLayout, Splits]:
    """As if `collect` had finished."""
    layout, splits = RunLayout.of(root / "artifacts", run), split_questions(run, root)
    record = write_splits(layout.stage(Stage.COLLECT), splits)
    layout.finish(Stage.COLLECT, {"metrics": {"splits": record}})
    return layout, splits


def test_what_is_read_is_what_was_set_aside_with_every_field(tmp_path: Path) -> None:
    more = {"instruction": "Compute.", "grader": "number", "family": "add", "kind": "surface", "difficulty": 2}
    run = config(tmp_path, rows(0, 9, **more), test=rows(9, 12, **more), dev=rows(12, 14, **more))
    layout, splits = collected(tmp_path, run)
    assert (len(splits.train), len(splits.test), len(splits.dev)) == (9, 3, 2)
    assert read_split(layout, TRAIN) == splits.train
    assert read_judged(layout) == {TEST: splits.test, DEV: splits.dev}
    assert read_split(layout, HELDOUT) == (), "the run names none"


def test_done_json_counts_and_fingerprints_each_split(tmp_path: Path) -> None:
    layout, _ = collected(tmp_path, config(tmp_path, rows(0, 9), test=rows(9, 12)))
    record = layout.require(Stage.COLLECT)["metrics"]["splits"]
    assert {name: each["questions"] for name, each in record.items()} == {"train": 9, "test": 3}
    assert len({each["sha256"] for each in record.values()}) == 2


def test_a_changed_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    layout, _ = collected(tmp_path, config(tmp_path, rows(0, 9), test=rows(9, 12)))
    path = layout.stage(Stage.COLLECT) / "splits" / "test.jsonl"
    path.write_text(path.read_text().replace("10", "11", 1))
    with pytest.raises(DatasetError, match=r"splits/test\.jsonl was changed: .*restore it from a copy, or delete"):
        read_judged(layout)
    path.unlink()
    with pytest.raises(DatasetError, match=r"splits/test\.jsonl is missing; restore it from a copy, or delete"):
        read_judged(layout)
    assert len(read_split(layout, TRAIN)) == 9, "the other file is whole"


def test_a_split_is_not_read_before_collect_is_complete(tmp_path: Path) -> None:
    run = config(tmp_path, rows(0, 9), test=rows(9, 12))
    layout = RunLayout.of(tmp_path / "artifacts", run)
    write_splits(layout.stage(Stage.COLLECT), split_questions(run, tmp_path))
    with pytest.raises(ArtifactError, match=r"stage collect of run .* is not complete"):
        read_split(layout, TRAIN)
    layout.finish(Stage.COLLECT, {"metrics": {}})
    with pytest.raises(DatasetError, match=r"has no splits: an earlier release collected it; .*or delete"):
        read_split(layout, TRAIN)


@pytest.mark.parametrize("changed", ["train", "test"])
def test_a_dataset_that_changed_between_two_starts_of_collect_is_named(tmp_path: Path, changed: str) -> None:
    content = {"train": rows(0, 9), "test": rows(9, 12)}
    layout, _ = collected(tmp_path, config(tmp_path, content["train"], test=content["test"]))
    before = (layout.stage(Stage.COLLECT) / "splits" / "test.jsonl").read_bytes()
    content[changed] = [*content[changed][:-1], {**content[changed][-1], "answer": "other"}]
    run = config(tmp_path, content["train"], test=content["test"])
    expected = (
        rf"dataset file://.*{changed}\.jsonl has changed since collect of this run began .*or delete .*/collect to"
    )
    with pytest.raises(DatasetError, match=expected):
        write_splits(layout.stage(Stage.COLLECT), split_questions(run, tmp_path))
    assert (layout.stage(Stage.COLLECT) / "splits" / "test.jsonl").read_bytes() == before


def test_a_passage_that_changed_is_a_change_of_the_dataset(tmp_path: Path) -> None:
    """Questions are held out by it, so that others might be."""
    layout, _ = collected(tmp_path, config(tmp_path, rows(0, 60, passage="one")[:59] + rows(60, 90)))
    run = config(tmp_path, rows(0, 60, passage="two")[:59] + rows(60, 90))
    with pytest.raises(DatasetError, match="has changed since collect of this run began"):
        write_splits(layout.stage(Stage.COLLECT), split_questions(run, tmp_path))


def test_a_resumed_collect_writes_the_same_files_again(tmp_path: Path) -> None:
    run = config(tmp_path, rows(0, 9), test=rows(9, 12))
    layout, splits = collected(tmp_path, run)
    record = layout.require(Stage.COLLECT)["metrics"]["splits"]
    (layout.stage(Stage.COLLECT) / "splits" / "train.jsonl").unlink()
    assert write_splits(layout.stage(Stage.COLLECT), splits) == record
    assert read_split(layout, TRAIN) == splits.train


def test_samples_of_other_questions_are_not_taken_for_those_of_the_train_split(tmp_path: Path) -> None:
    layout, splits = collected(tmp_path, config(tmp_path, rows(0, 9), test=rows(9, 12)))
    shards = layout.stage(Stage.COLLECT) / "shards"
    samples = [Collected(question, ("so",), (True,)) for question in longest_first(splits.train)]
    write_rows(shards / "0000.jsonl", [each.row() for each in samples])
    assert [each.question for each in read_collected(layout)] == longest_first(splits.train)
    write_rows(shards / "0000.jsonl", [each.row() for each in samples[1:]])
    with pytest.raises(DatasetError, match=r"the shards of .*/collect are not about its train split; delete"):
        read_collected(layout)
