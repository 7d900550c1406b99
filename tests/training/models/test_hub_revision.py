"""One revision of a base model for everything that a stage loads. A cache as the Hub's library lays it out stands for
the Hub: two revisions lie in it, and nothing else can be reached."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from disrouter.artifacts import DatasetSource, RunConfig, RunLayout
from disrouter_training.errors import TrainingError
from disrouter_training.generation.encoding import Encoder
from disrouter_training.job import Job
from disrouter_training.models.loading import load_model
from support.hub_cache import MARK, NEW, OLD, REPOSITORY, snapshot, two_revisions


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_revisions(tmp_path_factory.mktemp("hub"))


@pytest.fixture(autouse=True)
def unreachable(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def job(folder: Path, revision: str | None, model: str = f"hf://{REPOSITORY}") -> Job:
    config = RunConfig(
        cascade="c", agent="a", model=model, revision=revision, datasets=(DatasetSource(file="file:///x.jsonl"),)
    )
    return Job(config, RunLayout.of(folder, config))


@pytest.mark.parametrize(("revision", "commit"), [(OLD, OLD), (NEW, NEW), ("v1", OLD), ("main", NEW)])
def test_weights_and_tokenizer_are_those_of_the_revision(tmp_path: Path, hub: Path, revision: str, commit: str) -> None:
    name = job(tmp_path, revision).base_model()
    assert Path(name) == snapshot(hub, commit)
    assert str(Encoder(name).tokenizer.chat_template).startswith(MARK) is (commit == NEW)
    assert bool(load_model(name, train=True).lm_head.weight.any()) is (commit == OLD)


def test_without_a_revision_the_name_is_left_to_the_libraries(tmp_path: Path) -> None:
    assert job(tmp_path, None).base_model() == REPOSITORY


def test_a_revision_that_cannot_be_had_says_which_and_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"cannot fetch revision v9 of org/tiny .*check model\.uri, model\.revision"
    ):
        job(tmp_path, "v9").base_model()


def test_a_revision_of_what_is_not_on_the_hub_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="revision v1 is for a model of the Hub"):
        job(tmp_path, "v1", "pvc://models/tiny").base_model()
