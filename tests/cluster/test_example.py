"""The README's commands for a cluster, as typed: real vLLM with the tiny models from claims, and what answers then."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support import helm
from support.cluster import Cluster, image
from support.team import Team

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAME = "tiny"


def commands() -> str:
    """The commands of README's section on clusters, from the first `helm install` on: images are built and loaded."""
    section = (ROOT / "README.md").read_text().split("## On a cluster\n")[1].split("\n## ")[0]
    (block,) = [text for text in _FENCE.findall(section) if "helm install" in text]
    text: str = block[block.index("helm install") :]
    return text


@pytest.fixture(scope="module")
def typed(cluster: Cluster) -> Iterator[str]:
    """What they print, all of them; then everything is taken away."""
    cluster.clean()
    folders = os.pathsep.join(str(Path(each).parent) for each in (cluster.kubectl_binary, helm.binary()))
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": f"{folders}{os.pathsep}{os.environ['PATH']}",
    }
    started = time.monotonic()
    try:
        command = ["bash", "-exuo", "pipefail", "-c", commands()]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        print(
            done.stdout,
            done.stderr,
            f"{time.monotonic() - started:.0f} s from helm install to the first answer",
            sep="\n",
        )
        if done.returncode != 0:
            Team(cluster, "default").tell()
        assert done.returncode == 0, done.stderr[-2000:]
        yield done.stdout
    finally:
        for name in ("tiny", "claims"):
            file = str(ROOT / f"examples/cluster/{name}.yaml")
            cluster.kubectl_process("delete", "-f", file, "--ignore-not-found", "--timeout=90s")
        cluster.clean()


def test_the_commands_end_in_an_answer_of_an_agent_that_is_not_the_last(typed: str) -> None:
    answer = json.loads(typed[typed.index('{"id"') :].splitlines()[0])
    assert answer["choices"][0]["message"]["content"].strip()
    assert answer["usage"]["completion_tokens"] > 0


def test_the_manifests_ask_for_the_images_that_are_built(typed: str) -> None:
    (tiny,) = yaml.safe_load_all((ROOT / "examples/cluster/tiny.yaml").read_text())
    images = {agent["engine"]["image"] for agent in tiny["spec"]["agents"]}
    assert images == {image("engine")}
