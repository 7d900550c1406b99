"""The rules of a SelfRoutingCascade in Python: shape first (`shape.py`), then meaning. Each names field and remedy.

The CRD carries the same rules as schema and CEL (`crd.py`, `cel.py`), as far as these can say them; the operator and
`disrouter validate` always check here too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from disrouter.api.agent import ENGINE_OWNED, Agent
from disrouter.api.pod import PodOptions
from disrouter.api.rules import aliases, hub, serving
from disrouter.api.rules.shape import shape_violations
from disrouter.api.spec import CascadeSpec
from disrouter.api.training import Training
from disrouter.errors import InvalidCascade, Violation
from disrouter.names import API_VERSION, GROUP, KIND, MAX_CASCADE, MAX_NAMESPACE, is_dns_label
from disrouter.routes import Awareness, DecisionMode

_TOP_LEVEL = ("apiVersion", "kind", "metadata", "spec", "status")


def parse(manifest: Mapping[str, Any]) -> CascadeSpec:
    """The spec of a manifest that keeps every rule. Raises InvalidCascade with all violations."""
    found = list(_envelope(manifest))
    try:
        spec = CascadeSpec.model_validate(manifest.get("spec", {}))
    except ValidationError as error:
        found += shape_violations(error.errors())
        raise InvalidCascade(found) from None
    found += _meaning(spec)
    found += aliases.violations(_name(manifest), spec)
    if found:
        raise InvalidCascade(found)
    return spec


def violations(manifest: Mapping[str, Any]) -> list[Violation]:
    """Every broken rule of a manifest, empty when it is valid."""
    try:
        parse(manifest)
    except InvalidCascade as error:
        return list(error.violations)
    return []


def _name(manifest: Mapping[str, Any]) -> str:
    """The cascade's; empty where there is none."""
    metadata = manifest.get("metadata")
    return str(metadata.get("name") or "") if isinstance(metadata, Mapping) else ""


def _envelope(manifest: Mapping[str, Any]) -> Iterator[Violation]:
    if manifest.get("apiVersion") != API_VERSION:
        yield Violation("apiVersion", f"is {manifest.get('apiVersion')!r}; write {API_VERSION}")
    if manifest.get("kind") != KIND:
        yield Violation("kind", f"is {manifest.get('kind')!r}; write {KIND}")
    for field in sorted(map(str, manifest.keys() - _TOP_LEVEL)):
        yield Violation(field, f"unknown field (known here: {', '.join(_TOP_LEVEL)}); remove it or correct its name")
    metadata = manifest.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        yield Violation(
            "metadata", f"is a {type(metadata).__name__}, not an object; write for example metadata: {{name: qwen}}"
        )
        return
    for field in ("labels", "annotations"):
        if not isinstance(metadata.get(field) or {}, Mapping):
            yield Violation(f"metadata.{field}", "is not an object; write name: value pairs")
    name, namespace = _name(manifest), str(metadata.get("namespace") or "default")
    if len(name) > MAX_CASCADE:
        yield Violation("metadata.name", f"has {len(name)} characters; use at most {MAX_CASCADE}")
    elif not is_dns_label(name):
        yield Violation("metadata.name", f"{name!r} cannot name a Service; use lower case letters, digits and '-'")
    if len(namespace) > MAX_NAMESPACE:
        yield Violation(
            "metadata.namespace",
            f"has {len(namespace)} characters; KServe needs name plus namespace <= 52, so use at most {MAX_NAMESPACE}",
        )


def _meaning(spec: CascadeSpec) -> Iterator[Violation]:
    if spec.scenario is not None and spec.preference is not None:
        yield Violation("spec.preference", "contradicts spec.scenario; give one of the two")
    yield from _unique_names(spec)
    yield from _cost_order(spec)
    for index, agent in enumerate(spec.agents):
        yield from _agent(f"spec.agents[{index}]", agent)
    yield from _routes(spec)
    yield from _entry(spec)
    yield from serving.violations(spec)
    yield from hub.violations(spec)
    yield from _decisions(spec)
    yield from _training(spec)
    yield from _pod("spec.pod", spec.pod)
    yield from _auth(spec)


