"""`spec` of a SelfRoutingCascade. Field docstrings become the CRD's descriptions, so they speak to its users."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StrictFloat, StrictInt

from disrouter import routes
from disrouter.api.quantity import ResourceRequirements
from disrouter.artifacts import CollectConfig, DatasetSource, EvaluateConfig, RlConfig, SftConfig
from disrouter.model import Model
from disrouter.names import DNS_LABEL, MAX_AGENT, OBJECT_NAME
from disrouter.routes import Awareness
from disrouter.scenario import Scenario
from disrouter.uris import FILE_URI, HUB_DATASET, MODEL_URI

ENGINE_IMAGE = "vllm/vllm-openai:v0.32.0"
ENGINE_OWNED = (
    *("--host", "--port", "--uds", "--model", "--served-model-name"),
    *("--api-key", "--ssl-keyfile", "--ssl-certfile", "--ssl-ca-certs", "--root-path"),
)
"""Flags of vLLM that disrouter sets, or that would hide the engine from its sidecar and its probes."""
DATA_KEY = r"^[-._a-zA-Z0-9]+$"
PROVIDER_URL = r"^https?://[^\s/@?#]+(/[^\s?#]*)?$"
"""Without user, query or fragment: keys belong into a Secret."""

ObjectName = Annotated[str, Field(pattern=OBJECT_NAME, max_length=253)]


class Untrained(StrEnum):
    """What an agent does while it has no trained weights yet."""

    PROMPTED = "prompted"
    HOLD = "hold"


class DeploymentMode(StrEnum):
    """KServe's ways to run an InferenceService."""

    STANDARD = "Standard"
    KNATIVE = "Knative"


class Rollout(StrEnum):
    """How a changed agent replaces its pod: `surge` needs a spare GPU, `recreate` has the cascade skip it meanwhile."""

    SURGE = "surge"
    RECREATE = "recreate"


class ModelSource(Model):
    """Weights that vLLM serves."""

    uri: str = Field(pattern=MODEL_URI, max_length=512)
    """`hf://org/name`, `pvc://claim/path` or `s3://bucket/path`."""


class SecretKey(Model):
    """A key in a Secret of the cascade's namespace."""

    name: ObjectName
    key: str = Field(pattern=DATA_KEY, max_length=253)


class External(Model):
    """An OpenAI-compatible provider outside the cluster."""

    url: str = Field(pattern=PROVIDER_URL, max_length=512)
    """Base URL up to and including `/v1`."""
    model: str = Field(min_length=1, max_length=256)
    """The provider's name of the model."""
    api_key_secret_ref: SecretKey | None = None
    """Where its API key lies."""


class SelfAwareness(Model):
    """How an agent knows when to refuse."""

    mode: Awareness
    """`trained` by the cascade's training, `prompted` only, or `none`: always answers (the last agent)."""
    untrained: Untrained = Untrained.PROMPTED
    """While it trains for the first time: serve as `prompted`, or `hold` it out of the route."""


class Replicas(Model):
    """Pods of an agent."""

    min: StrictInt = Field(default=1, ge=1, le=1000)
    max: StrictInt = Field(default=1, ge=1, le=1000)


class Engine(Model):
    """The inference engine of an agent."""

    image: str = Field(default=ENGINE_IMAGE, min_length=1, max_length=512)
    args: tuple[Annotated[str, Field(max_length=512)], ...] = Field(default=(), max_length=64)
    """Further arguments of vLLM's OpenAI server, for example `--max-model-len=8192`; not those that disrouter sets."""


class Agent(Model):
    """One model of the cascade. Exactly one of `model` and `external`."""

    name: str = Field(pattern=DNS_LABEL, max_length=MAX_AGENT)
    """Unique; part of object names and of the model name `<cascade>/<agent>`."""
    model: ModelSource | None = None
    external: External | None = None
    cost: StrictFloat = Field(ge=0, le=1)
    """Normalised price of one answer (eq. 1); the list is ordered by it."""
    next: str | None = Field(default=None, max_length=MAX_AGENT)
    """Who gets a refused request; default: the next agent of the list."""
    self_awareness: SelfAwareness | None = None
    """Default: the last agent `none`, an external one `prompted`, else `trained` where `spec.training` is given."""
    replicas: Replicas = Replicas()
    resources: ResourceRequirements | None = None
    """Kubernetes resource requirements of the engine; default one GPU."""
    engine: Engine = Engine()


