"""Low-rank adapters: what they leave is served like any other model, and what they were is kept beside it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from disrouter.artifacts import Evaluation, Stage
from support.trainer import Trainer

LORA = {"rank": 8, "alpha": 16}
STEPS = 10


@pytest.fixture(scope="module")
def adapted(finished: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A run that trains adapters in both stages, in bf16, with checkpointing and without padding."""
    changes: dict[str, dict[str, Any]] = {
        "sft": {"lora": LORA, "learningRate": 1e-2, "packing": True},
        "rl": {"lora": LORA, "steps": STEPS, "precision": "bf16", "gradientCheckpointing": True},
    }
    return train(finished, tmp_path_factory.mktemp("adapted"), changes)


def train(finished: Trainer, root: Path, changes: dict[str, dict[str, Any]]) -> Trainer:
    trainer = finished.changed(root, changes)
    trainer.take(finished, Stage.COLLECT)
    assert trainer("run") == 0
    return trainer


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    return state


def test_an_adapted_agent_learns_to_refuse(adapted: Trainer) -> None:
    path = adapted.layout.stage(Stage.EVALUATE) / "evaluation.json"
    assert Evaluation.model_validate_json(path.read_bytes()).utility_gain > 0.2


@pytest.mark.parametrize("stage", [Stage.SFT, Stage.RL])
def test_a_stage_leaves_the_adapter_and_the_merged_weights(adapted: Trainer, stage: Stage) -> None:
    folder = adapted.layout.stage(stage)
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {
        path.name for path in (folder / "adapter").iterdir()
    }
    names = {path.name for path in (folder / "weights").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    assert not any("adapter" in name for name in names)


def test_only_adapted_layers_differ_from_the_base(adapted: Trainer, volumes: Path) -> None:
    before = weights(volumes / "models" / "tiny")
    after = weights(adapted.layout.weights(Stage.SFT))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed
    assert all("_proj." in name for name in changed)
