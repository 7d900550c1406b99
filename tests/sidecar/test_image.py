"""The Dockerfile says what the code needs: no container engine is asked, its lines are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "images/sidecar/Dockerfile").read_text()
LINES = DOCKERFILE.replace("\\\n", "").splitlines()


def arguments(instruction: str) -> list[str]:
    return [line.removeprefix(instruction + " ") for line in LINES if line.startswith(instruction + " ")]


def test_what_is_copied_exists() -> None:
    copied = [part for line in arguments("COPY") if not line.startswith("--from") for part in line.split()[:-1]]
    assert "constraints.txt" in copied
    assert [path for path in copied if not (ROOT / path).exists()] == []


def test_what_is_installed_is_the_contract_and_the_sidecar_extra(tmp_path: Path) -> None:
    script = re.search(r'RUN python -c "(.*?)" >', DOCKERFILE)
    assert script is not None
    printed = subprocess.run(
        [sys.executable, "-c", script[1]], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert printed == [*project["dependencies"], *project["optional-dependencies"]["sidecar"]]


def test_it_runs_as_a_numeric_user_and_as_the_only_process() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", arguments("USER")[-1])
    assert json.loads(arguments("ENTRYPOINT")[-1])[1:] == ["-m", "disrouter_sidecar"]


def test_the_two_packages_alone_start(tmp_path: Path) -> None:
    """Imported from a folder that holds nothing else of ours, the sidecar reaches its check of the environment."""
    for package in ("operator/disrouter", "images/sidecar/disrouter_sidecar"):
        source = ROOT / package
        shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import disrouter_sidecar.server as server;"
        "assert pathlib.Path(server.__file__).is_relative_to(sys.argv[1]);"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert {"disrouter", "disrouter_sidecar", "httptools", "orjson"} <= set(loaded)
    foreign = {
        "aiohttp",
        "disrouter_operator",
        "disrouter_local",
        "kopf",
        "kubernetes",
        "torch",
        "transformers",
        "yaml",
        "requests",
    }
    assert foreign.isdisjoint(loaded)
