"""A cascade in a small world in memory: reconciles run on it, and the test plays its clock and controllers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from disrouter import names
from disrouter.artifacts import Stage
from disrouter.routes import RouteTable
from disrouter_operator.kube.observed import label
from disrouter_operator.kube.resources import (
    CASCADES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    INFERENCE_SERVICES,
    JOBS,
    PODS,
    Key,
    Object,
)
from disrouter_operator.kube.timestamps import timestamp
from disrouter_operator.plan.entrypoint import RESOLUTION, SETTLED_SECONDS
from disrouter_operator.reconcile.reconciler import Memory, Requeue, reconcile
from disrouter_operator.settings import Settings
from support import clusters
from support.kube_fake import KubeFake

KEY = Key("default", "qwen")
SETTINGS = Settings(sidecar_image="sidecar:test", training_image="trainer:test")


class Scene:
    """A cascade in a small world whose clock and controllers the test plays."""

    def __init__(self, manifest: Object, settings: Settings = SETTINGS) -> None:
        self.settings = settings
        self.kube = KubeFake()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.memory = Memory()
        self.kube.put(manifest)

    async def run(self, reconciles: int = 1) -> Requeue | None:
        requeue = None
        for _ in range(reconciles):
            requeue = await reconcile(self.kube, KEY, self.settings, lambda: self.now, self.memory)
        return requeue

    @property
    def status(self) -> Any:
        return self.kube.one(CASCADES, "qwen")["status"]

    def agent(self, name: str) -> Any:
        return next(agent for agent in self.status["agents"] if agent["name"] == name)

    def condition(self, type_: str) -> Any:
        return next(each for each in self.status["conditions"] if each["type"] == type_)

    def table(self) -> RouteTable:
        return RouteTable.from_json(self.kube.one(CONFIG_MAPS, "qwen-routes")["data"]["routes.json"])

    def reasons(self) -> list[str]:
        return [obj["reason"] for (kind, _, _), obj in self.kube.objects.items() if kind == EVENTS]

    def serve(self, *agents: str) -> None:
        """KServe brings the agents up with what they ask for now."""
        for agent in agents:
            found = self.inference_services(agent)
            if not found:
                self.kube.set_status(DEPLOYMENTS, f"qwen-{agent}", clusters.rolled_out(9))
                endpoint(self.kube, self.kube.one(DEPLOYMENTS, f"qwen-{agent}"), self.now)
            for name in found:
                come_up(self.kube, name, self.now)

    def fall_silent(self, agent: str) -> None:
        """No pod of the agent is ready any more."""
        for key, obj in list(self.kube.objects.items()):
            if obj["metadata"].get("labels", {}).get(names.LABEL_AGENT) == agent and key[0] in (PODS, ENDPOINT_SLICES):
                del self.kube.objects[key]

    async def settle(self) -> None:
        """Those who serve have served for long enough that requests enter at the cheapest."""
        self.now += timedelta(seconds=SETTLED_SECONDS + RESOLUTION)
        await self.run()

    def inference_services(self, agent: str) -> list[str]:
        """Names of an agent's InferenceServices."""
        found = [self.kube.one(INFERENCE_SERVICES, name) for name in self.kube.names(INFERENCE_SERVICES)]
        return [each["metadata"]["name"] for each in found if label(each, names.LABEL_AGENT) == agent]

    def jobs(self, agent: str) -> list[Object]:
        """Jobs of an agent."""
        jobs = [obj for (kind, _, _), obj in self.kube.objects.items() if kind == JOBS]
        return [job for job in jobs if job["metadata"]["labels"][names.LABEL_AGENT] == agent]

    @staticmethod
    def arguments(job: Object) -> list[str]:
        """What a Job's trainer is called with."""
        return list(job["spec"]["template"]["spec"]["containers"][0]["args"])

    def end_job(self, agent: str, stage: Stage, status: Object, message: str = "", exit_code: int = 0) -> Object:
        """The stage's Job of an agent ends, its pod leaving a message."""
        wanted = {names.LABEL_STAGE: str(stage), names.LABEL_RUN: self.agent(agent)["run"]}
        (job,) = [job for job in self.jobs(agent) if wanted.items() <= job["metadata"]["labels"].items()]
        self.kube.set_status(JOBS, job["metadata"]["name"], status)
        self.kube.put(clusters.pod_of(job, message, exit_code))
        return job

    async def train(self, agent: str, gain: float) -> None:
        """All four stages of an agent's run."""
        for stage in Stage:
            await self.run()
            run = self.agent(agent)["run"]
            message = clusters.evaluation(run, gain) if stage is Stage.EVALUATE else ""
            self.end_job(agent, stage, clusters.complete(), message)
        await self.run()


async def serving(manifest: Object, *agents: str) -> Scene:
    """A cascade whose agents of these names have served for a while."""
    scene = Scene(manifest)
    await scene.run()
    scene.serve(*agents)
    await scene.settle()
    return scene


def come_up(kube: KubeFake, inference_service: str, now: datetime) -> None:
    """KServe brings an InferenceService up with what it asks for now."""
    isvc, predictor = kube.one(INFERENCE_SERVICES, inference_service), names.predictor(inference_service)
    kube.put(clusters.predictor_deployment(isvc))
    kube.set_status(DEPLOYMENTS, predictor, clusters.rolled_out(9))
    kube.set_status(INFERENCE_SERVICES, inference_service, clusters.ready_status())
    endpoint(kube, kube.one(DEPLOYMENTS, predictor), now)


def endpoint(kube: KubeFake, deployment: Object, now: datetime) -> None:
    """A pod of a Deployment becomes ready, if it is not, and the Service of that name leads to it."""
    pod = clusters.predictor_pod(deployment, timestamp(now))
    if pod["metadata"]["name"] not in kube.names(PODS):
        kube.put(pod)
    kube.put(clusters.endpoint_slice(deployment, kube.one(PODS, pod["metadata"]["name"])))
