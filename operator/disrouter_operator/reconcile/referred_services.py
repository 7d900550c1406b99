"""Services of KServe that others keep and agents refer to: read for each reconcile, and looked at between them.

The watches see what carries our labels, and others' services carry none. A watch of every service of the cluster would
bring each whole object here for the few that anybody refers to, so these are asked for by name. It needs no more than
the right to get them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from disrouter.names import OBJECT_NAME
from disrouter_operator.errors import FORBIDDEN, KubeError
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.observed import REFERRED, Observed
from disrouter_operator.kube.resources import Key, Object, Resource, ServiceKey

LOOK_SECONDS = 5.0
"""How soon a change of such a service is noticed. That its engine is away, the sidecar before it notices by itself."""
MISSING = ""
"""Instead of a version."""

Answer = Object | KubeError | None
"""A service; why it cannot be read; None: there is none."""


def keys(spec: Any) -> frozenset[ServiceKey]:
    """The services that the agents of a spec refer to; it need not be valid."""
    return frozenset(_keys(spec))


def _keys(spec: Any) -> Iterator[ServiceKey]:
    agents = spec.get("agents") if isinstance(spec, dict) else None
    for agent in agents if isinstance(agents, list) else ():
        given = agent.get("serviceRef") if isinstance(agent, dict) else None
        if not isinstance(given, dict):
            continue
        kind, name = REFERRED.get(str(given.get("kind"))), str(given.get("name"))
        if kind is not None and re.fullmatch(OBJECT_NAME, name):
            yield ServiceKey(kind, name)


async def read(
    kube: Kube, namespace: str, wanted: Collection[ServiceKey], absent: Collection[Resource]
) -> tuple[dict[ServiceKey, Object], dict[ServiceKey, KubeError]]:
    """What there is of them, and why some cannot be read. Raises KubeError for what is not about them.

    KServe converts between its versions by a webhook of its own: where that is away, one agent waits, not the cascade.
    """
    asked = [each for each in wanted if each.resource not in absent]
    answers = await asyncio.gather(*(_ask(kube, namespace, each) for each in asked))
    found = {each: answer for each, answer in zip(asked, answers, strict=True) if isinstance(answer, dict)}
    refused = {each: answer for each, answer in zip(asked, answers, strict=True) if isinstance(answer, KubeError)}
    return found, refused


async def _ask(kube: Kube, namespace: str, service: ServiceKey) -> Answer:
    try:
        return await kube.get(service.resource, namespace, service.name)
    except KubeError as error:
        if error.status == FORBIDDEN or error.of_webhook:
            return error
        raise


@dataclass
class ReferredServices:
    """What each cascade was last reconciled with. `wake` is told of cascades for which that is no longer so."""

    wake: Callable[[Key], None] = lambda _: None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _seen: dict[Key, Mapping[ServiceKey, str]] = field(default_factory=dict)

    def note(self, key: Key, observed: Observed) -> None:
        """A reconcile has read these services."""
        wanted = keys(observed.parent.get("spec"))
        self._seen.pop(key, None)
        if wanted:
            self._seen[key] = {
                each: _version(observed.services.get(each) or observed.refusals.get(each)) for each in wanted
            }

    def forget(self, key: Key) -> None:
        """The cascade is gone."""
        self._seen.pop(key, None)

    async def run(self, kube: Kube) -> None:
        """Look until cancelled."""
        while True:
            await self.sleep(LOOK_SECONDS)
            await self.look(kube)

    async def look(self, kube: Kube) -> None:
        """Ask for each service once, whoever refers to it."""
        for namespace, service in {(key.namespace, each) for key, seen in self._seen.items() for each in seen}:
            try:
                version = _version(await _ask(kube, namespace, service))
            except KubeError:
                return  # the API server's own trouble, said elsewhere; everything is looked at anew then
            for key, seen in list(self._seen.items()):
                if key.namespace == namespace and seen.get(service, version) != version:
                    self.wake(key)


def _version(answer: Answer) -> str:
    if isinstance(answer, KubeError):
        return answer.answer
    return str(answer["metadata"]["resourceVersion"]) if answer is not None else MISSING
