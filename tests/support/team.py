"""A namespace of a cluster with cascades in it, and clients inside the cluster that ask them."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from disrouter import names
from support.cluster import Cluster, image
from support.kubectl import PATIENCE
from support.pool import SMALL

CLIENT = "client"
STARTS = 300.0
"""Seconds until agents serve: a node that has both cores busy starts a pod slowly."""
_ASKING, _TRAFFIC = (("python3", f"/opt/test/{name}.py") for name in ("asking", "traffic"))
"""Programs of the client's image (tests/cluster/images)."""


class Team:
    """A namespace with cascades and a client."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def apply(self, *objects: dict[str, Any]) -> None:
        """`kubectl apply` in the namespace."""
        self.cluster.apply(*objects, namespace=self.namespace)

    def get(self, kind: str, *arguments: str) -> Any:
        """`kubectl get -o json` in the namespace."""
        return self.cluster.get(kind, self.namespace, *arguments)

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, stdin=stdin, check=check)

    def status(self, name: str) -> Any:
        """What the operator says of a cascade."""
        return self.get(names.PLURAL, name).get("status") or {}

    def condition(self, name: str, type_: str) -> Any:
        """A condition of a cascade."""
        found = self.status(name).get("conditions") or []
        return next(
            (each for each in found if each["type"] == type_), {"status": "Unknown", "reason": "", "message": ""}
        )

    def agent(self, name: str, agent: str) -> Any:
        """An agent's status; empty where there is none."""
        return next((each for each in self.status(name).get("agents") or [] if each["name"] == agent), {})

    def ready(self, name: str) -> bool:
        """Whether the cascade is Ready for the manifest as it is now, and a client's connection comes about."""
        whole = self.get(names.PLURAL, name)
        seen = (whole.get("status") or {}).get("observedGeneration") == whole["metadata"]["generation"]
        return bool(seen and _holds(whole, "Ready")) and self.reachable(name)

    def all_ready(self, name: str) -> bool:
        """Ready, and so is every agent."""
        return self.ready(name) and _holds(self.get(names.PLURAL, name), "AgentsReady")

    def pods(self, selector: str) -> dict[str, str]:
        """Running pods by name: their uid and how often their containers started."""
        found = self.get("pods", f"--selector={selector}")["items"]
        return {
            pod["metadata"]["name"]: f"{pod['metadata']['uid']} restarts "
            f"{[each['restartCount'] for each in pod['status'].get('containerStatuses') or []]}"
            for pod in found
            if "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") not in ("Succeeded", "Failed")
        }

    def agents(self, cascade: str, *agents: str) -> dict[str, str]:
        """The pods of agents, or of all."""
        chosen = f",{names.LABEL_AGENT} in ({','.join(agents)})" if agents else ""
        return self.pods(f"{names.LABEL_CASCADE}={cascade},{names.LABEL_COMPONENT}=agent{chosen}")

    def until(self, what: str, holds: Callable[[], Any], seconds: float = PATIENCE) -> None:
        """Ask again until `holds` says yes; a failure tells what there is."""
        try:
            self.cluster.wait(what, holds, seconds)
        except AssertionError:
            self.tell()
            raise

    def tell(self) -> None:
        """Print what helps to see why something does not come about."""
        print(self.kubectl("get", "src,isvc,deployments,jobs,pods", "-o", "wide", check=False))
        print(self.kubectl("get", "src", "-o", "yaml", check=False)[-6000:])
        print(self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)[-4000:])
        print(self.cluster.operator_logs()[-4000:])

    def fill(self, claim: str, folders: Mapping[str, Path] | None = None) -> None:
        """A claim on a folder of the node, with copies of `folders` in it, which anybody may write to."""
        for each in _claim(claim, self.namespace):
            self.cluster.apply(each)
        pod = f"fill-{claim}"
        mount = {"name": "claim", "mountPath": "/claim"}
        volume = {"name": "claim", "persistentVolumeClaim": {"claimName": claim}}
        self.apply(_pod(pod, volumeMounts=[mount], volumes=[volume]))
        self.kubectl("wait", f"pod/{pod}", "--for=condition=Ready", "--timeout=50s")
        for place, folder in (folders or {}).items():
            packed = ["tar", "--create", f"--directory={folder}", "."]
            unpack = f"mkdir -p /claim/{place} && tar -x -C /claim/{place}"
            run = self.cluster.command("-n", self.namespace, "exec", "-i", pod, "--", "sh", "-c", unpack)
            with subprocess.Popen(packed, stdout=subprocess.PIPE) as source:
                subprocess.run(run, stdin=source.stdout, check=True)
        self.kubectl("exec", pod, "--", "chmod", "-R", "a+rwX", "/claim")

    def in_claim(self, claim: str, command: str) -> str:
        """What a shell command prints in a claim that was filled."""
        return self.kubectl("exec", f"fill-{claim}", "--", "sh", "-c", f"cd /claim && {command}")

    def client(self) -> None:
        """A pod that can ask."""
        self.apply(_pod(CLIENT))
        self.kubectl("wait", f"pod/{CLIENT}", "--for=condition=Ready", "--timeout=50s")

    def url(self, cascade: str) -> str:
        """The cascade's address, as a client in another namespace would write it."""
        return f"http://{self.host(cascade)}/v1"

    def host(self, cascade: str) -> str:
        """The name of its Service."""
        return f"{cascade}.{self.namespace}.svc"

    def reachable(self, cascade: str) -> bool:
        """Whether a connection comes about: the node learns of a Service's first pod a moment after it is ready."""
        connect = f"import socket; socket.create_connection(({self.host(cascade)!r}, 80), timeout=5)"
        command = ("-n", self.namespace, "exec", CLIENT, "--", "python3", "-c", connect)
        return self.cluster.kubectl_process(*command).returncode == 0

    def ask(self, cascade: str, question: str, *scenario: str) -> list[list[str]]:
        """Text and path of the answer, whole and streamed."""
        asking = (*_ASKING, self.url(cascade), cascade, question, *scenario)
        found: list[list[str]] = json.loads(self.kubectl("exec", CLIENT, "--", *asking))
        return found

    @contextmanager
    def traffic(self, cascade: str, *questions: str, host: str = "") -> Iterator[Traffic]:
        """Four clients ask, by its name or at `host`, while the block runs; what became of it is known after it."""
        stop = f"/tmp/{uuid.uuid4().hex}"
        asking = (*_TRAFFIC, f"http://{host or self.host(cascade)}/v1", cascade, stop, *questions)
        command = self.cluster.command("-n", self.namespace, "exec", CLIENT, "--", *asking)
        told = Traffic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as clients:
            assert clients.stdout is not None
            assert clients.stdout.readline() == "begun\n", "the clients did not begin"
            try:
                yield told
            finally:
                self.kubectl("exec", CLIENT, "--", "touch", stop)
            told.read(clients.stdout.read())


