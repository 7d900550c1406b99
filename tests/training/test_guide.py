"""The guide of training: its run file is one, and it leaves no field out."""

import json
import re
from pathlib import Path

import pytest
from pydantic.alias_generators import to_camel

from disrouter.artifacts import CollectConfig, EvaluateConfig, RlConfig, RunConfig, SftConfig
from disrouter.model import Model
from disrouter.uris import local_path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text()


def test_its_run_file_is_one_and_names_what_is_in_the_repository() -> None:
    (text,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    config = RunConfig.model_validate(json.loads(text))
    (root,) = set(re.findall(r"--pvc-root (\S+)", PAGE))
    sources = [*config.datasets, *config.evaluate.datasets]
    addresses = [config.model, *(source.file for source in sources if source.file is not None)]
    paths = [Path(local_path(address, ROOT / root)) for address in addresses]
    assert [path for path in paths if not path.exists()] == []
    assert len(addresses) == 3


@pytest.mark.parametrize("stage", ["collect", "sft", "rl", "evaluate"])
def test_every_field_of_a_stage_is_in_its_table(stage: str) -> None:
    table = PAGE.partition("## Fields")[2].partition("## Recipes")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = {name for row in rows if f"`{stage}." in row for name in re.findall(r"[A-Za-z]+", row)}
    models: dict[str, type[Model]] = {
        "collect": CollectConfig,
        "sft": SftConfig,
        "rl": RlConfig,
        "evaluate": EvaluateConfig,
    }
    fields = {to_camel(name) for name in models[stage].model_fields}
    assert fields <= named
