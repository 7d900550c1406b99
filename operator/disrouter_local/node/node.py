"""The node's loop: KServe stand-in, kubelet and proxy over one `Kube`, level-triggered.

It looks at everything whenever something changed - in the API, or in a process of its own - and at least every
`RESYNC_SECONDS`. Each part only does what is missing, so looking again is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from disrouter import names
from disrouter_local.node import kserve
from disrouter_local.node.kubelet import Kubelet, NodeKube
from disrouter_local.node.proxy import Proxy, Route
from disrouter_local.objects import key_of, labels_of
from disrouter_local.pods.pod import Host
from disrouter_local.ports import ServicePorts
from disrouter_operator.errors import Conflict, KubeError
from disrouter_operator.kube.resources import PODS, SERVICES, Object

RESYNC_SECONDS = 1.0
SETTLE_SECONDS = 0.05
"""Pause after a step, so that a burst of changes is one step."""
ENTRY_PATIENCE = 60.0
"""Seconds that the endpoint waits for a pod: clients have nowhere else to go."""
AGENT_PATIENCE = 0.3
"""The same for an agent: the sidecar before it knows who is next."""

logger = logging.getLogger(__name__)


class Node:
    """One machine's pods and Services."""

    def __init__(self, kube: NodeKube, host: Host, services: ServicePorts) -> None:
        self._kube = kube
        self._services = services
        self._host = host
        self._woken = asyncio.Event()
        self._proxy = Proxy()
        self.kubelet = Kubelet(kube, host, self.wake)

    def wake(self) -> None:
        """Something changed: take a step soon."""
        self._woken.set()

    async def step(self) -> None:
        """Bring processes and forwarders in line with the API, and the API's status with them."""
        await kserve.sync(self._kube, self._services.url, self._host.clock())
        await self.kubelet.sync(await self._kube.list(PODS, None))
        pods = await self._kube.list(PODS, None)
        services = await self._kube.list(SERVICES, None)
        await self._proxy.sync(
            {_title(service): self._route(service, pods) for service in services if _routable(service)}
        )

    async def run(self, also: Callable[[], Awaitable[None]] | None = None) -> None:
        """Step until cancelled; `also` runs before each step. A failing step is logged and repeated."""
        while True:
            self._woken.clear()
            try:
                if also is not None:
                    await also()
                await self.step()
            except Conflict as error:
                logger.debug("stale read, again: %s", error)
                self.wake()
            except KubeError as error:
                logger.warning("%s; trying again", error)
            except Exception:  # one odd object must not end everybody's processes
                logger.exception("a step failed; trying again")
            await asyncio.sleep(SETTLE_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESYNC_SECONDS):
                    await self._woken.wait()

    async def close(self) -> None:
        """Stop every pod - requests in flight end first - and then the forwarders."""
        await self.kubelet.close()
        await self._proxy.close()

    def _route(self, service: Object, pods: list[Object]) -> Route:
        namespace, name = key_of(service)
        spec = service["spec"]
        target = spec["ports"][0].get("targetPort", spec["ports"][0]["port"])
        patience = AGENT_PATIENCE if names.LABEL_AGENT in labels_of(service) else ENTRY_PATIENCE
        backends = self.kubelet.backends(pods, spec["selector"], target)
        return Route(self._services.port(name, namespace), backends, patience)


def _routable(service: Object) -> bool:
    """Whether a Service has pods of its own behind it; the API server's own Services have none."""
    return bool(service["spec"].get("selector"))


def _title(service: Object) -> str:
    return "/".join(key_of(service))
