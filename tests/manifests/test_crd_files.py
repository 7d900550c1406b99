"""The CRD in the repository and in its chart is what the models say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from disrouter.api import crd
from write_crds import FILES, main, rendered, stale

ROOT = Path(__file__).parents[2]


def test_the_files_are_up_to_date() -> None:
    assert stale(ROOT) == [], "run `make crds`"


def test_check_names_a_stale_file_and_the_command_that_writes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(tmp_path)]) == 0
    path = tmp_path / next(iter(FILES))
    path.write_text(path.read_text().replace("maxItems: 16", "maxItems: 17"))
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert "run `make crds`" in capsys.readouterr().err


def test_only_the_chart_keeps_the_resource_on_uninstall() -> None:
    plain, chart = (yaml.safe_load(rendered(annotations)) for annotations in FILES.values())
    assert plain == crd()
    assert chart["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert {**chart, "metadata": {"name": plain["metadata"]["name"]}} == plain
