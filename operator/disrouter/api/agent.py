"""One agent of a cascade: its model, its price, how it decides, how it is served."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StrictBool, StrictFloat, StrictInt

from disrouter import routes
from disrouter.api.pod import EnvVar, ObjectName, PodOptions, SecretKey, Sourced
from disrouter.api.quantity import ResourceRequirements
from disrouter.model import Model, mirrored
from disrouter.names import DNS_LABEL, MAX_AGENT
from disrouter.routes import Awareness, DecisionMode
from disrouter.uris import ADAPTER_URI, HUB_REVISION, MODEL_URI

ENGINE_IMAGE = "vllm/vllm-openai:v0.32.0"
VLLM_USER = 2000
"""The user `vllm` of vLLM's image, which runs as root unless it is told otherwise (vLLM's docker/Dockerfile)."""
ENGINE_OWNED = (
    *("--host", "--port", "--uds", "--model", "--served-model-name"),
    *("--api-key", "--ssl-keyfile", "--ssl-certfile", "--ssl-ca-certs", "--root-path"),
    *("--lora-modules",),
)
"""Flags of vLLM that disrouter sets, or that would hide the engine from its sidecar and its probes."""
ENGINE_OWNED_ENV = ("ENGINE_PORT", "STORAGE_URI", "PYTHONPATH", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "VLLM_API_KEY")
"""Variables that disrouter sets, that KServe refuses, or that would hide the engine from its sidecar."""
PROVIDER_URL = r"^https?://[^\s/@?#]+(/[^\s?#]*)?$"
"""Without user, query or fragment: keys belong into a Secret."""
API_PATH = r"^(/[A-Za-z0-9._~-]+)+$"
"""Where an API begins on its host."""
HEADER_NAME = r"^[A-Za-z0-9][-A-Za-z0-9]*$"
HEADER_VALUE = r"^[ -~]*$"
RUN = r"^(base|[0-9a-f]{10})$"


class Untrained(StrEnum):
    """What an agent does while it has no trained weights yet."""

    PROMPTED = "prompted"
    HOLD = "hold"


class Autoscaler(StrEnum):
    """What sets an agent's replicas between `min` and `max`."""

    HPA = "hpa"
    KEDA = "keda"
    EXTERNAL = "external"
    NONE = "none"


class ScaleMetric(StrEnum):
    """What an autoscaler watches, by KServe's names."""

    CPU = "cpu"
    MEMORY = "memory"
    CONCURRENCY = "concurrency"
    RPS = "rps"


class HubCache(Model):
    """Where files of the Hub are kept."""

    persistent_volume_claim: ObjectName
    """A claim that pods of several nodes share if they are there (ReadWriteMany)."""


class ModelSource(Model):
    """Weights that vLLM serves."""

    uri: str = Field(pattern=MODEL_URI, max_length=512)
    """`hf://org/name`, `pvc://claim/path`, `s3://bucket/path` or `oci://registry/image:tag`."""
    revision: str | None = Field(default=None, pattern=HUB_REVISION, max_length=128)
    """Of `hf://`: the commit, tag or branch of weights and tokenizer alike, for what is served untrained, trained from
    and compared with. A commit pins them; a branch may move."""
    token_secret_ref: SecretKey | None = None
    """Of `hf://`: where the token for the Hub lies (`HF_TOKEN`), for the engine and the training Jobs."""
    cache: HubCache | None = None
    """Of `hf://`: what is fetched is kept here (`HF_HOME`) for all pods and training Jobs of the agent, and of others
    that name the same claim. Absent: each pod fetches for itself."""
    adapter: str | None = Field(default=None, pattern=ADAPTER_URI, max_length=512)
    """`pvc://claim/path` of a LoRA adapter on top; another path of the same claim is loaded without a restart."""


class Header(Sourced):
    """A header that a provider wants. Exactly one of `value` and `secretKeyRef`."""

    name: str = Field(pattern=HEADER_NAME, max_length=128)
    value: Annotated[str, Field(max_length=1024, pattern=HEADER_VALUE)] | None = None


