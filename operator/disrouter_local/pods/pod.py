"""One pod's life on this node: prepare, run its containers, report, stop in an order that loses no request."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from disrouter.backoff import Backoff
from disrouter_local.errors import LocalError
from disrouter_local.objects import Clock, key_of, uid_of, with_condition
from disrouter_local.pods import podspec, volumes
from disrouter_local.pods.container import Container, Spec
from disrouter_local.pods.engines import Engine
from disrouter_local.pods.process import Command
from disrouter_local.pods.volumes import Claims
from disrouter_local.ports import LOOPBACK, PortPool
from disrouter_operator.kube.resources import Object

JOB_NICE = 10
DEFAULT_GRACE = 30.0
RETRY = Backoff(first=0.5, longest=10.0)
"""Rests before a pod that cannot start is prepared again."""
logger = logging.getLogger(__name__)
_KEPT_ENV = frozenset(
    {
        "HOME",
        "LANG",
        "LC_ALL",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "PATH",
        "SSL_CERT_FILE",
        "TMPDIR",
        "USER",
        "VIRTUAL_ENV",
    }
)
_KEPT_PREFIXES = ("HF_", "CUDA_", "NVIDIA_", "OMP_", "VLLM_", "http_", "https_", "no_")


@dataclass(frozen=True)
class Host:
    """What this machine gives to pods."""

    pods: Path
    """Folder below which every pod has one of its own."""
    logs: Path
    claims: Claims
    engine: Engine
    ports: PortPool
    jobs: asyncio.Semaphore
    """Pods of Jobs that run at once."""
    clock: Clock
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


@dataclass(frozen=True)
class Inputs:
    """ConfigMaps and Secrets of a pod's namespace, by name."""

    config_maps: Mapping[str, Object]
    secrets: Mapping[str, Object]

    def secret(self, name: str, key: str) -> str | None:
        """A Secret's value, None if there is none."""
        return self.secret_files(name).get(key)

    def secret_files(self, name: str) -> dict[str, str]:
        """A Secret's values by key, decoded; empty if there is none."""
        secret = self.secrets.get(name) or {}
        data = {key: base64.b64decode(text).decode() for key, text in (secret.get("data") or {}).items()}
        return data | (secret.get("stringData") or {})


