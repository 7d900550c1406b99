"""The tree is the architecture: rooms import downwards only, and none is too full or too high to be read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import structure

ROOT = Path(__file__).parents[2]
UPWARD = {
    "operator/disrouter/routes.py": ("disrouter.api", "Rooms of the contract"),
    "operator/disrouter_operator/plan/rollout.py": ("disrouter_operator.reconcile.apply", "Rooms of the operator"),
    "operator/disrouter_local/pods/pod.py": ("disrouter_local.node.kubelet", "Rooms of the local runtime"),
    "operator/disrouter_cli/output.py": ("disrouter_cli.commands.get", "Rooms of the CLI"),
    "images/sidecar/disrouter_sidecar/openai/query.py": ("disrouter_sidecar.cascade.chain_run", "Rooms of the sidecar"),
    "training-jobs/disrouter_training/data/split.py": ("disrouter_training.stages.sft", "Rooms of the trainer"),
}
"""A module, what it must not import, and the contract that says so."""


def test_an_import_against_the_flow_fails_the_check(tmp_path: Path) -> None:
    for top in structure.PACKAGES:
        shutil.copytree(ROOT / top, tmp_path / top, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module, (imported, _) in UPWARD.items():
        path = tmp_path / module
        path.write_text(f"{path.read_text()}\n\nimport {imported}\n")
    paths = os.pathsep.join(str(tmp_path / Path(top).parent) for top in structure.PACKAGES)
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    for imported, contract in UPWARD.values():
        assert f"{contract} BROKEN" in done.stdout
        assert imported in done.stdout


@pytest.mark.parametrize("package", structure.PACKAGES)
def test_no_folder_is_too_full_or_too_high(package: str) -> None:
    assert structure.problems(ROOT / package) == []


def test_folders_that_are_too_full_or_too_high_are_named(tmp_path: Path) -> None:
    package = tmp_path / "tower"
    package.mkdir()
    (package / "__init__.py").touch()
    for number in range(13):
        (package / f"floor{number}.py").write_text(f"import tower.floor{number - 1}\n" if number else "")
    assert structure.problems(package) == [
        "tower has 13 files, more than 12: part it into rooms",
        "tower stands on 13 import floors, more than 9",
    ]
