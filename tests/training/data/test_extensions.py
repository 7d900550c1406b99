"""A dataset and a grader from another package: one function each, found by their entry points."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from disrouter.artifacts import DatasetSource
from disrouter_training.data import graders
from disrouter_training.data.correctness import is_right
from disrouter_training.data.sources import read_source
from disrouter_training.errors import DatasetError

MODULE = """
def poems(row):
    return {"question": f"Who wrote {row['title']}?", "answer": row["poet"], "grader": "surname"}


class Surname:
    def problem(self, expected):
        return None if expected.strip() else "no name"

    def correct(self, expected, final):
        return final.split()[-1:] == expected.split()[-1:]
"""
ENTRY_POINTS = """
[disrouter.datasets]
verse/poems = poetry_for_disrouter:poems
verse/broken = poetry_for_disrouter:prose
[disrouter.graders]
surname = poetry_for_disrouter:Surname
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package as pip would install it."""
    site = tmp_path / "site"
    info = site / "poetry_for_disrouter-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "poetry_for_disrouter.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: poetry-for-disrouter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(site)
    _forget()
    yield
    sys.modules.pop("poetry_for_disrouter", None)
    _forget()


def _forget() -> None:
    """What was looked for among the packages that are installed."""
    graders.grader.cache_clear()
    graders.known.cache_clear()


@pytest.fixture
def poems(tmp_path: Path) -> str:
    rows = [{"title": "Ozymandias", "poet": "Percy Shelley"}, {"title": "If", "poet": "Rudyard Kipling"}]
    path = tmp_path / "poems.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"file://{path}"


@pytest.mark.usefixtures("package")
def test_a_dataset_and_its_grader_come_from_outside(poems: str, tmp_path: Path) -> None:
    found = read_source(DatasetSource(file=poems, format="verse/poems"), tmp_path)
    assert [question.question for question in found.questions] == ["Who wrote Ozymandias?", "Who wrote If?"]
    ozymandias = found.questions[0]
    assert is_right(ozymandias, "The final answer is: P. B. Shelley.")
    assert not is_right(ozymandias, "The final answer is: Keats.")


@pytest.mark.usefixtures("package")
def test_a_converter_that_cannot_be_loaded_is_named(poems: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="converter of verse/broken in poetry_for_disrouter:prose cannot be loaded"):
        read_source(DatasetSource(file=poems, format="verse/broken"), tmp_path)


def test_without_the_package_the_known_ones_are_listed(poems: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no converter is known for the format 'verse/poems'; use one of .*gsm8k"):
        read_source(DatasetSource(file=poems, format="verse/poems"), tmp_path)
    with pytest.raises(DatasetError, match="no grader is named 'surname'; use one of choice, exact, math"):
        graders.grader("surname")
