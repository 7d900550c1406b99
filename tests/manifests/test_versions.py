"""One version: package, charts and images take it from one place."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from disrouter import __version__
from disrouter_operator.settings import SIDECAR_IMAGE, TRAINING_IMAGE
from write_charts import UndocumentedValue, main, values

ROOT = Path(__file__).parents[2]
CHARTS = ("disrouter", "disrouter-crds")


def test_the_project_reads_its_version_from_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "operator/disrouter/__init__.py"


@pytest.mark.parametrize("chart", CHARTS)
def test_a_chart_has_the_packages_version(chart: str) -> None:
    head = yaml.safe_load((ROOT / "charts" / chart / "Chart.yaml").read_text())
    assert (head["version"], head["appVersion"]) == (__version__, __version__), "run `make charts`"


def test_the_operator_starts_sidecars_and_trainers_of_its_own_version() -> None:
    assert {image.rpartition(":")[2] for image in (SIDECAR_IMAGE, TRAINING_IMAGE)} == {__version__}


def test_the_charts_are_up_to_date() -> None:
    assert main(["--check", "--root", str(ROOT)]) == 0, "run `make charts`"


def test_a_new_version_is_written_into_a_stale_chart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(ROOT / "charts", tmp_path / "charts")
    head = tmp_path / "charts/disrouter/Chart.yaml"
    head.write_text(head.read_text().replace(__version__, "0.0.1"))
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert "Chart.yaml is not up to date; run `make charts`" in capsys.readouterr().err
    assert main(["--root", str(tmp_path)]) == 0
    assert head.read_text() == (ROOT / "charts/disrouter/Chart.yaml").read_text()


def test_a_value_without_a_comment_is_named() -> None:
    with pytest.raises(UndocumentedValue, match=r"value a\.c has no comment above it \(line 4\)"):
        values("a:\n  # Good.\n  b: 1\n  c: 2\n")
