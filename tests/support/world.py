"""A cascade's world on a real API server: a test is its user, its KServe, its kubelet and its clock.

Passes are run one by one, as the operator's service account, until one writes nothing. Between them the real Job,
Deployment and garbage controllers do their part; `quiet` waits until they have nothing left to do, so that what
changed between two looks was changed by a reconcile.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from disrouter import names
from disrouter.api import AgentStatus, CascadeStatus
from disrouter_operator.kube.api_server import ApiServer
from disrouter_operator.kube.observed import label, owner_uid
from disrouter_operator.kube.resources import (
    CASCADES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    HTTP_ROUTES,
    INFERENCE_SERVICES,
    INGRESSES,
    JOBS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICES,
    Key,
    Object,
    Resource,
)
from disrouter_operator.kube.timestamps import timestamp
from disrouter_operator.reconcile.reconciler import Memory, reconcile
from disrouter_operator.settings import Settings
from disrouter_operator.status import cascade_status
from support import clusters
from support.recording import Recording

OWNED = (
    *(INFERENCE_SERVICES, DEPLOYMENTS, SERVICES, CONFIG_MAPS, JOBS, POD_DISRUPTION_BUDGETS),
    *(INGRESSES, HTTP_ROUTES),
)
DEADLINE_SECONDS = 90.0
MOST_RECONCILES = 12
CASCADE = "qwen"


class Strict(ApiServer):
    """The operator's API server, which refuses what it would drop otherwise: fields that it does not know."""

    async def _request(
        self, verb: str, resource: Resource, path: str, *, query: list[tuple[str, str]] | None = None, **how: Any
    ) -> Object:
        strict = [("fieldValidation", "Strict")] if verb in ("create", "patch") else []
        return await super()._request(verb, resource, path, query=[*(query or []), *strict], **how)


class User(ApiServer):
    """An administrator, who may also edit."""

    async def edit(self, obj: Object) -> Object:
        """What `kubectl replace` does."""
        resource = CASCADES
        path = f"/apis/{resource.api_version}/namespaces/{obj['metadata']['namespace']}/{resource.plural}"
        patch = [{"op": "add", "path": "/spec", "value": obj["spec"]}]
        annotations = obj["metadata"].get("annotations")
        patch += [{"op": "add", "path": "/metadata/annotations", "value": annotations}] if annotations else []
        where = f"{path}/{obj['metadata']['name']}"
        return await self._request("patch", resource, where, body=patch, content_type="application/json-patch+json")


