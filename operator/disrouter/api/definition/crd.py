"""The CustomResourceDefinition, generated from the models, so that the two cannot drift apart.

JSON schema is turned into Kubernetes' structural schema: references inlined, `anyOf [X, null]` reduced to X, Python
docstrings as descriptions. Rules that span fields are CEL (`cel.py`).
"""

from __future__ import annotations

import copy
import json
from typing import Any

from disrouter.api.definition.cel import (
    AGENT_RULES,
    AUTOSCALING_RULES,
    CASCADE_RULES,
    DATASET_RULES,
    ENGINE_RULES,
    HEADER_RULES,
    MODEL_RULES,
    POD_RULES,
    REPLICAS_RULES,
    SPEC_RULES,
    TRAINING_RULES,
    VALUE_RULES,
)
from disrouter.api.spec import CascadeSpec
from disrouter.api.status import CascadeStatus
from disrouter.names import DNS_LABEL, GROUP, KIND, MAX_CASCADE, PLURAL, VERSION

Schema = dict[str, Any]

_KEPT = (
    "type",
    "description",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "minimum",
    "maximum",
    "enum",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
)
BY_RECIPE = ("collect", "sft", "rl")
"""Parts of `training` that a recipe fills in."""
PRINTER_COLUMNS = (
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Reason", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].reason'},
    {"name": "Agents", "type": "string", "jsonPath": ".status.agentsReady"},
    {"name": "Training", "type": "string", "jsonPath": ".status.training"},
    {"name": "URL", "type": "string", "jsonPath": ".status.url"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
)


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition as a dict, ready for YAML or `kubectl apply`."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["src"],
                "categories": ["disrouter"],
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [dict(column) for column in PRINTER_COLUMNS],
        "schema": {"openAPIV3Schema": _root()},
    }


def _root() -> Schema:
    spec = structural(CascadeSpec.model_json_schema(by_alias=True))
    _annotate(spec)
    return {
        "type": "object",
        "description": "A pool of LLMs behind one endpoint in which each model answers or forwards.",
        "required": ["spec"],
        "x-kubernetes-validations": [dict(rule) for rule in CASCADE_RULES],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {
                "type": "object",
                "properties": {"name": {"type": "string", "pattern": DNS_LABEL, "maxLength": MAX_CASCADE}},
            },
            "spec": spec,
            "status": _status(),
        },
    }


def _status() -> Schema:
    status = structural(CascadeStatus.model_json_schema(by_alias=True))
    status.pop("required", None)
    for name, key in (("conditions", "type"), ("agents", "name")):
        status["properties"][name] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    return status


def _annotate(spec: Schema) -> None:
    """Put in what models cannot say: list keys and rules over fields."""
    for named in ("agents", "aliases"):
        spec["properties"][named] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    agent = spec["properties"]["agents"]["items"]
    training = spec["properties"]["training"]["properties"]
    engine = agent["properties"]["engine"]
    for schema, rules in (
        (spec, SPEC_RULES),
        (agent, AGENT_RULES),
        (agent["properties"]["model"], MODEL_RULES),
        (engine, ENGINE_RULES),
        (engine["properties"]["env"]["items"], VALUE_RULES),
        (agent["properties"]["external"]["properties"]["headers"]["items"], (*VALUE_RULES, *HEADER_RULES)),
        (agent["properties"]["replicas"], REPLICAS_RULES),
        (agent["properties"]["autoscaling"], AUTOSCALING_RULES),
        (spec["properties"]["training"], TRAINING_RULES),
        (training["jobs"]["properties"]["env"]["items"], VALUE_RULES),
        *((schema["properties"]["pod"], POD_RULES) for schema in (spec, agent, training["jobs"])),
        (training["datasets"]["items"], DATASET_RULES),
        (training["evaluate"]["properties"]["datasets"]["items"], DATASET_RULES),
    ):
        schema["x-kubernetes-validations"] = [dict(rule) for rule in rules]
    for stage in BY_RECIPE:
        training[stage] = _said_not_set(training[stage])


def _said_not_set(schema: Schema) -> Schema:
    """Without defaults, which the API server would write into an object: a recipe fills in what nobody gave."""
    out = {key: value for key, value in schema.items() if key != "default"}
    if "default" in schema and "properties" not in schema:
        said = json.dumps(schema["default"])
        out["description"] = f"{out.get('description', '')} Default {said}, or the recipe's.".strip()
    if "properties" in schema:
        out["properties"] = {name: _said_not_set(inner) for name, inner in schema["properties"].items()}
    return out


def structural(schema: Schema) -> Schema:
    """JSON schema of pydantic as a structural schema of Kubernetes."""
    return _structural(schema, schema.get("$defs", {}))


def _structural(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    schema = _resolve(schema, definitions)
    out: Schema = {key: schema[key] for key in _KEPT if key in schema}
    if "const" in schema:
        out |= {"type": "string", "enum": [schema["const"]]}
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in schema:
            out |= {bound.lower(): schema[f"exclusive{bound}"], f"exclusive{bound}": True}
    if schema.get("default") not in (None, [], (), {}) and not isinstance(schema["default"], dict):
        out["default"] = schema["default"]
    if "items" in schema:
        out["items"] = _structural(schema["items"], definitions)
    if "patternProperties" in schema:
        # Structural schemas cannot restrict keys; `rules` does.
        (values,) = schema["patternProperties"].values()
        out["additionalProperties"] = _structural(values, definitions)
    if "properties" in schema:
        out["properties"] = {key: _structural(value, definitions) for key, value in schema["properties"].items()}
        if schema.get("required"):
            out["required"] = list(schema["required"])
        if isinstance(schema.get("default"), dict):
            out["default"] = _filled(out["properties"])
    if "description" in out:
        out["description"] = " ".join(out["description"].split())
    return out


def _filled(properties: dict[str, Schema]) -> Schema:
    """What an absent object becomes, in full: an API server judges a default by the rules inside it before it fills in
    what that leaves out."""
    return {name: copy.deepcopy(inner["default"]) for name, inner in properties.items() if "default" in inner}


def _resolve(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Follow `$ref`, `allOf` of one and `anyOf [X, null]`; what stands beside them wins over what they hold."""
    beside = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "allOf")}
    inner: Schema | None = None
    if "$ref" in schema:
        inner = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    elif "allOf" in schema:
        (inner,) = schema["allOf"]
    elif "anyOf" in schema:
        (inner,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
    return {**_resolve(inner, definitions), **beside} if inner is not None else schema
