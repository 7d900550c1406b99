"""Where models and datasets lie on this machine."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from disrouter.uris import local_path
from disrouter_training.errors import TrainingError

_NEVER_LOADED = ("*.pth", "*.gguf", "*.onnx*", "*.h5", "*.msgpack", "*.ot", "*.tflite", "original/*", "consolidated*")
"""Weights in forms that neither transformers nor vLLM reads, which repositories keep beside the others."""


def resolve(uri: str, pvc_root: Path, revision: str | None = None) -> str:
    """A path for `pvc://` and `file://`, the Hub id for `hf://`. Raises TrainingError on what is no address.

    With a `revision` of `hf://` the folder of what the Hub has there: a name would leave it to each library that loads
    a part which revision that is of.
    """
    try:
        place = local_path(uri, pvc_root)
    except ValueError as error:
        raise TrainingError(str(error)) from error
    if revision is None:
        return place
    if not uri.startswith("hf://"):
        raise TrainingError(f"revision {revision} is for a model of the Hub (hf://), not for {uri}; remove it")
    return _snapshot(place, revision)


@lru_cache
def _snapshot(repository: str, revision: str) -> str:
    from huggingface_hub import snapshot_download

    try:
        return str(snapshot_download(repository, revision=revision, ignore_patterns=list(_NEVER_LOADED)))
    except (OSError, ValueError) as error:  # the Hub's own are OSErrors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"cannot fetch revision {revision} of {repository} from the Hub: {reason}; check model.uri, model.revision "
            "and, for a gated model, model.tokenSecretRef"
        ) from error
