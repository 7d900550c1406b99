"""Hub datasets: what of one is read, and what is said where it is not there. Folders stand for the Hub."""

from pathlib import Path

import datasets
import pytest

from disrouter.artifacts import DatasetSource
from disrouter_training.data.sources.convert import PARQUET_COPY, Converter, find, plain
from disrouter_training.data.sources.hub import address, hub_rows
from disrouter_training.errors import DatasetError

pytestmark = pytest.mark.usefixtures("library_cache")


@pytest.fixture
def library_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The datasets library keeps its cache in the test's folder."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def stored(folder: Path, *splits: str) -> str:
    """A dataset whose one row names its split, laid out as the Hub's Parquet copy: a folder a split."""
    for split in splits:
        (folder / split).mkdir(parents=True)
        datasets.Dataset.from_dict({"question": [f"{folder.name} {split}?"]}).to_parquet(folder / split / "0.parquet")
    return str(folder)


def questions(source: DatasetSource, converter: Converter | None = None) -> list[str]:
    return [row["question"] for _, row in hub_rows(source, converter or Converter("any", plain))]


def test_a_split_is_the_manifests_else_the_converters_else_train(tmp_path: Path) -> None:
    name = stored(tmp_path / "set", "train", "test", "validation")
    assert questions(DatasetSource(id=name)) == ["set train?"]
    assert questions(DatasetSource(id=name), Converter("any", plain, split="validation")) == ["set validation?"]
    named = DatasetSource(id=name, split="test")
    assert questions(named, Converter("any", plain, split="validation")) == ["set test?"]


@pytest.mark.parametrize("split", ["validation", "validation[:1]", "train+validation"])
def test_a_split_that_is_not_there_is_an_error_that_lists_those_that_are(tmp_path: Path, split: str) -> None:
    name = stored(tmp_path / "set", "train", "test")
    expected = (
        r"set \(config None, split .*, revision main\) has no split validation; set .*split to one of train, test$"
    )
    with pytest.raises(DatasetError, match=expected):
        questions(DatasetSource(id=name, split=split))


def test_a_configuration_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    name = stored(tmp_path / "set", "train")
    with pytest.raises(
        DatasetError, match=r"cannot load .*\(config en, split train.*check datasets\[\]\.id/config/split"
    ):
        questions(DatasetSource(id=name, config="en"))


def test_a_configuration_of_the_parquet_copy_is_its_folder(tmp_path: Path) -> None:
    for config in ("en", "es"):
        stored(tmp_path / "set" / config, "train", "test")
    source = DatasetSource(id=str(tmp_path / "set"), config="es", revision=PARQUET_COPY)
    assert questions(source) == ["es train?"]
    with pytest.raises(DatasetError, match=r"config es, split dev, revision refs/convert/parquet\) has no split dev"):
        questions(source.model_copy(update={"split": "dev"}))


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("allenai/cosmos_qa", {"data_dir": None, "revision": PARQUET_COPY}),
        ("dvilares/head_qa", {"data_dir": "en", "revision": PARQUET_COPY}),
        ("cais/mmlu", {"name": "all", "revision": None}),
    ],
)
def test_datasets_that_are_a_script_on_main_are_read_from_the_parquet_copy(
    dataset: str, expected: dict[str, str | None]
) -> None:
    found = find(dataset)
    assert found is not None
    assert address(DatasetSource(id=dataset), found) == expected
    named = address(DatasetSource(id=dataset, revision="main", config="c"), found)
    assert named == {"name": "c", "revision": "main"}


def test_mmlu_has_no_train_and_so_another_default() -> None:
    found = find("cais/mmlu")
    assert found is not None
    assert found.split == "auxiliary_train"