class External(Model):
    """An OpenAI-compatible provider outside the cluster."""

    url: str = Field(pattern=PROVIDER_URL, max_length=512)
    """Base URL, all that stands before `/chat/completions`: most end in `/v1`."""
    model: str = Field(min_length=1, max_length=256)
    """The provider's name of the model."""
    api_key_secret_ref: SecretKey | None = None
    """Where its API key lies."""
    headers: tuple[Header, ...] = Field(default=(), max_length=16)
    """Headers of every request to it; `authorization` replaces the bearer of the API key."""


class ServiceKind(StrEnum):
    """What KServe serves a model by."""

    INFERENCE_SERVICE = "InferenceService"
    LLM_INFERENCE_SERVICE = "LLMInferenceService"


class ServiceRef(Model):
    """A service of KServe in the cascade's namespace that somebody else keeps. It is read and never written."""

    kind: ServiceKind
    name: ObjectName
    model: str | None = Field(default=None, min_length=1, max_length=256)
    """Its name of the model; absent: what its `spec` says, as `model.name` or by `--served-model-name`."""
    path: str | None = Field(default=None, pattern=API_PATH, max_length=128)
    """Where its OpenAI API begins; absent: `/v1`, of an InferenceService of format `huggingface` `/openai/v1`."""
    api_key_secret_ref: SecretKey | None = None
    """Where its API key lies, if it asks for one."""


class SelfAwareness(Model):
    """How an agent knows when to refuse."""

    mode: Awareness
    """`trained` by the cascade's training, `prompted` only, or `none`: always answers (the last agent)."""
    untrained: Untrained = Untrained.PROMPTED
    """While it trains for the first time: serve as `prompted`, or `hold` it out of the route."""
    deferral_tool: StrictBool = mirrored(routes.AgentRoute, "deferral_tool")
    """Where a request brings tools, add one whose call is a refusal: agents that may call tools seldom refuse in
    words."""
    prompt_opens_reasoning: StrictBool | None = None
    """Its chat template ends in an opened reasoning block (DeepSeek-R1, QwQ, Qwen3-Thinking without a reasoning
    parser), so that a reply begins inside it. Absent: as the evaluation of the served run has found it."""


class Capabilities(Model):
    """What an agent's engine can do; what is absent is learned from its errors. A request that needs what an agent
    lacks passes over it unasked."""

    images: StrictBool | None = mirrored(routes.Capabilities, "images")
    """Whether it reads images."""
    audio: StrictBool | None = mirrored(routes.Capabilities, "audio")
    """Whether it hears audio."""
    tools: StrictBool | None = mirrored(routes.Capabilities, "tools")
    """Whether it calls tools; vLLM needs `--enable-auto-tool-choice` and a parser."""
    structured_output: StrictBool | None = mirrored(routes.Capabilities, "structured_output")
    """Whether its answers follow a JSON schema."""
    context_length: StrictInt | None = mirrored(routes.Capabilities, "context_length")
    """Tokens of prompt and answer together; absent: `--max-model-len` of `engine.args`, where it is a plain number."""


class Jump(Model):
    """Cross-level routing (section 6 of the paper): a query far beyond an agent passes over the next ones."""

    to: str = Field(max_length=MAX_AGENT)
    """A later agent, which gets it at once."""
    below: StrictFloat = Field(default=0.05, ge=0, le=1)
    """Estimated competence under which it does."""


class Decision(Model):
    """How the sidecar reads the agent's decision."""

    mode: DecisionMode = DecisionMode.TEXT
    """`text`: what the agent says; `probability`: its calibrated chance of refusing, so that any preference is met."""
    jump: Jump | None = None


class Replicas(Model):
    """Pods of an agent."""

    min: StrictInt = Field(default=1, ge=0, le=1000)
    """0 lets an idle agent go; the agent before it passes over it while it starts."""
    max: StrictInt = Field(default=1, ge=1, le=1000)


