"""Where and as whom a pod runs: the manifest's pod options laid over the pod that a builder made.

A strategic merge patch may change nearly everything, but not what the operator and KServe find their way by: such a
patch is an invalid manifest (`SpecValid=False`), never a pod that hides from its own Service.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from disrouter.api import Agent, CascadeSpec, PodOptions, Training
from disrouter.errors import InvalidCascade, Violation
from disrouter.names import GROUP
from disrouter_operator.errors import InvalidPatch
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests import pod_fields, scratch, strategic_merge

_KSERVE = "serving.kserve.io/"
_KSERVE_OURS = frozenset({f"{_KSERVE}deploymentMode", f"{_KSERVE}autoscalerClass", f"{_KSERVE}inferenceservice"})
_WHOLE = ("name", "command", "ports")
"""Fields of the operator's containers that a patch leaves as they are."""
_KEYED = {"env": "name", "volumeMounts": "mountPath"}
"""Lists of the operator's containers whose items a patch adds to and does not change."""
_FREE = frozenset(scratch.VARIABLES) | frozenset(scratch.VOLUMES) | frozenset(scratch.VOLUMES.values())
"""Items that it may change: nobody finds their way by where an engine keeps its caches."""


@dataclass(frozen=True)
class Pod:
    """The spec and the further metadata of a pod template."""

    spec: Object
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def metadata(self) -> Object:
        """Labels and annotations, without those that are empty."""
        return {key: value for key in ("labels", "annotations") if (value := dict(getattr(self, key)))}


@dataclass(frozen=True)
class Options:
    """Pod options and where the manifest gives them."""

    options: PodOptions = field(default_factory=PodOptions)
    given: Mapping[str, str] = field(default_factory=dict)
    """Place in the manifest of each field that is given."""

    def over(self, own: PodOptions | None, place: str) -> Options:
        """These, where each field that `own` gives replaces the one here; `place` is where `own` stands."""
        if own is None:
            return self
        update = {name: getattr(own, name) for name in own.model_fields_set}
        return Options(self.options.model_copy(update=update), {**self.given, **dict.fromkeys(update, place)})

    def place(self, spec: Object) -> Pod:
        """`spec` as these options want it. Raises InvalidCascade if that breaks what the operator relies on."""
        options = self.options
        pod = Pod({**spec, **_scheduling(options)}, dict(options.labels or {}), dict(options.annotations or {}))
        found = list(self._metadata(pod))
        if options.template:
            patched, broken = _patched(pod.spec, options.template, f"{self.given['template']}.template")
            pod = replace(pod, spec=patched)
            found += broken
        if found:
            raise InvalidCascade(found)
        return pod

    def _metadata(self, pod: Pod) -> Iterator[Violation]:
        for kind, given in (("labels", pod.labels), ("annotations", pod.annotations)):
            for name in given:
                if name.startswith(f"{GROUP}/") or name in _KSERVE_OURS:
                    yield Violation(f"{self.given[kind]}.{kind}", f"{name} is disrouter's to set; remove it")


def of_agent(spec: CascadeSpec, agent: Agent) -> Options:
    """The options of an agent's pods."""
    place = f"spec.agents[{spec.agents.index(agent)}].pod"
    return Options().over(spec.pod, "spec.pod").over(agent.pod, place)


def of_jobs(training: Training) -> Options:
    """The options of the trainer's pods; those of the agents' do not count there."""
    return Options().over(training.jobs.pod, "spec.training.jobs.pod")


def _patched(spec: Object, patch: Object, path: str) -> tuple[Object, list[Violation]]:
    """`spec` after a patch that stands at `path` of the manifest, and what that takes from the operator. Raises
    InvalidCascade where it cannot be merged."""
    typos = list(pod_fields.misspelt(patch, path))
    if typos:
        raise InvalidCascade(typos)
    try:
        patched = strategic_merge.merge(spec, patch, path)
    except InvalidPatch as error:
        raise InvalidCascade([Violation(error.field, error.message)]) from None
    return patched, list(_broken(spec, patched, path))


def _scheduling(options: PodOptions) -> Object:
    given: Object = {
        "nodeSelector": dict(options.node_selector or {}),
        "tolerations": [each.dump() for each in options.tolerations],
        "imagePullSecrets": [{"name": name} for name in options.image_pull_secrets],
        "serviceAccountName": options.service_account_name,
        "priorityClassName": options.priority_class_name,
    }
    return {name: value for name, value in given.items() if value}


def _broken(before: Object, after: Object, path: str) -> Iterator[Violation]:
    """What the patch took from the operator: its containers in their places, their ports, environment and mounts."""
    names = [container["name"] for container in before["containers"]]
    containers = after.get("containers") or []
    if [container.get("name") for container in containers[: len(names)]] != names:
        wanted = ", ".join(names)
        yield Violation(f"{path}.containers", f"must keep {wanted} first and in this order; change or add, but no more")
        return
    for old, new in zip(before["containers"], containers, strict=False):
        yield from _changed(old, new, f"{path}.containers[{old['name']}]")
    for volume in before.get("volumes") or []:
        if volume not in (after.get("volumes") or []) and volume["name"] not in _FREE:
            yield Violation(f"{path}.volumes[{volume['name']}]", "is disrouter's; add one of another name")


def _changed(old: Object, new: Object, path: str) -> Iterator[Violation]:
    for name in _WHOLE:
        if old.get(name) != new.get(name):
            yield Violation(f"{path}.{name}", "is disrouter's to set; leave it out")
    lost = [argument for argument in old.get("args") or [] if argument not in (new.get("args") or [])]
    if lost:
        yield Violation(f"{path}.args", f"must keep {' '.join(lost)}; add arguments in engine.args")
    for name, key in _KEYED.items():
        found: list[Any] = new.get(name) or []
        for item in old.get(name) or []:
            if item not in found and item[key] not in _FREE:
                yield Violation(f"{path}.{name}[{item[key]}]", "is disrouter's to set; leave it out")
