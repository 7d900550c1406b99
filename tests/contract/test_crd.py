"""The CRD is structural, complete and equal to the files in the repository."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from disrouter.api import crd
from support.manifests import INVALID, Invalid, valid

VERSION = crd()["spec"]["versions"][0]
ROOT = VERSION["schema"]["openAPIV3Schema"]
SCHEMA = jsonschema.Draft4Validator(ROOT)
"""OpenAPI 3.0 took `exclusiveMinimum` as a flag from draft 4."""


def _nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from _nodes(schema["items"], f"{path}[]")


def test_every_node_has_a_type_and_nothing_structural_schemas_forbid() -> None:
    for path, node in _nodes(ROOT):
        assert "type" in node, path
        assert not {"$ref", "anyOf", "allOf", "oneOf", "const", "title", "additionalProperties"} & node.keys(), path


def test_only_resource_requirements_are_open() -> None:
    opened = [path for path, node in _nodes(ROOT) if node.get("x-kubernetes-preserve-unknown-fields")]
    assert opened == [".spec.agents[].resources", ".spec.training.resources"]


def test_every_field_of_the_spec_is_described() -> None:
    bare = [path for path, node in _nodes(ROOT["properties"]["spec"]) if "description" not in node]
    named_by_themselves = {"min", "max", "name", "key", "batchSize", "temperature", "maxNewTokens", "epochs", "connect"}
    assert {path.rsplit(".", 1)[-1].removesuffix("[]") for path in bare} <= named_by_themselves | {
        "args", "chain", "collect", "config", "cost", "datasets", "deploymentMode", "engine", "evaluate", "external",
        "gate", "idle", "image", "learningRate", "maxHops", "model", "promptsPerStep", "rl", "rollout", "seed", "sft",
        "timeouts", "replicas", "firstByte",
    }  # fmt: skip


def test_columns_status_and_short_name_are_there() -> None:
    assert [column["name"] for column in VERSION["additionalPrinterColumns"]] == [
        "Ready", "Reason", "Agents", "Training", "URL", "Age",
    ]  # fmt: skip
    assert VERSION["subresources"] == {"status": {}}
    assert crd()["spec"]["names"]["shortNames"] == ["src"]


def test_every_cel_rule_has_a_message() -> None:
    rules = [rule for _, node in _nodes(ROOT) for rule in node.get("x-kubernetes-validations", [])]
    assert len(rules) >= 10
    assert all(rule["message"] for rule in rules)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(child) for key, child in value.items() if child is not None}
    return [_without_none(child) for child in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "case", [case for case in INVALID if case.by_schema and case.name != "duplicate names"], ids=lambda case: case.name
)
def test_the_schema_alone_refuses_what_it_can_express(case: Invalid) -> None:
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate(_without_none(case.manifest()))


def test_the_schema_accepts_the_valid_manifest() -> None:
    SCHEMA.validate(valid())
