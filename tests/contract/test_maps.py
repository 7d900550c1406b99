"""The docstring of every package is its map: each module and each room of it, once, and nothing that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("operator", "images/sidecar", "training-jobs")
ENTRY = re.compile(r"^- `(\w+)` ", re.MULTILINE)

PACKAGES = sorted(init.parent for top in PRODUCT for init in (ROOT / top).rglob("__init__.py"))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package.relative_to(ROOT)))
def test_the_map_names_what_is_there(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    modules = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert sorted(ENTRY.findall(docstring)) == sorted(modules | rooms)


def test_there_are_packages() -> None:
    assert len(PACKAGES) > 30
