"""The main job on real parts: API server and its controllers, operator process, node, vLLM, sidecars, openai client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from disrouter.api import crd
from support import tiny_model
from support.controlplane import ControlPlane, assets, control_plane, kserve_crd

pytestmark = [pytest.mark.controlplane, pytest.mark.vllm, pytest.mark.timeout(300)]

NAMESPACE = "default"
READY_SECONDS = 200.0
ENGINE_ARGS = ["--dtype=float32", "--max-model-len=256", "--max-num-seqs=8", "--enforce-eager"]


def cascade() -> dict[str, Any]:
    """One agent that may refuse and one that always answers, both with the same tiny model."""
    agent = {"model": {"uri": "pvc://models/tiny"}, "engine": {"args": ENGINE_ARGS}}
    return {
        "apiVersion": "disrouter.io/v1alpha1",
        "kind": "SelfRoutingCascade",
        "metadata": {"name": "pair", "namespace": NAMESPACE},
        "spec": {
            "drainSeconds": 1,
            "agents": [
                {"name": "small", "cost": 0.1, "selfAwareness": {"mode": "prompted"}, **agent},
                {"name": "large", "cost": 0.9, **agent},
            ],
        },
    }


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A cluster of its own: the node here realises every InferenceService that it sees, those of other tests too."""
    binaries = assets()
    assert binaries is not None, "mark the test with pytest.mark.controlplane"
    with control_plane(binaries, tmp_path_factory.mktemp("plane"), (kserve_crd(), crd())) as running:
        yield running


@pytest.fixture(scope="module")
def endpoint(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Apply the cascade, wait until it is Ready, give its endpoint; at the end delete it and see everything go."""
    folder = tmp_path_factory.mktemp("e2e")
    # In a process of its own: what other tests did to torch in this one must not change what the model learns.
    build = "import sys, pathlib; from support import tiny_model; tiny_model.build(pathlib.Path(sys.argv[1]))"
    tests = Path(__file__).parent.parent
    command = [sys.executable, "-c", build, str(folder / "models" / "tiny")]
    subprocess.run(command, check=True, cwd=tests, env={**os.environ, "PYTHONPATH": str(tests)})
    node = ["-m", "disrouter_local.cluster", f"--kubeconfig={plane.kubeconfig}", f"--state={folder / 'state'}"]
    operator = ["-m", "disrouter_operator", "--host=127.0.0.1", "--port=0"]
    with (
        process(folder / "node.log", [*node, f"--volume=models={folder / 'models'}"]) as running_node,
        process(folder / "operator.log", operator, KUBECONFIG=str(plane.kubeconfig)),
    ):
        plane.apply(cascade())
        try:
            wait(lambda: is_ready(plane), READY_SECONDS)
        except AssertionError:
            tell(plane, folder)
            raise
        yield f"http://127.0.0.1:{json.loads((folder / 'state' / 'ports.json').read_text())[f'{NAMESPACE}/pair']}/v1"
        plane.kubectl("delete", "src", "pair", "--namespace", NAMESPACE)
        wait(lambda: not left(plane), 60.0)
        assert running_node.poll() is None


@pytest.fixture
def client(endpoint: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=endpoint, api_key="none", timeout=60.0, max_retries=0) as made:
        yield made


def test_status_says_ready_and_names_the_agents(plane: ControlPlane, endpoint: str) -> None:
    status = plane.get("src", NAMESPACE, "pair")["status"]
    assert [(agent["name"], agent["phase"]) for agent in status["agents"]] == [("small", "Ready"), ("large", "Ready")]
    assert status["url"] == f"http://pair.{NAMESPACE}.svc.cluster.local/v1"
    table = plane.kubectl("get", "src", "--namespace", NAMESPACE)
    assert "2/2" in table


def test_the_first_agent_answers_what_it_knows(client: openai.OpenAI) -> None:
    assert ask(client, tiny_model.KNOWN, stream=False) == (tiny_model.ANSWER, "small", "small")


def test_a_refused_question_is_answered_by_the_next_agent(client: openai.OpenAI) -> None:
    assert ask(client, tiny_model.UNKNOWN, stream=False) == (tiny_model.LAST_ANSWER, "large", "small,large")


def test_streams_are_routed_alike_and_never_show_the_refusal(client: openai.OpenAI) -> None:
    assert ask(client, tiny_model.KNOWN, stream=True) == (tiny_model.ANSWER, "small", "small")
    assert ask(client, tiny_model.UNKNOWN, stream=True) == (tiny_model.LAST_ANSWER, "large", "small,large")


def test_pods_stay_as_they_are_once_ready(plane: ControlPlane, endpoint: str) -> None:
    """No part writes for ever: versions stand still between two looks."""
    before = versions(plane)
    time.sleep(4)
    assert versions(plane) == before


def ask(client: openai.OpenAI, question: str, *, stream: bool) -> tuple[str, str, str]:
    """Answer, answering agent and path of one question; asked again for a while, as a busy agent may be skipped."""
    deadline = time.monotonic() + 60
    while True:
        told = _ask(client, question, stream=stream)
        if told[1] == ("small" if question == tiny_model.KNOWN else "large") or time.monotonic() > deadline:
            return told
        time.sleep(2)


def _ask(client: openai.OpenAI, question: str, *, stream: bool) -> tuple[str, str, str]:
    """On a connection of its own: one that was made while the entry was elsewhere stays there, as with any Service."""
    response = client.chat.completions.with_raw_response.create(
        model="pair",
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=32,
        stream=stream,
        extra_headers={"connection": "close"},
    )
    parsed: Any = response.parse()
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in parsed if chunk.choices)
    else:
        text = parsed.choices[0].message.content
    return text, response.headers["x-disrouter-agent"], response.headers["x-disrouter-path"]


def is_ready(plane: ControlPlane) -> bool:
    conditions = plane.get("src", NAMESPACE, "pair").get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def left(plane: ControlPlane) -> str:
    """Names of what still belongs to the cascade."""
    kinds = "inferenceservices,deployments,replicasets,pods,services,configmaps"
    return plane.kubectl("get", kinds, "--namespace", NAMESPACE, "-l", "disrouter.io/cascade=pair", "-o", "name")


def versions(plane: ControlPlane) -> dict[str, str]:
    kinds = ("inferenceservices", "deployments", "pods", "src")
    items = [item for kind in kinds for item in plane.get(kind, NAMESPACE)["items"]]
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in items}


def wait(holds: Callable[[], Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not come true within {seconds:.0f} s"
        time.sleep(1.0)


def tell(plane: ControlPlane, folder: Path) -> None:
    """Print what helps to see why a cascade does not become ready."""
    print(plane.kubectl("get", "src,isvc,pods", "--namespace", NAMESPACE, "-o", "yaml")[-8000:])
    for log in [*folder.glob("*.log"), *folder.glob("state/logs/*/*.log")]:
        print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")


@contextmanager
def process(log: Path, arguments: list[str], **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process of this installation that ends cleanly with the block."""
    with log.open("wb") as output:
        running = subprocess.Popen(
            [sys.executable, *arguments], stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **env}
        )
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(60) == 0, log.read_text(errors="replace")[-2000:]
