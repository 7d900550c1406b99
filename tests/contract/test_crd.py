"""The CRD is structural, complete and equal to the files in the repository."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest

from disrouter.api import crd
from support.manifests import INVALID, Invalid, valid, without_none
from support.schema import nodes

VERSION = crd()["spec"]["versions"][0]
ROOT = VERSION["schema"]["openAPIV3Schema"]


def _plain(schema: Any) -> Any:
    """Kubernetes' extension in the words of JSON schema."""
    if isinstance(schema, list):
        return [_plain(child) for child in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: _plain(child) for key, child in schema.items()}
    return out | {"type": ["integer", "string"]} if "x-kubernetes-int-or-string" in out else out


SCHEMA = jsonschema.Draft4Validator(_plain(ROOT))
"""OpenAPI 3.0 took `exclusiveMinimum` as a flag from draft 4."""


def test_every_node_has_a_type_and_nothing_structural_schemas_forbid() -> None:
    for path, node in nodes(ROOT):
        assert ("type" in node) != node.get("x-kubernetes-int-or-string", False), path
        assert not {"$ref", "anyOf", "allOf", "oneOf", "const", "title", "patternProperties"} & node.keys(), path
        assert not {"properties", "additionalProperties"} <= node.keys(), path


def test_only_maps_by_name_and_patches_of_pods_are_open() -> None:
    patches = [path for path, node in nodes(ROOT) if "x-kubernetes-preserve-unknown-fields" in node]
    assert {path.rsplit(".", 2)[-2] + "." + path.rsplit(".", 2)[-1] for path in patches} == {"pod.template"}
    maps = {path.rsplit(".", 1)[-1] for path, node in nodes(ROOT) if "additionalProperties" in node}
    assert maps == {
        *("requests", "limits", "nodeSelector", "labels", "annotations"),
        *("namespaceLabels", "podLabels"),
    }
    values = [node["additionalProperties"] for _, node in nodes(ROOT) if "additionalProperties" in node]
    assert all("maxLength" in value for value in values)


def test_every_field_of_the_spec_is_described() -> None:
    enough = {"description", "x-kubernetes-int-or-string"}
    bare = [
        path for path, node in nodes(ROOT["properties"]["spec"]) if not enough & node.keys() and not path.endswith("{}")
    ]
    named_by_themselves = {"min", "max", "name", "key", "batchSize", "temperature", "maxNewTokens", "epochs", "connect"}
    assert {path.rsplit(".", 1)[-1].removesuffix("[]") for path in bare} <= named_by_themselves | {
        "args", "chain", "collect", "config", "cost", "datasets", "deploymentMode", "engine", "evaluate", "external",
        "gate", "idle", "image", "learningRate", "maxHops", "model", "promptsPerStep", "rl", "rollout", "seed", "sft",
        "timeouts", "replicas", "firstByte",
        *("value", "fallback", "breaker", "retries", "auth", "networkPolicy", "jobs", "decision", "env", "ratio"),
        *("burst", "failures", "openSeconds", "metric", "labels", "nodeSelector", "tolerations", "operator"),
        *("effect", "tolerationSeconds", "serviceAccountName", "priorityClassName", "imagePullSecrets", "headers"),
        *("namespaceLabels", "podLabels", "enabled", "backend", "origins", "hosts", "hostnames"),
    }  # fmt: skip


def test_columns_status_and_short_name_are_there() -> None:
    assert [column["name"] for column in VERSION["additionalPrinterColumns"]] == [
        "Ready", "Reason", "Agents", "Training", "URL", "Age",
    ]  # fmt: skip
    assert VERSION["subresources"] == {"status": {}}
    assert crd()["spec"]["names"]["shortNames"] == ["src"]


def test_every_cel_rule_has_a_message() -> None:
    rules = [rule for _, node in nodes(ROOT) for rule in node.get("x-kubernetes-validations", [])]
    assert len(rules) >= 10
    assert all(rule["message"] for rule in rules)


def test_cel_rules_use_only_what_kubernetes_1_30_knows_the_cost_of() -> None:
    """Two-variable macros and `format` came later; the size of what `map` makes was not known."""
    rules = [rule["rule"] for _, node in nodes(ROOT) for rule in node.get("x-kubernetes-validations", [])]
    without_texts = [re.sub(r"'[^']*'", "''", rule) for rule in rules]
    called = {name for rule in without_texts for name in re.findall(r"(\w+)\(", rule)}
    assert called <= {"all", "exists", "has", "size", "startsWith", "lowerAscii", "substring", "indexOf"}
    assert not [rule for rule in without_texts if re.search(r"\.(all|exists)\(\w+, \w+,", rule)]


def test_the_default_of_an_object_holds_the_defaults_inside_it() -> None:
    """An API server judges it by the rules inside before it fills in what it leaves out."""
    for path, node in nodes(ROOT):
        if node.get("type") == "object" and "default" in node:
            inner = {name: child["default"] for name, child in node["properties"].items() if "default" in child}
            assert node["default"] == inner, path


@pytest.mark.parametrize(
    "case",
    [case for case in INVALID if case.by_schema and not case.name.startswith("duplicate")],
    ids=lambda case: case.name,
)
def test_the_schema_alone_refuses_what_it_can_express(case: Invalid) -> None:
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate(without_none(case.manifest()))


def test_the_schema_accepts_the_valid_manifest() -> None:
    SCHEMA.validate(valid())
