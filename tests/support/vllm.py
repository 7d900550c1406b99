"""A real vLLM on the CPU in front of a tiny model, with the LoRA adapters that a test gives it."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from support.sidecars import free_port

START_SECONDS = 600.0
SMALL_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
_SMALL = ("--dtype", "float32", "--max-model-len", "256", "--max-num-seqs", "8", "--enforce-eager")


@contextmanager
def vllm(
    model: Path,
    name: str,
    options: Sequence[str] = (),
    *,
    served: str = "",
    variables: Mapping[str, str] = NO_VARIABLES,
) -> Iterator[str]:
    """Its base address, once it is healthy. `served` is what it is told to serve if that is not the folder `model`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = (os.environ["DISROUTER_VLLM_PYTHON"], "-m", "vllm.entrypoints.openai.api_server")
    serve = ("--model", served or str(model), "--served-model-name", name, "--host", "127.0.0.1", "--port", str(port))
    log = model.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*words, *serve, *_SMALL, *options],
            env={**os.environ, **SMALL_ENVIRONMENT, **variables},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, url, log)
        yield url
    finally:
        end(process, 30)


def end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Ask it to end, and kill it where it has not within that time."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, f"vLLM ended: {log.read_text()[-2000:]}"
        assert time.monotonic() < deadline, f"vLLM is not healthy: {log.read_text()[-2000:]}"
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)


def save_adapter(model: Path, folder: Path) -> Path:
    """A LoRA adapter of rank 8 that changes nothing: as one begins its training."""
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen2ForCausalLM

    adapted = get_peft_model(
        Qwen2ForCausalLM.from_pretrained(model), LoraConfig(r=8, target_modules=["q_proj", "v_proj"])
    )
    adapted.save_pretrained(str(folder))
    return folder
