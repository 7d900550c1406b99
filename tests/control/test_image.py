"""The Dockerfile says what the operator needs: no container engine is asked, its lines are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "images/operator/Dockerfile").read_text()
LINES = DOCKERFILE.replace("\\\n", "").splitlines()


def arguments(instruction: str) -> list[str]:
    return [line.removeprefix(instruction + " ") for line in LINES if line.startswith(instruction + " ")]


def copied() -> list[str]:
    return [part for line in arguments("COPY") if not line.startswith("--from") for part in line.split()[:-1]]


def test_what_is_installed_is_the_operator_extra() -> None:
    assert [path for path in copied() if not (ROOT / path).exists()] == []
    script = re.search(r'RUN python -c "(.*?)" >', DOCKERFILE)
    assert script is not None
    command = [sys.executable, "-c", script[1]]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert printed == [*project["dependencies"], *project["optional-dependencies"]["operator"]]


def test_it_runs_as_a_numeric_user_and_as_the_only_process() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", arguments("USER")[-1])
    assert json.loads(arguments("ENTRYPOINT")[-1])[1:] == ["-m", "disrouter_operator"]


def test_what_is_copied_starts_alone(tmp_path: Path) -> None:
    """Imported from a folder that holds nothing else of ours, with none of the other parts' libraries loaded."""
    for source in (ROOT / path for path in copied() if (ROOT / path).is_dir()):
        shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import disrouter_operator.__main__ as entry;"
        "assert pathlib.Path(entry.__file__).is_relative_to(sys.argv[1]);"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert {"disrouter", "disrouter_operator", "kopf", "kubernetes"} <= loaded
    foreign = {
        "disrouter_sidecar",
        "disrouter_local",
        "disrouter_training",
        "orjson",
        "torch",
        "transformers",
        "kserve",
    }
    assert foreign.isdisjoint(loaded)
