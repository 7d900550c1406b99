"""A namespace of a real control plane, where the test plays KServe and the kubelet."""

from __future__ import annotations

import json
from typing import Any

import yaml

from disrouter import names
from disrouter_operator.kube.resources import Object
from support import clusters
from support.controlplane import ControlPlane
from support.kubectl import PATIENCE

_SCALING = "poddisruptionbudgets,horizontalpodautoscalers"
CHILDREN = f"inferenceservices,deployments,services,configmaps,jobs,{_SCALING},ingresses"
ROUTES = "httproutes"
"""Children that only a server with the Gateway API knows."""
SELECTOR = f"--selector={names.LABEL_CASCADE}"
LONG_AGO = "2026-01-01T00:00:00Z"
"""Since when pods serve: entries settle at once."""


class Place:
    """A namespace of the real control plane."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.namespace = plane, namespace
        plane.kubectl("create", "namespace", namespace)

    def apply(self, manifest: Object) -> None:
        manifest["metadata"]["namespace"] = self.namespace
        self.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest))
        name = manifest["metadata"]["name"]
        generation = self.cascade(name)["metadata"]["generation"]
        self.until(lambda: (self.cascade(name).get("status") or {}).get("observedGeneration") == generation)

    def cascade(self, name: str = "qwen") -> Any:
        return self.plane.get("src", self.namespace, name)

    def condition(self, type_: str, name: str = "qwen") -> Any:
        status = self.cascade(name).get("status") or {}
        return next((each for each in status.get("conditions", []) if each["type"] == type_), {"status": None})

    def children(self) -> list[Object]:
        kinds = f"{CHILDREN},{ROUTES}" if self.plane.reader.knows(ROUTES) else CHILDREN
        return list(self.plane.get(kinds, self.namespace, SELECTOR)["items"])

    def versions(self) -> dict[str, str]:
        return {f"{c['kind']}/{c['metadata']['name']}": c["metadata"]["resourceVersion"] for c in self.children()}

    def until(self, ready: Any, what: str = "it", seconds: float = PATIENCE) -> None:
        """Ask again until `ready` says yes; a failure tells what the operator says."""
        try:
            self.plane.wait(what, ready, seconds)
        except AssertionError:
            print(self.plane.kubectl("get", "src", "-n", self.namespace, "-o", "yaml", check=False)[-6000:])
            raise

    def patch_status(self, kind: str, name: str, status: Object, *, check: bool = True) -> None:
        patch = json.dumps({"status": status})
        where = ("-n", self.namespace, "--subresource=status", "--type=merge", "-p", patch)
        self.plane.kubectl("patch", kind, name, *where, check=check)

    def pods(self, selector: str) -> list[Object]:
        return list(self.plane.get("pods", self.namespace, f"--selector={selector}")["items"])

    def pods_ready(self, selector: str) -> None:
        """What a kubelet reports of pods that serve, old and new, until a rollout is through."""

        def through() -> bool:
            pods = [pod for pod in self.pods(selector) if "deletionTimestamp" not in pod["metadata"]]
            waiting = [pod for pod in pods if pod["status"]["phase"] != "Running"]
            for pod in waiting:
                self.patch_status("pod", pod["metadata"]["name"], clusters.ready_pod(LONG_AGO), check=False)
            return bool(pods) and not waiting

        self.until(through, f"pods {selector}")

    def lead(self, workload: Object, selector: str) -> None:
        """What a cluster says of the Service in front of these pods."""
        pods = [pod for pod in self.pods(selector) if "deletionTimestamp" not in pod["metadata"]]
        self.plane.apply(clusters.endpoint_slice(workload, *pods))

    def external(self, agent: str, cascade: str = "qwen") -> None:
        """What a cluster does for an external agent."""
        selector = f"{names.LABEL_CASCADE}={cascade},{names.LABEL_AGENT}={agent}"
        self.pods_ready(selector)
        name = names.agent_object(self.namespace, cascade, agent)
        self.lead(self.plane.get("deployment", self.namespace, name), selector)

    def serve(self, *agents: str) -> None:
        """What KServe does for agents with a model."""
        for agent in agents:
            name = names.agent_object(self.namespace, "qwen", agent)
            isvc = self.plane.get("inferenceservice", self.namespace, name)
            deployment, selector = clusters.predictor_deployment(isvc), f"app=isvc.{names.predictor(name)}"
            self.plane.apply(deployment)
            self.pods_ready(selector)
            self.lead(deployment, selector)
            self.patch_status("inferenceservice", name, clusters.ready_status())

    def end_pod(self, job: Object, message: str = "") -> None:
        """What a kubelet reports of a Job's pod that succeeded; the real Job controller concludes the rest."""
        selector = f"job-name={job['metadata']['name']}"
        self.until(lambda: self.pods(selector), "a pod")
        (pod,) = self.pods(selector)
        container = clusters.pod_of(job, message)["status"]["containerStatuses"][0]
        container |= {"image": "trainer:test", "imageID": "", "ready": False, "restartCount": 0}
        self.patch_status("pod", pod["metadata"]["name"], {"phase": "Succeeded", "containerStatuses": [container]})