class PodRunner:
    """Runs one pod. `changed` is called whenever its status may have changed."""

    def __init__(self, pod: Object, host: Host, changed: Callable[[], None]) -> None:
        self.uid = uid_of(pod)
        self.stopped = False
        """Every process has ended and will not come back."""
        self._pod = pod
        self._host = host
        self._inputs = Inputs({}, {})
        self._configured = asyncio.Event()
        self._changed = changed
        self._folder = host.pods / self.uid
        self._ports: dict[int, int] = {}
        self._containers: list[Container] = []
        self._unprepared = ""
        self._unwritten = ""
        self._is_job = pod["spec"].get("restartPolicy", "Always") != "Always"
        self._task = asyncio.create_task(self._start())
        self._stop_task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return bool(self._containers) and all(container.ready for container in self._containers)

    def port(self, target: int | str) -> int | None:
        """Where a port of the pod, given by number or name, is on this machine."""
        for container in self._pod["spec"]["containers"]:
            for item in container.get("ports") or []:
                if target in (item.get("name"), item["containerPort"]):
                    return self._ports.get(item["containerPort"])
        return None

    def update(self, inputs: Inputs) -> None:
        """Keep the files of ConfigMap and Secret volumes fresh; the containers start once all of them exist."""
        self._inputs = inputs
        try:
            self._write(inputs)
        except Exception as error:
            self._unwritten = self._explain(error, known=self._unwritten)
        else:
            self._unwritten = ""

    def _write(self, inputs: Inputs) -> None:
        config_maps, secrets = volumes.config_map_volumes(self._pod), volumes.secret_volumes(self._pod)
        for volume, name in config_maps.items():
            if name in inputs.config_maps:
                files = inputs.config_maps[name].get("data") or {}
                volumes.write_files(volumes.volume_folder(self._folder, volume), files)
        for volume, name in secrets.items():
            volumes.write_files(volumes.volume_folder(self._folder, volume), inputs.secret_files(name))
        if inputs.config_maps.keys() >= set(config_maps.values()) and inputs.secrets.keys() >= set(secrets.values()):
            self._configured.set()

    def begin_stop(self) -> None:
        """Stop in the background: the container in front first, so that it drains while the engine still answers."""
        if self._stop_task is None:
            self._stop_task = asyncio.create_task(self._stop())

    async def wait_stopped(self) -> None:
        self.begin_stop()
        assert self._stop_task is not None
        await self._stop_task

    def status(self, pod: Object) -> dict[str, Any]:
        """PodStatus, with the conditions of `pod` carried on."""
        codes = [container.exit_code for container in self._containers]
        done = bool(codes) and None not in codes and self._is_job
        if done:
            phase = "Succeeded" if not any(codes) else "Failed"
        else:
            phase = "Running" if self._containers and any(item.pid for item in self._containers) else "Pending"
        ready = self.ready and not done
        return {
            "phase": phase,
            "hostIP": LOOPBACK,
            "podIP": LOOPBACK,
            "conditions": self._conditions(pod, ready),
            "containerStatuses": self._container_statuses(),
            "message": self._problem,
        }

    def _conditions(self, pod: Object, ready: bool) -> list[dict[str, Any]]:
        now = self._host.clock()
        reason = "" if ready else "ContainersNotReady"
        scheduled = self._problem == ""
        return [
            with_condition(pod, "Initialized", status=scheduled, reason="", message=self._problem, now=now),
            with_condition(pod, "Ready", status=ready, reason=reason, now=now),
            with_condition(pod, "ContainersReady", status=ready, reason=reason, now=now),
            with_condition(pod, "PodScheduled", status=True, reason="", now=now),
        ]

    def _container_statuses(self) -> list[dict[str, Any]]:
        if self._containers:
            return [container.status() for container in self._containers]
        waiting: dict[str, Any] = {"reason": "ContainerCreating"}
        if self._problem:
            waiting = {"reason": "CreateContainerError", "message": self._problem}
        return [
            {"name": item["name"], "image": item.get("image", ""), "imageID": "", "ready": False, "started": False}
            | {"restartCount": 0, "state": {"waiting": waiting}, "lastState": {}}
            for item in self._pod["spec"]["containers"]
        ]

    async def _start(self) -> None:
        await self._configured.wait()
        if not self._is_job:
            await self._prepared()
            return
        async with self._host.jobs:
            await self._prepared()
            await asyncio.gather(*(container.wait() for container in self._containers))

    async def _prepared(self) -> None:
        """Start the containers; what is missing - a folder, a Secret, space - may come, so try again."""
        for attempt in itertools.count(1):
            try:
                self._run()
            except Exception as error:
                self._unprepared = self._explain(error, known=self._unprepared)
                self._changed()
                await asyncio.sleep(RETRY.delay(attempt))
            else:
                self._unprepared = ""
                return

    @property
    def _problem(self) -> str:
        return self._unprepared or self._unwritten

    def _explain(self, error: Exception, known: str) -> str:
        """One line for people; what nobody foresaw goes into the log as a whole, once."""
        if isinstance(error, LocalError):
            return str(error)
        if isinstance(error, KeyError):
            return f"the pod lacks the field {error}"
        problem = f"{type(error).__name__}: {error}; the runtime's log says more"
        if problem != known:
            logger.error("pod %s/%s cannot be prepared", *key_of(self._pod), exc_info=error)
        return problem

    def _run(self) -> None:
        specs = self._specs()
        self._containers = [Container(spec, self._host.clock, self._changed) for spec in specs]
        for container in self._containers:
            container.start()

    def _specs(self) -> list[Spec]:
        for port in sorted(podspec.container_ports(self._pod) - self._ports.keys()):
            self._ports[port] = self._host.ports.lease(f"{self.uid}/{port}")
        items = self._pod["spec"]["containers"]
        roots = {item["name"]: volumes.mount(self._pod, item, self._folder, self._host.claims) for item in items}
        place = podspec.Place(self._ports, roots, self._host.engine, self._inputs.secret)
        programs = podspec.translate(self._pod, place)
        return [self._spec(item, programs[item["name"]], roots[item["name"]]) for item in items]

    def _spec(self, item: Mapping[str, Any], program: podspec.Program, root: volumes.Root) -> Spec:
        name = item["name"]
        message = item.get("terminationMessagePath")
        cwd = self._folder / name
        cwd.mkdir(parents=True, exist_ok=True)
        command = Command(
            argv=program.argv,
            env={**_inherited(self._host.environ), **program.env},
            cwd=cwd,
            log=self._host.logs / key_of(self._pod).name / f"{name}.log",
            grace=float(self._pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE)),
            nice=JOB_NICE if self._is_job else 0,
        )
        termination = root.host(message) if message else None
        return Spec(name, item.get("image", ""), command, program.probes, not self._is_job, termination)

    async def _stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        for container in reversed(self._containers):
            await container.stop()
        for port in self._ports.values():
            self._host.ports.release(port)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self.stopped = True
        self._changed()


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What a container gets of this process's environment: paths, device settings, the model hub's; nothing else."""
    kept = {name: value for name, value in environ.items() if name in _KEPT_ENV or name.startswith(_KEPT_PREFIXES)}
    return {"PYTHONUNBUFFERED": "1", **kept}