@dataclass
class Traffic:
    """What became of requests."""

    paths: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def read(self, line: str) -> None:
        """What the clients printed."""
        found = json.loads(line)
        self.paths.update(found["paths"])
        self.texts.update(found["texts"])
        self.failures += found["failures"]
        print(self)

    def check(self, at_least: int = 20) -> None:
        """Enough were sent, and none was lost."""
        assert self.failures == [], self.failures[:5]
        assert self.paths.total() >= at_least, self.paths

    def __str__(self) -> str:
        return f"{self.paths.total()} answered by way of {dict(self.paths)}, {len(self.failures)} failed"


@contextmanager
def team(cluster: Cluster, name: str) -> Iterator[Team]:
    """A namespace with a client; it goes at the end, with the volumes that were made for it."""
    namespace = f"{name}-{uuid.uuid4().hex[:6]}"
    cluster.kubectl("create", "namespace", namespace)
    made = Team(cluster, namespace)
    try:
        made.client()
        yield made
    finally:
        cluster.kubectl_process("-n", namespace, "delete", names.PLURAL, "--all", "--timeout=50s")
        cluster.kubectl_process("delete", "namespace", namespace, "--timeout=50s")
        cluster.kubectl_process(
            "delete", "persistentvolumes", f"--selector=disrouter-test={namespace}", "--timeout=30s"
        )


def _holds(cascade: Any, type_: str) -> bool:
    conditions = (cascade.get("status") or {}).get("conditions") or []
    return any(each["type"] == type_ and each["status"] == "True" for each in conditions)


def _pod(name: str, *, volumes: Any = (), **container: Any) -> dict[str, Any]:
    sleeps = {"name": "main", "image": image("scripted"), "command": ["sh", "-c", "trap exit TERM; sleep 86400 & wait"]}
    spec = {
        "containers": [sleeps | {"resources": SMALL} | container],
        "volumes": list(volumes),
        "automountServiceAccountToken": False,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _claim(name: str, namespace: str) -> Iterator[dict[str, Any]]:
    same = {"storageClassName": "", "accessModes": ["ReadWriteMany"]}
    labels = {"disrouter-test": namespace}
    yield {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{name}", "labels": labels},
        "spec": {
            **same,
            "capacity": {"storage": "1Gi"},
            "claimRef": {"namespace": namespace, "name": name},
            "hostPath": {"path": f"/var/tmp/disrouter-test/{namespace}/{name}", "type": "DirectoryOrCreate"},
        },
    }
    yield {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**same, "resources": {"requests": {"storage": "1Gi"}}},
    }
