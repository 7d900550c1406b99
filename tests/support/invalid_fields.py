"""Manifests with a field that is wrong by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.manifest import Invalid, Manifest, change_agent

Breaks = Callable[[Manifest], object]


def _with_model(uri: str) -> Breaks:
    return lambda m: change_agent(m, 1, model={"uri": uri})


def _with_dataset(file: str) -> Breaks:
    return lambda m: m["spec"]["training"].update(datasets=[{"file": file}])


def _with_memory(value: Any) -> Breaks:
    return lambda m: m["spec"]["training"].update(resources={"limits": {"memory": value}})


def _with_argument(argument: str) -> Breaks:
    return lambda m: change_agent(m, 1, engine={"args": ["--max-model-len=8192", argument, "1"]})


_PROVIDER = {"url": "https://api.example.com/v1", "model": "big"}

FIELDS = (
    Invalid(
        "unknown field",
        lambda m: change_agent(m, 1, replcas={"min": 1}),
        "spec.agents[1].replcas",
        "unknown field, did you mean 'replicas'?",
    ),
    Invalid(
        "agent name too long",
        lambda m: change_agent(m, 0, name="a" * 21),
        "spec.agents[0].name",
        "at most 20",
        by_schema=True,
    ),
    Invalid(
        "agent name not a label",
        lambda m: change_agent(m, 0, name="Small_1"),
        "spec.agents[0].name",
        "use lower case letters, digits and '-'",
        by_schema=True,
    ),
    Invalid(
        "cascade name too long",
        lambda m: m["metadata"].update(name="q" * 41),
        "metadata.name",
        "has 41 characters; use at most 40",
        by_schema=True,
    ),
    Invalid(
        "alpha out of range",
        lambda m: m["spec"].update(scenario=None, preference=1.5),
        "spec.preference",
        "less than or equal to 1 (got 1.5)",
        by_schema=True,
    ),
    Invalid(
        "cost out of range", lambda m: change_agent(m, 2, cost=1.5), "spec.agents[2].cost", "(got 1.5)", by_schema=True
    ),
    Invalid(
        "unknown scenario",
        lambda m: m["spec"].update(scenario="cheap"),
        "spec.scenario",
        "performance-first",
        by_schema=True,
    ),
    Invalid(
        "missing dataset",
        lambda m: m["spec"]["training"].pop("datasets"),
        "spec.training.datasets",
        "is required; add it",
        by_schema=True,
    ),
    Invalid(
        "no dataset",
        lambda m: m["spec"]["training"].update(datasets=[]),
        "spec.training.datasets",
        "at least 1 item",
        by_schema=True,
    ),
    Invalid(
        "bad model address",
        lambda m: change_agent(m, 1, model={"uri": "models/qwen"}),
        "spec.agents[1].model.uri",
        "write hf://org/name, pvc://claim/path, s3://bucket/path or oci://image",
        by_schema=True,
    ),
    Invalid("no agents", lambda m: m["spec"].update(agents=[]), "spec.agents", "at least 1 item", by_schema=True),
    Invalid(
        "cascade name not a label",
        lambda m: m["metadata"].update(name="qwen.one"),
        "metadata.name",
        "cannot name a Service",
        by_schema=True,
    ),
    *(
        Invalid(
            f"model address {uri}",
            _with_model(uri),
            "spec.agents[1].model.uri",
            "without '..'",
            by_schema=True,
        )
        for uri in (
            *("pvc://models/a/../../b", "pvc://models/..", "pvc://models/./a", "pvc://models//a", "pvc://Bad_Name/a"),
            *(
                "pvc://models",
                "hf://org/../x",
                "hf://org",
                "hf://org/name/more",
                "s3://bucket/../x",
                "file:///a",
                "hf:// /a",
            ),
        )
    ),
    *(
        Invalid(
            f"dataset {file}",
            _with_dataset(file),
            "spec.training.datasets[0].file",
            "write pvc://claim/path.jsonl",
            by_schema=True,
        )
        for file in (
            "data.jsonl",
            "s3://bucket",
            "file:///data.jsonl",
            "pvc://data/../x",
            "pvc://data/",
            "hf://a/b",
        )
    ),
    Invalid(
        "dataset to be judged on from a bucket alone",
        lambda m: m["spec"]["training"].update(evaluate={"datasets": [{"file": "s3://bucket"}]}),
        "spec.training.evaluate.datasets[0].file",
        "write pvc://claim/path.jsonl",
        by_schema=True,
    ),
    Invalid(
        "dataset id that is a path",
        lambda m: m["spec"]["training"].update(datasets=[{"id": "../data"}]),
        "spec.training.datasets[0].id",
        "as org/name",
        by_schema=True,
    ),
    Invalid(
        "resources in a list",
        lambda m: change_agent(m, 1, resources={"limits": ["a"]}),
        "spec.agents[1].resources.limits",
        "is not an object",
        by_schema=True,
    ),
    Invalid(
        "unknown resources",
        lambda m: change_agent(m, 1, resources={"limitz": {"cpu": 1}}),
        "spec.agents[1].resources.limitz",
        "did you mean 'limits'?",
    ),
    *(
        Invalid(
            f"quantity {value!r}",
            _with_memory(value),
            "spec.training.resources.limits.memory",
            says,
            by_schema=True,
        )
        for value, says in (
            ("8GB", "write a quantity"),
            (-1, "write a quantity"),
            (0.5, "is no quantity; write a whole number"),
            (True, "is no quantity; write a whole number"),
            ("-1", "write a quantity"),
            ({}, "is no quantity; write a whole number"),
        )
    ),
    Invalid(
        "resource without a name",
        lambda m: change_agent(m, 1, resources={"limits": {"a b": 1}}),
        "spec.agents[1].resources.limits.a b",
        "write a resource such as cpu",
    ),
    Invalid(
        "claim of artifacts",
        lambda m: m["spec"]["training"]["artifacts"].update(persistentVolumeClaim="Bad_Name"),
        "spec.training.artifacts.persistentVolumeClaim",
        "use lower case letters",
        by_schema=True,
    ),
    Invalid(
        "secret name",
        lambda m: m["spec"]["agents"][2]["external"].update(apiKeySecretRef={"name": "Bad_Name", "key": "k"}),
        "spec.agents[2].external.apiKeySecretRef.name",
        "use lower case letters",
        by_schema=True,
    ),
    Invalid(
        "secret key",
        lambda m: m["spec"]["agents"][2]["external"].update(apiKeySecretRef={"name": "a", "key": "a/b"}),
        "spec.agents[2].external.apiKeySecretRef.key",
        "use letters, digits",
        by_schema=True,
    ),
    Invalid(
        "key in the provider's address",
        lambda m: m["spec"]["agents"][2]["external"].update(url="https://user:key@host/v1"),
        "spec.agents[2].external.url",
        "a key belongs into apiKeySecretRef",
        by_schema=True,
    ),
    Invalid(
        "cost in quotes",
        lambda m: change_agent(m, 0, cost="0.1"),
        "spec.agents[0].cost",
        "valid number",
        by_schema=True,
    ),
    Invalid(
        "replicas in quotes",
        lambda m: change_agent(m, 0, replicas={"min": "1"}),
        "spec.agents[0].replicas.min",
        "valid integer",
        by_schema=True,
    ),
    Invalid(
        "epochs in quotes",
        lambda m: m["spec"]["training"].update(sft={"epochs": "1"}),
        "spec.training.sft.epochs",
        "valid number",
        by_schema=True,
    ),
    Invalid(
        "cost that is a flag",
        lambda m: change_agent(m, 0, cost=True),
        "spec.agents[0].cost",
        "valid number",
        by_schema=True,
    ),
    Invalid(
        "endless timeout",
        lambda m: m["spec"].update(timeouts={"idle": 1e300}),
        "spec.timeouts.idle",
        "less than or equal to 86400",
        by_schema=True,
    ),
    Invalid(
        "misspelt timeout",
        lambda m: m["spec"].update(timeouts={"firstbyte": 3}),
        "spec.timeouts.firstbyte",
        "did you mean 'firstByte'?",
    ),
    *(
        Invalid(
            f"engine argument {argument}",
            _with_argument(argument),
            "spec.agents[1].engine.args[1]",
            f"{owned} is disrouter's to set; remove it",
            by_cel="engine.args: disrouter sets --host",
        )
        for argument, owned in (
            ("--port", "--port"),
            ("--port=1", "--port"),
            ("--host=::", "--host"),
            ("--model", "--model"),
            ("--served-model-name=x", "--served-model-name"),
            ("--served_model_name", "--served-model-name"),
            ("--api-key=x", "--api-key"),
            ("--port 1", "--port"),
        )
    ),
    Invalid(
        "abbreviated engine argument",
        lambda m: change_agent(m, 1, engine={"args": ["--served-mod=x"]}),
        "spec.agents[1].engine.args[0]",
        "--served-model-name is disrouter's to set",
    ),
    Invalid(
        "a secret in a header",
        lambda m: change_agent(m, 2, external={**_PROVIDER, "headers": [{"name": "x-key", "value": "k\tx"}]}),
        "spec.agents[2].external.headers[0].value",
        "a key belongs into secretKeyRef",
        by_schema=True,
    ),
    Invalid(
        "a revision that is no run",
        lambda m: change_agent(m, 0, revision="latest"),
        "spec.agents[0].revision",
        "write the ten hex digits of a run, or base",
        by_schema=True,
    ),
    Invalid(
        "an adapter on the Hub",
        lambda m: change_agent(m, 1, model={"uri": "hf://a/b", "adapter": "hf://a/lora"}),
        "spec.agents[1].model.adapter",
        "write pvc://claim/path",
        by_schema=True,
    ),
)
