"""The CustomResourceDefinition, generated from the models, so that the two cannot drift apart.

JSON schema is turned into Kubernetes' structural schema: references inlined, `anyOf [X, null]` reduced to X, Python
docstrings as descriptions. Rules that span fields are CEL (`x-kubernetes-validations`), worded like `rules.py`.
"""

from __future__ import annotations

from typing import Any

from disrouter.api.spec import CascadeSpec
from disrouter.api.status import CascadeStatus
from disrouter.names import GROUP, KIND, MAX_CASCADE, PLURAL, VERSION

Schema = dict[str, Any]

_KEPT = (
    "type",
    "description",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "enum",
)
_QUANTITY_TREE: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

CASCADE_RULES = (
    {
        "rule": f"size(self.metadata.name) <= {MAX_CASCADE}",
        "message": f"metadata.name is too long; use at most {MAX_CASCADE} characters",
    },
)
SPEC_RULES = (
    {
        "rule": "!(has(self.scenario) && has(self.preference))",
        "message": "spec.preference contradicts spec.scenario; give one of the two",
    },
    {
        "rule": "self.agents.map(a, double(a.cost)).isSorted()",
        "message": "spec.agents: order the agents by cost, cheapest first",
    },
    {
        "rule": "self.agents.all(a, !has(a.next) || self.agents.exists(b, b.name == a.next))",
        "message": "spec.agents[].next: no agent has that name",
    },
    {
        "rule": "self.agents.all(a, !has(a.next) || a.next != a.name)"
        " && self.agents.all(a, !has(a.next) || self.agents.exists(b, b.name == a.next && b.cost >= a.cost))",
        "message": "spec.agents[].next: leads back and may form a cycle; route to a later, costlier agent",
    },
    {
        "rule": "self.agents.all(a, a == self.agents[size(self.agents) - 1]"
        " || !has(a.selfAwareness) || a.selfAwareness.mode != 'none')",
        "message": "spec.agents: exactly one agent may be terminal, the last; use mode trained or prompted before it",
    },
    {
        "rule": "!has(self.agents[size(self.agents) - 1].next)"
        " && (!has(self.agents[size(self.agents) - 1].selfAwareness)"
        " || self.agents[size(self.agents) - 1].selfAwareness.mode == 'none')",
        "message": "spec.agents: the last agent always answers; remove its next and selfAwareness",
    },
    {
        "rule": "has(self.training) || self.agents.all(a, !has(a.selfAwareness) || a.selfAwareness.mode != 'trained')",
        "message": "spec.training: an agent is to be trained but there is no dataset; give datasets and artifacts",
    },
)
AGENT_RULES = (
    {"rule": "has(self.model) != has(self.external)", "message": "give exactly one of model and external"},
    {
        "rule": "!has(self.external) || !has(self.selfAwareness) || self.selfAwareness.mode != 'trained'",
        "message": "an external model cannot be trained here; use prompted, or none if last",
    },
)
REPLICAS_RULES = ({"rule": "self.min <= self.max", "message": "replicas: min exceeds max; lower min or raise max"},)
DATASET_RULES = ({"rule": "has(self.id) != has(self.file)", "message": "give exactly one of id and file"},)

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
        "description": "A pool of LLMs behind one endpoint in which each model answers or hands on.",
        "required": ["spec"],
        "x-kubernetes-validations": [dict(rule) for rule in CASCADE_RULES],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
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
    """Put in what models cannot say: list keys, rules over fields, free-form quantities."""
    agents = spec["properties"]["agents"]
    agents |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    agent = agents["items"]
    training = spec["properties"]["training"]["properties"]
    agent["properties"]["resources"] = _with_description(agent["properties"]["resources"])
    training["resources"] = _with_description(training["resources"])
    for schema, rules in (
        (spec, SPEC_RULES),
        (agent, AGENT_RULES),
        (agent["properties"]["replicas"], REPLICAS_RULES),
        (training["datasets"]["items"], DATASET_RULES),
        (training["evaluate"]["properties"]["datasets"]["items"], DATASET_RULES),
    ):
        schema["x-kubernetes-validations"] = [dict(rule) for rule in rules]


def _with_description(schema: Schema) -> Schema:
    return {**_QUANTITY_TREE, "description": schema["description"]}


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
    if "default" in schema and schema["default"] not in (None, [], {}) and not isinstance(schema["default"], dict):
        out["default"] = schema["default"]
    elif isinstance(schema.get("default"), dict):
        out["default"] = {}
    if "items" in schema:
        out["items"] = _structural(schema["items"], definitions)
    if "properties" in schema:
        out["properties"] = {key: _structural(value, definitions) for key, value in schema["properties"].items()}
        if schema.get("required"):
            out["required"] = list(schema["required"])
    if "description" in out:
        out["description"] = " ".join(out["description"].split())
    return out


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
