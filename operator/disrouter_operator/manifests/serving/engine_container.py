"""The engine of an agent's pod: vLLM with its model, its adapters and its hook."""

from __future__ import annotations

import hashlib
import itertools
import re

from disrouter import names, uris
from disrouter.api import Agent
from disrouter.api.agent import VLLM_USER
from disrouter.artifacts import served_subpath
from disrouter.listening import ANY_ADDRESS
from disrouter.routes import AdapterRoute
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests import containers, hub, scratch
from disrouter_operator.manifests.cascade import Cascade
from disrouter_operator.manifests.containers import ADAPTERS_MOUNT, ADAPTERS_VOLUME, MODEL_VOLUME, MODELS_MOUNT

SERVER = ["vllm", "serve"]
STORAGE_URI = "STORAGE_URI"
"""Names weights to KServe where it does not run a server of its own (custom_predictor.go GetStorageUri): what its
initializer downloads, or the modelcar of an image, lies at `MODELS_MOUNT`."""
HOST = "ENGINE_HOST"
"""Where the engine listens; `engine.env` may say `0.0.0.0`, for nodes whose kernel has no IPv6 at all."""
MAX_MODEL_LEN = "--max-model-len"
REASONING_PARSER = "--reasoning-parser"
_PLAIN_NUMBER = re.compile("[1-9][0-9]{0,7}")
"""Within what a route table takes."""
_KSERVE_FETCHES = ("s3", "oci")
_REQUESTS = {"cpu": "2", "memory": "8Gi"}
_LIMITS = {"cpu": "8", "memory": "32Gi"}
START_SECONDS = 3600
"""A first start downloads and compiles; the kubelet restarts an engine that is not healthy by then."""
_HUNG_GRACE_SECONDS = 10
"""What an engine gets that failed its probes: the hook would wait for a drain that does not take place."""


def container(cascade: Cascade, agent: Agent, run: str | None, *, knative: bool) -> Object:
    """vLLM serving the base model, or the weights of `run`."""
    assert agent.model is not None, "an agent that is served elsewhere has no engine"
    engine: Object = {
        "name": containers.ENGINE,
        "image": agent.engine.image,
        "command": list(SERVER),
        "args": [
            MODELS_MOUNT if run is not None else _model_argument(agent.model.uri),
            *_revision(agent, run),
            f"--served-model-name={agent.name}",
            f"--host=$({HOST})",
            "--port=$(ENGINE_PORT)",
            *(["--enable-lora"] if agent.model.adapter is not None else []),
            *agent.engine.args,
        ],
        "env": _environment(agent, run),
        "resources": _resources(agent),
        "securityContext": _security(agent, knative=knative),
        "volumeMounts": [
            *_mounts(cascade, agent, run),
            *(hub.mounts(agent) if run is None else []),
            *scratch.mounts(knative=knative),
        ],
    }
    # Knative allows one port in a pod, no probe on a container without one (there the sidecar vouches for vLLM), and no
    # hook: its queue-proxy gives every container one of its own that waits until the requests in flight are done.
    return engine if knative else engine | _port_and_probes() | _held_until_drained()


def volumes(cascade: Cascade, agent: Agent, run: str | None, *, knative: bool) -> list[Object]:
    """Where the engine may write, and the claims that hold what is served; none where it, or KServe, fetches that."""
    found = scratch.volumes(_resources(agent)["limits"]["memory"], knative=knative)
    claim = _claim(cascade, agent, run)
    if claim is not None:
        found.append(containers.claim_volume(MODEL_VOLUME, claim))
    if agent.model is not None and agent.model.adapter is not None:
        found.append(containers.claim_volume(ADAPTERS_VOLUME, uris.parse(agent.model.adapter).host))
    return [*found, *(hub.volumes(agent) if run is None else [])]


def adapter_route(agent: Agent) -> AdapterRoute | None:
    """What the agent's sidecar loads into its engine; another address is another name, so that both can be loaded."""
    uri = agent.model.adapter if agent.model is not None else None
    if uri is None:
        return None
    digest = hashlib.sha256(uri.encode()).hexdigest()[:10]
    path = uris.parse(uri).path.strip("/")
    return AdapterRoute(name=f"{agent.name}-{digest}", path=f"{ADAPTERS_MOUNT}/{path}")


def context_length(agent: Agent) -> int | None:
    """Tokens that the engine is told to keep at most; None where it is not, or not in a plain number (`8k`, `auto`)."""
    said = None
    for argument, following in itertools.pairwise((*agent.engine.args, "")):
        flag, assigned, value = argument.partition("=")
        if flag.replace("_", "-") == MAX_MODEL_LEN:  # vLLM takes `_` for `-`, and the last of two
            said = value if assigned else following
    return int(said) if said is not None and _PLAIN_NUMBER.fullmatch(said) else None


def parses_reasoning(agent: Agent) -> bool:
    """Whether the engine is told to part reasoning from what a reply says."""
    return any(argument.partition("=")[0].replace("_", "-") == REASONING_PARSER for argument in agent.engine.args)