class Autoscaling(Model):
    """How replicas follow the load."""

    autoscaler: Autoscaler = Autoscaler.HPA
    """`keda` needs KEDA in the cluster, `external` leaves replicas to somebody else, `none` keeps `replicas.min`."""
    metric: ScaleMetric | None = None
    """Default: `cpu`; in Knative mode, and where `prometheus` is given, `concurrency`: requests at the engine at once.
    In Standard mode `concurrency` and `rps` are what an agent has and what the agents before it are about to refuse."""
    target: StrictInt = Field(default=80, ge=1, le=1_000_000)
    """Percent of the engine's request for `cpu` and `memory`, else a count a pod."""
    query: Annotated[str, Field(max_length=1024)] | None = None
    """PromQL whose value KEDA compares with `target`, instead of `metric`."""
    prometheus: Annotated[str, Field(pattern=PROVIDER_URL, max_length=512)] | None = None
    """Address of the Prometheus that KEDA asks, for `query` or for what the sidecars count (`concurrency`, `rps`)."""


class EngineSecurity(Model):
    """As whom the engine runs, in the words of a container's securityContext."""

    run_as_non_root: StrictBool | None = None
    """As a user instead of root, as Pod Security `restricted` wants it. Default: where `model.cache` is given, in
    Standard mode."""
    run_as_user: StrictInt | None = Field(default=None, ge=1, le=2**31 - 1)
    """That user, in the group 0; no passwd file need know it. Default: the one that vLLM's image has (2000), and with
    `model.cache` in Standard mode the trainer's (65532), so that each writes where the other has."""
    read_only_root_filesystem: StrictBool = False
    """Let it write to its home, `/tmp` and `/dev/shm` alone; NVIDIA's CDI hooks may need more."""


class Engine(Model):
    """The inference engine of an agent."""

    image: str = Field(default=ENGINE_IMAGE, min_length=1, max_length=512)
    args: tuple[Annotated[str, Field(max_length=512)], ...] = Field(default=(), max_length=64)
    """Further arguments of vLLM's OpenAI server, for example `--max-model-len=8192`; not those that disrouter sets."""
    env: tuple[EnvVar, ...] = Field(default=(), max_length=64)
    """Further environment of the engine, for example a Hub token from a Secret."""
    security_context: EngineSecurity = EngineSecurity()
    """As whom it runs."""


class Agent(Model):
    """One model of the cascade. Exactly one of `model`, `external` and `serviceRef`."""

    name: str = Field(pattern=DNS_LABEL, max_length=MAX_AGENT)
    """Unique; part of object names and of the model name `<cascade>/<agent>`."""
    model: ModelSource | None = None
    external: External | None = None
    service_ref: ServiceRef | None = None
    cost: StrictFloat = Field(ge=0, le=1)
    """Normalised price of one answer (eq. 1); the list is ordered by it."""
    next: str | None = Field(default=None, max_length=MAX_AGENT)
    """Who gets a refused request; default: the next agent of the list."""
    self_awareness: SelfAwareness | None = None
    """Default: the last agent `none`, one with a `model` `trained` where `spec.training` is given, else `prompted`."""
    decision: Decision = Decision()
    capabilities: Capabilities = Capabilities()
    max_inflight: StrictInt | None = mirrored(routes.AgentRoute, "max_inflight")
    """Requests that each of its pods has at its engine at once; the next agent gets the others. Absent: no cap."""
    revision: str | None = Field(default=None, pattern=RUN, max_length=10)
    """Roll back: serve this earlier run (see `status.agents[].history`), or `base` for the untrained model."""
    replicas: Replicas = Replicas()
    autoscaling: Autoscaling | None = None
    """Default where `replicas.max` exceeds `replicas.min`: an HPA on CPU for an engine without a GPU; on a GPU nobody
    scales, and who does so by hand is kept between the two."""
    resources: ResourceRequirements | None = None
    """Kubernetes resource requirements of the engine; default one GPU."""
    engine: Engine = Engine()
    pod: PodOptions | None = None
    """Where and as whom its pods run; each field given replaces the one of `spec.pod`."""

    @property
    def served_elsewhere(self) -> bool:
        """Whether its engine is somebody else's (`external`, `serviceRef`): here runs the sidecar alone."""
        return self.external is not None or self.service_ref is not None
