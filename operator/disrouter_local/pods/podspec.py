"""A Pod's containers as commands of this machine: the translation, without running anything.

What differs from a cluster: pods share one network, so every port of a pod is replaced by a free one - wherever a
variable ends in `_PORT` and wherever a probe names it; paths below mount points lie elsewhere (`volumes`); an image is
a Python module of this installation (`IMAGES`) or, for the engine, `engines`; and no `lifecycle` hook runs, because
`pod.PodRunner` stops the sidecar, and with it what is in flight, before the engine.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from disrouter_local.errors import InvalidPod
from disrouter_local.pods import engines
from disrouter_local.pods.probes import Probe, Probes
from disrouter_local.pods.volumes import Root
from disrouter_local.ports import LOOPBACK
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests import scratch
from disrouter_operator.manifests.containers import ENGINE
from disrouter_operator.manifests.serving.engine_container import HOST, SERVER

Container = Mapping[str, Any]
Secret = Callable[[str, str], str | None]
"""Value by a Secret's name and key."""

IMAGES = {"sidecar": "disrouter_sidecar", "training": "disrouter_training"}
"""Last part of an image's name -> the module that is its entry point."""
ENGINE_MODEL = "DISROUTER_ENGINE_MODEL"
_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_][A-Za-z0-9_.-]*)\))")
_PYTHON = ("python", "python3")
_LINGER = "DISROUTER_LINGER_SECONDS"
_LINGER_HERE = "0.5"
"""Seconds: this machine's proxy leaves a pod that ends at once, so its sidecar need not wait for distant ones."""


@dataclass(frozen=True)
class Program:
    """What to run for one container."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    probes: Probes = field(default_factory=Probes)


@dataclass(frozen=True)
class Place:
    """Where a pod runs: its ports on this machine, its containers' roots, its engine, its secrets."""

    ports: Mapping[int, int]
    roots: Mapping[str, Root]
    engine: engines.Engine
    secret: Secret


def container_ports(pod: Object) -> set[int]:
    """Every port of a pod: declared ones and the values of variables that end in `_PORT`."""
    found: set[int] = set()
    for container in pod["spec"]["containers"]:
        found.update(int(item["containerPort"]) for item in container.get("ports") or [])
        for item in container.get("env") or []:
            if item["name"].endswith("_PORT") and str(item.get("value", "")).isdigit():
                found.add(int(item["value"]))
    return found


def translate(pod: Object, place: Place) -> dict[str, Program]:
    """Container name -> program. Raises InvalidPod that names the container and the remedy."""
    containers = pod["spec"]["containers"]
    programs = {item["name"]: _program(pod, item, place) for item in containers}
    engine = next((item for item in containers if item["name"] == ENGINE and _is_engine(item)), None)
    if engine is None:
        return programs
    env = _environment(pod, engine, place)
    name = place.engine.model_name(_texts(engine.get("args") or [], env, place.roots[ENGINE]))
    if name is None:
        return programs
    return {key: _with_model(program, name) for key, program in programs.items()}


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Kubernetes' `$(NAME)`; an unknown name stays as it is, `$$` is one dollar."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else variables.get(match[2], match[0])

    return _REFERENCE.sub(value, text)


def _program(pod: Object, container: Container, place: Place) -> Program:
    env = _environment(pod, container, place)
    root = place.roots[container["name"]]
    command = _texts(container.get("command") or [], env, root)
    args = _texts(container.get("args") or [], env, root)
    extra: dict[str, str] = {}
    if container["name"] == ENGINE and _is_engine(container):
        argv = place.engine.argv(args)
        extra = place.engine.env(args)
    else:
        argv = [*_interpreter(command or _entry_point(container)), *args]
    return Program(tuple(argv), {**extra, **env}, _probes(container, place.ports))


def _is_engine(container: Container) -> bool:
    command = container.get("command") or []
    return not command or list(command) == SERVER


def _entry_point(container: Container) -> list[str]:
    image = str(container.get("image", ""))
    name = image.rsplit("/", maxsplit=1)[-1].partition("@")[0].partition(":")[0]
    module = next((module for part, module in IMAGES.items() if name.rpartition("-")[2] == part), None)
    if module is None:
        raise InvalidPod(
            f"container {container['name']!r}: image {image!r} has no program on this machine; give the container a "
            "command, or run it in a cluster"
        )
    return ["python", "-m", module]


def _interpreter(command: list[str]) -> list[str]:
    return [sys.executable, *command[1:]] if command[0] in _PYTHON else command


def _texts(texts: Iterable[str], env: Mapping[str, str], root: Root) -> list[str]:
    return [root.rewrite(expand(text, env)) for text in texts]


def _environment(pod: Object, container: Container, place: Place) -> dict[str, str]:
    """Variables in order: each sees those before it."""
    env: dict[str, str] = {}
    root = place.roots[container["name"]]
    for item in container.get("env") or []:
        name = item["name"]
        if is_of_a_cluster(item):
            continue
        value = expand(str(item.get("value", "")), env) if "valueFrom" not in item else _from(pod, item, place)
        if name.endswith("_PORT") and value.isdigit():
            value = str(place.ports.get(int(value), value))
        env[name] = root.rewrite(value)
    here = {_LINGER: _LINGER_HERE, HOST: LOOPBACK}
    env |= {name: value for name, value in here.items() if name in env}
    return {"DISROUTER_HOST": LOOPBACK, **env}


def is_of_a_cluster(variable: Mapping[str, Any]) -> bool:
    """Whether it leads to the volumes of an engine in a cluster; one here has the caches of who runs it."""
    return variable.get("value") == scratch.VARIABLES.get(variable["name"], "")


def _from(pod: Object, item: Mapping[str, Any], place: Place) -> str:
    source = item["valueFrom"]
    if "secretKeyRef" in source:
        reference = source["secretKeyRef"]
        value = place.secret(reference["name"], reference["key"])
        if value is None and not reference.get("optional"):
            raise InvalidPod(
                f"variable {item['name']}: Secret {reference['name']!r} with key {reference['key']!r} does not exist; "
                "apply it"
            )
        return value or ""
    if "fieldRef" in source:
        path = source["fieldRef"]["fieldPath"]
        fields = {
            "metadata.name": pod["metadata"]["name"],
            "metadata.namespace": pod["metadata"].get("namespace", "default"),
            "status.podIP": LOOPBACK,
        }
        if path in fields:
            return str(fields[path])
    raise InvalidPod(f"variable {item['name']}: this node cannot read {source}; give a value")


def _probes(container: Container, ports: Mapping[int, int]) -> Probes:
    named = {item["name"]: item["containerPort"] for item in container.get("ports") or [] if "name" in item}

    def resolve(port: int | str) -> int:
        number = int(named.get(str(port), port))
        return ports.get(number, number)

    found = {kind: Probe.of(container.get(f"{kind}Probe") or {}, resolve) for kind in ("startup", "readiness")}
    liveness = Probe.of(container.get("livenessProbe") or {}, resolve)
    return Probes(startup=found["startup"], readiness=found["readiness"], liveness=liveness)


def _with_model(program: Program, name: str) -> Program:
    if ENGINE_MODEL not in program.env:
        return program
    return Program(program.argv, {**program.env, ENGINE_MODEL: name}, program.probes)