def _environment(agent: Agent, run: str | None) -> list[Object]:
    assert agent.model is not None
    fetched = hub.variables(agent) if run is None else []
    given = {each["name"] for each in fetched} | {each.name for each in agent.engine.env}
    env = [{"name": "ENGINE_PORT", "value": str(names.ENGINE_PORT)}]
    if HOST not in given:
        env.append({"name": HOST, "value": ANY_ADDRESS})
    if run is None and uris.parse(agent.model.uri).scheme in _KSERVE_FETCHES:
        env.append({"name": STORAGE_URI, "value": agent.model.uri})
    if agent.model.adapter is not None:
        env.append({"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "True"})
    return [*env, *fetched, *scratch.variables(given), *containers.environment(agent.engine.env)]


def _resources(agent: Agent) -> dict[str, dict[str, str]]:
    return containers.complete_resources(agent.resources, _REQUESTS, _LIMITS)


def _security(agent: Agent, *, knative: bool) -> Object:
    """Who shares a cache with the trainer is the trainer's user: a library makes folders that others may not write to,
    and root without capabilities is no exception. Knative gives volumes no group, so a fresh claim is root's there."""
    wanted, found = agent.engine.security_context, dict(containers.RESTRICTED)
    shares = hub.claim(agent) is not None and not knative
    if shares if wanted.run_as_non_root is None else wanted.run_as_non_root:
        user = wanted.run_as_user or (containers.TRAINER_USER if shares else VLLM_USER)
        found |= {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": 0}
    if wanted.read_only_root_filesystem:
        found["readOnlyRootFilesystem"] = True
    return found


def _port_and_probes() -> Object:
    health = containers.probe("/health", names.ENGINE_PORT)
    hung = {"terminationGracePeriodSeconds": _HUNG_GRACE_SECONDS}
    period = 10
    return {
        "ports": [{"name": "engine", "containerPort": names.ENGINE_PORT, "protocol": "TCP"}],
        "startupProbe": {**health, **hung, "periodSeconds": period, "failureThreshold": START_SECONDS // period},
        "readinessProbe": {**health, "periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**health, **hung, "periodSeconds": period, "failureThreshold": 6},
    }


def _held_until_drained() -> Object:
    """The kubelet signals all of a pod's containers at once; only a preStop hook orders their ends. Without it vLLM
    would abort, on its SIGTERM, what it generates."""
    command = hold(names.SIDECAR_PORT, containers.ENGINE_HOLD_SECONDS)
    return {"lifecycle": {"preStop": {"exec": {"command": command}}}}


def hold(port: int, seconds: int) -> list[str]:
    """A command that ends when nothing listens on `port` and nobody is connected to it, at the latest after `seconds`.

    So ends a sidecar that has drained, and an idle pod frees its GPU after `LINGER_SECONDS`. It reads what a pod's
    containers share: Linux's /proc/net/tcp, where 01, 08 and 0A are ESTABLISHED, CLOSE_WAIT and LISTEN.
    """
    used = f"^ *[0-9]+: [0-9A-F]+:{port:04X} [0-9A-F]+:[0-9A-F]+ (01|08|0A) "
    loop = f"grep -Eqs '{used}' /proc/net/tcp /proc/net/tcp6; do sleep 1; n=$((n+1)); done"
    return ["sh", "-c", f"n=0; while [ $n -lt {seconds} ] && {loop}"]


def _model_argument(uri: str) -> str:
    parsed = uris.parse(uri)
    return parsed.path if parsed.scheme == "hf" else MODELS_MOUNT


def _revision(agent: Agent, run: str | None) -> list[str]:
    """One revision of weights and tokenizer; a trained run has its own of both."""
    revision = agent.model.revision if agent.model is not None and run is None else None
    return [f"--revision={revision}", f"--tokenizer-revision={revision}"] if revision is not None else []


def _claim(cascade: Cascade, agent: Agent, run: str | None) -> str | None:
    if run is not None:
        assert cascade.spec.training is not None, "only training leaves runs"
        return cascade.spec.training.artifacts.persistent_volume_claim
    uri = uris.parse(agent.model.uri) if agent.model is not None else None
    return uri.host if uri is not None and uri.scheme == "pvc" else None


def _mounts(cascade: Cascade, agent: Agent, run: str | None) -> list[Object]:
    assert agent.model is not None
    mounts: list[Object] = []
    if _claim(cascade, agent, run) is not None:
        path = uris.parse(agent.model.uri).path if run is None else served_subpath(cascade.name, agent.name, run)
        model = {"name": MODEL_VOLUME, "mountPath": MODELS_MOUNT, "subPath": path.strip("/"), "readOnly": True}
        mounts.append(model)
    if agent.model.adapter is not None:
        mounts.append({"name": ADAPTERS_VOLUME, "mountPath": ADAPTERS_MOUNT, "readOnly": True})
    return mounts
