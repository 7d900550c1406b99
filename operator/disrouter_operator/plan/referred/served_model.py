"""The name by which the engine behind a service of KServe knows its model, read from the service's spec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from disrouter_operator.kube.resources import LLM_INFERENCE_SERVICES, Object, resource_of
from disrouter_operator.manifests.containers import ENGINE

HUGGING_FACE = "huggingface"
"""Model format of KServe's server for the models of Hugging Face; it names a model after its service, unless told."""
_NAME_FLAGS = ("--served-model-name", "--model-name", "--model")
"""Of vLLM, of KServe's server, and what vLLM calls a model that has no other name."""


def name(service: Object) -> str | None:
    """None where the spec does not tell, such as where a shell or a variable makes up the arguments."""
    if resource_of(service) == LLM_INFERENCE_SERVICES:
        model = service["spec"].get("model") or {}
        return str(model.get("name") or service["metadata"]["name"])
    return _of_arguments(_arguments(service)) or (str(service["metadata"]["name"]) if hugging_face(service) else None)


def hugging_face(service: Object) -> bool:
    """Whether it is an InferenceService of KServe's server for the models of Hugging Face."""
    return bool(((_predictor(service).get("model") or {}).get("modelFormat") or {}).get("name") == HUGGING_FACE)


def _predictor(service: Object) -> Object:
    found: Object = service["spec"].get("predictor") or {}
    return found


def _arguments(service: Object) -> list[str]:
    """Those of its engine, as far as they stand in the service itself."""
    predictor = _predictor(service)
    containers = predictor.get("containers") or [{}]
    engine = predictor.get("model") or next((each for each in containers if each.get("name") == ENGINE), containers[0])
    return [str(each) for each in (*(engine.get("command") or ()), *(engine.get("args") or ()))]


def _of_arguments(arguments: Sequence[str]) -> str | None:
    given = dict(_flags(arguments))  # of one that is given twice engines take the last, too
    found = next((given[flag] for flag in _NAME_FLAGS if given.get(flag)), None) or _served(arguments)
    return found if found and "$(" not in found else None


def _flags(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Flags with their values. Engines take `_` for `-` inside a flag."""
    for place in range(len(arguments)):
        flag, equals, value = arguments[place].partition("=")
        following = arguments[place + 1] if place + 1 < len(arguments) else ""
        if flag.startswith("--") and (equals or not following.startswith("-")):
            yield flag.replace("_", "-"), value if equals else following


def _served(arguments: Sequence[str]) -> str | None:
    """The model of `vllm serve MODEL`."""
    if "serve" not in arguments:
        return None
    following = arguments[arguments.index("serve") + 1 :]
    return following[0] if following and not following[0].startswith("-") else None