class Artifacts(Model):
    """Where runs and weights are kept."""

    persistent_volume_claim: ObjectName
    """A claim that Jobs write and agents read (ReadWriteMany on more than one node)."""


class Gate(Model):
    """What a trained agent must show before it replaces what is served."""

    min_utility_gain: StrictFloat = Field(default=0.0, ge=-1, le=1)
    """Least mean gain of the local utility over the three scenarios."""


class Dataset(DatasetSource):
    """Where questions come from. Exactly one of `id` (a Hub dataset) and `file` (JSONL on a claim)."""

    id: str | None = Field(default=None, pattern=HUB_DATASET, max_length=256)
    """Hub id, for example `openai/gsm8k`; needs the columns `question` and `answer`."""
    file: str | None = Field(default=None, pattern=FILE_URI, max_length=512)
    """`pvc://claim/path`: JSONL with `question`, `answer` and optionally `instruction`, `grader`, `family`, `id`."""


class Evaluate(EvaluateConfig):
    """What the gate is judged on."""

    datasets: tuple[Dataset, ...] = Field(default=(), max_length=32)
    """Held-out questions; empty: a fixed share of the training datasets that training never sees."""


class Training(Model):
    """Self-Awareness Training of the agents in mode `trained`, each alone."""

    datasets: tuple[Dataset, ...] = Field(min_length=1, max_length=32)
    artifacts: Artifacts
    image: str | None = Field(default=None, min_length=1, max_length=512)
    """Trainer image; default: the one that the operator was installed with."""
    resources: ResourceRequirements | None = None
    """Kubernetes resource requirements of a training Job; default one GPU."""
    backoff_limit: StrictInt = Field(default=3, ge=0, le=20)
    """Retries of a stage; each resumes from its checkpoint."""
    seed: StrictInt = Field(default=0, ge=0, le=2**32 - 1)
    collect: CollectConfig = CollectConfig()
    sft: SftConfig = SftConfig()
    rl: RlConfig = RlConfig()
    evaluate: Evaluate = Evaluate()
    gate: Gate = Gate()


class Timeouts(routes.Timeouts):
    """Seconds. `firstByte` bounds the wait for an agent's first byte, `idle` the gap between later ones."""

    model_config = ConfigDict(extra="forbid")


class CascadeSpec(Model):
    """What the user wants: agents by cost, a preference, and how to train."""

    scenario: Scenario | None = None
    """Default preference of requests that state none: `balance` if neither this nor `preference` is given."""
    preference: StrictFloat | None = Field(default=None, ge=0, le=1)
    """Alpha instead of a scenario: 0 is performance only, 1 weighs cost most; the nearest scenario is used."""
    agents: tuple[Agent, ...] = Field(min_length=1, max_length=16)
    """Cheapest first; the last one always answers."""
    deployment_mode: DeploymentMode = DeploymentMode.STANDARD
    rollout: Rollout = Rollout.RECREATE
    timeouts: Timeouts = Timeouts()
    drain_seconds: StrictInt = Field(default=90, ge=0, le=3600)
    """Between leaving the route table and deletion; above the kubelet's ConfigMap refresh (about 60 s)."""
    training: Training | None = None

    def successor(self, index: int) -> str | None:
        """Name of the agent that gets what agent `index` refuses; None if it always answers."""
        agent = self.agents[index]
        explicit = agent.self_awareness
        if explicit is not None and explicit.mode is Awareness.NONE:
            return None
        if agent.next is not None:
            return agent.next
        return self.agents[index + 1].name if index + 1 < len(self.agents) else None

    def awareness(self, index: int) -> SelfAwareness:
        """Explicit or default self-awareness of agent `index`."""
        agent = self.agents[index]
        if agent.self_awareness is not None:
            return agent.self_awareness
        if self.successor(index) is None:
            return SelfAwareness(mode=Awareness.NONE)
        trained = agent.external is None and self.training is not None
        return SelfAwareness(mode=Awareness.TRAINED if trained else Awareness.PROMPTED)