class World:
    """One namespace with one cascade."""

    def __init__(self, admin: User, operator: ApiServer, namespace: str, settings: Settings) -> None:
        self.admin, self.namespace = admin, namespace
        self.kube = Recording(operator)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self._settings, self._memory = settings, Memory()
        self._seen: set[str] = set()
        self._titles: dict[tuple[str, str], str] = {}

    async def cascade(self) -> Object:
        """As stored."""
        found = await self.admin.get(CASCADES, self.namespace, CASCADE)
        assert found is not None
        return found

    async def status(self) -> CascadeStatus:
        """What the last reconcile wrote."""
        return cascade_status.read(await self.cascade())

    async def agent(self, name: str) -> AgentStatus:
        """An agent's status."""
        return next(agent for agent in (await self.status()).agents if agent.name == name)

    async def settle(self) -> None:
        """Passes until one writes nothing."""
        for _ in range(MOST_RECONCILES):
            before = len(self.kube.writes)
            key = Key(self.namespace, CASCADE)
            await reconcile(self.kube, key, self._settings, lambda: self.now, self._memory)
            await self.quiet()
            if len(self.kube.writes) == before:
                return
        raise AssertionError(f"{MOST_RECONCILES} reconciles and still writing: {self.kube.writes[-5:]}")

    async def children(self) -> dict[str, Object]:
        """The cascade's own children by a title that is the same in every run of the test."""
        owner = (await self.cascade())["metadata"]["uid"]
        marked = {names.LABEL_CASCADE: CASCADE}
        lists = await asyncio.gather(*(self.admin.list(kind, self.namespace, marked) for kind in OWNED))
        own = [obj for found in lists for obj in found if owner_uid(obj) == owner]
        own.sort(key=lambda obj: (str(obj["metadata"]["creationTimestamp"]), str(obj["metadata"]["name"])))
        return {self._title(obj): obj for obj in own if not obj["metadata"].get("deletionTimestamp")}

    async def versions(self) -> dict[str, str]:
        """Uid and resourceVersion of each child."""
        children = await self.children()
        return {title: f"{o['metadata']['uid']}@{o['metadata']['resourceVersion']}" for title, o in children.items()}

    async def events(self) -> list[str]:
        """Reasons of all Events about the cascade."""
        found = await self.admin.list(EVENTS, self.namespace)
        own = [event for event in found if event["involvedObject"]["kind"] == names.KIND]
        return sorted(event["reason"] for event in own for _ in range(event.get("count") or 1))

    async def quiet(self) -> None:
        """Wait until Jobs and Deployments say what their controllers have to say."""
        await self.until(self._quiet, "the controllers")

    async def until(self, ready: Callable[[], Awaitable[Any]], what: str) -> None:
        """Ask again until `ready` says yes."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not await ready():
            assert time.monotonic() < deadline, f"{what} did not come about in {self.namespace}"
            await asyncio.sleep(0.1)

    # What the world does

    async def serve(self, *agents: str) -> None:
        """KServe and the kubelet bring agents up with what they ask for now."""
        await asyncio.gather(*(self._serve(agent) for agent in agents))
        await self.quiet()

    async def end(self, agent: str, stage: str, *, gain: float | None = None, said: str = "", code: int = 0) -> None:
        """The kubelet ends the pod of a stage's Job; the real Job controller concludes. `gain` is an evaluation's."""
        run = (await self.agent(agent)).run
        assert run is not None
        name = names.training_job(CASCADE, agent, stage, run)
        pods: list[Object] = []

        async def there() -> bool:
            pods[:] = [pod for pod in await self._pods({"job-name": name}) if _phase(pod) == "Pending"]
            return bool(pods)

        await self.until(there, f"a pod of {name}")
        job = await self.admin.get(JOBS, self.namespace, name)
        assert job is not None
        message = clusters.evaluation(run, gain) if gain is not None else said
        container = clusters.pod_of(job, message, code)["status"]["containerStatuses"][0]
        container |= {"image": "trainer:test", "imageID": "", "ready": False, "restartCount": 0}
        ended = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [container]}
        await self.admin.patch_status({**pods[0], "status": ended})

        async def concluded() -> bool:
            found = await self.admin.get(JOBS, self.namespace, name)
            status = found["status"] if found else {}
            ended = {each["type"] for each in status.get("conditions") or ()} & {"Complete", "Failed"}
            return bool(ended or status.get("failed"))  # SuccessCriteriaMet comes before Complete

        await self.until(concluded, f"the end of {name}")

    async def train(self, agent: str, gain: float) -> None:
        """All stages of an agent's run."""
        for stage in ("collect", "sft", "rl"):
            await self.end(agent, stage)
            await self.settle()
        await self.end(agent, "evaluate", gain=gain)

    async def later(self, **time_: float) -> None:
        """The clock goes on."""
        self.now += timedelta(**time_)

    async def remove(self, resource: Resource, name: str) -> None:
        """Somebody deletes a child."""
        await self.admin.delete(resource, self.namespace, name)

    async def _serve(self, agent: str) -> None:
        children = await self.children()
        for obj in children.values():
            if label(obj, names.LABEL_AGENT) != agent or label(obj, names.LABEL_COMPONENT) != "agent":
                continue
            if obj["kind"] == INFERENCE_SERVICES.kind:
                await self._come_up(obj)
            elif obj["kind"] == DEPLOYMENTS.kind:
                await self._pods_ready({names.LABEL_AGENT: agent, names.LABEL_COMPONENT: "agent"}, obj)

    async def _come_up(self, isvc: Object) -> None:
        knative = isvc["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Knative"
        number = int(isvc["metadata"]["generation"])
        deployment = clusters.knative_deployment(isvc, number) if knative else clusters.predictor_deployment(isvc)
        applied = await self.admin.apply(deployment)
        await self._pods_ready(deployment["spec"]["selector"]["matchLabels"], applied)
        status = clusters.knative_status(isvc, number, number) if knative else clusters.ready_status()
        if (isvc.get("status") or {}) != status:
            live = await self.admin.get(INFERENCE_SERVICES, self.namespace, isvc["metadata"]["name"])
            assert live is not None
            await self.admin.patch_status({**live, "status": status})

    async def _pods_ready(self, selector: dict[str, str], deployment: Object) -> None:
        async def available() -> bool:
            for pod in await self._pods(selector):
                if _phase(pod) == "Pending" and not pod["metadata"].get("deletionTimestamp"):
                    since = timestamp(self.now - timedelta(hours=1))
                    await self.admin.patch_status({**pod, "status": clusters.ready_pod(since)})
            live = await self.admin.get(DEPLOYMENTS, self.namespace, deployment["metadata"]["name"])
            return live is not None and _through(live) and not live["status"].get("unavailableReplicas")

        await self.until(available, f"Deployment {deployment['metadata']['name']}")
        pods = [pod for pod in await self._pods(selector) if not pod["metadata"].get("deletionTimestamp")]
        await self.admin.apply(clusters.endpoint_slice(deployment, *pods))

    async def _pods(self, labels: dict[str, str]) -> list[Object]:
        return await self.admin.list(PODS, self.namespace, labels)

    async def _quiet(self) -> bool:
        jobs, deployments = await asyncio.gather(
            self.admin.list(JOBS, self.namespace), self.admin.list(DEPLOYMENTS, self.namespace)
        )
        seen, self._seen = self._seen, {obj["metadata"]["resourceVersion"] for obj in (*jobs, *deployments)}
        said = all(_concluded(job) for job in jobs) and all(_rolls(each) for each in deployments)
        return said and seen == self._seen

    def _title(self, obj: Object) -> str:
        """Without hashes: runs and revisions are numbered in the order in which they are seen."""
        name, kind, agent = str(obj["metadata"]["name"]), str(obj["kind"]), label(obj, names.LABEL_AGENT)
        known = self._titles.get((kind, str(obj["metadata"]["uid"])))
        if known is not None:
            return known
        run, stage = label(obj, names.LABEL_RUN), label(obj, names.LABEL_STAGE)
        title = f"{kind}/{name.removeprefix(f'{CASCADE}-')}"
        if run is not None:
            title = f"{kind}/{agent}-{stage or 'run'}#{self._number(f'run of {agent}', run)}"
        elif kind == INFERENCE_SERVICES.kind and name != f"{CASCADE}-{agent}":
            title = f"{kind}/{agent}+{self._number(f'revision of {agent}', name)}"
        self._titles[kind, str(obj["metadata"]["uid"])] = title
        return title

    def _number(self, what: str, value: str) -> int:
        seen = self._titles.setdefault((what, value), str(sum(key[0] == what for key in self._titles) + 1))
        return int(seen)


async def started(admin: User, operator: ApiServer, namespace: str, settings: Settings, manifest: Object) -> World:
    """A world whose cascade was just applied and looked at."""
    await admin._request(
        "create", CASCADES, "/api/v1/namespaces", body={"metadata": {"name": namespace}, "kind": "Namespace"}
    )
    world = World(admin, operator, namespace, settings)
    manifest = copy.deepcopy(manifest)
    manifest["metadata"]["namespace"] = namespace
    await admin.create(manifest)
    await world.settle()
    return world


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase"))


def _concluded(job: Object) -> bool:
    found = job.get("status") or {}
    return bool(found.get("conditions") or found.get("active"))


def _rolls(deployment: Object) -> bool:
    """Its controller has seen it, and made as many new pods as it should have; old ones may wait for them."""
    found = deployment.get("status") or {}
    current = found.get("observedGeneration") == deployment["metadata"]["generation"]
    return bool(current and found.get("updatedReplicas", 0) == deployment["spec"]["replicas"])


def _through(deployment: Object) -> bool:
    """Only new pods are left."""
    found, wanted = deployment.get("status") or {}, deployment["spec"]["replicas"]
    current = found.get("observedGeneration") == deployment["metadata"]["generation"]
    return bool(current and found.get("replicas", 0) == found.get("updatedReplicas", 0) == wanted)
