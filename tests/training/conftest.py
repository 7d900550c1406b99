"""A tiny agent, trained once through all stages; tests that change something copy its directory."""

import json
import shutil
from pathlib import Path

import pytest

from support.tiny_agent import write_agent, write_questions
from support.trainer import RUN, Trainer


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Claims with a base model and its questions, and the run's inputs."""
    root = tmp_path_factory.mktemp("volumes")
    (root / "data").mkdir()
    write_questions(root / "data" / "questions.jsonl")
    write_agent(root / "models" / "tiny")
    (root / "run.json").write_text(json.dumps(RUN))
    return root


@pytest.fixture(scope="session")
def finished(volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """All stages done, without an interruption. Do not change it."""
    trainer = Trainer(volumes, tmp_path_factory.mktemp("artifacts"))
    assert trainer("run") == 0
    return trainer


@pytest.fixture
def trained(finished: Trainer, tmp_path: Path) -> Trainer:
    """A copy of the finished run that a test may change."""
    shutil.copytree(finished.artifacts, tmp_path / "artifacts")
    return Trainer(finished.volumes, tmp_path / "artifacts")
