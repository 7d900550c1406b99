"""Weights are there as a whole or not at all, and damage to them is found before they are used."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from transformers import GenerationConfig

from disrouter.artifacts import Stage
from disrouter_training.errors import ArtifactDamaged
from disrouter_training.models.publishing import SUMS_FILE, neutral, verify, write_folder
from support.trainer import Trainer


def test_a_folder_appears_with_a_checksum_of_every_file(tmp_path: Path) -> None:
    write_folder(tmp_path / "weights", lambda place: (place / "a.bin").write_text("x"))
    assert {path.name for path in tmp_path.iterdir()} == {"weights"}
    verify(tmp_path / "weights")
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--strict", SUMS_FILE], cwd=tmp_path / "weights", check=True)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "weights"
    write_folder(target, lambda place: (place / "a.bin").write_text("old"))

    def fail(place: Path) -> None:
        (place / "a.bin").write_text("ne")
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write_folder(target, fail)
    assert (target / "a.bin").read_text() == "old"
    verify(target)
    write_folder(target, lambda place: (place / "b.bin").write_text("new"))
    assert {path.name for path in target.iterdir()} == {"b.bin", SUMS_FILE}


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_damaged_file_is_named_with_the_remedy(damage: str, tmp_path: Path) -> None:
    target = tmp_path / "sft" / "weights"
    write_folder(target, lambda place: (place / "a.bin").write_text("x"))
    if damage == "change":
        (target / "a.bin").write_text("y")
    else:
        (target / "a.bin").unlink()
    with pytest.raises(ArtifactDamaged, match=r"a\.bin is (damaged|missing).*; delete .*/sft to run stage sft again"):
        verify(target)


def test_what_is_served_is_not_bent_by_a_base_models_habits_of_sampling(finished: Trainer) -> None:
    stops = {"eos_token_id": [7, 9], "pad_token_id": 3}
    habits = GenerationConfig(do_sample=True, temperature=0.7, top_p=0.8, top_k=20, repetition_penalty=1.05, **stops)
    assert kept(neutral(habits).to_diff_dict()) == stops
    base = GenerationConfig.from_pretrained(finished.volumes / "models" / "tiny")
    for stage in (Stage.SFT, Stage.RL):
        served = json.loads((finished.layout.weights(stage) / "generation_config.json").read_text())
        assert kept(served).keys() <= {"bos_token_id", "eos_token_id", "pad_token_id"}
        assert served["eos_token_id"] == base.eos_token_id


def kept(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != "transformers_version" and name[0] != "_"}


def test_weights_that_are_not_ours_are_taken_as_they_are(tmp_path: Path) -> None:
    verify(tmp_path)


def test_evaluate_does_not_load_damaged_weights(trained: Trainer, capsys: pytest.CaptureFixture[str]) -> None:
    trained.forget("evaluate")
    path = trained.layout.weights(Stage.RL) / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert trained("evaluate") == 1
    assert "model.safetensors is damaged: its SHA-256 is not that of SHA256SUMS" in capsys.readouterr().err