def _auth(spec: CascadeSpec) -> Iterator[Violation]:
    for field, given in (("spec.httpRoute", spec.http_route), ("spec.ingress", spec.ingress)):
        if given is not None and spec.auth.api_keys_secret is None and not spec.auth.anonymous:
            yield Violation(
                field,
                "publishes the cascade to whoever reaches it: give spec.auth.apiKeysSecret, or set spec.auth.anonymous "
                "where something before it asks for identities",
            )
    if spec.auth.api_keys_secret is not None and spec.auth.hop_token_secret_ref is None:
        yield Violation(
            "spec.auth.apiKeysSecret", "needs hopTokenSecretRef, or agents could not ask each other; give it"
        )


def _unique_names(spec: CascadeSpec) -> Iterator[Violation]:
    for name, count in Counter(agent.name for agent in spec.agents).items():
        if count > 1:
            yield Violation("spec.agents", f"{count} agents are named {name!r}; names must be unique")


def _cost_order(spec: CascadeSpec) -> Iterator[Violation]:
    for index in range(1, len(spec.agents)):
        before, agent = spec.agents[index - 1], spec.agents[index]
        if agent.cost < before.cost:
            yield Violation(
                f"spec.agents[{index}].cost",
                f"{agent.cost} of {agent.name!r} is below {before.cost} of {before.name!r} before it; "
                "order the agents by cost, cheapest first",
            )


def _agent(field: str, agent: Agent) -> Iterator[Violation]:
    if sum(given is not None for given in (agent.model, agent.external, agent.service_ref)) != 1:
        yield Violation(field, f"agent {agent.name!r} needs exactly one of model, external and serviceRef")
    if agent.replicas.min > agent.replicas.max:
        yield Violation(
            f"{field}.replicas",
            f"min {agent.replicas.min} exceeds max {agent.replicas.max}; lower min or raise max",
        )
    for place, argument in enumerate(agent.engine.args):
        owned = _owned_flag(argument)
        if owned is not None:
            yield Violation(f"{field}.engine.args[{place}]", f"{owned} is disrouter's to set; remove it")
    awareness = agent.self_awareness
    if agent.served_elsewhere and awareness is not None and awareness.mode is Awareness.TRAINED:
        yield Violation(
            f"{field}.selfAwareness.mode",
            "weights that are served elsewhere (external, serviceRef) cannot be trained here; use prompted, or none if "
            "last",
        )
    yield from _pod(f"{field}.pod", agent.pod)


def _pod(field: str, pod: PodOptions | None) -> Iterator[Violation]:
    for label in pod.labels or {} if pod is not None else {}:
        if label.startswith(f"{GROUP}/"):
            yield Violation(f"{field}.labels", f"{label} is disrouter's to set; remove it")


def _owned_flag(argument: str) -> str | None:
    """The flag of ENGINE_OWNED that an argument means: with `=`, as a word of its own, with `_`, or abbreviated."""
    flag = re.split(r"[=\s]", argument, maxsplit=1)[0].replace("_", "-")
    if len(flag) <= len("--h"):
        return None
    return next((owned for owned in ENGINE_OWNED if owned.startswith(flag)), None)


def _routes(spec: CascadeSpec) -> Iterator[Violation]:
    """Routes go forward along the list (so costs do not decrease and no cycle exists) and end in one agent."""
    order = {agent.name: index for index, agent in reversed(list(enumerate(spec.agents)))}
    known = ", ".join(agent.name for agent in spec.agents)
    last = len(spec.agents) - 1
    reached = {0, spec.first}
    for index, agent in enumerate(spec.agents):
        field = f"spec.agents[{index}]"
        successor = spec.successor(index)
        if agent.next is not None and agent.next not in order:
            yield Violation(f"{field}.next", f"no agent is named {agent.next!r}; use one of {known}")
        elif agent.next is not None and order[agent.next] <= index:
            yield Violation(
                f"{field}.next",
                f"{agent.name!r} -> {agent.next!r} leads back and forms a cycle; route to a later, costlier agent",
            )
        elif successor is None and index != last:
            yield Violation(
                f"{field}.selfAwareness.mode",
                f"{agent.name!r} always answers, and so does {spec.agents[last].name!r}: exactly one agent may be "
                "terminal, the last; use trained or prompted here",
            )
        if index == last and spec.awareness(index).mode is not Awareness.NONE:
            yield Violation(
                f"{field}.selfAwareness.mode",
                "the last agent always answers: remove selfAwareness or use mode none",
            )
        if successor in order:
            reached.add(order[successor])
    for index, agent in enumerate(spec.agents):
        if index not in reached and order[agent.name] == index:
            yield Violation(
                f"spec.agents[{index}].name",
                f"no route reaches {agent.name!r}; name it as an earlier agent's next",
            )


