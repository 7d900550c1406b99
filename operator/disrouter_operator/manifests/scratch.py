"""Where an engine may write: its home with every cache below it, `/tmp`, and `/dev/shm`.

vLLM and what it stands on write to caches below a home, and ask who they are. A user that no passwd file knows has
neither home nor name: torch's inductor then fails at import. So the home is a volume that any user may write to, and
each library is told its place in it. It also outlives a container that restarts, with what was fetched and compiled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal

from disrouter.api.quantity import number
from disrouter_operator.kube.resources import Object

HOME = "/home/engine"
SHM = "/dev/shm"  # noqa: S108  a folder of the pod
TMP = "/tmp"  # noqa: S108
VOLUMES: Mapping[str, str] = {"engine-home": HOME, "dshm": SHM, "engine-tmp": TMP}
"""Name of each volume, and where it is mounted."""
_USER = "engine"
VARIABLES: Mapping[str, str] = {
    "HOME": HOME,
    "USER": _USER,
    "LOGNAME": _USER,
    "TMPDIR": HOME,
    "XDG_CACHE_HOME": f"{HOME}/.cache",
    "XDG_CONFIG_HOME": f"{HOME}/.config",
    "HF_HOME": f"{HOME}/.cache/huggingface",
    "VLLM_CACHE_ROOT": f"{HOME}/.cache/vllm",
    "VLLM_CONFIG_ROOT": f"{HOME}/.config/vllm",
    "TORCHINDUCTOR_CACHE_DIR": f"{HOME}/.cache/torchinductor",
    "TRITON_CACHE_DIR": f"{HOME}/.cache/triton",
    "NUMBA_CACHE_DIR": f"{HOME}/.cache/numba",
    "FLASHINFER_WORKSPACE_BASE": HOME,
}
"""Each is the manifest's to set otherwise: for an image that brings a cache of its own."""
_SHM_SHARE = Decimal("0.5")
"""Of the engine's memory limit, against which it counts; as much as Linux gives a tmpfs unasked. The 64 MiB that a
container has by itself are too few for NCCL and for vLLM's queues between processes."""
_MIB = 2**20


def variables(given: Collection[str]) -> list[Object]:
    """Environment of the engine, without the names `given`, which the manifest gives itself."""
    return [{"name": name, "value": value} for name, value in VARIABLES.items() if name not in given]


def mounts(*, knative: bool) -> list[Object]:
    """Where the volumes lie in the engine's container. Knative keeps `/tmp` for itself (k8s_validation.go)."""
    return [{"name": name, "mountPath": path} for name, path in _volumes(knative=knative)]


def volumes(memory: str, *, knative: bool) -> list[Object]:
    """The volumes; `memory` is the engine's limit."""
    return [{"name": name, "emptyDir": _source(path, memory)} for name, path in _volumes(knative=knative)]


def _volumes(*, knative: bool) -> Iterator[tuple[str, str]]:
    return ((name, path) for name, path in VOLUMES.items() if not (knative and path == TMP))


def _source(path: str, memory: str) -> Object:
    if path != SHM:
        return {}
    return {"medium": "Memory", "sizeLimit": f"{int(number(memory) * _SHM_SHARE / _MIB)}Mi"}
