"""Training where memory ends: the tiny agent on a machine that is made to hold few sequences at once."""

import copy
from typing import Any

import pytest
import torch
from trl import RLOOTrainer, SFTTrainer

from disrouter.artifacts import Stage
from disrouter_training.data.shards import read_rows
from support.trainer import Trainer

HOLDS = 4
"""Sequences of a micro-batch."""


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the micro-batches that were tried."""
    tried: list[int] = []
    for kind in (SFTTrainer, RLOOTrainer):
        original = copy.copy(kind.compute_loss)

        def limited(self: Any, model: Any, inputs: Any, *more: Any, original: Any = original, **options: Any) -> Any:
            ids = inputs.get("input_ids", inputs.get("completion_ids"))
            tried.append(len(ids))
            if len(ids) > HOLDS:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return original(self, model, inputs, *more, **options)

        monkeypatch.setattr(kind, "compute_loss", limited)
    return tried


@pytest.mark.parametrize("stage", [Stage.SFT, Stage.RL])
def test_a_stage_halves_its_micro_batch_and_does_every_step_with_the_whole_batch(
    trained: Trainer, little_memory: list[int], stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = trained.layout.require(stage)["metrics"]["steps"]
    trained.forget(stage)
    assert trained(stage) == 0
    assert max(little_memory) > HOLDS
    assert little_memory[-1] in (3, HOLDS)
    assert f"{stage}: out of memory with {little_memory[0]} sequences at once" in capsys.readouterr().err
    rows = read_rows(trained.layout.stage(stage) / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, steps + 1))


def test_a_micro_batch_that_is_asked_for_is_not_exceeded(trained: Trainer, little_memory: list[int]) -> None:
    trained.forget(Stage.SFT)
    assert trained("sft", "--resources", '{"sft": {"microBatchSize": 3}}') == 0
    assert set(little_memory) == {2}, "the largest part of sixteen that is not above three"


def test_one_sequence_that_is_too_much_is_an_error_with_the_remedy(
    trained: Trainer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(SFTTrainer, "compute_loss", full)
    trained.forget(Stage.SFT)
    assert trained("sft") == 1
    assert "one sequence at a time is too much already: shorten the questions" in capsys.readouterr().err
