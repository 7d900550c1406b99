"""The node against a real API server, as end-to-end tests use it: kubelet, kube-proxy and KServe of a cluster.

    python -m disrouter_local.cluster --kubeconfig FILE --state DIR [--volume NAME=DIR]

It takes every pod that has no node: there is no scheduler and no other node. The cluster's controllers make Pods from
Deployments and Jobs and collect garbage. The ports of Services are in `<state>/ports.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import builtins
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from disrouter.errors import DisrouterError
from disrouter_local.node import Node
from disrouter_local.objects import is_deleting, key_of, uid_of
from disrouter_local.ports import ServicePorts
from disrouter_local.runtime import Options, build_host
from disrouter_local.state import StateFolder
from disrouter_operator.errors import KubeError
from disrouter_operator.kube import NO_LABELS
from disrouter_operator.kube_api import ApiServer
from disrouter_operator.resources import PODS, Object, Resource

NODE = "disrouter-local"


class ClusterKube(ApiServer):
    """An API server as this node sees it: its own pods only, and the two verbs that belong to a node."""

    async def list(
        self, resource: Resource, namespace: str | None, labels: Mapping[str, str] = NO_LABELS
    ) -> builtins.list[Object]:
        found = await super().list(resource, namespace, labels)
        if resource != PODS:
            return found
        return [pod for pod in found if pod["spec"].get("nodeName") == NODE]

    async def bind_pending(self) -> None:
        """Be the scheduler of a cluster with one node."""
        for pod in await super().list(PODS, None):
            if not pod["spec"].get("nodeName") and not is_deleting(pod):
                await self._bind(pod)

    async def remove_pod(self, pod: Object) -> None:
        """Confirm that a deleted pod has ended."""
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid_of(pod)}}
        with contextlib.suppress(KubeError):  # gone already
            await self._request("delete", PODS, _path(pod), body=body)

    async def _bind(self, pod: Object) -> None:
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        metadata = {"name": key_of(pod).name}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
        await self._request("create", PODS, f"{_path(pod)}/binding", body=body)


async def run(kubeconfig: Path, state: StateFolder, options: Options) -> None:
    """Be the node until SIGTERM or SIGINT, then stop every pod's processes."""
    configuration = Configuration()
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    host = build_host(state, options, os.environ)
    with state.held({"pid": os.getpid(), "volumes": {}}):
        async with ApiClient(configuration) as client:
            kube = ClusterKube(client)
            node = Node(kube, host, ServicePorts(state.ports))
            working = asyncio.create_task(node.run(also=kube.bind_pending))
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, working.cancel)
            try:
                await working
            except asyncio.CancelledError:
                await node.close()


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="disrouter_local.cluster")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--volume", action="append", default=[], metavar="NAME=DIR")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    volumes = {name: Path(path) for name, _, path in (item.partition("=") for item in args.volume)}
    try:
        asyncio.run(run(args.kubeconfig, StateFolder(args.state.absolute()), Options(volumes)))
    except DisrouterError as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
    return 0


def _path(pod: Object) -> str:
    namespace, name = key_of(pod)
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


if __name__ == "__main__":
    sys.exit(main())
