"""A manifest that wants a trained agent: four Jobs as real processes, the gate, and the promoted weights served."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from disrouter.artifacts import served_subpath
from disrouter_local.store.folder import Folder
from disrouter_operator.kube.resources import CASCADES
from support import tiny_agent
from support.fake_engine import fake_engine
from support.home import Home

TRAINING: dict[str, Any] = {
    "datasets": [{"file": "pvc://data/questions.jsonl"}],
    "artifacts": {"persistentVolumeClaim": "weights"},
    "collect": {"samples": 8, "maxNewTokens": 16, "batchSize": 256},
    "sft": {"samples": 96, "learningRate": 2e-3},
    "rl": {"steps": 2, "promptsPerStep": 6, "generations": 2},
    "evaluate": {"holdout": 0.2},
    "gate": tiny_agent.ANY_RESULT,
}
TRAINING_PHASES = ["Collecting", "SFT", "RL", "Evaluating", "Promoting"]
TRAINED_SECONDS = 800.0
"""On a very busy machine; an idle core needs less than a minute."""


def status(home: Home) -> dict[str, Any]:
    """Of the first agent, from where the runtime stores it: read often, without a process each time."""
    record = Folder(home.folder / ".disrouter" / "objects").read(CASCADES, "default", "pool")
    assert record is not None
    agents = record.object.get("status", {}).get("agents")
    return dict(agents[0]) if agents else {}


def follow(home: Home) -> tuple[list[str], dict[str, Any]]:
    """The phases that the first agent went through, and its status once it serves what was trained."""
    phases: list[str] = []
    deadline = time.monotonic() + TRAINED_SECONDS
    while True:
        agent = status(home)
        if agent.get("phase") not in (None, *phases[-1:]):
            phases.append(agent["phase"])
        if agent.get("servedRun") and agent["phase"] == "Ready" and agent.get("ready"):
            return phases, agent
        assert time.monotonic() < deadline, f"{phases}: {agent}\n{home.log()}"
        time.sleep(0.1)


def served_model(pid: int) -> Path:
    """What the engine was started with, links resolved."""
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return Path(words[words.index("serve") + 1]).resolve()


@pytest.mark.timeout(900)
async def test_an_agent_is_trained_judged_promoted_and_served(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for claim in ("data", "weights"):
        (tmp_path / claim).mkdir()
    tiny_agent.write_questions(tmp_path / "data" / "questions.jsonl")
    tiny_agent.write_agent(tmp_path / "models" / "tiny")
    async with fake_engine() as last:
        small = {"name": "small", "cost": 0.1, "model": {"uri": "pvc://models/tiny"}}
        large = {"name": "large", "cost": 0.9, "external": {"url": f"{last.url}/v1", "model": "m"}}
        volumes = [f"--volume={claim}={claim}" for claim in ("models", "data", "weights")]
        try:
            manifest = home.write(small, large, training=TRAINING)
            await asyncio.to_thread(home.run, "up", manifest, *volumes, "--detach")
            await asyncio.to_thread(check, home)
        finally:
            await asyncio.to_thread(home.run, "down")


def ready(home: Home) -> bool:
    """Questions enter at the first agent only once it has served for some seconds."""
    conditions = home.cascade()["status"]["conditions"]
    return ("Ready", "True") in {(each["type"], each["status"]) for each in conditions}


def check(home: Home) -> None:
    phases, agent = follow(home)
    assert [phase for phase in phases if phase in TRAINING_PHASES] == TRAINING_PHASES
    assert agent["servedRun"] == agent["run"]
    assert agent["awareness"] == "trained"
    promoted = home.folder / "weights" / served_subpath("pool", "small", agent["run"])
    assert served_model(home.pids()["small/kserve-container"]) == promoted.resolve()
    question = tiny_agent.question_rows()[0]["question"]
    asked = home.run("ask", question, "--agent", "small")
    assert asked.stderr.startswith("[small]")
    assert asked.stdout.strip()
    home.wait(lambda: ready(home))
    assert home.run("ask", question).stderr.startswith(("[small]", "[small -> large]"))