def _entry(spec: CascadeSpec) -> Iterator[Violation]:
    if spec.entrypoint is not None and all(agent.name != spec.entrypoint for agent in spec.agents):
        known = ", ".join(agent.name for agent in spec.agents)
        yield Violation("spec.entrypoint", f"no agent is named {spec.entrypoint!r}; use one of {known}")
    if spec.agents[spec.first].replicas.min == 0:
        yield Violation(
            f"spec.agents[{spec.first}].replicas.min",
            f"requests enter at {spec.agents[spec.first].name!r}, which must stay up; use 1 or more",
        )


def _decisions(spec: CascadeSpec) -> Iterator[Violation]:
    order = {agent.name: index for index, agent in reversed(list(enumerate(spec.agents)))}
    for index, agent in enumerate(spec.agents):
        field, decision = f"spec.agents[{index}].decision", agent.decision
        probability = decision.mode is DecisionMode.PROBABILITY
        if probability and spec.awareness(index).mode is not Awareness.TRAINED:
            yield Violation(f"{field}.mode", "only a trained agent's probability is calibrated; use text")
        if decision.jump is not None and not probability:
            yield Violation(f"{field}.jump", "needs mode probability; set it, or remove jump")
        if decision.jump is not None and order.get(decision.jump.to, -1) <= index:
            yield Violation(f"{field}.jump.to", f"{decision.jump.to!r} is no later agent; name a later, costlier one")


def _training(spec: CascadeSpec) -> Iterator[Violation]:
    for index, agent in enumerate(spec.agents):
        trained = spec.awareness(index).mode is Awareness.TRAINED
        if trained and agent.model is not None and agent.model.uri.startswith(("s3://", "oci://")):
            yield Violation(
                f"spec.agents[{index}].model.uri",
                f"{agent.model.uri!r} cannot be trained: Jobs read base models from hf:// or pvc://; copy it to a "
                f"claim, or set spec.agents[{index}].selfAwareness.mode to prompted",
            )
        if trained and agent.model is not None and agent.model.adapter is not None:
            yield Violation(
                f"spec.agents[{index}].model.adapter",
                "an agent with an adapter is not trained; merge it into the base model, or set "
                f"spec.agents[{index}].selfAwareness.mode to prompted or none",
            )
        if agent.revision is not None and spec.training is None:
            yield Violation(
                f"spec.agents[{index}].revision", "without spec.training there is no run to serve; remove it"
            )
        elif agent.revision is not None and not trained:
            yield Violation(
                f"spec.agents[{index}].revision", f"agent {agent.name!r} is not trained and has no runs; remove it"
            )
        awareness = agent.self_awareness
        if awareness is not None and awareness.mode is Awareness.TRAINED and spec.training is None:
            yield Violation(
                "spec.training",
                f"agent {agent.name!r} is to be trained but there is no dataset; give spec.training.datasets and "
                f"artifacts, or set spec.agents[{index}].selfAwareness.mode to prompted",
            )
    if spec.training is not None:
        yield from _pod("spec.training.jobs.pod", spec.training.jobs.pod)
        yield from _shared_batches(spec.training)


def _shared_batches(training: Training) -> Iterator[Violation]:
    """Processes that train one model take equal parts of each batch."""
    processes = training.jobs.nodes * training.jobs.processes_per_node
    prompts, generations, examples = training.rl.prompts_per_step, training.rl.generations, training.sft.batch_size
    for field, said, size in (
        ("sft.batchSize", f"{examples}", examples),
        ("rl.promptsPerStep", f"{prompts} times {generations} generations", prompts * generations),
    ):
        if size % processes:
            yield Violation(
                f"spec.training.{field}",
                f"{said} cannot be shared equally by {processes} processes (jobs.nodes times processesPerNode); "
                f"make it a multiple of {processes}, or change jobs.nodes or jobs.processesPerNode",
            )
